"""Laws of paths that read learned numbers, or arrays of them: known at their starting values, and as formulas whatever
the values are."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, Self

from dgmspec.algebra.intervals import Interval
from dgmspec.algebra.nodes import AbstractExpr, expr
from dgmspec.algebra.paths.affine import Affine, NotAffine, Times, affine
from dgmspec.algebra.paths.derive import per_coordinate
from dgmspec.algebra.rewrite import substitute
from dgmspec.algebra.updates import as_interval
from dgmspec.core.address import Address
from dgmspec.core.parameters import ParamSpec
from dgmspec.core.steps import AbstractStep
from dgmspec.core.types import Shape, Support
from dgmspec.ops.authored import OwnConstant
from dgmspec.ops.authored.starts import start, usual

__all__ = ["AbstractNumbered", "Schedule"]


@dataclass(frozen=True)
class Schedule:
    """Coefficients of a path, or of one coordinate, as formulas of the time and of `numbers`, each in its support.

    `curve` is what its kind is made of: the rate, offset and scale of a chain's steps; the rate, offset and g² of a
    process; or α, m and σ, of which `slopes` are the derivatives. `process` are the rate, offset and g² in continuous
    time.
    """

    curve: tuple[AbstractExpr, ...]
    numbers: tuple[tuple[str, Support], ...]
    process: tuple[AbstractExpr, ...] = ()
    slopes: tuple[AbstractExpr, ...] = ()


class AbstractNumbered(AbstractStep, ABC):
    """A path whose law, its fields `laws`, may read learned numbers."""

    laws: ClassVar[tuple[str, ...]]

    state: str
    time: str
    learned: tuple[OwnConstant, ...] = ()
    """The numbers and arrays that the law reads and that are learned; `shared` holds the addresses of the model's."""
    shared: tuple[tuple[str, Address], ...] = ()

    def law_parameters(self) -> tuple[ParamSpec, ...]:
        """The numbers of the law itself that are learned."""
        at = dict(self.shared)
        return tuple(
            ParamSpec(own.name, own.size.shape, start(own, own.size.shape), at=at.get(own.name, ""))
            for own in self.learned
        )

    def started(self, *formulas: AbstractExpr) -> tuple[AbstractExpr, ...]:
        """Formulas with the numbers at their starting values."""
        values = {own.name: expr(_starting(own)) for own in self.learned}
        return tuple(substitute(formula, values) for formula in formulas) if values else formulas

    def settled_at(self, values: Mapping[str, Any]) -> Self:
        """The same path, the numbers no longer learned but of these values, lists of those of arrays."""
        numbers = {name: expr(value) for name, value in values.items()}
        laws = {law: substitute(getattr(self, law), numbers) for law in self.laws}
        shared = tuple(pair for pair in self.shared if pair[0] not in values)
        return self.model_copy(update={**laws, "learned": (), "shared": shared})

    def intervals(self) -> dict[str, Interval]:
        """Where the learned numbers lie."""
        return {own.name: as_interval(own.support) for own in self.learned}

    def supports(self) -> tuple[tuple[str, Support], ...]:
        """The learned numbers with their supports."""
        return tuple((own.name, own.support) for own in self.learned)

    def coefficients(self, formula: AbstractExpr, times: Times) -> Affine | NotAffine:
        """A formula as one of the state, whatever the numbers are that are learned."""
        return affine(formula, self.state, times, self.intervals())

    def by_coordinate(
        self, formulas: Sequence[AbstractExpr], times: Times, shape: Shape
    ) -> list[tuple[AbstractExpr, ...]]:
        """Coefficients that read learned numbers, one set for all coordinates or one for each."""
        beside = {own.name: own.size.shape for own in self.learned}
        parts = [per_coordinate(formula, times, shape, beside) for formula in formulas]
        count = max(map(len, parts))
        return list(zip(*(items * count if len(items) == 1 else items for items in parts), strict=True))


def _starting(own: OwnConstant) -> Any:
    """Where a number starts, or nested lists of where those of an array do, but for the chance in their first draws."""
    shape, initial = own.size.shape, usual(own.support) if own.initial is None else own.initial
    values: list[Any] = list(initial) if isinstance(initial, tuple) else [initial] * prod(shape)
    for size in reversed(shape):
        values = [values[i : i + size] for i in range(0, len(values), size)]
    return values[0]
