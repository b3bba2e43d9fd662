"""Symbolic differentiation of terms, and of formulas."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Final

from dgmspec.algebra.builder import Builder
from dgmspec.algebra.terms import HALF, ONE, PI, TWO, ZERO, Add, Fn, Mul, Opaque, Sym, Term
from dgmspec.core.diagnostics import Refusal


def derivative_term(b: Builder, term: Term, name: str) -> Term:
    """∂term/∂name. Where `max`, `abs` and `step` have kinks or jumps it is the derivative on either side."""
    if name not in term.names:
        return ZERO
    match term:
        case Sym():
            return ONE
        case Add():
            return b.combine((derivative_term(b, part, name), c) for part, c in term.parts)
        case Mul():
            return b.add(*(_factor(b, term, index, name) for index in range(len(term.factors))))
        case Fn(name="max"):
            left, right = term.args
            step = b.fn("step", b.sub(left, right))
            other = derivative_term(b, right, name)
            return b.add(b.mul(step, b.sub(derivative_term(b, left, name), other)), other)
        case Opaque():
            raise Refusal("DGM455", f"`{name}` is used as a whole, where it has no derivative coordinate by coordinate")
        case Fn():
            return b.mul(SLOPES[term.name](b, term.args[0]), derivative_term(b, term.args[0], name))
    raise AssertionError(f"{term!r} has no derivative")


def _factor(b: Builder, term: Mul, index: int, name: str) -> Term:
    """The product with one factor differentiated: (v^e)' = e v^(e-1) v' + v^e log(v) e'."""
    base, exponent = term.factors[index]
    others = [*term.factors[:index], *term.factors[index + 1 :]]
    by_base: Term = ZERO
    if name in base.names:
        lowered = (base, b.sub(exponent, ONE))
        by_base = b.product([*others, (exponent, ONE), lowered, (derivative_term(b, base, name), ONE)])
    if name not in exponent.names:
        return by_base
    slope = b.mul(b.log(base), derivative_term(b, exponent, name))
    return b.add(by_base, b.product([*others, (base, exponent), (slope, ONE)]))


def _arcsinh(b: Builder, u: Term) -> Term:
    return b.power(b.add(ONE, b.power(u, 2)), Fraction(-1, 2))


SLOPES: Final[dict[str, Callable[[Builder, Term], Term]]] = {
    "exp": lambda b, u: b.exp(u),
    "log": lambda b, u: b.power(u, -1),
    "sin": lambda b, u: b.fn("cos", u),
    "cos": lambda b, u: b.neg(b.fn("sin", u)),
    "tan": lambda b, u: b.add(ONE, b.power(b.fn("tan", u), 2)),
    "sinh": lambda b, u: b.fn("cosh", u),
    "cosh": lambda b, u: b.fn("sinh", u),
    "tanh": lambda b, u: b.scale(b.fn("bell", b.scale(u, 2)), 4),
    "bell": lambda b, u: b.neg(b.mul(b.fn("bell", u), b.fn("tanh", b.scale(u, Fraction(1, 2))))),
    "arcsinh": _arcsinh,
    "arctan": lambda b, u: b.power(b.add(ONE, b.power(u, 2)), -1),
    "sigmoid": lambda b, u: b.fn("bell", u),
    "logit": lambda b, u: b.mul(b.power(u, -1), b.power(b.sub(ONE, u), -1)),
    "softplus": lambda b, u: b.fn("sigmoid", u),
    "abs": lambda b, u: b.fn("sign", u),
    "step": lambda b, u: ZERO,
    "erf": lambda b, u: b.mul(TWO, b.power(PI, Fraction(-1, 2)), b.exp(b.neg(b.power(u, 2)))),
    "erfinv": lambda b, u: b.mul(HALF, b.power(PI, Fraction(1, 2)), b.exp(b.power(b.fn("erfinv", u), 2))),
    "arcsin": lambda b, u: b.power(b.sub(ONE, b.power(u, 2)), Fraction(-1, 2)),
    "arccos": lambda b, u: b.neg(b.power(b.sub(ONE, b.power(u, 2)), Fraction(-1, 2))),
    "arccosh": lambda b, u: b.power(b.sub(b.power(u, 2), ONE), Fraction(-1, 2)),
    "arctanh": lambda b, u: b.power(b.sub(ONE, b.power(u, 2)), -1),
    "log_expm1": lambda b, u: b.power(b.sub(ONE, b.exp(b.neg(u))), -1),
}
"""f'(u) of each function f of one argument."""
