"""The times that a loss draws along a derived path, as quantiles of their law: losses' twins read them as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dgmspec.ops.paths.losses import AbstractPathLoss
from dgmspec.ops.paths.noising import AbstractNoising
from dgmspec.ops.paths.settings import Importance, LogNormal

__all__ = ["quantiles"]

_KNOTS = 1024


def quantiles(loss: AbstractPathLoss, step: AbstractNoising, shape: tuple[int, ...]) -> tuple[float, ...]:
    """Times at equally likely steps of the law that the arrow draws them from, its first and last among them."""
    path, low, high = step.path(shape), step.start(shape), step.path(shape).high
    law = step.drawn_times
    if not isinstance(law, (Importance, LogNormal)):
        return (low, high)
    # Denser towards the start, where λ moves fastest.
    first = max(low, path.low + 1e-12 * (high - path.low))
    ratio = (high - path.low) / (first - path.low)
    times = [path.low + (first - path.low) * ratio ** (i / _KNOTS) for i in range(_KNOTS)] + [high]
    times[0] = low
    if isinstance(law, LogNormal):
        masses = [_normal_cdf((-path.log_snr(max(t, first)) / 2 - law.mean) / law.std) for t in times]
        masses = [m - masses[0] for m in masses]
    else:
        heights = [loss.factor(path, max(t, first)) for t in times]
        masses = [0.0]
        for i in range(_KNOTS):
            masses.append(masses[-1] + (heights[i] + heights[i + 1]) / 2 * (times[i + 1] - times[i]))
    return _inverted(times, masses)


def _normal_cdf(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))


def _inverted(times: Sequence[float], masses: Sequence[float]) -> tuple[float, ...]:
    """The times at which the cumulated mass is i/n of the whole, linear between the given ones."""
    total, found, j = masses[-1], [times[0]], 0
    for i in range(1, _KNOTS):
        wanted = total * i / _KNOTS
        while masses[j + 1] < wanted:
            j += 1
        share = (wanted - masses[j]) / max(masses[j + 1] - masses[j], 1e-300)
        found.append(times[j] + share * (times[j + 1] - times[j]))
    return (*found, times[-1])
