"""The divergence Σ ∂f_i/∂y_i of a formula f of an array y, as a formula.

Term by term: what does not read y has none; a coordinatewise term the sum of its derivative; ``M @ u`` with u
coordinatewise the sum of M's diagonal times u's derivative. What is left is written out number by number, where y is
small. An array of a net's whose number i does not read y_i is held fixed in coordinatewise terms: ``m(y) * y`` has the
divergence ``sum(m(y))`` where m is masked so. Domains are checked on the way, on all values of y: a formula that leaves
one is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from math import prod

from dgmspec.algebra.builder import Builder, Exhausted
from dgmspec.algebra.coordinates import written_out
from dgmspec.algebra.derive import derivative_term
from dgmspec.algebra.emit import emit
from dgmspec.algebra.factoring import factor_sum
from dgmspec.algebra.fields import BUDGET, LINE, Field, Moving, box_of, domains
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
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.types import Shape
from dgmspec.core.types import number as shown

__all__ = ["divergence", "terms"]


def divergence(
    formula: AbstractExpr,
    state: str,
    shapes: Mapping[str, Shape],
    box: Mapping[str, Interval],
    known: Mapping[str, Moving],
) -> AbstractExpr | None:
    """Σ ∂f_i/∂y_i, the number 0 where it vanishes identically; None where no rule gives it.

    `known` are the other names that depend on the state. Names without an interval in `box` run over the reals.
    `Refusal` (DGM453) where a formula is not defined everywhere.
    """
    field = Field(state, shapes, box, known)
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
        written = written_out(field, rest)
        if written is None:
            return None
        found.append((1, written))
    return _signed([(sign, part) for sign, part in found if part != expr(0)])


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


def _term(field: Field, term: AbstractExpr) -> AbstractExpr | None:
    """The divergence of one term by its form; None where it has to be written out."""
    if not field.reads(term):
        return expr(0)
    if isinstance(term, Name) and term.id in field.known and shape_of(term, field.shapes) == field.shape:
        return expr(0) if field.hollow(term.id) else field.known[term.id].traces.get(None)
    if isinstance(term, Product):
        found = _scaled(field, term) or _matrix(field, term)
        if found is not None:
            return found
    if not _coordinatewise(field, term):
        return None
    return _summed(field, _derivative(field, term))


def _scaled(field: Field, term: Product) -> AbstractExpr | None:
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


def _matrix(field: Field, term: Product) -> AbstractExpr | None:
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


def _coordinatewise(field: Field, formula: AbstractExpr) -> bool:
    """Whether number i of the value reads, of the state, number i alone, but for what a hollow array reads."""
    if not field.reads(formula):
        return True
    if shape_of(formula, field.shapes) != field.shape:
        return False
    match formula:
        case Name():
            return formula.id == field.state or field.hollow(formula.id)
        case Index(of=Name() as of, index=Number()):
            return field.hollow(of.id)  # one of several such arrays
        case Index() | Vector():
            return False
        case Product() if any(factor.op == "@" for factor in formula.factors):
            return False
        case Call() if function_of(formula.name).kind != "map":
            return False
    return all(_coordinatewise(field, part) for part in children(formula))


def _summed(field: Field, slope: AbstractExpr | None) -> AbstractExpr | None:
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


def _derivative(field: Field, formula: AbstractExpr) -> AbstractExpr | None:
    """∂formula/∂state coordinate by coordinate."""
    with domains(field):
        try:
            b = Builder(box_of(field, ()), [BUDGET])
            return emit(b, factor_sum(b, derivative_term(b, Reader(Prover(b), field.state).read(formula), field.state)))
        except Exhausted:
            return None
        except Refusal as refusal:
            if refusal.code == "DGM453":
                raise
            return None


def _require_defined(field: Field, number: AbstractExpr) -> None:
    """`Refusal` where a number that does not read the state has no value, be it at an end of the time only."""
    ends = [(n, end) for n in free_names(number) for end in field.box.get(n, LINE)[:2] if math.isfinite(end)]
    closed = [(name, end) for name, end in ends if not _open(field, name, end)]
    tried = [(number, ""), *((substitute(number, {n: expr(end)}), f"{n} = {shown(end)}") for n, end in closed)]
    for formula, place in tried:
        try:
            Reader(Prover(Builder(box_of(field, []), [BUDGET])), field.state).read(formula)
        except Exhausted:
            continue
        except Refusal as refusal:
            if refusal.code == "DGM453":
                refusal.message = refusal.message.replace("every point", place or "every point")
                raise


def _open(field: Field, name: str, end: float) -> bool:
    """Whether a name never has this value, an end of its interval."""
    interval = field.box[name]
    return (interval.open_low and end == interval.low) or (interval.open_high and end == interval.high)
