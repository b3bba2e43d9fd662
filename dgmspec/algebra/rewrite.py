"""Expressions rewritten: names replaced by what they stand for, functions written out.

Inlining is substitution of a *closed* body, whose free names are the function's arguments and the names its scope
leaves open. Expressions bind no names, so nothing can be captured. Size and depth of a result are bounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from operator import is_
from typing import Final

from dgmspec.algebra.evaluate import check_arity
from dgmspec.algebra.nodes import (
    AbstractExpr,
    Argument,
    Call,
    Factor,
    Index,
    Name,
    Neg,
    Power,
    Product,
    Range,
    Sum,
    Term,
    Vector,
    children,
    product_of,
    sum_of,
    walk,
)
from dgmspec.core.diagnostics import Refusal

MAX_SIZE: Final = 100_000
MAX_NESTING: Final = 128


@dataclass(frozen=True)
class Lambda:
    """A function by its arguments and its closed body."""

    args: tuple[str, ...]
    body: AbstractExpr


def free_names(expression: AbstractExpr) -> tuple[str, ...]:
    """The names an expression reads, in order of first occurrence (names of called functions excluded)."""
    return tuple(dict.fromkeys(node.id for node in walk(expression) if isinstance(node, Name)))


def called(expression: AbstractExpr) -> tuple[str, ...]:
    """The names of the functions and operations that an expression calls, in order of first occurrence."""
    return tuple(dict.fromkeys(node.name for node in walk(expression) if isinstance(node, Call)))


def substitute(expression: AbstractExpr, values: Mapping[str, AbstractExpr]) -> AbstractExpr:
    """The expression with names replaced; sums and products stay flat on the left, as text is read."""
    if isinstance(expression, Name):
        return values.get(expression.id, expression)
    parts = list(children(expression))
    return _with_parts(expression, parts, [substitute(part, values) for part in parts])


def _with_parts(expression: AbstractExpr, old: list[AbstractExpr], new: list[AbstractExpr]) -> AbstractExpr:
    """The same construct over `new` parts; the very same object where no part has changed."""
    return expression if all(map(is_, old, new)) else rebuild(expression, new)


def rebuild(expression: AbstractExpr, parts: list[AbstractExpr]) -> AbstractExpr:
    """The same construct over other parts, which stand in reading order."""
    match expression:
        case Neg():
            return Neg(of=parts[0])
        case Sum():
            rest = (Term(sign=t.sign, of=p) for t, p in zip(expression.terms[1:], parts[1:], strict=True))
            return sum_of(parts[0], rest)
        case Product():
            more = (Factor(op=f.op, of=p) for f, p in zip(expression.factors[1:], parts[1:], strict=True))
            return product_of(parts[0], more)
        case Power():
            return Power(base=parts[0], exponent=parts[1])
        case Index():
            return Index(of=parts[0], index=parts[1])
        case Vector():
            return Vector(items=tuple(parts))
        case Range():
            return Range(low=parts[0], high=parts[1])
        case Call():
            args = (Argument(name=a.name, value=p) for a, p in zip(expression.args, parts, strict=True))
            return Call(name=expression.name, args=tuple(args))
    return expression


def inline(expression: AbstractExpr, functions: Mapping[str, Lambda]) -> AbstractExpr:
    """The expression with every call of one of `functions` written out, innermost first."""
    old = list(children(expression))
    parts = [inline(part, functions) for part in old]
    if not isinstance(expression, Call) or expression.name not in functions:
        return _with_parts(expression, old, parts)
    function = functions[expression.name]
    check_arity(expression, len(function.args))
    if any(isinstance(part, Range) for part in parts):
        raise Refusal("DGM234", f"`{expression.name}` takes numbers, and a range is none", help=("write a number",))
    _check_size(function, parts)
    result = substitute(function.body, dict(zip(function.args, parts, strict=True)))
    if nesting(result) > MAX_NESTING:
        raise Refusal("DGM241", f"written out, `{expression.name}(…)` nests deeper than {MAX_NESTING} levels")
    return result


def _check_size(function: Lambda, parts: list[AbstractExpr]) -> None:
    """Refuse before building: the size of the result follows from the occurrences of each argument."""
    sizes = {name: size(part) for name, part in zip(function.args, parts, strict=True)}
    total = sum(sizes.get(node.id, 1) if isinstance(node, Name) else 1 for node in walk(function.body))
    if total > MAX_SIZE:
        raise Refusal("DGM241", f"written out, the expression has {total:,} parts; the limit is {MAX_SIZE:,}")


def size(expression: AbstractExpr) -> int:
    """How many parts an expression has."""
    return sum(1 for _ in walk(expression))


def nesting(expression: AbstractExpr) -> int:
    """How deep an expression nests, counted without recursion."""
    depth, level = 0, [expression]
    while level:
        depth += 1
        level = [part for node in level for part in children(node)]
    return depth
