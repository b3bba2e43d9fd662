"""The arrows `sde` and `perturb`: a law in continuous time, or over levels, whose kernel is normal."""

from __future__ import annotations

from typing import ClassVar

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.algebra.paths.affine import Affine, NotAffine, Times, simplified, squared
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

    def _schedule(self) -> Schedule:
        """The rate, the offset and g² as formulas."""
        law = self.coefficients(self.drift, self.times)
        assert isinstance(law, Affine), "checked where the path is derived"
        self.require_alike(law.rate, law.offset, self.diffusion)
        process = (law.rate, law.offset, squared(self.diffusion, self.times, self.intervals()))
        return Schedule(process, self.supports(), process)

    @property
    def times(self) -> Times:
        return Times(self.time, self.low, self.high)

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

    def _schedule(self) -> Schedule:
        """α, m and σ as formulas, and in continuous time the process that has this kernel."""
        law, known = self.coefficients(self.loc, self.times), self.intervals()
        assert isinstance(law, Affine), "checked where the path is derived"
        self.require_alike(law.rate, law.offset, self.scale)
        curve = (
            simplified(law.rate, self.times, known),
            simplified(law.offset, self.times, known),
            simplified(self.scale, self.times, known),
        )
        if self.levels:
            return Schedule(curve, self.supports())
        process = process_of(*curve, self.times, known)
        return Schedule(curve, self.supports(), (process.rate, process.offset, process.spread), process.slopes or ())

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
