"""Points of a simulated process beside the Kolmogorov-Fokker-Planck equation solved on a grid around them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from dgmspec.core.types import Type
from dgmspec.ops.paths.process import AbstractProcess
from dgmspec.runtime.kolmogorov.histograms import Histogram, coarser
from dgmspec.runtime.kolmogorov.laws import at_once, function_of, on_arrays
from dgmspec.runtime.kolmogorov.residual import Law
from dgmspec.runtime.kolmogorov.volumes import Box, binned, solve

__all__ = ["gridded"]

Field = Callable[[Tensor, float], Tensor]

CELLS: Final = {1: (240,), 2: (128, 128)}
SOLVED: Final = 200
"""Cells of the grid along each axis, and steps of its solution."""

BLURRED: Final = 0.1
"""The share of points at which cells may blur what drift and noise do."""


def gridded(
    op: AbstractProcess, event: Type, law: Law, label: str, times: Sequence[float], points: Tensor
) -> Iterator[Histogram]:
    """Points at the start and later `times`, (times, paths, d), beside the equation solved from the first on; nothing
    where that would be blurred by its cells."""
    box = Box.around(points.flatten(0, 1).numpy(), CELLS[points.shape[2]])
    drift, spread = _ito(op, event, law), at_once(law.spread)
    if _blurred(drift, spread, times, points, box):
        return
    edges = [box.edges(axis) for axis in range(points.shape[2])]
    begun = binned(points[0].numpy(), edges) / points.shape[1]
    grid = np.linspace(op.low, op.high, SOLVED + 1)
    solved = solve(on_arrays(drift), on_arrays(spread), box, begun, grid, op.steady)
    for t, x in zip(times[1:], points[1:], strict=True):
        mass = solved[round((t - op.low) / (op.high - op.low) * SOLVED)]
        fine = Histogram(label, t, tuple(edges), binned(x.numpy(), edges), mass, "Fokker-Planck equation")
        # The solution begins at the histogram of the very same starts.
        yield coarser(fine)


def _blurred(drift: Field, spread: Field, times: Sequence[float], points: Tensor, box: Box) -> bool:
    """Whether drift carries mass past cells faster than noise spreads it over them, |f| Δx > 2 g², at more than a share
    of the points: fluxes are upwind there."""
    sides = zip(box.low, box.high, box.counts, strict=True)
    width = torch.tensor([(high - low) / count for low, high, count in sides], dtype=torch.float64)
    blurred = [drift(x, t).abs() * width > 2 * spread(x, t) ** 2 for t, x in zip(times, points, strict=True)]
    return float(torch.cat(blurred).any(1).double().mean()) > BLURRED


def _ito(op: AbstractProcess, event: Type, law: Law) -> Field:
    """Itô's drift: Stratonovich's with g_i ∂g_i/∂x_i / 2 added."""
    shape, drift, spread = event.shape, at_once(law.drift), at_once(law.spread)
    if not op.reads_state or op.settings.calculus == "ito":
        return drift
    slope = at_once(function_of(op.slope(shape).formula, op.parts_of(shape), op.time, shape))
    return lambda x, t: drift(x, t) + 0.5 * spread(x, t) * slope(x, t)
