"""`AbstractPath`: the one object behind every noising arrow, with all that its losses, predictions and samplers need.

However it was stated (`sde` by drift and diffusion, `markov` by its steps, `perturb` by its kernel), a `GaussianPath`
is x_t = α(t) x_0 + m(t) + σ(t) ε with standard normal ε, for the coordinates together or one by one. Where the law
mixes coordinates, α and σ are matrices: see `JointPath`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.algebra.paths.affine import Times
from dgmspec.algebra.paths.scalar import AbstractCurve

__all__ = ["AbstractPath", "GaussianPath", "Process"]

_BISECTIONS: Final = 200
_LEAST: Final = 2 * math.log(1e-3)
_MOST: Final = 60.0
"""The log-SNRs that stand for -∞ and ∞ where a grid is spaced by it."""


@dataclass(frozen=True)
class Process:
    """dx = (rate x + offset) dt + √spread dW of one coordinate, formulas of the time.

    `slopes` are α', m' and σ' where the path is written as α, m and σ: they stay finite where rate and spread do not.
    """

    rate: AbstractExpr
    offset: AbstractExpr
    spread: AbstractExpr
    slopes: tuple[AbstractExpr, AbstractExpr, AbstractExpr] | None = None


class AbstractPath(ABC):
    """The law of x_t given x_0 as every noising arrow has one: times from `low` (data) to `high` (noise), and how much
    of the data is left at each.

    `levels` are the times of a path that has no others (a chain's steps, a ladder's levels), by rising noise.
    """

    times: Times
    levels: tuple[float, ...] = ()

    @property
    def low(self) -> float:
        """The time of the data."""
        return self.times.low

    @property
    def high(self) -> float:
        """The time of the noise."""
        return self.times.high

    @property
    def discrete(self) -> bool:
        """Whether the path has certain times only."""
        return bool(self.levels)

    @abstractmethod
    def log_snr(self, t: float) -> float:
        """λ(t), which never rises; the mean over the coordinates."""

    def time_at(self, log_snr: float, low: float, high: float) -> float:
        """The time in [low, high] at which λ, which falls, is `log_snr`; the nearer end where it is nowhere."""
        if self.log_snr(low) <= log_snr:
            return low
        if self.log_snr(high) >= log_snr:
            return high
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            if not low < middle < high:
                break
            low, high = (middle, high) if self.log_snr(middle) > log_snr else (low, middle)
        return (low + high) / 2

    def latest(self, start: float, ratio: float = 1e-3) -> float:
        """The time, behind `start`, up to which α/σ stays above `ratio`: the end, where something of the data is left
        there."""
        least = 2 * math.log(ratio)
        if self.discrete or self.log_snr(self.high) >= least or self.log_snr(start) <= least:
            return self.high
        return self.time_at(least, start, self.high)

    def grid(self, steps: int, spacing: str, start: float, end: float | None = None) -> tuple[float, ...]:
        """steps + 1 falling times from the noise (or from `end`) to `start`.

        ``uniform`` in t, ``quadratic`` in t (denser near the data), ``log_snr`` uniform in λ, ``karras`` uniform in
        (σ/α)^(1/7).

        Of a path with certain times only, as many of them as evenly as can be, the last one included.
        """
        if self.discrete:
            chosen = _thinned(self.levels, steps)
            return tuple(reversed(chosen))
        shares, end = [i / steps for i in range(steps + 1)], self.high if end is None else end
        if spacing in ("uniform", "quadratic"):
            power = 1 if spacing == "uniform" else 2
            return tuple(start + (end - start) * (1 - share) ** power for share in shares)
        first, last = max(self.log_snr(end), _LEAST), min(self.log_snr(start), _MOST)
        if spacing == "log_snr":
            wanted = [first + share * (last - first) for share in shares]
        else:
            most, least = (math.exp(-snr / 14) for snr in (first, last))
            wanted = [-14 * math.log(most + share * (least - most)) for share in shares]
        inside = [self.time_at(snr, start, end) for snr in wanted[1:-1]]
        return (end, *inside, start)


@dataclass(frozen=True)
class GaussianPath(AbstractPath):
    """x_t = α(t) x_0 + m(t) + σ(t) ε by the coordinate: `curves` holds one path for all, or one for each.

    `processes` go with the curves where the time is continuous.
    """

    times: Times
    curves: tuple[AbstractCurve, ...]
    processes: tuple[Process, ...] = ()
    levels: tuple[float, ...] = ()

    @property
    def alike(self) -> bool:
        """Whether all coordinates have one α and σ."""
        return len(self.curves) == 1

    def log_snr(self, t: float) -> float:
        """λ(t), the mean over the coordinates."""
        return math.fsum(curve.log_snr(t) for curve in self.curves) / len(self.curves)

    def prior_mismatch(self, scale: float, second_moment: float = 1.0, mean: float = 0.0) -> float:
        """Nats per dimension by which the law at the end of time misses N(mean, scale²), for data of that moment.

        E KL(N(α x_0 + m, σ²) ‖ N(mean, scale²)), which by convexity bounds the divergence of the whole law at the end.
        """
        total = 0.0
        for curve in self.curves:
            alpha, shift, sigma = curve.alpha(self.high), curve.mean(self.high) - mean, curve.sigma(self.high)
            a, d, s = alpha / scale, shift / scale, sigma / scale
            # Products and not powers: beyond floats the law is infinitely far, which is no error.
            total += (s * s + a * a * second_moment + d * d - 1) / 2 - math.log(sigma) + math.log(scale)
        return total / len(self.curves)


def _thinned(levels: Sequence[float], steps: int) -> list[float]:
    """`steps` of the levels, evenly, the noisiest among them."""
    count = len(levels)
    if steps >= count:
        return list(levels)
    places = sorted({round((i + 1) * count / steps) - 1 for i in range(steps)})
    return [levels[i] for i in places]
