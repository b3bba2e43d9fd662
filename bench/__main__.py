"""`python -m bench [WORKLOAD ...]`: times beside other libraries; with --write the table of docs/benchmarks.md.

pip install -c constraints.txt -e '.[bench]' && python -m bench --write docs/benchmarks.md
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

import torch

from bench.adapters import installed
from bench.document import page
from bench.run import OPERATIONS, Row, run
from bench.workloads import WORKLOADS


def main() -> None:
    """Time what is asked for and print a table."""
    options = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    options.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"some of: {', '.join(WORKLOADS)}")
    options.add_argument("--only", choices=OPERATIONS, help="one operation instead of all")
    options.add_argument("--rounds", type=int, default=15, help="readings of each case (15)")
    options.add_argument("--threads", type=int, default=1, help="torch's threads (1: CPU time; more: wall time)")
    options.add_argument("--quick", action="store_true", help="five rounds and no compilation")
    options.add_argument("--write", type=Path, metavar="PATH", help="write the page there")
    chosen = options.parse_args()
    unknown = [name for name in chosen.workloads if not any(w.startswith(name) for w in WORKLOADS)]
    if unknown:
        options.error(f"no workload `{unknown[0]}`; there are: {', '.join(WORKLOADS)}")
    if not installed():
        options.error("none of the other libraries is here: pip install -c constraints.txt -e '.[bench]'")
    torch.set_num_threads(chosen.threads)
    # The other libraries warn of their own deprecated calls, and torch.compile of what it cannot fuse.
    warnings.simplefilter("ignore")
    operations = (chosen.only,) if chosen.only else OPERATIONS
    rounds = 5 if chosen.quick else chosen.rounds
    asked = chosen.workloads or list(WORKLOADS)
    rows: list[Row] = []
    for name, workload in WORKLOADS.items():
        if any(name.startswith(start) for start in asked):
            rows += run(workload, operations, rounds, not chosen.quick, say=lambda line: print(line, file=sys.stderr))
        # After each workload, so that a run that is stopped leaves what it measured.
        if chosen.write and rows:
            chosen.write.write_text(page(rows, rounds), encoding="utf-8")
    if not chosen.write:
        print(page(rows, rounds))


if __name__ == "__main__":
    main()
