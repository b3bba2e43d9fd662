"""The step that a `markov` becomes: a chain of Gaussian steps, whose density is a variational bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dgmspec.algebra.nodes import AbstractExpr, expr
from dgmspec.algebra.paths.affine import Affine, NotAffine, Times, affine
from dgmspec.algebra.paths.derive import of_chain
from dgmspec.algebra.paths.gaussian import GaussianPath
from dgmspec.algebra.rewrite import substitute
from dgmspec.algebra.shapes import shape_of
from dgmspec.algebra.updates import as_interval
from dgmspec.core.address import Address
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.parameters import ParamSpec
from dgmspec.core.steps import Cost, Direction
from dgmspec.core.types import REAL, Shape, Support, SupportKind, Type
from dgmspec.ops.authored import OwnConstant
from dgmspec.ops.authored.starts import start, usual
from dgmspec.ops.paths.noising import AbstractNoising
from dgmspec.ops.paths.settings import MarkovSettings

__all__ = ["Markov", "Schedule"]


@dataclass(frozen=True)
class Schedule:
    """x_t ~ normal(rate x_{t-1} + offset, scale): formulas of the time and of `numbers`, each in its support."""

    rate: AbstractExpr
    offset: AbstractExpr
    scale: AbstractExpr
    numbers: tuple[tuple[str, Support], ...]


def _starting(own: OwnConstant) -> float:
    assert not isinstance(own.initial, tuple), "one number"
    return usual(own.support) if own.initial is None else own.initial


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
    learned: tuple[OwnConstant, ...] = ()
    """The numbers that the steps read and that are learned; `shared` holds the addresses of those of the model."""
    shared: tuple[tuple[str, Address], ...] = ()
    end: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    """Mean and standard deviation of the prior at the end, one number each or one a coordinate; None where it is no
    normal law of numbers."""
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

    def derived(self, shape: Shape) -> GaussianPath | NotAffine:
        """With the numbers that are learned at their starting values."""
        if self.learned and isinstance(law := self._coefficients(self.loc), NotAffine):
            return law
        started = {own.name: expr(_starting(own)) for own in self.learned}
        loc, scale = (substitute(formula, started) for formula in (self.loc, self.scale))
        found = of_chain(loc, scale, self.state, self.time, self.low, self.high, shape)
        if isinstance(found, GaussianPath):
            self.schedule()
        return found

    def schedule(self) -> Schedule | None:
        """The steps as formulas of what is learned, defined whatever its values; None where nothing is."""
        if not self.learned:
            return None
        loc, scale = self._coefficients(self.loc), self._coefficients(self.scale)
        assert isinstance(loc, Affine) and isinstance(scale, Affine), "neither's slope reads the state"
        numbers = dict.fromkeys((self.time, *(own.name for own in self.learned)), ())
        if any(shape_of(formula, numbers) for formula in (loc.rate, loc.offset, scale.offset)):
            raise Refusal("DGM901", "steps that read what is learned have one coefficient for all coordinates")
        supports = tuple((own.name, own.support) for own in self.learned)
        return Schedule(loc.rate, loc.offset, scale.offset, supports)

    def _coefficients(self, formula: AbstractExpr) -> Affine | NotAffine:
        """A formula as one of the state, whatever the numbers are that are learned."""
        known = {own.name: as_interval(own.support) for own in self.learned}
        return affine(formula, self.state, Times(self.time, self.low - 0.5, self.high + 0.5), known)

    def law_parameters(self) -> tuple[ParamSpec, ...]:
        at = dict(self.shared)
        return tuple(ParamSpec(own.name, (), start(own, ()), at=at.get(own.name, "")) for own in self.learned)

    def cost(self, x: Type, c: Type | None) -> Cost:
        return Cost("bound", Direction("solver"), Direction("sequential", self.high - self.low + 1))
