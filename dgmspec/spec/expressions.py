"""Expressions and types of the language from Python values: the part of `dgmspec.lang` that statements rest on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from dgmspec.algebra.nodes import AbstractExpr, Arrow, Call, Constant, Formula, Name, Operand, Range, expr
from dgmspec.spec.definitions import Star, TypeExpr
from dgmspec.spec.invalid import told
from dgmspec.spec.words import as_value

__all__ = [
    "along",
    "apply",
    "between",
    "binary",
    "category",
    "cholesky",
    "circle",
    "false",
    "inf",
    "integer",
    "interval",
    "like",
    "pi",
    "positive",
    "real",
    "simplex",
    "sym",
    "text",
    "true",
    "unit",
]

Value = Operand | str | bool | Iterable[Any]
"""What an argument may be: an expression, a number, a string, a list of these."""

Names = str | Iterable[str]


@told
def sym(name: str) -> Name:
    """A name in a formula: ``2 * sym("t")``."""
    return Name(id=name)


def text(value: str) -> AbstractExpr:
    """A string of the language."""
    return expr(value)


@told
def between(low: Operand, high: Operand) -> Range:
    """``low..high``, both ends included."""
    return Range(low=as_formula(low), high=as_formula(high))


@told
def along(source: Names, target: Names) -> Arrow:
    """``source -> target`` as an argument, as in ``kinetic(along("u", "x"))``."""
    return Arrow(source=_end(source), target=_end(target))


@told
def apply(name: str, *args: Value, **keywords: Value) -> Name | Call:
    """A call of something that the file defines: a function, a net, a chain."""
    named = {key: as_value(value) for key, value in keywords.items()}
    arguments = [{"value": as_value(arg)} for arg in args] + [{"name": k, "value": v} for k, v in named.items()]
    return Call.model_validate({"name": name, "args": arguments})


pi, inf, true, false = (Constant.model_validate({"name": name}) for name in ("pi", "inf", "true", "false"))


def as_formula(value: object) -> Formula:
    """A value where a formula stands."""
    return cast(Formula, as_value(value))


def as_named(value: object) -> Formula:
    """The same, where a string is a name."""
    return Name(id=value) if isinstance(value, str) else as_formula(value)


def _end(names: Names) -> Any:
    found = as_names(names)
    return Name(id=found[0]) if len(found) == 1 else expr([Name(id=name) for name in found])


def as_names(names: Names) -> tuple[str, ...]:
    """One name, or several."""
    one = isinstance(names, str) or not isinstance(names, Iterable)
    return (cast(str, names),) if one else tuple(names)


def as_context(context: object) -> tuple[Formula, ...]:
    """What follows the bar: one formula, or a list of them."""
    many = context if isinstance(context, (list, tuple)) else [context]
    return tuple(as_named(part) for part in many)


# ---- types ----------------------------------------------------------------------------------------------------------


class Support:
    """A support: bare the type of a scalar event, with ``[…]`` that of an event of this shape (``"*"`` infers it)."""

    def __init__(self, name: str, *args: AbstractExpr) -> None:
        self.name = name
        self.args = args

    def __getitem__(self, dims: Value) -> TypeExpr:
        many = dims if isinstance(dims, tuple) else (dims,)
        shape = tuple(Star() if dim == "*" else as_formula(dim) for dim in many)
        return TypeExpr(name=self.name, args=cast(Any, self.args), dims=shape)

    __iter__ = None


Type = Support | TypeExpr
real, positive, unit, circle = map(Support, ("real", "positive", "unit", "circle"))
binary, simplex, cholesky = map(Support, ("binary", "simplex", "cholesky"))


def interval(low: Operand, high: Operand) -> Support:
    """The open interval (low, high)."""
    return Support("interval", as_formula(low), as_formula(high))


def integer(low: Operand, high: Operand) -> Support:
    """The whole numbers low..high, both included."""
    return Support("integer", between(low, high))


def category(count: Operand) -> Support:
    """The labels 0..count-1."""
    return Support("category", as_formula(count))


def like(part: str) -> Support:
    """The type of another part."""
    return Support("like", Name(id=part))


def as_type(of: Type | None) -> TypeExpr | None:
    """A support as the type of a scalar event."""
    return TypeExpr(name=of.name, args=cast(Any, of.args)) if isinstance(of, Support) else of
