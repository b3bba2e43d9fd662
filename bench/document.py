"""The page docs/benchmarks.md: the table as it was measured, and what it was measured on."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from datetime import date
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import torch

import dgmspec
from bench.adapters import PEERS, installed
from bench.run import COMPILED, EAGER, FROZEN, FROZEN_COMPILED, PRODUCTS, Row

__all__ = ["line", "machine", "page"]

HEADER = """# Speed beside other libraries

Log-densities, training steps and samples of the same architectures in dgmspec and in
{peers}. Times are medians in milliseconds a call, for a batch of {batch}.
A ratio says how many times faster ours is than the best of the others, round by round; below 1 ours is slower. Brackets
hold the median ratio with at least 95 %.

    pip install -c constraints.txt -e '.[bench]' && python -m bench --write docs/benchmarks.md

{machine}

## How it is measured

Everything of a row runs in one process, in turn, {rounds} rounds after a warm-up, on {clock}. Before a library
is timed, its log-densities are compared with ours in float64 under the same parameters (relative difference below
1e-9), and so is the number of parameters. `train` is the negative mean log-density, its gradient, and a step of Adam,
fused everywhere. All libraries get the plain exponential as the scale of affine maps, although most squash it, and the
same nets: two hidden layers of rectified units. zuko's splines have parameters of their own kind and are not compared
by value. *compiled* is `model.compiled()`, one full graph; the others run as their documentation runs them, without
torch.compile. *frozen* is `model.freeze()`, for inference; *frozen compiled* is
`model.freeze().compiled(options={{"cpp_wrapper": True}})`, which packs large weights. *products* are the nets' matrix
products alone: where they are most of the time, nobody can be much faster than anybody else.
"""

TITLES = {"log_prob": "log-density", "train": "training step", "sample": "sampling"}


def page(rows: Sequence[Row], rounds: int) -> str:
    """The whole page for rows as they were measured."""
    clock = "one thread, in CPU time" if torch.get_num_threads() == 1 else f"{torch.get_num_threads()} threads"
    peers = list(installed())
    head = HEADER.format(
        peers=", ".join(peers[:-1]) + " and " + peers[-1] if len(peers) > 1 else "".join(peers),
        batch=rows[0].workload.batch if rows else "–",
        machine=machine(PEERS),
        rounds=rounds,
        clock=clock,
    )
    operations = dict.fromkeys(row.operation for row in rows)
    return "\n".join([head, *(_table(TITLES[o], [r for r in rows if r.operation == o]) for o in operations)])


def machine(peers: Iterable[str]) -> str:
    """Processor, system and versions, in a line."""
    packages = ("torch", *(peer.lower() for peer in peers if find_spec(peer) is not None))
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return (
        f"Measured on {date.today().isoformat()}: {_processor()}, {platform.system()}, "
        f"Python {platform.python_version()}, {versions}, dgmspec {dgmspec.__version__}."
    )


def _processor() -> str:
    """The processor as Linux names it, with its widest vector instructions."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return platform.processor() or platform.machine()
    lines = path.read_text(encoding="utf-8").splitlines()
    name = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown processor"
    )
    count = sum(line.startswith("processor") for line in lines)
    return f"{name}, {count} virtual cores, {torch.backends.cpu.get_cpu_capability()}"


def _table(title: str, rows: Sequence[Row]) -> str:
    peers = [peer for peer in PEERS if any(peer in row.times for row in rows)]
    forms = [form for form in (EAGER, COMPILED, FROZEN, FROZEN_COMPILED) if any(form in row.times for row in rows)]
    names = [form.replace("dgmspec ", "") for form in forms]
    products = [PRODUCTS] if any(PRODUCTS in row.times for row in rows) else []
    columns = ["model", *peers, *names, *products, *(f"best peer / {'dgmspec' if n == EAGER else n}" for n in names)]
    lines = [f"## {title.capitalize()}", "", line(columns), line(["---"] + ["---:"] * (len(columns) - 1))]
    for row in rows:
        times = [f"{1e3 * row.times[n].median:.2f}" if n in row.times else "–" for n in (*peers, *forms, *products)]
        lines.append(line([row.workload.title, *times, *(str(row.ratio(form) or "–") for form in forms)]))
    notes = [
        f"- {row.workload.title}, {name}: {why}"
        for row in rows
        for name, why in row.missing.items()
        if why != "has no such layer"
    ]
    return "\n".join([*lines, "", *notes, *([""] if notes else [])])


def line(cells: Sequence[str]) -> str:
    """A row of a table."""
    return f"| {' | '.join(cells)} |"
