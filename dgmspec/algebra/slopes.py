"""log|derivative| in a form that float32 can hold.

Along a chain of operations it is the sum of the operations' own log-derivatives: exp gives its argument, tanh
``-2 log cosh``, a power ``log|n| + (n - 1) log|u|``. Where the variable occurs more than once it is the logarithm of
the symbolic derivative, taken apart into factors, and into `logaddexp` where exponentials are added.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import reduce
from typing import Final

from dgmspec.algebra.builder import Builder
from dgmspec.algebra.derive import derivative_term
from dgmspec.algebra.factoring import factor_sum
from dgmspec.algebra.prove import Prover
from dgmspec.algebra.terms import ONE, PI, ZERO, Add, Fn, Mul, Num, Sym, Term, split_multiple, walk_terms

_HALF: Final = Fraction(1, 2)
_WILD: Final = {"exp", "cosh", "sinh", "sigmoid", "bell"}


def log_slope(prover: Prover, term: Term, name: str) -> Term:
    """log|∂term/∂name|; the derivative is known to be nowhere 0."""
    b = prover.b
    match term:
        case Sym():
            return ZERO
        case Add():
            inside = [(part, c) for part, c in term.parts if name in part.names]
            if len(inside) == 1:
                return b.add(b.log(Num(abs(inside[0][1]))), log_slope(prover, inside[0][0], name))
        case Mul():
            found = _of_product(prover, term, name)
            if found is not None:
                return found
        case Fn() if term.name in LOG_SLOPES and len(term.args) == 1:
            return b.add(LOG_SLOPES[term.name](prover, term.args[0]), log_slope(prover, term.args[0], name))
    return log_abs(prover, derivative_term(b, term, name))


def _of_product(prover: Prover, term: Mul, name: str) -> Term | None:
    """One factor v^e with the variable: in v, log|rest| + log|e| + (e - 1) log|v|; in e, log|all| + log|log v|."""
    b = prover.b
    inside = [(v, e) for v, e in term.factors if name in v.names or name in e.names]
    if len(inside) != 1:
        return None
    base, exponent = inside[0]
    rest = [log_abs(prover, b.raise_to(v, e)) for v, e in term.factors if (v, e) != inside[0]]
    if name not in base.names:
        chain = [b.mul(exponent, b.log(base)), log_abs(prover, b.log(base)), log_slope(prover, exponent, name)]
    elif name not in exponent.names:
        lowered = b.mul(b.sub(exponent, ONE), log_abs(prover, base)) if exponent != ONE else ZERO
        chain = [log_abs(prover, exponent), lowered, log_slope(prover, base, name)]
    else:
        return None
    return b.add(*rest, *chain)


def log_abs(prover: Prover, term: Term) -> Term:
    """log|term| of a term that is nowhere 0."""
    b = prover.b
    scale, rest = split_multiple(factor_sum(b, term))
    if rest == ONE:
        return b.log(Num(abs(scale)))
    size = b.log(Num(abs(scale)))
    match rest:
        case Mul():
            return b.add(size, *(b.mul(e, log_abs(prover, v)) for v, e in rest.factors))
        case Fn() if rest.name in LOGS:
            return b.add(size, LOGS[rest.name](b, rest.args[0]))
        case Add():
            return b.add(size, _log_of_sum(prover, rest))
    sign = prover.sign(rest).sign
    return b.add(size, b.log(b.neg(rest) if sign == -1 else rest if sign == 1 else b.fn("abs", rest)))


def _log_of_sum(prover: Prover, term: Add) -> Term:
    b = prover.b
    sign = prover.sign(term).sign
    signed = b.neg(term) if sign == -1 else term
    if sign is None or not isinstance(signed, Add):
        return b.log(b.fn("abs", term))
    logarithm = b.log(signed)
    plain = Fn("log", (signed,))
    items = [b.scale(part, c) for part, c in signed.parts] + ([Num(signed.constant)] if signed.constant else [])
    wild = [any(isinstance(part, Fn) and part.name in _WILD for part in walk_terms(item)) for item in items]
    grows = any(isinstance(part, Fn) and part.name in ("exp", "cosh", "sinh") for part in walk_terms(signed))
    if logarithm == plain and (grows or all(wild)) and all(prover.b.sign(item) == 1 for item in items):
        return reduce(lambda a, c: Fn("logaddexp", (a, c)), (log_abs(prover, item) for item in items))
    return logarithm


def log_cosh(b: Builder, u: Term) -> Term:
    """log cosh u = u + softplus(-2u) - log 2."""
    return b.add(u, b.fn("softplus", b.scale(u, -2)), b.neg(b.log(Num(2))))


def log_sinh(b: Builder, u: Term) -> Term:
    """log|sinh u| = |u| + log(1 - exp(-2|u|)) - log 2."""
    size = b.fn("abs", u)
    return b.add(size, b.log(b.sub(ONE, b.exp(b.scale(size, -2)))), b.neg(b.log(Num(2))))


LOGS: Final[dict[str, Callable[[Builder, Term], Term]]] = {
    "exp": lambda b, u: u,
    "sigmoid": lambda b, u: b.neg(b.fn("softplus", b.neg(u))),
    "cosh": log_cosh,
    "sinh": log_sinh,
    "bell": lambda b, u: b.neg(b.add(b.fn("softplus", u), b.fn("softplus", b.neg(u)))),
}
"""log|f(u)| of functions whose own value would overflow or round to 0."""


def _one_minus_square(b: Builder, u: Term) -> Term:
    """log(1 - u^2), exact near both ends."""
    return b.add(b.log(b.sub(ONE, u)), b.log(b.add(ONE, u)))


def _log_gauss(b: Builder) -> Term:
    """log(2 / sqrt(π))."""
    return b.add(b.log(Num(2)), b.scale(b.log(PI), -_HALF))


def _log_one_plus_square(b: Builder, u: Term) -> Term:
    return b.log(b.add(ONE, b.power(u, 2)))


LOG_SLOPES: Final[dict[str, Callable[[Prover, Term], Term]]] = {
    "exp": lambda p, u: u,
    "log": lambda p, u: p.b.neg(log_abs(p, u)),
    "sin": lambda p, u: log_abs(p, p.b.fn("cos", u)),
    "cos": lambda p, u: log_abs(p, p.b.fn("sin", u)),
    "tan": lambda p, u: p.b.scale(log_abs(p, p.b.fn("cos", u)), -2),
    "sinh": lambda p, u: log_cosh(p.b, u),
    "cosh": lambda p, u: log_sinh(p.b, u),
    "tanh": lambda p, u: p.b.scale(log_cosh(p.b, u), -2),
    "arcsinh": lambda p, u: p.b.scale(_log_one_plus_square(p.b, u), -_HALF),
    "arctan": lambda p, u: p.b.neg(_log_one_plus_square(p.b, u)),
    "sigmoid": lambda p, u: log_abs(p, p.b.fn("bell", u)),
    "softplus": lambda p, u: p.b.neg(p.b.fn("softplus", p.b.neg(u))),
    "logit": lambda p, u: p.b.sub(p.b.neg(p.b.log(u)), p.b.log(p.b.sub(ONE, u))),
    "erf": lambda p, u: p.b.sub(_log_gauss(p.b), p.b.power(u, 2)),
    "erfinv": lambda p, u: p.b.sub(p.b.power(p.b.fn("erfinv", u), 2), _log_gauss(p.b)),
    "arcsin": lambda p, u: p.b.scale(_one_minus_square(p.b, u), -_HALF),
    "arccos": lambda p, u: p.b.scale(_one_minus_square(p.b, u), -_HALF),
    "arccosh": lambda p, u: p.b.scale(p.b.log(p.b.sub(p.b.power(u, 2), ONE)), -_HALF),
    "arctanh": lambda p, u: p.b.neg(_one_minus_square(p.b, u)),
    "log_expm1": lambda p, u: p.b.neg(p.b.log(p.b.sub(ONE, p.b.exp(p.b.neg(u))))),
}
"""log|f'(u)| of each function f."""
