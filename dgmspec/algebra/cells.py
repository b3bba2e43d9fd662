"""Formulas of small arrays written out number by number: ``(A @ y)[0]`` is ``A[0][0] * y[0] + A[0][1] * y[1]``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from itertools import product
from math import prod
from typing import Final, Literal

from dgmspec.algebra.functions import function_of
from dgmspec.algebra.nodes import (
    AbstractExpr,
    Call,
    Constant,
    Index,
    Name,
    Neg,
    Number,
    Power,
    Product,
    Sum,
    Vector,
    add,
    call_of,
    expr,
    multiply,
)
from dgmspec.algebra.rewrite import size
from dgmspec.algebra.shapes import broadcast
from dgmspec.core.types import Shape

__all__ = ["Cells", "TooLarge", "cells", "indexed", "spread", "total"]

Cells = tuple[Shape, tuple[AbstractExpr, ...]]
"""An array by its shape and its numbers, row-major, each a formula of numbers."""

MAX_PARTS: Final = 20_000


class TooLarge(Exception):
    """A formula that is not written out, for its size or its functions."""


def cells(formula: AbstractExpr, shapes: Mapping[str, Shape], leaves: Mapping[str, Sequence[AbstractExpr]]) -> Cells:
    """Every number of a formula's value; `leaves` has the numbers of some names, others are indexed."""
    match formula:
        case Number() | Constant():
            return (), (formula,)
        case Name():
            own = leaves.get(formula.id)
            return shapes[formula.id], indexed(formula, shapes[formula.id]) if own is None else tuple(own)
        case Neg():
            shape, inner = cells(formula.of, shapes, leaves)
            return shape, tuple(Neg(of=cell) for cell in inner)
        case Sum():
            parts = [cells(term.of, shapes, leaves) for term in formula.terms]
            signs = [term.sign for term in formula.terms]
            return _joined(lambda row: _signed(signs, row), parts)
        case Product():
            return _product(formula, shapes, leaves)
        case Power():
            pair = [cells(part, shapes, leaves) for part in (formula.base, formula.exponent)]
            return _joined(lambda row: Power(base=row[0], exponent=row[1]), pair)
        case Vector():
            items = [cells(item, shapes, leaves) for item in formula.items]
            return (len(items), *items[0][0]), tuple(cell for _, inner in items for cell in inner)
        case Index(index=Number(value=int(place))):
            shape, inner = cells(formula.of, shapes, leaves)
            count = prod(shape[1:])
            return shape[1:], inner[place * count : (place + 1) * count]
        case Call() if function_of(formula.name).kind == "map":
            parts = [cells(arg.value, shapes, leaves) for arg in formula.args]
            return _joined(lambda row: call_of(formula.name, *row), parts)
        case Call():
            return _reduced(formula, [cells(arg.value, shapes, leaves) for arg in formula.args])
    raise TooLarge


def total(items: Sequence[AbstractExpr]) -> AbstractExpr:
    """The sum of formulas; 0 of none."""
    return reduce(lambda a, b: add(a, "+", b), items) if items else expr(0)


def _signed(signs: Sequence[Literal["+", "-"]], items: Sequence[AbstractExpr]) -> AbstractExpr:
    found = items[0]
    for sign, item in zip(signs[1:], items[1:], strict=True):
        found = add(found, sign, item)
    return found


def indexed(name: Name, shape: Shape) -> tuple[AbstractExpr, ...]:
    """``A[0][0]``, ``A[0][1]``, …"""
    if prod(shape) > MAX_PARTS:
        raise TooLarge
    places = product(*map(range, shape))
    return tuple(_at(name, place) for place in places)


def _at(of: AbstractExpr, place: Sequence[int]) -> AbstractExpr:
    for i in place:
        of = Index(of=of, index=expr(i))
    return of


def _joined(join: Callable[[tuple[AbstractExpr, ...]], AbstractExpr], parts: Sequence[Cells]) -> Cells:
    """Number by number, broadcast."""
    shape = broadcast([own for own, _ in parts])
    rows = list(zip(*(spread(part, shape) for part in parts), strict=True))
    if sum(size(cell) for row in rows for cell in row) > MAX_PARTS:
        raise TooLarge
    return shape, tuple(map(join, rows))


def spread(array: Cells, shape: Shape) -> list[AbstractExpr]:
    """The numbers broadcast to a shape, aligned at the last dimension."""
    own, inner = array
    padded = (1,) * (len(shape) - len(own)) + own
    strides = [0 if n == 1 else prod(padded[i + 1 :]) for i, n in enumerate(padded)]
    places = product(*map(range, shape))
    return [inner[sum(i * stride for i, stride in zip(place, strides, strict=True))] for place in places]


def _product(formula: Product, shapes: Mapping[str, Shape], leaves: Mapping[str, Sequence[AbstractExpr]]) -> Cells:
    """Factors from the left, matrix products written out."""
    found = cells(formula.factors[0].of, shapes, leaves)
    for factor in formula.factors[1:]:
        other = cells(factor.of, shapes, leaves)
        if factor.op == "@":
            found = _matmul(found, other)
        else:
            op = factor.op
            found = _joined(lambda row, op=op: multiply(row[0], op, row[1]), [found, other])  # type: ignore[misc]
    return found


def _matmul(a: Cells, b: Cells) -> Cells:
    rows = a[0][0] if len(a[0]) == 2 else 1
    inner = a[0][-1]
    columns = b[0][1] if len(b[0]) == 2 else 1
    if rows * inner * columns > MAX_PARTS:
        raise TooLarge
    found = [
        total([multiply(a[1][i * inner + k], "*", b[1][k * columns + j]) for k in range(inner)])
        for i, j in product(range(rows), range(columns))
    ]
    return (*a[0][:-1], *b[0][1:]), tuple(found)


def _reduced(call: Call, args: list[Cells]) -> Cells:
    """Reductions and `transpose`."""
    shape, inner = args[0]
    match call.name:
        case "sum":
            return (), (total(inner),)
        case "mean":
            return (), (multiply(total(inner), "/", len(inner)),)
        case "dot":
            return (), (total(_joined(lambda row: multiply(row[0], "*", row[1]), args)[1]),)
        case "logsumexp":
            return (), (call_of("log", total([call_of("exp", cell) for cell in inner])),)
        case "transpose":
            rows, columns = shape
            return (columns, rows), tuple(inner[i * columns + j] for j in range(columns) for i in range(rows))
    raise TooLarge  # a norm too: written out, its derivative would have no value at zero
