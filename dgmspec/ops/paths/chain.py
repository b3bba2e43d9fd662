"""The step that a `markov` becomes: a chain of Gaussian steps, whose density is a variational bound."""

from __future__ import annotations

from typing import ClassVar

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.algebra.paths.affine import NotAffine
from dgmspec.algebra.paths.derive import of_chain
from dgmspec.algebra.paths.gaussian import GaussianPath
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.steps import Cost, Direction
from dgmspec.core.types import REAL, Shape, SupportKind, Type
from dgmspec.ops.paths.arrows import AbstractNoising
from dgmspec.ops.paths.settings import MarkovSettings

__all__ = ["Markov"]


class Markov(AbstractNoising):
    """x_t ~ normal(loc, scale) given x_{t-1}, for the whole t = low..high.

    Whole numbers a..b enter at the middles of the cells that divide (-1, 1) evenly, and p(x_0 | x_1) is the mass of a
    normal law in the cell of x_0, the first and the last open to the side. Ho, Jain and Abbeel 2020, equation 13.
    """

    name: ClassVar[str] = "markov"
    bounded: ClassVar[bool] = True

    low: int
    high: int
    loc: AbstractExpr
    scale: AbstractExpr
    settings: MarkovSettings = MarkovSettings()

    @property
    def discrete(self) -> bool:
        return True

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

    def derived(self, shape: Shape) -> GaussianPath | NotAffine:
        return of_chain(self.loc, self.scale, self.state, self.time, self.low, self.high, shape)

    def cost(self, x: Type, c: Type | None) -> Cost:
        return Cost("bound", Direction("solver"), Direction("sequential", self.high - self.low + 1))
