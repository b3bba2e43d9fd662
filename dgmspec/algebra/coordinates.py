"""Derivatives by the coordinates of a small array, number by number: divergences and gradients written out.

Number i of a formula is differentiated by coordinate i alone. A number of a net that does not read that coordinate is
held fixed; of one that does, ``∂f_i/∂y_i`` has a part ``c ∂v_k/∂y_i``, and where such parts make up the trace of a net
about a block of coordinates, with one c for all of them, they are c times that trace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from dgmspec.algebra.builder import Builder, Exhausted
from dgmspec.algebra.cells import TooLarge, cells, spread
from dgmspec.algebra.derive import derivative_term
from dgmspec.algebra.emit import emit
from dgmspec.algebra.factoring import factor_sum
from dgmspec.algebra.fields import BUDGET, FOLLOWED, WRITTEN_OUT, Field, Moving, box_of, domains, whole
from dgmspec.algebra.intervals import Interval
from dgmspec.algebra.nodes import AbstractExpr, Name, Vector, expr
from dgmspec.algebra.prove import Prover
from dgmspec.algebra.reading import Reader
from dgmspec.algebra.rewrite import free_names
from dgmspec.algebra.shapes import shape_of
from dgmspec.algebra.terms import ZERO, Sym, Term
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.types import Shape

__all__ = ["gradient", "written_out"]


def gradient(
    formula: AbstractExpr, state: str, shapes: Mapping[str, Shape], box: Mapping[str, Interval]
) -> AbstractExpr | None:
    """∂formula/∂y of a number, as an array like y; None where y is too large or no vector, or the formula no number.

    Raises `Refusal` where parts of the formula do not agree in shape.
    """
    field = Field(state, shapes, box, {})
    if len(field.shape) > 1 or prod(field.shape) > WRITTEN_OUT:
        return None
    shape_of(formula, shapes)
    with domains(field) as names:
        try:
            _, found = cells(formula, shapes, {state: [Name(id=name) for name in names]})
            if len(found) != 1:
                return None
            b = Builder(box_of(field, names), [BUDGET])
            slopes = [emit(b, factor_sum(b, _slope(b, found[0], name))) for name in names]
        except (TooLarge, Exhausted):
            return None
    parts = [whole(slope, state, field.shape, names) for slope in slopes]
    return Vector(items=tuple(parts)) if field.shape else parts[0]


def written_out(field: Field, formula: AbstractExpr) -> AbstractExpr | None:
    """The divergence of a formula of a small vector, or of a list, number by number, simplified as a whole; None where
    it is too large, or the derivative of a net is left that is part of no trace."""
    limit = FOLLOWED if isinstance(formula, Vector) else WRITTEN_OUT
    numbers = _Numbers.of(field, formula)
    if len(field.shape) > 1 or prod(field.shape) > limit or numbers is None:
        return None
    with domains(field) as names:
        try:
            leaves = {field.state: [Name(id=name) for name in names], **numbers.leaves}
            found = spread(cells(formula, field.shapes, leaves), field.shape)
            b = Builder(box_of(field, [*names, *numbers.owners, *numbers.traces]), [BUDGET])
            slopes = [_slope(b, cell, name) for cell, name in zip(found, names, strict=True)]
            through = _through(b, found, numbers)
            if through is None:
                return None
            summed = factor_sum(b, b.add(*slopes, *through))
            return expr(0) if summed == ZERO else numbers.whole(field, emit(b, summed))
        except (TooLarge, Exhausted):
            return None
        except Refusal as refusal:
            if refusal.code == "DGM453":
                raise
            return None


@dataclass(frozen=True)
class _Numbers:
    """Names for the numbers of what moves with the state: of each whose it is and which."""

    moving: Mapping[str, Moving]
    names: Mapping[str, list[str]]
    owners: dict[str, tuple[str, int]] = field(default_factory=dict)

    @staticmethod
    def of(about: Field, formula: AbstractExpr) -> _Numbers | None:
        """Those that a formula reads; None where there are too many, or their names are taken."""
        read = [name for name in free_names(formula) if name in about.known]
        if any(prod(about.shapes[name]) > FOLLOWED or len(about.shapes[name]) > 2 for name in read):
            return None
        names = {name: [f"{name}__{k}" for k in range(prod(about.shapes[name]))] for name in read}
        found = _Numbers({name: about.known[name] for name in read}, names)
        found.owners.update({number: (name, k) for name in read for k, number in enumerate(names[name])})
        return None if found.owners.keys() & {*about.shapes, *about.coordinates} else found

    @property
    def leaves(self) -> dict[str, list[Name]]:
        return {name: [Name(id=number) for number in numbers] for name, numbers in self.names.items()}

    @property
    def traces(self) -> list[str]:
        return [trace.id for moving in self.moving.values() for trace in moving.traces.values()]

    def whole(self, about: Field, formula: AbstractExpr) -> AbstractExpr:
        """A formula of numbers as one of the arrays."""
        formula = whole(formula, about.state, about.shape, about.coordinates)
        for name, numbers in self.names.items():
            formula = whole(formula, name, about.shapes[name], numbers)
        return formula


def _through(b: Builder, found: Sequence[AbstractExpr], numbers: _Numbers) -> list[Term] | None:
    """What the divergence has through numbers that read the coordinate of their row, as multiples of traces; None where
    it is no sum of those."""
    parts: dict[str, dict[tuple[int, int], Term]] = {name: {} for name in numbers.moving}
    for i, cell in enumerate(found):
        for number in free_names(cell):
            if number not in numbers.owners:
                continue
            name, k = numbers.owners[number]
            if numbers.moving[name].depends(k, i):
                slope = _slope(b, cell, number)
                parts[name] |= {(k, i): slope} if slope != ZERO else {}
    total: list[Term] = []
    for name, left in parts.items():
        for places, trace in numbers.moving[name].traces.items():
            block = list(enumerate(range(len(found)) if places is None else places))
            slopes = [left[pair] for pair in block if pair in left]
            if len(slopes) == len(block) and all(slope == slopes[0] for slope in slopes):
                total.append(b.mul(slopes[0], Sym(trace.id)))
                left = {pair: slope for pair, slope in left.items() if pair not in block}
        if left:
            return None
    return total


def _slope(b: Builder, cell: AbstractExpr, name: str) -> Term:
    return derivative_term(b, Reader(Prover(b), name).read(cell), name)
