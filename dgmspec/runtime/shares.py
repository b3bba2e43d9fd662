"""How rows are divided: a global batch over processes and accumulated parts, and many rows over passes of a model."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from dgmspec.modules.compiled import CompiledModel
from dgmspec.runtime.processes import Processes
from dgmspec.runtime.rundir import RunError

__all__ = ["Part", "parts_of", "rows_at_once"]

NUMBERS: Final = 1 << 20
"""Numbers of events, roughly, that pass through a model at once where no gradient is taken: its nets need hundreds of
times as many on the way."""

BLOCK: Final = 256
"""Rows whose draws have one key, so that a pass takes whole blocks of them."""


@dataclass(frozen=True)
class Part:
    """Rows start, …, stop - 1 of the global batch, and their share of its mean."""

    start: int
    stop: int
    weight: float


def parts_of(batch: int, accumulate: int, processes: Processes) -> tuple[Part, ...]:
    """This process's parts of a batch of `batch` rows; sizes differ by at most one row, and weights make that exact."""
    pieces = processes.count * accumulate
    if batch < pieces:
        over = f"{processes.count} process{'es' * (processes.count > 1)}"
        parts = f", {accumulate} parts each" if accumulate > 1 else ""
        raise RunError(
            f"a batch of {batch} rows cannot be divided over {over}{parts}: "
            f"at least {pieces} are needed; raise `batch`, or use fewer"
        )
    first = processes.index * accumulate
    edges = [batch * piece // pieces for piece in range(first, first + accumulate + 1)]
    return tuple(Part(start, stop, (stop - start) / batch) for start, stop in pairwise(edges))


def rows_at_once(model: CompiledModel, most: int) -> int:
    """How many rows pass through a model at once, `most` of small events; a function of their size alone, not of the
    memory at hand, so that figures are the same everywhere."""
    size = sum(type_.size for type_ in (*model.observed.values(), *model.givens.values()))
    return min(most, max(BLOCK, NUMBERS // max(1, size) // BLOCK * BLOCK))
