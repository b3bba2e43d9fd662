"""Type expressions worked out: `real[2 * D]` with its dimensions in numbers, `real[*]` left open."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from dgmspec.algebra.evaluate import Constants, evaluate, show
from dgmspec.core.diagnostics import Refusal, did_you_mean
from dgmspec.core.types import (
    BINARY,
    CHOLESKY,
    CIRCLE,
    POSITIVE,
    REAL,
    SIMPLEX,
    UNIT,
    UNKNOWN,
    MaybeType,
    Support,
    SupportKind,
    Type,
    category,
    integers,
    interval,
)
from dgmspec.spec.model import Star, TypeExpr

MAX_ELEMENTS: Final = 10**9
_PLAIN: Final = {
    "real": REAL,
    "positive": POSITIVE,
    "unit": UNIT,
    "circle": CIRCLE,
    "binary": BINARY,
    "simplex": SIMPLEX,
    "cholesky": CHOLESKY,
}
NAMES: Final = (*_PLAIN, "interval", "integer", "category")


@dataclass(frozen=True)
class Declared:
    """A declared type: its support, and its shape where the text fixes it (None for ``[*]``)."""

    support: Support
    shape: tuple[int, ...] | None

    @property
    def type(self) -> MaybeType:
        """The type, UNKNOWN where the shape is left open."""
        return UNKNOWN if self.shape is None else Type(self.support, self.shape)


def declared_type(type_: TypeExpr, constants: Constants) -> Declared:
    """A variable's declared type; `Refusal` whose `argument` is the part at fault (``args/0``, ``1``)."""
    support = support_of(type_, constants)
    if any(isinstance(dim, Star) for dim in type_.dims):
        if len(type_.dims) > 1:
            raise Refusal(
                "DGM309",
                "`*` stands for the whole shape, so it stands alone",
                help=("write `[*]`, or every dimension",),
            )
        return Declared(support, None)
    shape = tuple(_dimension(evaluate_part(dim, constants, str(i)), i) for i, dim in enumerate(type_.dims))
    if math.prod(shape) > MAX_ELEMENTS:
        raise Refusal(
            "DGM307", f"an event of {math.prod(shape):,} elements is beyond 10^9", help=("lower a dimension",)
        )
    if support.kind is SupportKind.SIMPLEX and not shape:
        raise Refusal("DGM309", "a simplex has a dimension", help=("write `simplex[5]`",))
    if support.kind is SupportKind.CHOLESKY and (len(shape) != 2 or shape[0] != shape[1]):
        raise Refusal("DGM309", "a Cholesky factor is a square matrix", help=("write `cholesky[3, 3]`",))
    return Declared(support, shape)


def evaluate_part(part: Any, constants: Constants, argument: str) -> Any:
    """Evaluate a part of a type; a refusal is given the part's place."""
    try:
        return evaluate(part, constants)
    except Refusal as refusal:
        refusal.argument = argument
        raise


def _dimension(value: Any, place: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    raise Refusal(
        "DGM309",
        f"a dimension is a whole number from 1 up, not {show(value)}",
        str(place),
        help=("write a whole number, or an expression that gives one",),
        label="no dimension",
    )


def support_of(type_: TypeExpr, constants: Constants) -> Support:
    """The support a type names, its bounds worked out."""
    values = tuple(evaluate_part(arg, constants, f"args/{i}") for i, arg in enumerate(type_.args))
    if type_.name in _PLAIN:
        return _plain(type_.name, values)
    match type_.name, values:
        case "interval", (low, high):
            return _interval(_number(low, 0), _number(high, 1))
        case "integer", ((low, high),):
            return _integers(_whole(low, 0), _whole(high, 0))
        case "category", (count,):
            return _category(_whole(count, 0))
        case (("interval" | "integer" | "category"), _):
            form = {"interval": "interval(-1, 1)", "integer": "integer(0..255)", "category": "category(10)"}[type_.name]
            raise Refusal("DGM309", f"`{type_.name}` is written `{form}`", help=(f"write `{form}`",))
    near = did_you_mean(type_.name, NAMES)
    known = ", ".join(f"`{name}`" for name in NAMES)
    raise Refusal(
        "DGM213",
        f"`{type_.name}` is no support",
        label="unknown type",
        help=(f"did you mean `{near}`?" if near else f"write one of {known}",),
    )


def _plain(name: str, values: tuple[Any, ...]) -> Support:
    if values:
        raise Refusal(
            "DGM309", f"`{name}` takes no arguments", help=(f"write `{name}`; a bounded set is `interval(a, b)`",)
        )
    return _PLAIN[name]


def _number(value: Any, place: int) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    raise Refusal("DGM309", f"a bound is a number, not {show(value)}", f"args/{place}", help=("write a number",))


def _whole(value: Any, place: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise Refusal("DGM309", f"a whole number stands here, not {show(value)}", f"args/{place}", help=("write one",))


def _interval(low: float, high: float) -> Support:
    if not low < high:
        raise Refusal(
            "DGM309",
            f"the interval ({show(low)}, {show(high)}) is empty",
            help=("write the lower bound first, and different bounds",),
            label="low before high",
        )
    return interval(low, high)


def _integers(low: int, high: int) -> Support:
    if low > high or high - low >= 2**53:
        raise Refusal("DGM309", f"the range {low}..{high} is empty or beyond 2^53", help=("write low..high",))
    return integers(low, high)


def _category(count: int) -> Support:
    if count < 1:
        raise Refusal("DGM309", f"a category has one label or more, not {count}", help=("write `category(10)`",))
    return category(count)
