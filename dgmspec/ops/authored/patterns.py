"""Which coordinates a formula reads: its value as an array of bit sets, up to cancellation.

An array is its shape and its cells, row-major; one integer where all cells are equal, as for numbers, sums and nets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from itertools import product
from math import prod
from operator import or_

from dgmspec.algebra.functions import FUNCTIONS
from dgmspec.algebra.nodes import AbstractExpr, Call, Index, Name, Number, Power, Product, Vector, children
from dgmspec.algebra.shapes import broadcast, shape_of
from dgmspec.core.types import Shape

__all__ = ["Reads", "degree", "pattern", "spread", "union"]

Reads = tuple[Shape, int | tuple[int, ...]]


def pattern(formula: AbstractExpr, known: Mapping[str, Reads]) -> Reads:
    """What every entry of the formula's value can depend on."""
    match formula:
        case Name():
            return known[formula.id]
        case Index(index=Number(value=int(place))):
            shape, cells = pattern(formula.of, known)
            size = prod(shape[1:])
            return shape[1:], cells if isinstance(cells, int) else cells[place * size : (place + 1) * size]
        case Vector():
            items = [pattern(item, known) for item in formula.items]
            shape = items[0][0]
            return (len(items), *shape), tuple(cell for item in items for cell in spread(item, shape))
    parts = [pattern(part, known) for part in children(formula)]
    shapes = {name: shape for name, (shape, _) in known.items()}
    if _mixes(formula):
        return shape_of(formula, shapes), reduce(or_, map(union, parts), 0)
    return _joined(parts)


def _mixes(formula: AbstractExpr) -> bool:
    """Whether an entry of the value can read every entry of the parts."""
    if isinstance(formula, Call):
        return FUNCTIONS[formula.name].kind != "map"
    return isinstance(formula, Product) and any(factor.op == "@" for factor in formula.factors)


def _joined(parts: Sequence[Reads]) -> Reads:
    """Coordinate by coordinate, broadcast."""
    shape = broadcast([shape for shape, _ in parts])
    if all(isinstance(cells, int) for _, cells in parts):
        return shape, reduce(or_, map(union, parts), 0)
    columns = [spread(part, shape) for part in parts]
    return shape, tuple(reduce(or_, row) for row in zip(*columns, strict=True))


def spread(reads: Reads, shape: Shape) -> tuple[int, ...]:
    """The cells broadcast to a shape."""
    own, cells = reads
    if isinstance(cells, int):
        return (cells,) * prod(shape)
    if own == shape:
        return cells
    padded = (1,) * (len(shape) - len(own)) + own
    strides = [0 if size == 1 else prod(padded[i + 1 :]) for i, size in enumerate(padded)]
    places = product(*map(range, shape))
    return tuple(cells[sum(i * stride for i, stride in zip(place, strides, strict=True))] for place in places)


def union(reads: Reads) -> int:
    """All that any entry reads."""
    cells = reads[1]
    return cells if isinstance(cells, int) else reduce(or_, cells, 0)


def degree(formula: AbstractExpr, names: frozenset[str]) -> int:
    """0 where a formula reads none of the names, 1 where it is affine in them together, else 2; by its form alone."""
    if isinstance(formula, Name):
        return int(formula.id in names)
    inner = [degree(part, names) for part in children(formula)]
    worst = max(inner, default=0)
    match formula:
        case Product():
            divided = any(factor.op == "/" and d for factor, d in zip(formula.factors, inner, strict=True))
            return 2 if divided else min(sum(inner), 2)
        case Call(name="sum" | "mean" | "transpose"):
            return worst
        case Call(name="dot"):
            return min(sum(inner), 2)
        case Call() | Power():
            return 2 * bool(worst)
    return worst
