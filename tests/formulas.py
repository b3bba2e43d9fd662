"""Formulas for the tests of the algebra room: read from text, shown as text, evaluated at points."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import cache

import mpmath

import dgmspec
from dgmspec.algebra.evaluate import evaluate
from dgmspec.algebra.functions import FUNCTIONS
from dgmspec.algebra.nodes import AbstractExpr, Call, Constant, Name, Neg, Number, Power, Product, Sum
from dgmspec.algebra.updates import Update
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.types import POSITIVE, REAL, UNIT, Support, interval

NAMED = {"real": REAL, "positive": POSITIVE, "unit": UNIT}


@cache
def formula(text: str) -> AbstractExpr:
    """The formula of a text, in the names x, y, a, b, c, m and s."""
    found = dgmspec.diagnose(f"dgm 1\nfn f(x, y, a, b, c, m, s) = {text}\n")
    assert found.spec is not None, [str(d) for d in found.diagnostics]
    return found.spec.items[0].value


def supports(text: str) -> dict[str, Support]:
    """Supports as ``x: real, a: positive, y: (0, 2)``."""
    items = re.findall(r"(\w+): (\w+|\([^)]*\))", text)
    return {n: NAMED[k] if k in NAMED else interval(*map(float, k.strip("()").split(","))) for n, k in items}


def solve(update: Update, target: float, values: Mapping[str, float]) -> float:
    """The old value by bisection over the floats of the domain, whatever the inverse is."""
    low, high = to_line(update.domain.low), to_line(update.domain.high)
    for _ in range(200):
        middle = low + (high - low) / 2
        x = from_line(middle)
        value = at(update.forward, {**values, update.variable: x})
        if not math.isfinite(value) and abs(x) > 1e3:
            value = math.inf if (x > 0) == update.increasing else -math.inf
        low, high = (middle, high) if (value < target) == update.increasing else (low, middle)
    return from_line(low + (high - low) / 2)


def to_line(x: float) -> float:
    """A number where bisection takes even steps through the exponents."""
    if abs(x) > 1e-10:
        return math.copysign(math.log(2e20) + math.log(min(abs(x), 1e300)), x)
    return math.asinh(x * 1e20)


def from_line(t: float) -> float:
    """The inverse of `to_line`."""
    return math.copysign(math.exp(abs(t) - math.log(2e20)) if abs(t) > 23.7 else math.sinh(abs(t)) / 1e20, t)


def at(expression: AbstractExpr, values: Mapping[str, float]) -> float:
    """The value in float64, NaN or infinite where the formula has none or overflows."""
    try:
        return float(evaluate(expression, values))
    except Refusal as refusal:
        return math.inf if "beyond float64" in refusal.message else math.nan


def show(e: AbstractExpr) -> str:
    """A formula as Python would write it, fully parenthesised."""
    match e:
        case Number():
            return repr(e.value)
        case Constant():
            return e.name
        case Name():
            return e.id
        case Neg():
            return f"-{show(e.of)}"
        case Sum():
            return "(" + "".join(f" {t.sign} {show(t.of)}" for t in e.terms)[3:] + ")"
        case Product():
            return "(" + "".join(f" {f.op} {show(f.of)}" for f in e.factors)[3:] + ")"
        case Power():
            return f"{show(e.base)}^{show(e.exponent)}"
        case Call():
            return f"{e.name}({', '.join(show(a.value) for a in e.args)})"
    return repr(e)


# ---- references -----------------------------------------------------------------------------------------------------

_LINE = (0.0, 0.3, -0.7, 1.3, -2.1, 3.7, -5.5, 9.0, -11.0, 0.01, -0.004, 6.2)
_HALF_LINE = (1.0, 0.3, 2.2, 0.05, 3.9, 7.5, 0.6, 11.0, 0.002, 1.7, 5.1, 0.9)
_SHARES = (0.5, 0.21, 0.83, 0.07, 0.95, 0.4, 0.66, 0.013, 0.991, 0.3, 0.58, 0.74)


def points(declared: Mapping[str, Support], count: int) -> list[dict[str, float]]:
    """Points inside the supports; names run through their values at different paces."""
    found = []
    for index in range(count):
        values = {}
        for pace, (name, support) in enumerate(declared.items()):
            place = (index * (2 * pace + 1) + pace) % 12
            if math.isinf(support.high):
                values[name] = _LINE[place] if math.isinf(support.low) else support.low + _HALF_LINE[place]
            else:
                values[name] = support.low + _SHARES[place] * (support.high - support.low)
        found.append(values)
    return found


def inside(value: float, support: Support) -> bool:
    """Whether a value is in the open interval."""
    return support.low < value < support.high


def exactly(e: AbstractExpr, values: Mapping[str, float], name: str) -> tuple[mpmath.mpf, mpmath.mpf]:
    """The value and ∂/∂name of a formula as written, in 160 digits (a difference quotient of 1e-50)."""
    with mpmath.workdps(160):
        base = {key: mpmath.mpf(value) for key, value in values.items()}
        step = mpmath.mpf(10) ** -50
        high, low = (_exact(e, {**base, name: base[name] + sign * step}) for sign in (1, -1))
        middle = _exact(e, base)
        if abs((high - middle) - (middle - low)) > step * mpmath.mpf("1e-6"):  # a kink: from the right
            return middle, (high - middle) / step
        return middle, (high - low) / (2 * step)


EXACT: dict[str, Callable[..., mpmath.mpf]] = {
    **{name: getattr(mpmath, name) for name in ("exp", "log", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh")},
    **{name: getattr(mpmath, name) for name in ("erf", "erfinv", "log1p", "expm1", "sign")},
    "arcsinh": mpmath.asinh,
    "arctan": mpmath.atan,
    "arcsin": mpmath.asin,
    "arccosh": mpmath.acosh,
    "arctanh": mpmath.atanh,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "bell": lambda x: 1 / (2 + mpmath.exp(x) + mpmath.exp(-x)),
    "logit": lambda x: mpmath.log(x / (1 - x)),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "log_expm1": lambda x: mpmath.log(mpmath.expm1(x)),
    "abs": abs,
    "relu": lambda x: max(x, mpmath.mpf(0)),
    "max": max,
    "min": min,
}
"""The functions to any number of digits."""


def _exact(e: AbstractExpr, values: Mapping[str, mpmath.mpf]) -> mpmath.mpf:
    match e:
        case Number():
            return mpmath.mpf(repr(e.value))
        case Constant():
            return mpmath.pi
        case Name():
            return values[e.id]
        case Neg():
            return -_exact(e.of, values)
        case Sum():
            return mpmath.fsum(_exact(t.of, values) * (1 if t.sign == "+" else -1) for t in e.terms)
        case Product():
            total = mpmath.mpf(1)
            for f in e.factors:
                of = _exact(f.of, values)
                total = total * of if f.op == "*" else total / of
            return total
        case Power():
            return _exact(e.base, values) ** _exact(e.exponent, values)
        case Call():
            return EXACT[e.name](*(_exact(a.value, values) for a in e.args))
    raise AssertionError(e)


def grid(domain: Support, count: int) -> list[float]:
    """Ascending points of an interval, dense near finite ends and reaching to ±60 on unbounded sides."""
    places = [(i + 0.5) / count for i in range(count)]
    if math.isinf(domain.low):
        return [math.sinh(4.8 * (2 * p - 1)) for p in places]
    if math.isinf(domain.high):
        return [domain.low + math.expm1(4.1 * p) for p in places]
    return [domain.low + (domain.high - domain.low) * (1 - math.cos(math.pi * p)) / 2 for p in places]


def closure(e: AbstractExpr) -> Callable[[Mapping[str, float]], float]:
    """A formula as a Python function, quick to call; NaN where it has no value."""
    run = _closure(e)

    def value(values: Mapping[str, float]) -> float:
        try:
            return run(values)
        except (ValueError, OverflowError, ZeroDivisionError):
            return math.nan

    return value


def _closure(e: AbstractExpr) -> Callable[[Mapping[str, float]], float]:
    match e:
        case Number():
            number = float(e.value)
            return lambda v: number
        case Constant():
            return lambda v: math.pi
        case Name():
            name = e.id
            return lambda v: v[name]
        case Neg():
            of = _closure(e.of)
            return lambda v: -of(v)
        case Sum():
            terms = [(_closure(t.of), 1.0 if t.sign == "+" else -1.0) for t in e.terms]
            return lambda v: sum(sign * term(v) for term, sign in terms)
        case Product():
            factors = [(_closure(f.of), f.op) for f in e.factors]

            def product(v: Mapping[str, float]) -> float:
                total = 1.0
                for factor, op in factors:
                    total = total * factor(v) if op == "*" else total / factor(v)
                return total

            return product
        case Power():
            base, exponent = _closure(e.base), _closure(e.exponent)
            return lambda v: math.pow(base(v), exponent(v))
        case Call():
            function, args = FUNCTIONS[e.name].value, [_closure(a.value) for a in e.args]
            return lambda v: function(*(arg(v) for arg in args))
    raise AssertionError(e)
