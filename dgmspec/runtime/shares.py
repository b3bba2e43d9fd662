"""How a global batch is divided: consecutive rows for each process, and within it for each accumulated part."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from dgmspec.runtime.processes import Processes
from dgmspec.runtime.rundir import RunError

__all__ = ["Part", "parts_of"]


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
