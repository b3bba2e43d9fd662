"""Inverses by peeling: where the variable occurs once, undo one operation after the other, outermost first."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Final

from dgmspec.algebra.builder import Builder
from dgmspec.algebra.terms import PI, Add, Fn, Mul, Num, Sym, Term

UNDO: Final = {
    "exp": "log", "log": "exp", "sinh": "arcsinh", "arcsinh": "sinh", "tanh": "arctanh", "arctanh": "tanh",
    "sigmoid": "logit", "logit": "sigmoid", "softplus": "log_expm1", "log_expm1": "softplus", "erf": "erfinv",
    "erfinv": "erf", "arctan": "tan", "arcsin": "sin", "arccos": "cos", "arccosh": "cosh",
}  # fmt: skip
"""The inverse of each function that has one on all of its domain."""


def peel(old: Builder, new: Builder, term: Term, name: str, value: Term) -> Term | None:
    """The variable as a term of `value` = term, or None where it does not occur exactly once.

    `old` is the builder over the variable's support (it knows on which branch the variable is), `new` the one over
    the image, in which the inverse is built.
    """
    while not isinstance(term, Sym):
        step = _undo(old, new, term, name, value)
        if step is None:
            return None
        term, value = step
    return value


def _undo(old: Builder, new: Builder, term: Term, name: str, value: Term) -> tuple[Term, Term] | None:
    """One operation undone: the operand with the variable, and its value."""
    match term:
        case Add():
            inside = [(part, c) for part, c in term.parts if name in part.names]
            if len(inside) != 1:
                return None
            part, coefficient = inside[0]
            rest = new.combine([(p, -c) for p, c in term.parts if p is not part], -term.constant)
            return part, new.scale(new.add(value, rest), 1 / coefficient)
        case Mul():
            factors = [(v, e) for v, e in term.factors if name in v.names or name in e.names]
            if len(factors) != 1:
                return None
            base, exponent = factors[0]
            rest = new.product((v, new.neg(e)) for v, e in term.factors if (v, e) != factors[0])
            return _undo_power(old, new, base, exponent, name, new.mul(value, rest))
        case Fn() if len(term.args) == 1:
            inner = _undo_function(old, new, term, value)
            return None if inner is None else (term.args[0], inner)
    return None


def _undo_power(
    old: Builder, new: Builder, base: Term, exponent: Term, name: str, value: Term
) -> tuple[Term, Term] | None:
    """base^exponent = value, solved for the one of the two that has the variable."""
    if name not in base.names:
        return exponent, new.div(new.log(value), new.log(base))
    if name in exponent.names:
        return None
    if not isinstance(exponent, Num):
        return base, new.raise_to(value, new.product(((exponent, Num(-1)),)))
    n = exponent.value
    if abs(n) == 1:
        return base, new.power(value, n)
    if n.denominator != 1 or old.sign(base) == 1:
        return base, new.power(value, 1 / n)
    if old.sign(base) != -1:
        return None
    return base, new.neg(new.power(value if n.numerator % 2 == 0 else new.neg(value), 1 / n))


def _undo_function(old: Builder, new: Builder, term: Fn, value: Term) -> Term | None:
    """f(u) = value, solved for u, on the branch that u is on."""
    u = term.args[0]
    if term.name in UNDO:
        return new.fn(UNDO[term.name], value)
    if term.name == "cosh":
        sign = old.sign(u)
        return None if sign in (None, 0) else new.scale(new.fn("arccosh", value), sign)
    if term.name not in ("sin", "cos", "tan"):
        return None
    branch = _branch(old, u, 0.0 if term.name == "cos" else -0.5)
    if branch is None:
        return None
    shift = new.scale(PI, branch)
    if term.name == "tan":
        return new.add(shift, new.fn("arctan", value))
    signed = value if branch % 2 == 0 else new.neg(value)
    if term.name == "sin":  # sin(u) = (-1)^k sin(u - kπ)
        return new.add(shift, new.fn("arcsin", signed))
    return new.add(shift, new.fn("arccos", signed))


def _branch(old: Builder, u: Term, start: float) -> Fraction | None:
    """k where u stays in ((start + k) π, (start + k + 1) π)."""
    around = old.box.range(u)
    if math.isinf(around.low) or math.isinf(around.high):
        return None
    k = math.floor((around.low + around.high) / 2 / math.pi - start)
    slack = 1e-14 * (abs(k) + 1)
    inside = around.low >= (start + k) * math.pi - slack and around.high <= (start + k + 1) * math.pi + slack
    return Fraction(k) if inside else None
