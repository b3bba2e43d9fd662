"""The Fokker-Planck equation of a process in one or two dimensions, solved for the mass in each cell of a grid.

Fluxes between cells are central where diffusion rules, |f| Δx ≤ g², and else those of Chang and Cooper: both keep every
mass positive, and central ones spread it no further than the equation does; no mass leaves the box. With a diagonal
diffusion the axes part: a step is half a step along the first, one along the second and half a step along the first
again (Strang), each by the implicit rule of order two that is damped at infinity, with γ = 1 - 1/√2:

(1 - γ h A) u = p,    (1 - γ h A) v = p + (1/γ - 1) (u - p).

Chang and Cooper 1970, "A practical difference scheme for Fokker-Planck equations".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Box", "binned", "solve"]

Array = NDArray[np.float64]
Field = Callable[[Array, float], Array]
"""(points (n, d), t) -> (n, d)."""

_GAMMA: Final = 1 - 0.5**0.5


@dataclass(frozen=True)
class Box:
    """`counts` cells along each axis between `low` and `high`."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    counts: tuple[int, ...]

    @classmethod
    def around(cls, points: Array, counts: tuple[int, ...]) -> Box:
        """The grid around points (n, d), with a margin."""
        low, high = points.min(0), points.max(0)
        margin = 0.1 * (high - low)
        return cls(tuple((low - margin).tolist()), tuple((high + margin).tolist()), counts)

    def edges(self, axis: int) -> Array:
        """The ends of the cells along an axis."""
        return np.linspace(self.low[axis], self.high[axis], self.counts[axis] + 1)

    def points(self, axis: int | None = None) -> Array:
        """The middles of the cells, (*counts, d); with an `axis` the middles of the faces between cells along it."""
        lines = []
        for i in range(len(self.counts)):
            edges = self.edges(i)
            lines.append(edges[1:-1] if i == axis else (edges[1:] + edges[:-1]) / 2)
        return np.stack(np.meshgrid(*lines, indexing="ij"), -1)


def solve(drift: Field, spread: Field, box: Box, mass: Array, times: Array, steady: bool = False) -> list[Array]:
    """The masses (*counts) at each of the rising `times` from those at the first, a step between each two; `steady`
    says that neither field reads the time."""
    found, axes = [mass], range(len(box.counts))
    rates: list[tuple[Array, Array]] = []
    for t, after in pairwise(times):
        h, middle, p = after - t, (t + after) / 2, found[-1]
        if not rates or not steady:
            rates = [_rates(drift, spread, box, axis, middle) for axis in axes]
        order = [(0, h)] if len(rates) == 1 else [(0, h / 2), (1, h), (0, h / 2)]
        for axis, share in order:
            p = _along(rates[axis], p, axis, share)
        found.append(p)
    return found


def _along(rates: tuple[Array, Array], p: Array, axis: int, h: float) -> Array:
    """One step of the equation along an axis, every line of cells by itself."""
    forward, backward = (np.moveaxis(rate, axis, 0) for rate in rates)
    lines = np.moveaxis(p, axis, 0)
    a = _GAMMA * h
    # Mass leaves cell j by the rates of its two faces, and comes from its neighbours by theirs.
    zero = np.zeros_like(forward[:1])
    diagonal = 1 + a * (np.concatenate((forward, zero)) + np.concatenate((zero, backward)))
    first = _tridiagonal(-a * forward, diagonal, -a * backward, lines)
    second = _tridiagonal(-a * forward, diagonal, -a * backward, lines + (1 / _GAMMA - 1) * (first - lines))
    return np.moveaxis(second, 0, axis)


def _rates(drift: Field, spread: Field, box: Box, axis: int, t: float) -> tuple[Array, Array]:
    """Per unit of time, the share of a cell's mass that crosses the face to its right, and that of the next cell's that
    crosses to the left; (…, faces, …)."""
    width = (box.high[axis] - box.low[axis]) / box.counts[axis]
    faces, cells = box.points(axis), box.points()
    square = _at(spread, cells, t)[..., axis] ** 2
    # J = (f - D'/2) p - D/2 p' with D = g².
    slope = np.diff(square, axis=axis) / width
    push = _at(drift, faces, t)[..., axis] - slope / 2
    half = np.maximum(_at(spread, faces, t)[..., axis] ** 2 / 2, 1e-12 * (1 + np.abs(push)) * width)
    w = push * width / half
    # 1 - w/2, or Bernoulli's function w/(e^w - 1), which never is negative.
    falling = np.where(np.abs(w) <= 2, 1 - w / 2, w / np.expm1(np.where(np.abs(w) <= 2, 1.0, np.clip(w, -700, 700))))
    return half / width**2 * (falling + w), half / width**2 * falling


def _at(field: Field, points: Array, t: float) -> Array:
    return field(points.reshape(-1, points.shape[-1]), t).reshape(points.shape)


def _tridiagonal(below: Array, diagonal: Array, above: Array, right: Array) -> Array:
    """x of tridiagonal systems along the first axis, by Thomas's algorithm; `below` and `above` are a row shorter."""
    count = len(diagonal)
    upper, value = np.empty_like(above), np.empty_like(right)
    upper[0], value[0] = above[0] / diagonal[0], right[0] / diagonal[0]
    for i in range(1, count):
        pivot = diagonal[i] - below[i - 1] * upper[i - 1]
        if i < count - 1:
            upper[i] = above[i] / pivot
        value[i] = (right[i] - below[i - 1] * value[i - 1]) / pivot
    for i in range(count - 2, -1, -1):
        value[i] -= upper[i] * value[i + 1]
    return value


def binned(x: Any, edges: list[Array]) -> Array:
    """How many of the points (n, d) lie in each cell; those beyond the box count to its outermost cells."""
    inside = np.stack([np.clip(x[:, i], e[0], e[-1]) for i, e in enumerate(edges)], 1)
    return np.asarray(np.histogramdd(inside, bins=edges)[0])
