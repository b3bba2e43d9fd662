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
from bench.workloads import WORKLOADS

__all__ = ["line", "machine", "page"]

HEADER = """# Speed beside other libraries

Log-densities, training steps and samples of the same architectures in dgmspec and in
{peers}. Times are medians in milliseconds a call, for a batch of {batch}.
A ratio says how many times faster ours is than the best of the others, round by round; below 1 ours is slower. Brackets
hold the median ratio with at least 95 %.

    pip install -c constraints.txt -e '.[bench]' && python -m bench --write docs/benchmarks.md

{machine}

## How it is measured

Everything of a row runs in one process, in turn, {rounds} rounds after a warm-up, on {clock}. The process keeps memory
that is freed, so that nobody pays for what others gave back to the system. Before a library is timed, its log-densities
are compared with ours in float64 under the same parameters (relative difference below 1e-9), and so is the number of
parameters. `train` is the negative mean log-density, its gradient, and a step of Adam, fused everywhere. All libraries
get the plain exponential as the scale of affine maps, although most squash it, and the same nets: two hidden layers of
rectified units. zuko's splines have parameters of their own kind and are not compared by value. *compiled* is
`model.compiled()`, one full graph, in training that of the loss and its gradients (`model.pull`, as under
`compile = true`), and for nets of 256 units `model.compiled(ahead=True)`, where each of these is one C++ function; the
others run as their documentation runs them, without torch.compile. *frozen* is `model.freeze()`, for inference;
*frozen compiled* is `model.freeze().compiled(ahead=True)`, which packs large weights. *products* are the nets' matrix
products alone, as torch makes them in eager: where they are most of the time, nobody can be much faster than anybody
else.
NAF's families differ: ours is a mixture of sigmoids, zuko's a monotonic net. Residual blocks have silu units; their
log-determinant is exact at D = 2, and beyond it, in normflows and here, an unbiased estimate of which two terms of the
series are always taken.
"""

FORMS = (EAGER, COMPILED, FROZEN, FROZEN_COMPILED)
TITLES = {"log_prob": "log-density", "train": "training step", "sample": "sampling"}


def page(rows: Sequence[Row], rounds: int, before: str = "") -> str:
    """The whole page for rows as they were measured; other rows of the page as it was, `before`, stay."""
    clock = "one thread, in CPU time" if torch.get_num_threads() == 1 else f"{torch.get_num_threads()} threads"
    peers = list(installed())
    head = HEADER.format(
        peers=", ".join(peers[:-1]) + " and " + peers[-1] if len(peers) > 1 else "".join(peers),
        batch=rows[0].workload.batch if rows else "–",
        machine=machine(PEERS),
        rounds=rounds,
        clock=clock,
    )
    tables = (_table(title, [r for r in rows if r.operation == o], before) for o, title in TITLES.items())
    return "\n".join([head, *tables])


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


COLUMNS = (
    "model",
    *PEERS,
    *(form.replace("dgmspec ", "") for form in FORMS),
    PRODUCTS,
    *(f"best peer / {form.replace('dgmspec ', '')}" for form in FORMS),
)
"""Every column that a table may have, in their order; those that no row fills are left out."""


def _table(title: str, rows: Sequence[Row], before: str) -> str:
    """The rows, among those of the table that stands in `before`."""
    cells, notes = _standing(title.capitalize(), before)
    new = {row.workload.title: row for row in rows}
    cells |= {name: _cells(row) for name, row in new.items()}
    columns = [column for column in COLUMNS if any(column in found for found in cells.values())]
    lines = [f"## {title.capitalize()}", "", line(columns), line(["---"] + ["---:"] * (len(columns) - 1))]
    kept = [workload.title for workload in WORKLOADS.values() if workload.title in cells]
    lines += [line([cells[name].get(column, "–") for column in columns]) for name in kept]
    notes = [note for note in notes if not any(note.startswith(f"- {name}, ") for name in new)]
    notes += [
        f"- {name}, {case}: {why}"
        for name, row in new.items()
        for case, why in row.missing.items()
        if why != "has no such layer"
    ]
    return "\n".join([*lines, "", *notes, *([""] if notes else [])])


def _cells(row: Row) -> dict[str, str]:
    """What stands in each column of a row."""
    found = {"model": row.workload.title}
    for case, times in row.times.items():
        found[case.replace("dgmspec ", "")] = f"{1e3 * times.median:.2f}"
    for form in FORMS:
        if (ratio := row.ratio(form)) is not None:
            found[f"best peer / {form.replace('dgmspec ', '')}"] = str(ratio)
    return found


def _standing(heading: str, before: str) -> tuple[dict[str, dict[str, str]], list[str]]:
    """The table under a heading of a page: the filled cells of each row by the row's name, and the notes below it."""
    lines = before.partition(f"## {heading}\n")[2].partition("\n#")[0].splitlines()
    table = [[cell.strip() for cell in text.strip("|").split("|")] for text in lines if text.startswith("|")]
    if not table:
        return {}, []
    columns, _, *rows = table
    cells = {row[0]: {c: cell for c, cell in zip(columns, row, strict=True) if cell != "–"} for row in rows}
    return cells, [text for text in lines if text.startswith("- ")]


def line(cells: Sequence[str]) -> str:
    """A row of a table."""
    return f"| {' | '.join(cells)} |"
