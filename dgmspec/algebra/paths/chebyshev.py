"""Chebyshev series on one panel of an axis: fitted at interior nodes, integrated and evaluated in float64.

A function f on [low, high] is held as f = Σ c_k T_k(x) with x in [-1, 1]. `NODES` values fit it; for what is analytic
some distance around the panel the series is exact to rounding. No node lies at an end, where coefficients may blow up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from operator import mul
from typing import Final

NODES: Final = 22
"""Terms of a series. On [t, 2t] the logarithm needs 18 for full precision."""

POINTS: Final = tuple(math.cos(math.pi * (j + 0.5) / NODES) for j in range(NODES))
"""The nodes in [-1, 1], from the right."""

_COSINES: Final = tuple(
    tuple((1 if k == 0 else 2) / NODES * math.cos(math.pi * k * (j + 0.5) / NODES) for j in range(NODES))
    for k in range(NODES)
)

Series = tuple[float, ...]


def fit(values: Sequence[float]) -> Series:
    """The series through the values at `POINTS`."""
    return _product(_COSINES, values)


def at_nodes(series: Series) -> Series:
    """The values at `POINTS` of a series, or of its `integral`."""
    return _product(_values(len(series)), series)


@cache
def _values(terms: int) -> tuple[Series, ...]:
    return tuple(tuple(math.cos(k * math.acos(x)) for k in range(terms)) for x in POINTS)


def lagrange(x: float) -> Series:
    """The weights that take values at `POINTS` to their series at x in [-1, 1]."""
    powers = [math.cos(k * math.acos(x)) for k in range(NODES)]
    return _product(tuple(zip(*_COSINES, strict=True)), powers)


@cache
def integrals() -> tuple[Series, ...]:
    """The matrix that takes values at `POINTS` to ∫_{-1}^x there."""
    columns = [at_nodes(integral(fit([float(i == j) for i in range(NODES)]), 1.0)) for j in range(NODES)]
    return tuple(zip(*columns, strict=True))


def _product(matrix: tuple[Series, ...], vector: Sequence[float]) -> Series:
    return tuple(math.fsum(map(mul, row, vector)) for row in matrix)


def nodes(low: float, high: float) -> tuple[float, ...]:
    """`POINTS` on a panel."""
    middle, half = (low + high) / 2, (high - low) / 2
    return tuple(middle + half * x for x in POINTS)


def sampled(function: Callable[[float], float], low: float, high: float) -> Series:
    """The series of a function on a panel."""
    return fit([function(t) for t in nodes(low, high)])


def integral(series: Series, half: float) -> Series:
    """The antiderivative that is 0 at the left end of a panel of half width `half`."""
    c = (*series, 0.0, 0.0)
    found = [0.0] * (len(series) + 1)
    for k in range(1, len(found)):
        found[k] = half * ((2 if k == 1 else 1) * c[k - 1] - c[k + 1]) / (2 * k)
    found[0] = -math.fsum(c_k * (-1) ** k for k, c_k in enumerate(found) if k)
    return tuple(found)


def value(series: Sequence[float], x: float) -> float:
    """The series at x in [-1, 1], by Clenshaw's recurrence."""
    b1 = b2 = 0.0
    for c in reversed(series[1:]):
        b1, b2 = 2 * x * b1 - b2 + c, b1
    return x * b1 - b2 + series[0]


def tail(series: Series) -> float:
    """What the last terms still weigh: about the error of the series."""
    return max(map(abs, series[-3:]))


def relaxed(rate: Sequence[float], push: Sequence[float], start: float, half: float) -> Series:
    """u at `POINTS` with u' = rate u + push and u(-1) = start, by collocation: u = start + half ∫ (rate u + push).

    A fast decay is no obstacle where u itself is smooth, as it is once it has forgotten its start.
    """
    rows = []
    for i, row in enumerate(integrals()):
        left = [-half * w * a for w, a in zip(row, rate, strict=True)]
        left[i] += 1.0
        rows.append([*left, start + half * math.fsum(map(mul, row, push))])
    return _solved(rows)


def _solved(rows: list[list[float]]) -> Series:
    """The solution of linear equations, each with its right side last, by elimination with row pivots."""
    size = len(rows)
    for k in range(size):
        best = max(range(k, size), key=lambda i: abs(rows[i][k]))
        rows[k], rows[best] = rows[best], rows[k]
        pivot = rows[k][k]
        if not pivot:
            return (math.nan,) * size
        for i in range(k + 1, size):
            share = rows[i][k] / pivot
            rows[i] = [x - share * y for x, y in zip(rows[i], rows[k], strict=True)]
    found = [0.0] * size
    for k in reversed(range(size)):
        found[k] = (rows[k][size] - math.fsum(map(mul, rows[k][k + 1 : size], found[k + 1 :]))) / rows[k][k]
    return tuple(found)
