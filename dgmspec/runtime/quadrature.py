"""Integrals of a density over its support in one or two dimensions, to a tolerance that is estimated along the way.

Cells are refined where a Gauss-Legendre rule of seven points an axis and one of four disagree. The box grows shell by
shell until the last one holds next to nothing: doubling its width each time also reaches the heaviest tails.
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


@dataclass(frozen=True)
class Integral:
    """The integral of every column, (k,), the estimated error of the first, and how many points were used."""

    value: Tensor
    error: float
    points: int


def integrate(
    function: Integrand, low: Tensor, high: Tensor, bounds: tuple[Tensor, Tensor], tolerance: float, budget: int
) -> Integral:
    """∫ over the box `bounds` (whose ends may be infinite), starting from the inner box [low, high], (d,) each."""
    low, high = torch.maximum(low, bounds[0]), torch.minimum(high, bounds[1])
    found = _refined(function, *_grid(low, high, FIRST[len(low)]), tolerance / 2, budget)
    for number in range(1, SHELLS + 1):
        centre, half = (low + high) / 2, high - low
        wider = torch.maximum(centre - half, bounds[0]), torch.minimum(centre + half, bounds[1])
        if bool((wider[0] == low).all()) and bool((wider[1] == high).all()):
            break
        cells = _shell(low, high, *wider)
        part = _refined(function, *cells, tolerance / 4, max(budget - found.points, CHUNK))
        found = Integral(found.value + part.value, found.error + part.error, found.points + part.points)
        low, high = wider
        if number > 1 and float(part.value[0]) < NEGLIGIBLE:
            break
    return found


def _refined(function: Integrand, low: Tensor, high: Tensor, tolerance: float, budget: int) -> Integral:
    """The integral over cells [low, high], (cells, d) each: those whose error counts are halved along every axis."""
    value, error, points = _rules(function, low, high)
    while float(error.sum()) > tolerance and points < budget:
        split = error > tolerance / (2 * len(error))
        lows, highs = _children(low[split], high[split])
        fresh, fresh_error, more = _rules(function, lows, highs)
        value, error = torch.cat([value[~split], fresh]), torch.cat([error[~split], fresh_error])
        low, high = torch.cat([low[~split], lows]), torch.cat([high[~split], highs])
        points += more
    total = float(error.sum())
    return Integral(value.sum(0), total if math.isfinite(total) else math.inf, points)


@cache
def _nodes(count: int, dimensions: int) -> tuple[Tensor, Tensor]:
    """Points of the product rule in (0, 1)^d and their weights."""
    x, w = (torch.from_numpy(a) / 2 for a in np.polynomial.legendre.leggauss(count))
    grid = torch.cartesian_prod(*[x + 0.5] * dimensions).reshape(-1, dimensions)
    return grid, torch.cartesian_prod(*[w] * dimensions).reshape(-1, dimensions).prod(1)


def _rules(function: Integrand, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, int]:
    """Each cell's integral by seven points an axis, its difference from that by four, and the points used."""
    fine, points = _rule(function, low, high, 7)
    coarse, more = _rule(function, low, high, 4)
    return fine, (fine - coarse)[:, 0].abs(), points + more


def _rule(function: Integrand, low: Tensor, high: Tensor, count: int) -> tuple[Tensor, int]:
    nodes, weights = _nodes(count, low.shape[1])
    points = (low[:, None] + nodes * (high - low)[:, None]).flatten(0, 1)
    values = torch.cat([function(part) for part in points.split(CHUNK)])
    sums = (values.reshape(len(low), len(nodes), -1) * weights[:, None]).sum(1)
    return sums * (high - low).prod(1)[:, None], len(points)


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
