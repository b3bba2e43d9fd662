"""Constant expressions worked out in whole numbers and float64, in bounded time and size.

Whole numbers stay whole where the result is (``2 * D``, ``64 / 2``, ``2^10``); everything else is float64. An
expression that has no value is a `Refusal`: an unknown name, a division by zero, a number beyond 2^63.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from dgmspec.algebra.functions import FUNCTIONS, INTERNAL
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
    Range,
    Sum,
    Text,
    Vector,
)
from dgmspec.core.diagnostics import Refusal, did_you_mean

Constants = Mapping[str, Any]
"""Names with their values: whole numbers, floats, bools, strings, tuples of these."""

_BITS: Final = 63
_CONSTANTS: Final = {"pi": math.pi, "inf": math.inf, "true": True, "false": False}


def evaluate(expression: AbstractExpr, constants: Constants) -> Any:
    """The value of a constant expression; `Refusal` (DGM201, DGM234, DGM235, DGM211) where it has none."""
    match expression:
        case Number() | Text():
            return expression.value
        case Constant():
            return _CONSTANTS[expression.name]
        case Name():
            return _lookup(expression.id, constants)
        case Neg():
            return _broadcast(operator.neg, evaluate(expression.of, constants))
        case Sum():
            return _sum(expression, constants)
        case Product():
            return _product(expression, constants)
        case Power():
            return _broadcast(_power, evaluate(expression.base, constants), evaluate(expression.exponent, constants))
        case Vector():
            return tuple(evaluate(item, constants) for item in expression.items)
        case Range():
            return (evaluate(expression.low, constants), evaluate(expression.high, constants))
        case Index():
            return _index(evaluate(expression.of, constants), evaluate(expression.index, constants))
        case Call():
            return _call(expression, constants)
    raise Refusal("DGM234", "an inverse is no number")


def unknown_name(name: str, known: Mapping[str, Any] | set[str] | frozenset[str]) -> Refusal:
    """The refusal of a name that stands for nothing here, with the nearest that does."""
    near = did_you_mean(name, (*known, *FUNCTIONS))
    hint = (f"did you mean `{near}`?",) if near else (f"declare it: `param {name} = …`",)
    return Refusal("DGM201", f"`{name}` has no value here", help=hint, label="not declared")


def is_constant(expression: AbstractExpr, constants: Constants) -> bool:
    """Whether every name in the expression has a value among `constants`."""
    if isinstance(expression, Name):
        return expression.id in constants
    return all(is_constant(part, constants) for part in _parts(expression))


def _parts(expression: AbstractExpr) -> tuple[AbstractExpr, ...]:
    match expression:
        case Neg():
            return (expression.of,)
        case Sum():
            return tuple(term.of for term in expression.terms)
        case Product():
            return tuple(factor.of for factor in expression.factors)
        case Power():
            return (expression.base, expression.exponent)
        case Vector():
            return expression.items
        case Index():
            return (expression.of, expression.index)
        case Range():
            return (expression.low, expression.high)
        case Call():
            return tuple(arg.value for arg in expression.args)
    return ()


def _lookup(name: str, constants: Constants) -> Any:
    if name not in constants:
        raise unknown_name(name, constants)
    return constants[name]


def _sum(expression: Sum, constants: Constants) -> Any:
    total = evaluate(expression.terms[0].of, constants)
    for term in expression.terms[1:]:
        total = _broadcast(operator.add if term.sign == "+" else operator.sub, total, evaluate(term.of, constants))
    return total


def _product(expression: Product, constants: Constants) -> Any:
    total = evaluate(expression.factors[0].of, constants)
    for factor in expression.factors[1:]:
        other = evaluate(factor.of, constants)
        if factor.op == "@":
            total = _matmul(total, other)
        else:
            total = _broadcast(operator.mul if factor.op == "*" else _divide, total, other)
    return total


def _divide(a: Any, b: Any) -> Any:
    """The quotient: whole where it comes out whole."""
    if b == 0:
        raise Refusal("DGM235", "a division by zero has no value", help=("make the divisor different from 0",))
    if isinstance(a, int) and isinstance(b, int) and a % b == 0:
        return a // b
    return a / b


def _power(a: Any, b: Any) -> Any:
    """a^b; whole for whole numbers with b ≥ 0, refused before it is computed where it would pass 2^63."""
    if isinstance(a, int) and isinstance(b, int) and b >= 0:
        if abs(a) > 1 and a.bit_length() * b > 2 * _BITS:
            raise Refusal("DGM235", f"`{a}^{b}` is beyond 2^{_BITS}", help=("write a smaller number, or a float",))
        return a**b
    if a == 0 and b < 0:
        raise Refusal("DGM235", "0 has no negative power", help=("make the base different from 0",))
    if a < 0 and b != math.floor(b):
        raise Refusal("DGM235", "a negative number has no fractional power", help=("make the base positive",))
    return float(a) ** b


def _broadcast(function: Callable[..., Any], *values: Any) -> Any:
    """A function of numbers on numbers and (nested) tuples, which must agree in length."""
    sizes = {len(value) for value in values if isinstance(value, tuple)}
    if len(sizes) > 1:
        raise Refusal("DGM235", f"vectors of {' and '.join(map(str, sorted(sizes)))} numbers cannot be combined")
    if sizes:
        columns = [value if isinstance(value, tuple) else (value,) * sizes.copy().pop() for value in values]
        return tuple(_broadcast(function, *row) for row in zip(*columns, strict=True))
    return _number(function, *values)


def _number(function: Callable[..., Any], *values: Any) -> Any:
    """One number from numbers, checked: no text, no bool, within the domain, within the limits."""
    for value in values:
        if isinstance(value, (bool, str)):
            raise Refusal("DGM235", f"{show(value)} is no number", help=("write a number here",))
    try:
        result = function(*values)
    except (ValueError, OverflowError, ZeroDivisionError) as error:
        shown = ", ".join(show(value) for value in values)
        what = "beyond float64" if isinstance(error, OverflowError) else "outside the domain"
        raise Refusal("DGM235", f"the expression has no value: {shown} is {what} of `{_title(function)}`") from error
    if isinstance(result, int) and abs(result) >> _BITS:
        raise Refusal("DGM235", f"whole numbers end at 2^{_BITS}", help=("write a smaller number, or a float",))
    if isinstance(result, float) and math.isnan(result):
        raise Refusal("DGM235", "the expression is not a number (inf - inf, or 0 * inf)")
    return result


def _title(function: Callable[..., Any]) -> str:
    """The language's name of a function."""
    return next(
        (name for name, entry in (FUNCTIONS | INTERNAL).items() if entry.value is function),
        function.__name__.strip("_"),
    )


def _call(expression: Call, constants: Constants) -> Any:
    function = FUNCTIONS.get(expression.name) or INTERNAL.get(expression.name)
    if function is None:
        near = did_you_mean(expression.name, FUNCTIONS)
        help_ = (f"did you mean `{near}`?",) if near else ()
        raise Refusal("DGM201", f"`{expression.name}` is no function", help=help_, label="not declared")
    check_arity(expression, function.arity)
    values = [evaluate(arg.value, constants) for arg in expression.args]
    if function.kind == "map":
        return _broadcast(function.value, *values)
    if function.kind == "reduce":
        return _number(function.value, *map(_flat, values))
    rows = values[0] if isinstance(values[0], tuple) else ()
    if not rows or not all(isinstance(row, tuple) and len(row) == len(rows[0]) for row in rows):
        raise Refusal("DGM235", "`transpose` takes a matrix, `[[a, b], [c, d]]`")
    return function.value(*values)


def check_arity(call: Call, arity: int) -> None:
    """Refuse a call of a function with another number of arguments than it takes, or with named ones."""
    if len(call.args) != arity or any(arg.name for arg in call.args):
        plural = "" if arity == 1 else "s"
        raise Refusal("DGM211", f"`{call.name}` takes {arity} argument{plural} by position, got {len(call.args)}")


def _flat(value: Any) -> list[Any]:
    """The numbers of a (nested) tuple in order; a number is a list of one."""
    if isinstance(value, tuple):
        return [number for item in value for number in _flat(item)]
    if isinstance(value, (bool, str)):
        raise Refusal("DGM235", f"{show(value)} is no number")
    return [value]


def _index(value: Any, index: Any) -> Any:
    if not isinstance(value, tuple):
        raise Refusal("DGM235", "only a vector has an index")
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(value):
        raise Refusal("DGM235", f"index {show(index)} is outside 0..{len(value) - 1}")
    return value[index]


def _matmul(a: Any, b: Any) -> Any:
    """a @ b for vectors and matrices."""
    if not (isinstance(a, tuple) and isinstance(b, tuple)) or not a or not b:
        raise Refusal("DGM235", "`@` joins vectors and matrices; use `*` for numbers")
    if isinstance(a[0], tuple):
        return tuple(_matmul(row, b) for row in a)
    if isinstance(b[0], tuple):
        return tuple(_matmul(a, column) for column in zip(*b, strict=True))
    if len(a) != len(b):
        raise Refusal("DGM235", f"`@` joins equal sizes, got {len(a)} and {len(b)}")
    return _number(lambda: sum(x * y for x, y in zip(a, b, strict=True)))


def show(value: Any) -> str:
    """A value as the language writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return f"[{', '.join(map(show, value))}]"
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return repr(value)
