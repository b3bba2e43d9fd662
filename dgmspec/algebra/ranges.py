"""Where a term lies when its names run over intervals: interval evaluation, function by function.

`Box` holds one interval for each name and encloses any term over it. The enclosure treats every occurrence of a name
as independent, so it is exact where a name occurs once and an over-estimate elsewhere; it is never too small.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Final

from dgmspec.algebra.functions import FUNCTIONS, INTERNAL
from dgmspec.algebra.intervals import (
    ONE,
    REALS,
    ZERO,
    Interval,
    absolute,
    add,
    decimal,
    down,
    exact,
    increasing,
    intersection,
    multiply,
    negative,
    point,
    power,
    up,
)
from dgmspec.algebra.terms import Add, Fn, Mul, Num, Opaque, Sym, Term

_INF: Final = math.inf
_LINE: Final = REALS
_UP: Final = Interval(0.0, _INF, True, True)
_UNIT: Final = Interval(0.0, 1.0, True, True)
_SIGNS: Final = Interval(-1.0, 1.0, True, True)
_QUARTER: Final = Interval(down(-math.pi / 2), up(math.pi / 2), True, True)

INCREASING: Final[dict[str, tuple[Interval, Interval, tuple[float, ...]]]] = {
    "exp": (_LINE, _UP, (0.0,)),
    "log": (_UP, _LINE, (1.0,)),
    "sinh": (_LINE, _LINE, (0.0,)),
    "tanh": (_LINE, _SIGNS, (0.0,)),
    "arcsinh": (_LINE, _LINE, (0.0,)),
    "arctan": (_LINE, _QUARTER, (0.0,)),
    "sigmoid": (_LINE, _UNIT, ()),
    "logit": (_UNIT, _LINE, (0.5,)),
    "softplus": (_LINE, _UP, ()),
    "erf": (_LINE, _SIGNS, (0.0,)),
    "erfinv": (_SIGNS, _LINE, (0.0,)),
    "arcsin": (Interval(-1.0, 1.0), Interval(_QUARTER.low, _QUARTER.high), (0.0,)),
    "arccosh": (Interval(1.0, _INF, False, True), Interval(0.0, _INF, False, True), (1.0,)),
    "arctanh": (_SIGNS, _LINE, (0.0,)),
    "log_expm1": (_UP, _LINE, ()),
}
"""The increasing functions: domain, image, and the points where float64 gives the value without rounding."""

_ULPS: Final = {"erfinv": 64, "logit": 8, "log_expm1": 8, "sigmoid": 4, "softplus": 4}
"""Bounds of rounding errors in units of the last place, where they may pass two."""

_CANCELLING: Final = ("logit", "log_expm1")
"""Functions with a zero where two terms cancel: 1/2 for log x - log(1 - x), log 2 for y + log(1 - exp(-y))."""


class Box:
    """Intervals for names, with the enclosures already found; `spend` is told of every operation.

    `refine` may know more about products of unbounded factors (``x exp(-x)`` on a half-line).

    A finite end stands for the decimal number that its float writes, so that ``x - 0.3`` is positive on (0.3, 1).
    """

    def __init__(
        self,
        names: Mapping[str, Interval],
        spend: Callable[[], None] = lambda: None,
        refine: Callable[[Mul], Interval | None] = lambda term: None,
    ) -> None:
        self.names = names
        self._spend = spend
        self._refine = refine
        self._found: dict[Term, Interval] = {}

    def range(self, term: Term) -> Interval:
        """An interval that holds every value of `term` over the box."""
        found = self._found.get(term)
        if found is None:
            self._spend()
            found = self._found[term] = self._range(term)
        return found

    def _range(self, term: Term) -> Interval:
        match term:
            case Sym():
                return _outward(self.names[term.name])
            case Num():
                return exact(term.value)
            case Opaque():
                return term.within
            case Add():
                total = exact(term.constant)
                for part, coefficient in term.parts:
                    value = self.range(part)
                    total = add(total, value if coefficient == 1 else multiply(exact(coefficient), value))
                if total.sign is None:
                    return self._closer(term, total)
                return total
            case Mul():
                total = ONE
                for base, exponent in term.factors:
                    value = self._power(base, exponent)
                    total = value if total is ONE else multiply(total, value)
                if len(term.factors) > 1 and math.isinf(total.high - total.low):
                    return self._refine(term) or total
                return total
            case Fn():
                return apply(term.name, tuple(map(self.range, term.args)))
        raise AssertionError(f"{term!r} has no range")

    def _closer(self, term: Add, plain: Interval) -> Interval:
        """A sum that the plain enclosure leaves undecided: a line by its exact ends, a polynomial by Horner's rule."""
        if len(term.parts) == 1 and isinstance(term.parts[0][0], Sym):
            return self._line(term.parts[0][0], term.parts[0][1], term.constant)
        base, powers = _polynomial(term)
        if base is None:
            return plain
        x = self.range(base)
        last, total = powers[0]
        value = exact(total)
        for degree, coefficient in (*powers[1:], (0, term.constant)):
            if degree != last:
                value = multiply(value, power(x, Fraction(last - degree)))
            value, last = add(value, exact(coefficient)), degree
        return intersection(plain, value)

    def _line(self, name: Sym, slope: Fraction, constant: Fraction) -> Interval:
        """slope · name + constant from the exact ends of the name's interval."""
        a = self.names[name.name]
        ends = [
            (exact(slope * decimal(end) + constant), is_open)
            if math.isfinite(end)
            else (point(math.copysign(_INF, end * slope)), True)
            for end, is_open in ((a.low, a.open_low), (a.high, a.open_high))
        ]
        (low, open_low), (high, open_high) = ends if slope > 0 else reversed(ends)
        return Interval(low.low, high.high, open_low or low.open_low, open_high or high.open_high)

    def _power(self, base: Term, exponent: Term) -> Interval:
        if isinstance(exponent, Num):
            return power(self.range(base), exponent.value)
        return apply("exp", (multiply(self.range(exponent), apply("log", (self.range(base),))),))


def _polynomial(term: Add) -> tuple[Term | None, list[tuple[int, Fraction]]]:
    """(u, [(degree, coefficient), …]) from the highest degree, where a sum is a polynomial in one term u."""
    base, powers = None, []
    for part, coefficient in term.parts:
        inner, degree = part, 1
        if isinstance(part, Mul) and len(part.factors) == 1:
            inner, exponent = part.factors[0]
            if not isinstance(exponent, Num) or exponent.value.denominator != 1 or exponent.value < 1:
                return None, []
            degree = int(exponent.value)
        if base not in (None, inner):
            return None, []
        base = inner
        powers.append((degree, coefficient))
    return base, sorted(powers, reverse=True)


@lru_cache(maxsize=4096)
def _around(end: float) -> Interval:
    """The tightest interval around the decimal that a finite end stands for."""
    return exact(decimal(end)) if math.isfinite(end) else point(end)


def _outward(a: Interval) -> Interval:
    """The interval with its ends moved from the decimals they stand for to floats outside."""
    low, high = _around(a.low), _around(a.high)
    return Interval(low.low, high.high, a.open_low or low.open_low, a.open_high or high.open_high)


def apply(name: str, args: tuple[Interval, ...]) -> Interval:
    """The image of intervals under a function of the language or an internal one."""
    first = args[0]
    if name in INCREASING:
        domain, reach, fixed = INCREASING[name]
        first = _clipped(first, domain)
        value = FUNCTIONS[name].value if name in FUNCTIONS else INTERNAL[name].value
        fixed_ulps = _ULPS.get(name, 2)
        if name in _CANCELLING and not (first.low in fixed and first.high in fixed):
            return _cancelling(first, value, reach, fixed_ulps)
        return increasing(first, value, reach, fixed, fixed_ulps)
    match name:
        case "cosh":
            reach = Interval(1.0, _INF, absolute(first).sign == 1, True)
            return increasing(absolute(first), math.cosh, reach, (0.0,))
        case "bell":
            reach = Interval(-0.25, 0.0, False, True)
            return negative(increasing(absolute(first), lambda x: -_bell(x), reach, (0.0,), 4))
        case "sin":
            return _wave(first, math.sin, 0.25)
        case "cos":
            return _wave(first, math.cos, 0.0)
        case "tan":
            return _tangent(first)
        case "arccos":
            flipped = apply("arcsin", (first,))
            return add(Interval(math.pi / 2, up(math.pi / 2), True, True), negative(flipped))
        case "abs":
            return absolute(first)
        case "max":
            return _larger(first, args[1])
        case "step":
            return {1: ONE, 0: ONE, -1: ZERO}.get(first.sign, Interval(0.0, 1.0))  # type: ignore[arg-type]
        case "logaddexp":
            high = _larger(first, args[1])
            return add(high, Interval(0.0, up(math.log(2)), True, True))
    raise AssertionError(f"`{name}` has no range")


def _bell(x: float) -> float:
    """σ(x) σ(-x), the slope of the sigmoid."""
    small = math.exp(-abs(x))
    return small / (1 + small) ** 2


def _clipped(a: Interval, domain: Interval) -> Interval:
    """The part of an over-estimate that a function can take: its argument is known to lie in the domain."""
    low, high = max(a.low, domain.low), min(a.high, domain.high)
    if low > high:
        return domain
    open_low = a.open_low if a.low > domain.low else domain.open_low or (a.low == domain.low and a.open_low)
    open_high = a.open_high if a.high < domain.high else domain.open_high or (a.high == domain.high and a.open_high)
    return Interval(low, high, open_low, open_high)


def _cancelling(a: Interval, value: Callable[[float], float], reach: Interval, ulps: int) -> Interval:
    """A sum that cancels near its zero, where the error is bounded absolutely and not in units of the result."""
    out = increasing(a, value, reach, (), ulps)
    slack = 8e-16
    low, high = out.low - slack, out.high + slack
    return Interval(low, high, True, True)


def _larger(a: Interval, b: Interval) -> Interval:
    low = max((a.low, a.open_low), (b.low, b.open_low))
    high = max((a.high, not a.open_high), (b.high, not b.open_high))
    return Interval(low[0], high[0], low[1], not high[1])


def _wave(a: Interval, function: Callable[[float], float], peak: float) -> Interval:
    """sin or cos; `peak` is the place of the maximum in turns: a crest or trough inside the interval gives ±1."""
    whole = Interval(-1.0, 1.0)
    if not (math.isfinite(a.low) and math.isfinite(a.high)) or max(-a.low, a.high) > 1e6 or a.high - a.low > 6.2:
        return whole
    margin = 1e-9  # in turns: doubtful crests count
    start, end = a.low / math.tau - peak, a.high / math.tau - peak
    crest = math.floor(end + margin) >= math.ceil(start - margin)
    trough = math.floor(end + margin - 0.5) >= math.ceil(start - margin - 0.5)
    values = [function(a.low), function(a.high)]
    low, high = (-1.0, False) if trough else (max(down(min(values), 2), -1.0), True), (1.0, False)
    if not crest:
        high = (min(up(max(values), 2), 1.0), True)
    if a.is_point() and a.low == 0:
        return Interval(values[0], values[0])
    return Interval(low[0], high[0], low[1] and low[0] > -1, high[1] and high[0] < 1)


def _tangent(a: Interval) -> Interval:
    """tan, on an interval inside one branch; all reals where that is not certain."""
    if not (math.isfinite(a.low) and math.isfinite(a.high)) or max(-a.low, a.high) > 1e6:
        return _LINE
    branch = round((a.low + a.high) / 2 / math.pi)
    low_end, high_end = (branch - 0.5) * math.pi, (branch + 0.5) * math.pi
    slack = 4e-16 * (abs(branch) + 1)
    if a.low < low_end - slack or a.high > high_end + slack:
        return _LINE
    low = -_INF if a.low < low_end + slack else down(math.tan(a.low), 2)
    high = _INF if a.high > high_end - slack else up(math.tan(a.high), 2)
    if branch == 0 and a.low == 0:
        low = 0.0
        return Interval(low, high, a.open_low, True)
    return Interval(low, high, True, True)
