"""Shapes of formulas: what `dot(x, mu) + a` gives when x has shape [2], from the text alone."""

from __future__ import annotations

from collections.abc import Mapping

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
)
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.types import Shape, SupportKind, Type


def shape_of(formula: AbstractExpr, shapes: Mapping[str, Shape]) -> Shape:
    """The shape of a formula's value; `Refusal` (DGM312) where its parts do not agree."""
    match formula:
        case Number() | Constant():
            return ()
        case Name():
            return shapes[formula.id]
        case Neg():
            return shape_of(formula.of, shapes)
        case Sum():
            return broadcast([shape_of(term.of, shapes) for term in formula.terms])
        case Product():
            return _product(formula, shapes)
        case Power():
            return broadcast([shape_of(formula.base, shapes), shape_of(formula.exponent, shapes)])
        case Vector():
            return _vector([shape_of(item, shapes) for item in formula.items])
        case Index():
            return _index(formula, shape_of(formula.of, shapes))
        case Call():
            return _call(formula, [shape_of(arg.value, shapes) for arg in formula.args])
    raise Refusal("DGM312", "text, a range or an inverse is no number in a formula")


def joined_size(formula: AbstractExpr, types: Mapping[str, Type]) -> int:
    """The size of a context: the items of a vector end to end, a category as one coordinate per label, an
    angle as its cosine and its sine."""
    if isinstance(formula, Vector):
        return sum(joined_size(item, types) for item in formula.items)
    if isinstance(formula, Name) and types[formula.id].support.kind is SupportKind.CATEGORY:
        type_ = types[formula.id]
        return type_.size * (int(type_.support.high) + 1)
    if isinstance(formula, Name) and types[formula.id].support.circular:
        return 2 * types[formula.id].size
    size = 1
    for dimension in shape_of(formula, {name: type_.shape for name, type_ in types.items()}):
        size *= dimension
    return size


def broadcast(shapes: list[Shape]) -> Shape:
    """The common shape, aligned at the last dimension."""
    result: Shape = ()
    for shape in shapes:
        longer, shorter = (result, shape) if len(result) >= len(shape) else (shape, result)
        padded = (1,) * (len(longer) - len(shorter)) + shorter
        if any(a != b and 1 not in (a, b) for a, b in zip(longer, padded, strict=True)):
            raise Refusal(
                "DGM312",
                f"shapes {show_shape(result)} and {show_shape(shape)} cannot be combined",
                help=("make the two the same length, or one of them a number",),
            )
        result = tuple(max(a, b) for a, b in zip(longer, padded, strict=True))
    return result


def show_shape(shape: Shape) -> str:
    """``[2, 3]``; a number has the shape ``[]``."""
    return f"[{', '.join(map(str, shape))}]"


def _product(formula: Product, shapes: Mapping[str, Shape]) -> Shape:
    result = shape_of(formula.factors[0].of, shapes)
    for factor in formula.factors[1:]:
        other = shape_of(factor.of, shapes)
        result = _matmul(result, other) if factor.op == "@" else broadcast([result, other])
    return result


def _matmul(a: Shape, b: Shape) -> Shape:
    inner = b[0] if len(b) == 1 else b[-2] if b else None
    if not a or not b or len(a) > 2 or len(b) > 2 or a[-1] != inner:
        raise Refusal(
            "DGM312",
            f"`@` cannot join shapes {show_shape(a)} and {show_shape(b)}",
            help=("`@` takes vectors and matrices whose inner sizes are equal; `*` multiplies coordinatewise",),
        )
    return (*a[:-1], *(b[1:] if len(b) == 2 else ()))


def _vector(items: list[Shape]) -> Shape:
    if not items:
        raise Refusal("DGM312", "an empty vector has no shape")
    if len(set(items)) > 1:
        listed = ", ".join(map(show_shape, items))
        raise Refusal("DGM312", f"the items of a vector have different shapes: {listed}")
    return (len(items), *items[0])


def _index(formula: Index, shape: Shape) -> Shape:
    if not shape:
        raise Refusal("DGM312", "a number has no index")
    index = formula.index
    if isinstance(index, Number) and (not isinstance(index.value, int) or index.value >= shape[0]):
        raise Refusal(
            "DGM312",
            f"index {index.value} is outside 0..{shape[0] - 1}",
            help=(f"write an index from 0 to {shape[0] - 1}",),
        )
    if not isinstance(index, Number):
        raise Refusal("DGM312", "an index is a whole number that does not depend on the data")
    return shape[1:]


def _call(formula: Call, shapes: list[Shape]) -> Shape:
    function = function_of(formula.name)
    if function.arity != len(shapes):
        raise Refusal("DGM211", f"`{formula.name}` takes {function.arity} arguments, got {len(shapes)}")
    if function.kind == "map":
        return broadcast(shapes)
    if function.kind == "reduce":
        broadcast(shapes)
        return ()
    if len(shapes[0]) != 2:
        raise Refusal("DGM312", f"`{formula.name}` takes a matrix, not the shape {show_shape(shapes[0])}")
    return shapes[0][:1] if formula.name == "diagonal" else shapes[0][::-1]
