"""The divergence Σ ∂f_i/∂y_i of a formula f of an array y, as a formula; and the gradient of a number.

Term by term: what does not read y has none; a coordinatewise term the sum of its derivative; ``M @ u`` with u
coordinatewise the sum of M's diagonal times u's derivative. What is left is written out number by number, where y is
small. Domains are checked on the way, on all values of y: a formula that leaves one is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from math import prod
from typing import Final

from dgmspec.algebra.builder import Builder, Exhausted
from dgmspec.algebra.cells import TooLarge, cells, spread
from dgmspec.algebra.derive import derivative_term
from dgmspec.algebra.emit import emit
from dgmspec.algebra.factoring import factor_sum
from dgmspec.algebra.functions import function_of
from dgmspec.algebra.intervals import Interval
from dgmspec.algebra.nodes import (
    AbstractExpr,
    Call,
    Factor,
    Index,
    Name,
    Neg,
    Number,
    Product,
    Sum,
    Vector,
    add,
    call_of,
    children,
    expr,
    multiply,
)
from dgmspec.algebra.prove import Prover
from dgmspec.algebra.reading import Reader
from dgmspec.algebra.rewrite import free_names, substitute
from dgmspec.algebra.shapes import shape_of
from dgmspec.algebra.terms import ZERO, Term
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.types import REAL, Shape
from dgmspec.core.types import number as shown

__all__ = ["WRITTEN_OUT", "divergence", "gradient", "terms"]

WRITTEN_OUT: Final = 16
"""Coordinates up to which formulas are written out number by number."""

_BUDGET: Final = 60_000
_LINE: Final = Interval(REAL.low, REAL.high, True, True)


@dataclass(frozen=True)
class _Field:
    """What a formula is about: the array `state`, every name's shape, the intervals of names, and the divergences of
    names that depend on the state (the values of nets), where they have one."""

    state: str
    shapes: Mapping[str, Shape]
    box: Mapping[str, Interval]
    known: Mapping[str, AbstractExpr | None]

    @property
    def shape(self) -> Shape:
        return self.shapes[self.state]

    def reads(self, formula: AbstractExpr) -> bool:
        """Whether a formula depends on the state."""
        return any(name == self.state or name in self.known for name in free_names(formula))

    def plain(self, formula: AbstractExpr) -> bool:
        """Whether a formula reads no name but the state that depends on it."""
        return not any(name in self.known for name in free_names(formula))


def divergence(
    formula: AbstractExpr,
    state: str,
    shapes: Mapping[str, Shape],
    box: Mapping[str, Interval],
    known: Mapping[str, AbstractExpr | None],
) -> AbstractExpr | None:
    """Σ ∂f_i/∂y_i, the number 0 where it vanishes identically; None where no rule gives it.

    `known` are the other names that depend on the state, each with its divergence if that has a name or a value. Names
    without an interval in `box` run over the reals. `Refusal` (DGM453) where a formula is not defined everywhere.
    """
    field = _Field(state, shapes, box, known)
    found: list[tuple[int, AbstractExpr]] = []
    left: list[tuple[int, AbstractExpr]] = []
    for sign, term in terms(formula):
        part = _term(field, term)
        if part is None:
            left.append((sign, term))
        else:
            found.append((sign, part))
    if left:
        rest = _signed(left)
        written = _written_out(field, rest) if field.plain(rest) else None
        if written is None:
            return None
        found.append((1, written))
    return _signed([(sign, part) for sign, part in found if part != expr(0)])


def gradient(
    formula: AbstractExpr, state: str, shapes: Mapping[str, Shape], box: Mapping[str, Interval]
) -> AbstractExpr | None:
    """∂formula/∂y of a number, as an array like y; None where y is too large or no vector."""
    field = _Field(state, shapes, box, {})
    if len(field.shape) > 1 or prod(field.shape) > WRITTEN_OUT:
        return None
    with _domains(field) as names:
        try:
            (cell,) = cells(formula, shapes, {state: [Name(id=name) for name in names]})[1]
            parts = [_whole(field, slope) for slope in _slopes(field, [(cell, name) for name in names])]
        except (TooLarge, Exhausted):
            return None
    return Vector(items=tuple(parts)) if field.shape else parts[0]


# ---- terms ----------------------------------------------------------------------------------------------------------


def terms(formula: AbstractExpr, sign: int = 1) -> Iterator[tuple[int, AbstractExpr]]:
    """The terms of sums and negations, each with its sign."""
    match formula:
        case Neg():
            yield from terms(formula.of, -sign)
        case Sum():
            for term in formula.terms:
                yield from terms(term.of, sign if term.sign == "+" else -sign)
        case _:
            yield sign, formula


def _signed(parts: Sequence[tuple[int, AbstractExpr]]) -> AbstractExpr:
    """The sum of signed formulas, those with a plus first."""
    ordered = sorted(parts, key=lambda part: -part[0])
    if not ordered:
        return expr(0)
    sign, result = ordered[0]
    result = result if sign > 0 else Neg(of=result)
    for sign, part in ordered[1:]:
        result = add(result, "+" if sign > 0 else "-", part)
    return result


def _term(field: _Field, term: AbstractExpr) -> AbstractExpr | None:
    """The divergence of one term by its form; None where it has to be written out."""
    if not field.reads(term):
        return expr(0)
    if isinstance(term, Name) and term.id in field.known:
        return field.known[term.id]
    if isinstance(term, Product):
        found = _scaled(field, term) or _matrix(field, term)
        if found is not None:
            return found
    if not field.plain(term) or not _coordinatewise(field, term):
        return None
    return _summed(field, _derivative(field, term))


def _scaled(field: _Field, term: Product) -> AbstractExpr | None:
    """k · rest where k is a number that does not read the state."""
    reading = [i for i, factor in enumerate(term.factors) if field.reads(factor.of)]
    if len(reading) != 1 or any(factor.op == "@" for factor in term.factors):
        return None
    (at,) = reading
    others = [factor for i, factor in enumerate(term.factors) if i != at]
    if term.factors[at].op == "/" or any(shape_of(factor.of, field.shapes) for factor in others):
        return None
    _require_defined(field, Product(factors=(Factor(of=expr(1)), *others)))
    rest = term.factors[at].of
    if shape_of(rest, field.shapes) != field.shape:
        return None
    inner = divergence(rest, field.state, field.shapes, field.box, field.known)
    if inner is None or inner == expr(0):
        return inner
    return _product(others, inner)


def _product(others: Sequence[Factor], inner: AbstractExpr) -> AbstractExpr:
    """Numbers times a formula, multiplied out where both are written as numbers."""
    above: list[AbstractExpr] = [factor.of for factor in others if factor.op == "*"]
    if len(above) == 1 and isinstance(above[0], Number) and isinstance(inner, Number):
        above = [expr(above[0].value * inner.value)]
    elif inner != expr(1) or not above:
        above.append(inner)
    result = reduce(lambda a, b: multiply(a, "*", b), above)
    for factor in others:
        result = multiply(result, "/", factor.of) if factor.op == "/" else result
    return result


def _matrix(field: _Field, term: Product) -> AbstractExpr | None:
    """``M @ u`` and ``u @ M``, with numbers before and behind: the sum of M's diagonal times u's derivative."""
    places = [i for i, factor in enumerate(term.factors) if factor.op == "@"]
    if len(places) != 1:
        return None
    at = places[0]
    left, right, after = term.factors[:at], term.factors[at].of, term.factors[at + 1 :]
    head = left[0].of if len(left) == 1 else Product(factors=left)
    numbers: list[Factor] = [*after]
    if any(field.reads(factor.of) or shape_of(factor.of, field.shapes) for factor in after):
        return None
    if field.reads(head):
        matrix, vector = right, head
    else:
        matrix, vector = head, right
    if field.reads(matrix) or not field.reads(vector) or not field.plain(vector):
        return None
    if len(shape_of(matrix, field.shapes)) != 2 or not _coordinatewise(field, vector):
        return None
    diagonal = call_of("diagonal", matrix)
    slope = _derivative(field, vector)
    if slope is None:
        return None
    if slope == expr(1):
        return _product(numbers, call_of("sum", diagonal))
    if not shape_of(slope, field.shapes):
        return _product(numbers, multiply(slope, "*", call_of("sum", diagonal)))
    return _product(numbers, call_of("dot", diagonal, slope))


def _coordinatewise(field: _Field, formula: AbstractExpr) -> bool:
    """Whether number i of the value reads number i of the state alone."""
    if not field.reads(formula):
        return True
    if shape_of(formula, field.shapes) != field.shape:
        return False
    match formula:
        case Name():
            return True
        case Index() | Vector():
            return False
        case Product() if any(factor.op == "@" for factor in formula.factors):
            return False
        case Call() if function_of(formula.name).kind != "map":
            return False
    return all(_coordinatewise(field, part) for part in children(formula))


def _summed(field: _Field, slope: AbstractExpr | None) -> AbstractExpr | None:
    """The sum over the state's coordinates of a derivative that may have fewer numbers than the state."""
    if slope is None:
        return None
    shape = shape_of(slope, field.shapes)
    times = prod(field.shape) // prod(shape)
    if slope == expr(0):
        return slope
    body = call_of("sum", slope) if shape else slope
    return body if times == 1 else _product([Factor(of=expr(times))], body)


# ---- derivatives ----------------------------------------------------------------------------------------------------


def _derivative(field: _Field, formula: AbstractExpr) -> AbstractExpr | None:
    """∂formula/∂state coordinate by coordinate."""
    with _domains(field):
        try:
            b = Builder(_box(field, [field.state]), [_BUDGET])
            return emit(b, factor_sum(b, derivative_term(b, Reader(Prover(b), field.state).read(formula), field.state)))
        except Exhausted:
            return None
        except Refusal as refusal:
            if refusal.code == "DGM453":
                raise
            return None


def _require_defined(field: _Field, number: AbstractExpr) -> None:
    """`Refusal` where a number that does not read the state has no value, be it at an end of the time only."""
    ends = [(n, end) for n in free_names(number) for end in field.box.get(n, _LINE)[:2] if math.isfinite(end)]
    closed = [(name, end) for name, end in ends if not _open(field, name, end)]
    tried = [(number, ""), *((substitute(number, {n: expr(end)}), f"{n} = {shown(end)}") for n, end in closed)]
    for formula, place in tried:
        try:
            Reader(Prover(Builder(_box(field, []), [_BUDGET])), field.state).read(formula)
        except Exhausted:
            continue
        except Refusal as refusal:
            if refusal.code == "DGM453":
                refusal.message = refusal.message.replace("every point", place or "every point")
                raise


def _open(field: _Field, name: str, end: float) -> bool:
    """Whether a name never has this value, an end of its interval."""
    interval = field.box[name]
    return (interval.open_low and end == interval.low) or (interval.open_high and end == interval.high)


def _written_out(field: _Field, formula: AbstractExpr) -> AbstractExpr | None:
    """The divergence of a formula of a small vector, number by number, simplified as a whole."""
    size = prod(field.shape)
    if len(field.shape) > 1 or size > WRITTEN_OUT:
        return None
    with _domains(field) as names:
        try:
            written = cells(formula, field.shapes, {field.state: [Name(id=name) for name in names]})
            found = spread(written, field.shape)
            b = Builder(_box(field, names), [_BUDGET])
            slopes = [_slope(b, cell, name) for cell, name in zip(found, names, strict=True)]
            summed = factor_sum(b, b.add(*slopes))
            return expr(0) if summed == ZERO else _whole(field, emit(b, summed))
        except (TooLarge, Exhausted):
            return None
        except Refusal as refusal:
            if refusal.code == "DGM453":
                raise
            return None


def _slopes(field: _Field, pairs: Sequence[tuple[AbstractExpr, str]]) -> list[AbstractExpr]:
    b = Builder(_box(field, [name for _, name in pairs]), [_BUDGET])
    return [emit(b, factor_sum(b, _slope(b, cell, name))) for cell, name in pairs]


def _slope(b: Builder, cell: AbstractExpr, name: str) -> Term:
    return derivative_term(b, Reader(Prover(b), name).read(cell), name)


def _box(field: _Field, names: Sequence[str]) -> dict[str, Interval]:
    """An interval for every name that may be read."""
    return {name: field.box.get(name, _LINE) for name in (*field.shapes, *names)}


def _coordinates(field: _Field) -> list[str]:
    """Names for the numbers of the state."""
    return [f"{field.state}__{i}" for i in range(prod(field.shape))]


def _whole(field: _Field, formula: AbstractExpr) -> AbstractExpr:
    """A formula of the numbers of the state as one of the state."""
    whole = Name(id=field.state)
    numbers = {
        name: Index(of=whole, index=expr(i)) if field.shape else whole for i, name in enumerate(_coordinates(field))
    }
    return substitute(formula, numbers)


@contextmanager
def _domains(field: _Field) -> Iterator[list[str]]:
    """The names of the state's numbers; a refusal that mentions them says ``y[0]``."""
    names = _coordinates(field)
    try:
        yield names
    except Refusal as refusal:
        for i, name in reversed(list(enumerate(names))):
            written = f"{field.state}[{i}]" if field.shape else field.state
            refusal.message = refusal.message.replace(name, written)
            refusal.notes = tuple(note.replace(name, written) for note in refusal.notes)
        raise
