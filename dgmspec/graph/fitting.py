"""Plain values against annotations: which member of a union takes a number, a truth value, a string or a list."""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from dgmspec.core.op import AbstractOp


def alternatives(annotation: Any) -> Iterator[Any]:
    """The members of a union in order; the strings of a `Literal` one by one; tuples whole."""
    origin = get_origin(annotation)
    if origin is Literal:
        yield from get_args(annotation)
    elif origin is Annotated:
        yield from alternatives(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for part in get_args(annotation):
            yield from alternatives(part)
    else:
        yield annotation


def fit(member: Any, value: Any) -> tuple[bool, Any]:
    """Whether a value is of a plain type, and the value as that type."""
    if get_origin(member) is tuple:
        if not isinstance(value, tuple):
            return False, None
        parts = get_args(member)
        wanted = [parts[0]] * len(value) if len(parts) == 2 and parts[1] is Ellipsis else list(parts)
        if len(wanted) != len(value):
            return False, None
        fitted = [_fit_one(w, v) for w, v in zip(wanted, value, strict=True)]
        return all(ok for ok, _ in fitted), tuple(v for _, v in fitted)
    if isinstance(value, tuple):
        return False, None
    if member is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool), value
    if member is int:
        return isinstance(value, int) and not isinstance(value, bool), value
    return isinstance(value, member), value


def _fit_one(annotation: Any, value: Any) -> tuple[bool, Any]:
    for member in alternatives(annotation):
        accepted, result = fit(member, value)
        if accepted:
            return True, result
    return False, None


def holds_operations(member: Any) -> bool:
    """Whether the items of a tuple's annotation may be operations."""
    return any(isinstance(m, type) and issubclass(m, AbstractOp) for m in alternatives(get_args(member)[0]))
