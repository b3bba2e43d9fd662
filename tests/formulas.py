"""Formulas for the tests of the algebra room: read from text, shown as text, evaluated at points."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache

import dgmspec
from dgmspec.algebra.evaluate import evaluate
from dgmspec.algebra.nodes import AbstractExpr, Call, Constant, Name, Neg, Number, Power, Product, Sum
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
    found = {}
    for item in (
        text.replace("), ", ");")
        .replace("real, ", "real;")
        .replace("positive, ", "positive;")
        .replace("unit, ", "unit;")
        .split(";")
    ):
        name, _, kind = item.partition(":")
        kind = kind.strip()
        found[name.strip()] = NAMED[kind] if kind in NAMED else interval(*map(float, kind.strip("()").split(",")))
    return found


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
