"""Limits of terms at the ends of an interval, from the leading behaviour of their parts.

The variable is replaced by t, -t or end ∓ 1/t with t → ∞. A term without conflict (no ∞ - ∞, no 0 · ∞) has the limit
of its parts; otherwise parts are compared by their `Lead`, ``c · exp(q(t)) · t^p · (log t)^r`` with a polynomial q.
What this cannot decide is None: "not known", never a guess.
"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Final

from dgmspec.algebra.builder import Builder
from dgmspec.algebra.derive import SLOPES
from dgmspec.algebra.factoring import expanded
from dgmspec.algebra.growth import Lead, T, compare, growth, monomial, times
from dgmspec.algebra.intervals import Interval, decimal, nearest
from dgmspec.algebra.substitution import substitute_term
from dgmspec.algebra.terms import ONE, PI, TWO, ZERO, Add, Fn, Mul, Num, Sym, Term
from dgmspec.core.diagnostics import Refusal

_FAR: Final = 2.0**20

Limit = Term | float
"""A finite limit as a term without the variable, or ±inf."""


def limit(b: Builder, term: Term, name: str, interval: Interval, end: int) -> Limit | None:
    """The limit of `term` as `name` goes to the lower (-1) or upper (1) end of its interval; None if not known."""
    edge = interval.high if end > 0 else interval.low
    if math.isinf(edge):
        value, near = b.scale(T, end), Interval(_FAR, math.inf, True, True)
    else:
        width = interval.high - interval.low
        near = Interval(_FAR / min(width, 1.0), math.inf, True, True)
        value = b.add(Num(decimal(edge)), b.scale(b.power(T, -1), -end))
    far = b.over({**b.box.names, T.name: near})
    return limit_at_infinity(far, substitute_term(far, term, name, value))


def limit_at_infinity(b: Builder, term: Term) -> Limit | None:
    """The limit for t → ∞."""
    if T.name not in term.names:
        return term
    match term:
        case Sym():
            return math.inf
        case Add():
            return _of_sum(b, term)
        case Mul():
            return _of_product(b, term)
        case Fn():
            return _of_function(b, term)
    return None


def _of_sum(b: Builder, term: Add) -> Limit | None:
    finite: list[tuple[Term, Fraction]] = [(ONE, term.constant)]
    infinite: set[float] = set()
    bounded = True
    for part, coefficient in term.parts:
        value = limit_at_infinity(b, part)
        if value is None:
            if not _bounded(b, part):
                return _of_lead(b, term)
            bounded = False
        elif isinstance(value, float):
            infinite.add(value * (1 if coefficient > 0 else -1))
        else:
            finite.append((value, coefficient))
    if len(infinite) == 1:
        return infinite.pop()
    if infinite:
        return _of_lead(b, term)
    return b.combine(finite) if bounded else None


def _bounded(b: Builder, term: Term) -> bool:
    """Whether a term stays bounded for t → ∞, whatever the fixed values of the other names."""
    if T.name not in term.names:
        return True
    match term:
        case Add():
            return all(_bounded(b, part) for part, _ in term.parts)
        case Mul():
            return all(
                T.name not in v.names | e.names or (isinstance(e, Num) and e.value > 0 and _bounded(b, v))
                for v, e in term.factors
            )
        case Fn():
            return term.name in _BOUNDED
    return False


def _of_product(b: Builder, term: Mul) -> Limit | None:
    finite, zero, infinite, sign = [], False, False, 1
    for base, exponent in term.factors:
        value = _of_power(b, base, exponent)
        if value is None:
            return _fading(b, term) if _bounded(b, Mul(((base, exponent),))) else _of_lead(b, term)
        if isinstance(value, float):
            infinite, sign = True, sign * (1 if value > 0 else -1)
        elif value == ZERO:
            zero = True
        else:
            finite.append(value)
    if infinite and zero:
        return _of_lead(b, term)
    if zero:
        return ZERO
    rest = b.mul(*finite)
    if not infinite:
        return rest
    direction = b.sign(rest)
    return None if not direction else math.inf * sign * direction


def _fading(b: Builder, term: Mul) -> Limit | None:
    """A product with a bounded factor that has no limit: 0 if what remains goes to 0."""
    rest = [(v, e) for v, e in term.factors if _of_power(b, v, e) is not None]
    return ZERO if limit_at_infinity(b, b.product(rest)) == ZERO else None


def _of_power(b: Builder, base: Term, exponent: Term) -> Limit | None:
    value, power = limit_at_infinity(b, base), limit_at_infinity(b, exponent)
    if value is None or power is None:
        return None
    if not isinstance(exponent, Num):
        if isinstance(value, float) or value == ZERO or isinstance(power, float):
            log = limit_at_infinity(b, b.mul(exponent, b.log(base)))
            return None if log is None else _exp(b, log)
        return b.raise_to(value, power)
    n = exponent.value
    odd = n.denominator == 1 and n.numerator % 2 == 1
    if isinstance(value, float):
        return ZERO if n < 0 else value if odd or value > 0 else math.inf
    if value == ZERO and n < 0:
        sign = b.sign(base) if odd else 1
        return None if not sign else math.inf * sign
    return b.power(value, n)


def _exp(b: Builder, value: Limit) -> Limit:
    if isinstance(value, float):
        return math.inf if value > 0 else ZERO
    return b.exp(value)


_BOUNDED: Final = {"sin", "cos", "tanh", "sigmoid", "erf", "arctan", "step", "bell"}
_ENDS: Final[dict[str, tuple[Limit, Limit]]] = {
    "sinh": (-math.inf, math.inf),
    "cosh": (math.inf, math.inf),
    "tanh": (Num(-1), ONE),
    "arcsinh": (-math.inf, math.inf),
    "sigmoid": (ZERO, ONE),
    "softplus": (ZERO, math.inf),
    "erf": (Num(-1), ONE),
    "bell": (ZERO, ZERO),
    "abs": (math.inf, math.inf),
    "exp": (ZERO, math.inf),
    "log": (-math.inf, math.inf),
    "log_expm1": (-math.inf, math.inf),
    "arccosh": (math.inf, math.inf),
}
"""The limits of functions for arguments going to -∞ and ∞."""

_POLES: Final[dict[str, dict[Fraction, float]]] = {
    "log": {Fraction(0): -math.inf},
    "log_expm1": {Fraction(0): -math.inf},
    "logit": {Fraction(0): -math.inf, Fraction(1): math.inf},
    "erfinv": {Fraction(-1): -math.inf, Fraction(1): math.inf},
    "arctanh": {Fraction(-1): -math.inf, Fraction(1): math.inf},
}
"""Where functions go to infinity at a finite end of their domain."""


def _of_function(b: Builder, term: Fn) -> Limit | None:
    values: list[Limit] = []
    for arg in term.args:
        found = limit_at_infinity(b, arg)
        if found is None:
            return None
        values.append(found)
    value = values[0]
    if term.name == "max":
        numbers = [v for v in values if isinstance(v, float)]
        if math.inf in numbers:
            return math.inf
        finite = [v for v in values if isinstance(v, Term)]
        return b.fn("max", *finite) if len(finite) == 2 else finite[0] if finite else -math.inf
    if isinstance(value, float):
        if term.name == "arctan":
            return b.scale(PI, Fraction(1 if value > 0 else -1, 2))
        ends = _ENDS.get(term.name)
        return ends[value > 0] if ends else None
    if isinstance(value, Num) and value.value in _POLES.get(term.name, {}):
        return _POLES[term.name][value.value]
    if term.name == "tan":
        return _of_tangent(b, term.args[0], value)
    if term.name == "step":
        return b.fn("step", value) if b.sign(value) in (1, -1) else None
    return b.fn(term.name, value)


def _of_tangent(b: Builder, arg: Term, value: Term) -> Limit | None:
    """tan at the limit of its argument: infinite at an odd multiple of π/2, with the sign of its last values."""
    if b.fn("cos", value) != ZERO:
        return b.fn("tan", value)
    sign = b.sign(b.sub(value, expanded(b, arg)))
    return None if not sign else math.inf * sign


# ---- leading behaviour ----------------------------------------------------------------------------------------------


def _of_lead(b: Builder, term: Term) -> Limit | None:
    found = lead(b, term)
    if found is None:
        return None
    direction = growth(b, found)
    sign = b.sign(found.coefficient)
    if direction is None:
        return None
    if direction > 0:
        return math.inf * sign if sign else None
    return found.coefficient if direction == 0 else ZERO


def lead(b: Builder, term: Term) -> Lead | None:
    """The leading behaviour of a term for t → ∞, or None."""
    b.spend()
    if T.name not in term.names:
        return None if term == ZERO else Lead(term)
    match term:
        case Sym():
            return Lead(ONE, power=Fraction(1))
        case Add():
            return _lead_of_sum(b, term)
        case Mul():
            total: Lead | None = Lead(ONE)
            for base, exponent in term.factors:
                one = lead(b, base) if isinstance(exponent, Num) else None
                if one is None or total is None or not isinstance(exponent, Num):
                    return None
                total = times(b, total, one, exponent.value)
            return total
        case Fn():
            return _lead_of_function(b, term)
    return None


def _lead_of_sum(b: Builder, term: Add) -> Lead | None:
    leads = [Lead(Num(term.constant))] if term.constant else []
    for part, coefficient in term.parts:
        one = lead(b, part)
        if one is None:
            if not _bounded(b, part):
                return None
            continue  # bounded: what goes to infinity outgrows it; a finite result is refused below
        leads.append(replace(one, coefficient=b.scale(one.coefficient, coefficient)))
    bounded = len(leads) == len(term.parts) + bool(term.constant)
    top: list[Lead] = []
    for one in leads:
        comparison = compare(b, one, top[0]) if top else 1
        if comparison is None:
            return None
        if comparison > 0:
            top = [one]
        elif comparison == 0:
            top.append(one)
    if not top or (not bounded and growth(b, top[0]) != 1):
        return None
    total = b.add(*(one.coefficient for one in top))
    if total == ZERO or b.sign(total) in (None, 0):
        return None
    return replace(top[0], coefficient=total)


def _lead_of_function(b: Builder, term: Fn) -> Lead | None:
    u = term.args[0]
    value = limit_at_infinity(b, u)
    if value is None or len(term.args) > 1:
        return None
    if isinstance(value, Term):
        return _lead_at(b, term, value)
    if term.name in ("tanh", "erf", "arctan", "sigmoid", "softplus"):
        whole = _of_function(b, term)
        if isinstance(whole, Term) and whole != ZERO:
            return Lead(whole)
    match term.name, value > 0:
        case ("exp", _):
            return _lead_of_exp(b, u)
        case ("sigmoid" | "softplus" | "bell", False):
            return _lead_of_exp(b, u)
        case ("bell", True):
            return _lead_of_exp(b, b.neg(u))
        case ("softplus", True) | ("log_expm1", True):
            return lead(b, u)
        case ("sinh" | "cosh", _):
            grown = _lead_of_exp(b, u if value > 0 else b.neg(u))
            half = Num(Fraction(1 if value > 0 or term.name == "cosh" else -1, 2))
            return None if grown is None else replace(grown, coefficient=b.mul(half, grown.coefficient))
        case ("abs", _):
            return lead(b, u if value > 0 else b.neg(u))
        case ("log", True):
            return _lead_of_log(b, u)
        case ("arcsinh", _):
            found = _lead_of_log(b, b.mul(TWO, u if value > 0 else b.neg(u)))
            return found if found is None or value > 0 else replace(found, coefficient=b.neg(found.coefficient))
    return None


def _lead_at(b: Builder, term: Fn, value: Term) -> Lead | None:
    """f(u) with u → L finite: f(L), or f'(L) (u - L) where f(L) = 0."""
    whole = _of_function(b, term)
    if isinstance(whole, Term) and whole != ZERO:
        return Lead(whole)
    if whole == ZERO and term.name in SLOPES and term.name not in ("abs", "step", "arccosh"):
        slope = SLOPES[term.name](b, value)
        return lead(b, b.mul(slope, b.sub(expanded(b, term.args[0]), value))) if slope != ZERO else None
    if term.name == "log" and whole == -math.inf:
        return _lead_of_log(b, term.args[0])
    return None


def _lead_of_exp(b: Builder, u: Term) -> Lead | None:
    """exp(u) where u is a polynomial of t plus what has a limit."""
    exponent: dict[Fraction, Term] = {}
    factor: list[Term] = [Num(u.constant) if isinstance(u, Add) else ZERO]
    for part, coefficient in u.parts if isinstance(u, Add) else ((u, Fraction(1)),):
        value = limit_at_infinity(b, part)
        if isinstance(value, Term):
            factor.append(b.scale(value, coefficient))
            continue
        power = monomial(b, part)
        if power is None:
            return None
        degree, scale = power
        exponent[degree] = b.add(exponent.get(degree, ZERO), b.scale(scale, coefficient))
    kept = tuple((degree, value) for degree, value in exponent.items() if value != ZERO)
    return Lead(b.exp(b.add(*factor)), kept)


def _lead_of_log(b: Builder, u: Term) -> Lead | None:
    """log(u) for u → ∞ or 0: the polynomial in the exponent of u, else its power of t."""
    inner = lead(b, u)
    if inner is None:
        return None
    if inner.exponent:
        degree, coefficient = max(inner.exponent, key=lambda item: item[0])
        return Lead(coefficient, power=degree) if degree > 0 else None
    return Lead(Num(inner.power), logs=Fraction(1)) if inner.power else None


def finite_value(b: Builder, value: Term) -> float:
    """A finite limit without names as the nearest float.

    Raises Refusal (DGM454) where intervals of floats do not bound it, as a quotient whose divisor they cannot tell
    from zero.
    """
    if isinstance(value, Num):
        return nearest(value.value)
    around = b.over({}).box.range(value)
    if not (math.isfinite(around.low) and math.isfinite(around.high)):
        raise Refusal("DGM454", "float64 cannot bound a number that the right side tends to")
    return (around.low + around.high) / 2
