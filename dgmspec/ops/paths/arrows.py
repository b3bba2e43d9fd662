"""The arrows `sde` and `perturb`: a law in continuous time, or over levels, whose kernel is normal."""

from __future__ import annotations

from typing import ClassVar

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.algebra.paths.affine import NotAffine, Times
from dgmspec.algebra.paths.derive import of_drift, of_kernel
from dgmspec.algebra.paths.gaussian import GaussianPath
from dgmspec.core.types import Shape
from dgmspec.ops.paths.noising import AbstractNoising
from dgmspec.ops.paths.settings import (
    Flow,
    PerturbSettings,
    SdeSettings,
)

__all__ = ["Perturb", "Sde"]

_T_EPS = 1e-5
"""The share of its time that a path without noise in its data leaves out at the start, where its score is unbounded."""


class Sde(AbstractNoising):
    """dx = drift(x, t) dt + diffusion(t) dW from the data at `low` to the noise at `high`."""

    name: ClassVar[str] = "sde"

    low: float
    high: float
    drift: AbstractExpr
    diffusion: AbstractExpr
    settings: SdeSettings = SdeSettings()

    def derived(self, shape: Shape) -> GaussianPath | NotAffine:
        times = Times(self.time, self.low, self.high)
        return of_drift(self.drift, self.diffusion, self.state, times, shape, self.settings.init_noise)

    def law_at(self) -> str:
        return "drift"

    @property
    def likelihood(self) -> Flow | None:
        return self.settings.likelihood

    def start(self, shape: Shape) -> float:
        return _earliest(self.settings.t_eps, self.low, self.high, bool(self.settings.init_noise))


class Perturb(AbstractNoising):
    """x_t ~ normal(loc, scale) given x_0, over an interval of times or at `levels` alone."""

    name: ClassVar[str] = "perturb"

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

    def derived(self, shape: Shape) -> GaussianPath | NotAffine:
        times = Times(self.time, self.low, self.high)
        return of_kernel(self.loc, self.scale, self.state, times, shape, self.levels)

    @property
    def likelihood(self) -> Flow | None:
        return None if self.levels else self.settings.likelihood

    def start(self, shape: Shape) -> float:
        if self.levels:
            return self.path(shape).levels[0]
        return _earliest(self.settings.t_eps, self.low, self.high, False)


def _earliest(t_eps: float | None, low: float, high: float, noisy: bool) -> float:
    if t_eps is not None:
        return low + t_eps
    return low if noisy else low + _T_EPS * (high - low)
