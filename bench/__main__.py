"""`python -m bench [WORKLOAD ...]`: times beside other libraries; with --write the tables of docs/benchmarks.md.

pip install -c constraints.txt -e '.[bench]' && python -m bench --write docs/benchmarks.md
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch

from bench.adapters import installed
from bench.document import page
from bench.measure import hold_memory
from bench.ode import document as odes
from bench.ode.run import Row as OdeRow
from bench.ode.run import run as run_ode
from bench.ode.workloads import WORKLOADS as ODES
from bench.run import OPERATIONS, Row, run
from bench.sde import document as sdes
from bench.sde.run import WORKLOADS as SDES
from bench.sde.run import Row as SdeRow
from bench.sde.run import run as run_sde
from bench.workloads import WORKLOADS


def main() -> None:
    """Time what is asked for and print a table."""
    options = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    known = (*WORKLOADS, *ODES, *SDES)
    options.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"some of: {', '.join(known)}")
    options.add_argument("--only", choices=OPERATIONS, help="one operation instead of all")
    options.add_argument("--rounds", type=int, default=15, help="readings of each case (15)")
    options.add_argument("--threads", type=int, default=1, help="torch's threads (1: CPU time; more: wall time)")
    options.add_argument("--quick", action="store_true", help="five rounds and no compilation")
    options.add_argument("--write", type=Path, metavar="PATH", help="write the page there")
    chosen = options.parse_args()
    unknown = [name for name in chosen.workloads if not any(w.startswith(name) for w in known)]
    if unknown:
        options.error(f"no workload `{unknown[0]}`; there are: {', '.join(known)}")
    if not installed():
        options.error("none of the other libraries is here: pip install -c constraints.txt -e '.[bench]'")
    torch.set_num_threads(chosen.threads)
    hold_memory()
    # The other libraries warn of their own deprecated calls, and torch.compile of what it cannot fuse.
    warnings.simplefilter("ignore")
    operations = (chosen.only,) if chosen.only else OPERATIONS
    rounds = 5 if chosen.quick else chosen.rounds
    asked = [name for name in known if not chosen.workloads or any(name.startswith(w) for w in chosen.workloads)]
    rows: list[Row] = []
    ode_rows: list[OdeRow] = []
    sde_rows: list[SdeRow] = []
    for name in asked:
        if name in WORKLOADS:
            rows += run(WORKLOADS[name], operations, rounds, not chosen.quick, say)
        elif name in ODES:
            ode_rows += run_ode(ODES[name], rounds, say)
        else:
            sde_rows.append(run_sde(SDES[name], rounds, say))
        # After each workload, so that a run that is stopped leaves what it measured.
        if chosen.write:
            before = chosen.write.read_text(encoding="utf-8") if chosen.write.exists() else ""
            chosen.write.write_text(_merged(before, rows, ode_rows, sde_rows, rounds), encoding="utf-8")
    if not chosen.write:
        print(_merged("", rows, ode_rows, sde_rows, rounds))


def say(line: str) -> None:
    """Progress, beside the page."""
    print(line, file=sys.stderr, flush=True)


def _merged(
    before: str, rows: Sequence[Row], ode_rows: Sequence[OdeRow], sde_rows: Sequence[SdeRow], rounds: int
) -> str:
    """The page with what was measured now; rows that were not, and parts, stay as they were."""
    rest, last, samplers = before.partition(sdes.TITLE)
    flows, title, others = rest.partition(odes.TITLE)
    parts = (
        page(rows, rounds, flows) if rows else flows,
        odes.section(ode_rows, rounds) if ode_rows else title + others,
        sdes.section(sde_rows, rounds) if sde_rows else last + samplers,
    )
    return "\n\n".join(part.rstrip("\n") for part in parts if part) + "\n"


if __name__ == "__main__":
    main()
