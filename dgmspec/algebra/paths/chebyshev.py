"""Chebyshev series on one panel of an axis: fitted at interior nodes, integrated and evaluated in float64.

A function f on [low, high] is held as f = Σ c_k T_k(x) with x in [-1, 1]. `NODES` values fit it; for what is analytic
some distance around the panel the series is exact to rounding. No node lies at an end, where coefficients may blow up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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
    return tuple(math.fsum(w * v for w, v in zip(row, values, strict=True)) for row in _COSINES)


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
