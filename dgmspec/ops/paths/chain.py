"""The step that a `markov` becomes: a chain of Gaussian steps, whose density is a variational bound."""

from __future__ import annotations

from typing import ClassVar

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.algebra.paths.affine import NotAffine, Times, simplified
from dgmspec.algebra.paths.derive import of_chain
from dgmspec.algebra.paths.gaussian import GaussianPath
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.steps import Cost, Direction
from dgmspec.core.types import REAL, Shape, SupportKind, Type
from dgmspec.ops.paths.coordinates import AbstractCoordinatewise
from dgmspec.ops.paths.numbers import Schedule
from dgmspec.ops.paths.settings import MarkovSettings

__all__ = ["Markov"]


class Markov(AbstractCoordinatewise):
    """x_t ~ normal(loc, scale) given x_{t-1}, for the whole t = low..high.

    Whole numbers a..b enter at the middles of the cells that divide (-1, 1) evenly, and p(x_0 | x_1) is the mass of a
    normal law in the cell of x_0, the first and the last open to the side. Ho, Jain and Abbeel 2020, equation 13.
    """

    name: ClassVar[str] = "markov"
    bounded: ClassVar[bool] = True
    laws: ClassVar[tuple[str, ...]] = ("loc", "scale")

    low: int
    high: int
    loc: AbstractExpr
    scale: AbstractExpr
    settings: MarkovSettings = MarkovSettings()

    @property
    def discrete(self) -> bool:
        return True

    @property
    def count(self) -> int | None:
        return self.high - self.low + 1

    @property
    def planes(self) -> int:
        return 2 if self.settings.variance == "learned" else 1

    def unlearned(self, of_density: bool) -> Refusal | None:
        if self.settings.variance != "learned" or self.learn is None or of_density:
            return None
        return Refusal(
            "DGM670",
            "the variance of the reverse steps is learned, and no term of the loss reads it",
            "variance",
            label="stays as it starts",
            help=("add the bound: `loss = dsm + 0.001 * vlb(trains = variance)`, or `loss = vlb`",),
        )

    def starts_at(self, x: Type) -> bool:
        return x.support == REAL or x.support.kind is SupportKind.INTEGER

    def _derived(self, mean: AbstractExpr, spread: AbstractExpr, shape: Shape) -> GaussianPath | NotAffine:
        return of_chain(mean, spread, self.state, self.time, self.low, self.high, shape)

    def _schedule(self, rate: AbstractExpr, offset: AbstractExpr, spread: AbstractExpr) -> Schedule:
        """The steps: rate, offset and scale."""
        scale = simplified(spread, self.times, self.intervals())
        return Schedule((rate, offset, scale), self.supports())

    @property
    def times(self) -> Times:
        """The steps with room around the first and the last."""
        return Times(self.time, self.low - 0.5, self.high + 0.5)

    def cost(self, x: Type, c: Type | None) -> Cost:
        return Cost("bound", Direction("solver"), Direction("sequential", self.high - self.low + 1))
