"""Integrals of a density over its support in one or two dimensions, to a tolerance that is estimated along the way.

Cells are refined where a Gauss-Legendre rule of seven points an axis and one of four disagree, and where a witness, a
point at which the density is known to be high, rises above all that the rules saw: a ridge thinner than a cell is not
overlooked. The box grows shell by shell until the last one holds next to nothing: doubling its width each time also
reaches the heaviest tails.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

__all__ = ["Integral", "integrate"]

Integrand = Callable[[Tensor], Tensor]
"""Points (n, d) -> values (n, k); the first column is the density, whose error steers the refinement."""

SHELLS = 40
NEGLIGIBLE = 2e-5
CHUNK = 16_384
FIRST = {1: 64, 2: 24}
"""Cells an axis before anything is known of the density."""

ROUNDS = 10
HIDDEN = 2.0
"""How often the cells are split for witnesses, and how far one must rise above the points of its cell for that."""


@dataclass(frozen=True)
class Integral:
    """The integral of every column, (k,), the estimated error of the first, and how many points were used."""

    value: Tensor
    error: float
    points: int


def integrate(
    function: Integrand,
    low: Tensor,
    high: Tensor,
    bounds: tuple[Tensor, Tensor],
    tolerance: float,
    budget: int,
    witnesses: Tensor | None = None,
) -> Integral:
    """∫ over the box `bounds` (whose ends may be infinite), starting from the inner box [low, high], (d,) each.

    `witnesses` are points (n, d) where the density may be high, such as samples.
    """
    low, high = torch.maximum(low, bounds[0]), torch.minimum(high, bounds[1])
    points = low[None][:0] if witnesses is None else witnesses
    seen = points, function(points)[:, 0]
    found = _refined(function, *_grid(low, high, FIRST[len(low)]), tolerance / 2, budget, seen)
    for number in range(1, SHELLS + 1):
        centre, half = (low + high) / 2, high - low
        wider = torch.maximum(centre - half, bounds[0]), torch.minimum(centre + half, bounds[1])
        if bool((wider[0] == low).all()) and bool((wider[1] == high).all()):
            break
        cells = _shell(low, high, *wider)
        part = _refined(function, *cells, tolerance / 4, max(budget - found.points, CHUNK), seen)
        found = Integral(found.value + part.value, found.error + part.error, found.points + part.points)
        low, high = wider
        left = ((points < low) | (points > high)).any(1)
        if number > 1 and float(part.value[0]) < NEGLIGIBLE and not bool(left.any()):
            break
    return found


def _refined(
    function: Integrand, low: Tensor, high: Tensor, tolerance: float, budget: int, seen: tuple[Tensor, Tensor]
) -> Integral:
    """The integral over cells [low, high], (cells, d) each: those whose error counts are halved along every axis."""
    cells = _rules(function, low, high)
    for _ in range(ROUNDS):
        split = _hidden(cells, *seen)
        if cells.points >= budget or not bool(split.any()):
            break
        cells = _split(function, cells, split)
    while float(cells.error.sum()) > tolerance and cells.points < budget:
        cells = _split(function, cells, cells.error > tolerance / (2 * len(cells.error)))
    total = float(cells.error.sum())
    return Integral(cells.value.sum(0), total if math.isfinite(total) else math.inf, cells.points)


@dataclass(frozen=True)
class _Cells:
    """Cells [low, high] with their integrals, the estimated errors and the highest densities seen in them."""

    low: Tensor
    high: Tensor
    value: Tensor
    error: Tensor
    peak: Tensor
    points: int


def _hidden(cells: _Cells, witnesses: Tensor, heights: Tensor) -> Tensor:
    """The cells in which a witness stands out, (cells,)."""
    found = torch.zeros(len(cells.low), dtype=torch.bool)
    near = ((witnesses >= cells.low.amin(0)) & (witnesses < cells.high.amax(0))).all(1)
    witnesses, heights = witnesses[near], heights[near]
    for points, height in zip(torch.split(witnesses, 500), torch.split(heights, 500), strict=True):
        inside = ((points[:, None] >= cells.low) & (points[:, None] < cells.high)).all(2)
        found |= (inside & (height[:, None] > HIDDEN * cells.peak)).any(0)
    return found


def _split(function: Integrand, cells: _Cells, split: Tensor) -> _Cells:
    """The same cells with some of them halved along every axis."""
    fresh, kept = _rules(function, *_children(cells.low[split], cells.high[split])), ~split
    pairs = ((getattr(cells, n)[kept], getattr(fresh, n)) for n in ("low", "high", "value", "error", "peak"))
    low, high, value, error, peak = (torch.cat(pair) for pair in pairs)
    return _Cells(low, high, value, error, peak, cells.points + fresh.points)


@cache
def _nodes(count: int, dimensions: int) -> tuple[Tensor, Tensor]:
    """Points of the product rule in (0, 1)^d and their weights."""
    x, w = (torch.from_numpy(a) / 2 for a in np.polynomial.legendre.leggauss(count))
    grid = torch.cartesian_prod(*[x + 0.5] * dimensions).reshape(-1, dimensions)
    return grid, torch.cartesian_prod(*[w] * dimensions).reshape(-1, dimensions).prod(1)


def _rules(function: Integrand, low: Tensor, high: Tensor) -> _Cells:
    """Each cell's integral by seven points an axis, and its difference from that by four."""
    fine, peak, points = _rule(function, low, high, 7)
    coarse, other, more = _rule(function, low, high, 4)
    return _Cells(low, high, fine, (fine - coarse)[:, 0].abs(), torch.maximum(peak, other), points + more)


def _rule(function: Integrand, low: Tensor, high: Tensor, count: int) -> tuple[Tensor, Tensor, int]:
    nodes, weights = _nodes(count, low.shape[1])
    points = (low[:, None] + nodes * (high - low)[:, None]).flatten(0, 1)
    values = torch.cat([function(part) for part in torch.split(points, CHUNK)]).reshape(len(low), len(nodes), -1)
    sums = (values * weights[:, None]).sum(1) * (high - low).prod(1)[:, None]
    return sums, values[..., 0].amax(1), len(points)


def _children(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """The 2^d halves of every cell."""
    d, half = low.shape[1], (high - low) / 2
    corners = torch.cartesian_prod(*[torch.arange(2, dtype=low.dtype)] * d).reshape(-1, d)
    lows = (low[:, None] + corners * half[:, None]).flatten(0, 1)
    return lows, lows + half.repeat_interleave(len(corners), 0)


def _grid(low: Tensor, high: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """A box as count^d equal cells."""
    d, width = len(low), (high - low) / count
    index = torch.cartesian_prod(*[torch.arange(count, dtype=low.dtype)] * d).reshape(-1, d)
    return low + index * width, low + (index + 1) * width


def _shell(low: Tensor, high: Tensor, wider_low: Tensor, wider_high: Tensor) -> tuple[Tensor, Tensor]:
    """The wider box without the inner one: at most 3^d - 1 blocks, each cut in 4^d cells."""
    edges = [torch.stack(ends) for ends in zip(wider_low, low, high, wider_high, strict=True)]
    lows = torch.cartesian_prod(*[e[:-1] for e in edges]).reshape(-1, len(edges))
    highs = torch.cartesian_prod(*[e[1:] for e in edges]).reshape(-1, len(edges))
    inner = ((lows == low) & (highs == high)).all(1)
    kept = ~inner & (highs > lows).all(1)
    cells = [_grid(a, b, 4) for a, b in zip(lows[kept], highs[kept], strict=True)]
    return torch.cat([c[0] for c in cells]), torch.cat([c[1] for c in cells])
