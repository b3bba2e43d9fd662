"""Points of a simulation counted by cell, beside the mass that a law has there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Histogram", "coarser"]

Array = NDArray[np.float64]

SLACK: Final = 0.02
"""The relative error that the schemes and the grid themselves are allowed."""
FEWEST: Final = 25.0
"""Points that are expected in a cell of a histogram; emptier ones are taken together."""


@dataclass(frozen=True)
class Histogram:
    """The points of a simulation at one time, by cell, and the mass that the law has in each of them."""

    title: str
    t: float
    edges: tuple[Array, ...]
    counts: Array
    mass: Array
    law: str

    def deviation(self) -> float:
        """The largest distance of a cell from the law in standard errors, or that of all cells together."""
        total = self.counts.sum()
        counts, mass = _gathered(self.counts.ravel(), self.mass.ravel() * total)
        variance = mass * (1 - mass / total) + (SLACK * mass) ** 2
        z = (counts - mass) / np.sqrt(variance)
        whole = (np.square(z).sum() - len(z)) / math.sqrt(2 * len(z))
        return float(max(np.abs(z).max(), whole))


def coarser(fine: Histogram) -> Histogram:
    """Cells joined to eight or, on a line, thirty along each axis."""
    by = 8 if fine.counts.ndim == 1 else 16
    counts, mass = fine.counts, fine.mass
    for axis in range(counts.ndim):
        at = np.arange(0, counts.shape[axis], by)
        counts, mass = np.add.reduceat(counts, at, axis), np.add.reduceat(mass, at, axis)
    edges = tuple(np.append(edges[:-1:by], edges[-1]) for edges in fine.edges)
    return Histogram(fine.title, fine.t, edges, counts, mass, fine.law)


def _gathered(counts: Array, expected: Array) -> tuple[Array, Array]:
    """Cells in which few points are expected, taken together."""
    rare = expected < FEWEST
    joined = [np.append(values[~rare], values[rare].sum()) for values in (counts, expected)]
    if joined[1][-1] < FEWEST:
        # Too few even so: they go to the fullest cell.
        at = int(joined[1][:-1].argmax())
        for values in joined:
            values[at] += values[-1]
        joined = [values[:-1] for values in joined]
    return joined[0], joined[1]
