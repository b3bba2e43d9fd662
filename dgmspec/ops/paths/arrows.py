"""The arrows `sde` and `perturb`: a law in continuous time, or over levels, whose kernel is normal."""

from __future__ import annotations

from typing import ClassVar

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.algebra.paths.affine import NotAffine, Times, simplified, squared
from dgmspec.algebra.paths.derive import of_drift, of_kernel, process_of
from dgmspec.algebra.paths.gaussian import GaussianPath
from dgmspec.core.types import Shape
from dgmspec.ops.paths.coordinates import AbstractCoordinatewise
from dgmspec.ops.paths.numbers import Schedule
from dgmspec.ops.paths.settings import (
    Flow,
    PerturbSettings,
    SdeSettings,
)

__all__ = ["Perturb", "Sde", "earliest"]

_T_EPS = 1e-5
"""The share of its time that a path without noise in its data leaves out at the start, where its score is unbounded."""


class Sde(AbstractCoordinatewise):
    """dx = drift(x, t) dt + diffusion(t) dW from the data at `low` to the noise at `high`."""

    name: ClassVar[str] = "sde"
    laws: ClassVar[tuple[str, ...]] = ("drift", "diffusion")

    low: float
    high: float
    drift: AbstractExpr
    diffusion: AbstractExpr
    settings: SdeSettings = SdeSettings()

    def _derived(self, mean: AbstractExpr, spread: AbstractExpr, shape: Shape) -> GaussianPath | NotAffine:
        return of_drift(mean, spread, self.state, self.times, shape, self.settings.init_noise)

    def _schedule(self, rate: AbstractExpr, offset: AbstractExpr, spread: AbstractExpr) -> Schedule:
        """The rate, the offset and g²."""
        process = (rate, offset, squared(spread, self.times, self.intervals()))
        return Schedule(process, self.supports(), process)

    @property
    def times(self) -> Times:
        return Times(self.time, self.low, self.high)

    def stochastics(self) -> tuple[str, str, AbstractExpr, AbstractExpr, tuple[float, float]]:
        return self.state, self.time, self.drift, self.diffusion, (self.low, self.high)

    def law_at(self) -> str:
        return "drift"

    @property
    def likelihood(self) -> Flow | None:
        return self.settings.likelihood

    def start(self, shape: Shape) -> float:
        return earliest(self.settings.t_eps, self.low, self.high, bool(self.settings.init_noise))


class Perturb(AbstractCoordinatewise):
    """x_t ~ normal(loc, scale) given x_0, over an interval of times or at `levels` alone."""

    name: ClassVar[str] = "perturb"
    laws: ClassVar[tuple[str, ...]] = ("loc", "scale")

    low: float
    high: float
    levels: tuple[float, ...] = ()
    loc: AbstractExpr
    scale: AbstractExpr
    settings: PerturbSettings = PerturbSettings()

    @property
    def discrete(self) -> bool:
        return bool(self.levels)

    @property
    def count(self) -> int | None:
        return len(self.levels) or None

    def _derived(self, mean: AbstractExpr, spread: AbstractExpr, shape: Shape) -> GaussianPath | NotAffine:
        return of_kernel(mean, spread, self.state, self.times, shape, self.levels)

    def _schedule(self, rate: AbstractExpr, offset: AbstractExpr, spread: AbstractExpr) -> Schedule:
        """α, m and σ, and in continuous time the process that has this kernel."""
        known = self.intervals()
        alpha, mean, sigma = (simplified(formula, self.times, known) for formula in (rate, offset, spread))
        if self.levels:
            return Schedule((alpha, mean, sigma), self.supports())
        process = process_of(alpha, mean, sigma, self.times, known)
        rates = (process.rate, process.offset, process.spread)
        return Schedule((alpha, mean, sigma), self.supports(), rates, process.slopes or ())

    @property
    def times(self) -> Times:
        return Times(self.time, self.low, self.high)

    @property
    def likelihood(self) -> Flow | None:
        return None if self.levels else self.settings.likelihood

    def start(self, shape: Shape) -> float:
        if self.levels:
            return self.path(shape).levels[0]
        return earliest(self.settings.t_eps, self.low, self.high, False)


def earliest(t_eps: float | None, low: float, high: float, noisy: bool) -> float:
    """The earliest time in use: `t_eps` after the start, the start itself where x is `noisy` there already."""
    if t_eps is not None:
        return low + t_eps
    return low if noisy else low + _T_EPS * (high - low)
