"""One coordinate's path: p(x_t | x_0) = N(α(t) x_0 + m(t), σ(t)²), and what follows from α, m and σ alone.

Three ways to have one: *derived* from the drift a(t) x + b(t) and the diffusion g(t), *written* as α, m and σ, and a
*chain* by the recursion of its steps. All numbers are float64; `log_alpha` and `log_variance` are the primitives, so
that neither a vanishing α nor a vanishing σ loses its relative accuracy.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from dgmspec.algebra.closures import closure, number_at
from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.algebra.paths.moments import PANELS, Moments, moments

Function = Callable[[float], float]

__all__ = ["AbstractCurve", "Bridge", "Chain", "Derived", "Step", "Written"]


class Step(NamedTuple):
    """x_t given x_s is N(alpha x_s + shift, sigma²)."""

    alpha: float
    shift: float
    sigma: float


class Bridge(NamedTuple):
    """x_s given x_t and x_0 is N(end x_t + start x_0 + mean, sigma²)."""

    end: float
    start: float
    mean: float
    sigma: float


class AbstractCurve(ABC):
    """The path of one coordinate over times `low` to `high`."""

    low: float
    high: float

    @abstractmethod
    def log_alpha(self, t: float) -> float:
        """log α(t), -inf where α is 0."""

    @abstractmethod
    def mean(self, t: float) -> float:
        """m(t)."""

    @abstractmethod
    def log_variance(self, t: float) -> float:
        """log σ(t)², -inf where σ is 0."""

    def alpha(self, t: float) -> float:
        """α(t)."""
        return math.exp(self.log_alpha(t))

    def sigma(self, t: float) -> float:
        """σ(t)."""
        return math.exp(self.log_variance(t) / 2)

    def log_snr(self, t: float) -> float:
        """λ(t) = log(α² / σ²), which never rises."""
        return 2 * self.log_alpha(t) - self.log_variance(t)

    def between(self, s: float, t: float) -> Step:
        """The law of x_t given x_s, s < t: σ_{t|s}² = σ_t² (1 - e^{λ_t - λ_s})."""
        log_ratio = self.log_alpha(t) - self.log_alpha(s)
        fall = self.log_snr(t) - self.log_snr(s)
        sigma = self.sigma(t) * math.sqrt(max(-math.expm1(fall), 0.0)) if fall < 0 else 0.0
        return Step(math.exp(log_ratio), self.mean(t) - math.exp(log_ratio) * self.mean(s), sigma)

    def posterior(self, s: float, t: float) -> Bridge:
        """The law of x_s given x_t and x_0, low < s < t: of variance σ_s² (1 - e^{λ_t - λ_s})."""
        share = -math.expm1(self.log_snr(t) - self.log_snr(s))
        end = math.exp(self.log_alpha(t) - self.log_alpha(s) + self.log_variance(s) - self.log_variance(t))
        return Bridge(end, self.alpha(s) * share, self.mean(s) - end * self.mean(t), self.sigma(s) * math.sqrt(share))


@dataclass(frozen=True)
class Derived(AbstractCurve):
    """From dx = (rate x + offset) dt + √spread dW and x(low) = x_0 + init_noise · z; formulas of the time `name`.

    Its table is worked out with about `panels` panels or refused.
    """

    name: str
    rate: AbstractExpr
    offset: AbstractExpr
    spread: AbstractExpr
    low: float
    high: float
    init_noise: float = 0.0
    panels: int = PANELS

    @cached_property
    def table(self) -> Moments:
        """L, m and log v of the noise that the diffusion adds."""

        def function(formula: AbstractExpr) -> Function:
            value, low = closure(formula, self.name), self.low
            return lambda t: value(low + t)

        span = self.high - self.low
        return moments(function(self.rate), function(self.offset), function(self.spread), span, self.panels)

    def log_alpha(self, t: float) -> float:
        return self.table.at(t - self.low)[0]

    def mean(self, t: float) -> float:
        return self.table.at(t - self.low)[1]

    def log_variance(self, t: float) -> float:
        grown, _, added = self.table.at(t - self.low)
        if not self.init_noise:
            return added
        first = 2 * (grown + math.log(self.init_noise))
        return max(first, added) + math.log1p(math.exp(-abs(first - added)))


@dataclass(frozen=True)
class Written(AbstractCurve):
    """α, m and σ as the author writes them, formulas of the time (or level) `name`."""

    name: str
    scale: AbstractExpr
    shift: AbstractExpr
    noise: AbstractExpr
    low: float
    high: float

    def log_alpha(self, t: float) -> float:
        return _log(number_at(self.scale, self.name, t))

    def mean(self, t: float) -> float:
        return number_at(self.shift, self.name, t)

    def log_variance(self, t: float) -> float:
        return 2 * _log(number_at(self.noise, self.name, t))


@dataclass(frozen=True)
class Chain(AbstractCurve):
    """Discrete times low, low + 1, …, high; `logs`, `means` and `log_variances` at each of them."""

    logs: tuple[float, ...]
    means: tuple[float, ...]
    log_variances: tuple[float, ...]
    low: float
    high: float

    @classmethod
    def of_steps(cls, steps: tuple[Step, ...], low: int) -> Chain:
        """x_t = alpha_t x_{t-1} + shift_t + sigma_t z from x_{low-1} = x_0: the product and the sum recursion."""
        logs, means, variances = [], [], []
        log_alpha = mean = variance = 0.0
        for step in steps:
            log_alpha += _log(step.alpha)
            mean = step.alpha * mean + step.shift
            variance = step.alpha * step.alpha * variance + step.sigma * step.sigma
            logs.append(log_alpha)
            means.append(mean)
            variances.append(_log(variance))
        return cls(tuple(logs), tuple(means), tuple(variances), low, low + len(steps) - 1)

    def _place(self, t: float) -> int:
        return round(t - self.low)

    def log_alpha(self, t: float) -> float:
        return self.logs[self._place(t)]

    def mean(self, t: float) -> float:
        return self.means[self._place(t)]

    def log_variance(self, t: float) -> float:
        return self.log_variances[self._place(t)]


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf
