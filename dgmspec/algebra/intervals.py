"""Intervals of the reals with outward rounding: the arithmetic in which inequalities are proved.

An `Interval` encloses a set of *finite* reals. Each end is closed (perhaps attained) or open (certainly not attained);
an infinite end is always open. Openness is what tells exp(x) > 0 from exp(x) ≥ 0, and |a| < 1 from |a| ≤ 1.
A result that float64 cannot hold exactly is moved outward by one or more units in the last place; its end is then
open, since the true value lies strictly inside.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Final, NamedTuple

from dgmspec.core.diagnostics import Refusal

_INF: Final = math.inf
_WHOLE: Final = 2.0**53


class Interval(NamedTuple):
    """The reals between `low` and `high`; `open_low` and `open_high` say that an end itself is not among them."""

    low: float
    high: float
    open_low: bool = False
    open_high: bool = False

    @property
    def sign(self) -> int | None:
        """1 or -1 where all of it has that sign, 0 for {0}, None otherwise."""
        if self.low > 0 or (self.low == 0 and self.open_low):
            return 1
        if self.high < 0 or (self.high == 0 and self.open_high):
            return -1
        return 0 if self.low == self.high == 0 else None

    def is_point(self) -> bool:
        """Whether it holds one number."""
        return self.low == self.high

    def has(self, value: float) -> bool:
        """Whether `value` is inside."""
        above = value > self.low or (value == self.low and not self.open_low)
        return above and (value < self.high or (value == self.high and not self.open_high))


REALS: Final = Interval(-_INF, _INF, True, True)
POSITIVES: Final = Interval(0.0, _INF, True, True)
ZERO: Final = Interval(0.0, 0.0)
ONE: Final = Interval(1.0, 1.0)


def point(value: float) -> Interval:
    """The interval of one number."""
    return Interval(value, value)


@lru_cache(maxsize=4096)
def exact(value: Fraction) -> Interval:
    """The tightest interval around a rational number."""
    try:
        near = float(value)
    except OverflowError:
        near = _INF if value > 0 else -_INF
    if math.isinf(near):
        largest = math.nextafter(_INF, 0.0)
        return Interval(largest, _INF, True, True) if near > 0 else Interval(-_INF, -largest, True, True)
    if Fraction(near) == value:
        return point(near)
    return Interval(down(near), up(near), True, True)


def decimal(value: float) -> Fraction:
    """The number that a float's shortest decimal writes: 0.1 is 1/10, as its author meant."""
    return Fraction(repr(value))


def nearest(value: Fraction) -> float:
    """The nearest float of a rational number, which float64 has to hold."""
    try:
        near = float(value)
    except OverflowError:
        near = _INF
    if math.isinf(near) or (near == 0 and value != 0):
        raise Refusal("DGM454", "the update computes with numbers beyond float64, larger than 1e308 or below 1e-323")
    return near


def down(value: float, steps: int = 1) -> float:
    """The float `steps` units below."""
    for _ in range(steps):
        value = math.nextafter(value, -_INF)
    return value


def up(value: float, steps: int = 1) -> float:
    """The float `steps` units above."""
    for _ in range(steps):
        value = math.nextafter(value, _INF)
    return value


# ---- arithmetic -----------------------------------------------------------------------------------------------------


def negative(a: Interval) -> Interval:
    """-a."""
    return Interval(-a.high, -a.low, a.open_high, a.open_low)


def add(a: Interval, b: Interval) -> Interval:
    """a + b."""
    low, high = a.low + b.low, a.high + b.high
    open_low, open_high = a.open_low or b.open_low, a.open_high or b.open_high
    if low != low or low == _INF:  # -inf + inf of overflowed ends, or an end beyond the largest float
        low, open_low = (-_INF, True) if low != low else (math.nextafter(_INF, 0.0), True)
    elif _inexact_sum(a.low, b.low, low):
        low, open_low = down(low), True
    if high != high or high == -_INF:
        high, open_high = (_INF, True) if high != high else (-math.nextafter(_INF, 0.0), True)
    elif _inexact_sum(a.high, b.high, high):
        high, open_high = up(high), True
    return Interval(low, high, open_low or low == -_INF, open_high or high == _INF)


def _inexact_sum(a: float, b: float, total: float) -> bool:
    """Whether a + b was rounded (Knuth's error term)."""
    if math.isinf(total):
        return False
    back = total - a
    return (a - (total - back)) + (b - back) != 0


def multiply(a: Interval, b: Interval) -> Interval:
    """a · b: the extremes are among the products of the ends."""
    low, high, open_low, open_high = _INF, -_INF, True, True
    for x, x_open in ((a.low, a.open_low), (a.high, a.open_high)):
        for y, y_open in ((b.low, b.open_low), (b.high, b.open_high)):
            if x == 0 or y == 0:
                p, q, is_open = 0.0, 0.0, not ((x == 0 and not x_open) or (y == 0 and not y_open))
            else:
                p = q = x * y
                is_open = x_open or y_open
                if not math.isinf(p) and not _exact_product(x, y, p):
                    p, q, is_open = down(p), up(p), True
                elif math.isinf(p) and not (math.isinf(x) or math.isinf(y)):  # overflow of finite ends
                    largest = math.nextafter(_INF, 0.0)
                    p, q, is_open = (largest, _INF, True) if p > 0 else (-_INF, -largest, True)
            if p < low:
                low, open_low = p, is_open
            elif p == low:
                open_low = open_low and is_open
            if q > high:
                high, open_high = q, is_open
            elif q == high:
                open_high = open_high and is_open
    return Interval(low, high, open_low or low == -_INF, open_high or high == _INF)


def _exact_product(x: float, y: float, p: float) -> bool:
    """Whether x · y = p is known to be without rounding."""
    if abs(math.frexp(x)[0]) == 0.5 or abs(math.frexp(y)[0]) == 0.5:  # a power of two
        return abs(p) > 1e-290
    return abs(p) < _WHOLE and x == int(x) and y == int(y)


def reciprocal(a: Interval) -> Interval:
    """1 / a; all reals where a has both signs (0 itself is no divisor and is left out)."""
    if a.sign == 0 or (a.sign is None and a.low != 0 and a.high != 0):
        return REALS
    if a.high <= 0:
        return negative(reciprocal(negative(a)))
    low, open_low = _inverted(a.high, a.open_high, down)
    high, open_high = _inverted(a.low, a.open_low, up)
    return Interval(low, high, open_low, open_high)


def _inverted(value: float, is_open: bool, outward: Callable[[float], float]) -> tuple[float, bool]:
    if value == 0:
        return _INF, True
    if value == _INF:
        return 0.0, True
    result = 1 / value
    mantissa = math.frexp(value)[0]
    if math.isinf(result):
        return (_INF, True) if outward is up else (math.nextafter(_INF, 0.0), True)
    return (result, is_open) if mantissa == 0.5 else (max(outward(result), 0.0), True)


def power(a: Interval, n: Fraction) -> Interval:
    """a^n for a rational n: whole n on all reals (without 0 if negative), others on a ≥ 0."""
    if n == 1:
        return a
    if n < 0:
        return reciprocal(power(a, -n))
    if n == 0:
        return ONE
    if n.denominator != 1:
        a = Interval(max(a.low, 0.0), max(a.high, 0.0), a.open_low and a.low >= 0, a.open_high)
        return increasing(a, lambda x: _rational_power(x, n), Interval(0.0, _INF, a.sign == 1, True), (0.0, 1.0), 3)
    if n.numerator % 2 == 0:
        size = absolute(a)
        reach = Interval(0.0, _INF, size.sign == 1, True)
        return increasing(size, lambda x: math.pow(x, float(n)), reach, (0.0, 1.0), 3)
    return increasing(a, lambda x: math.copysign(abs(x) ** float(n), x), REALS, (0.0, 1.0, -1.0), 3)


def _rational_power(x: float, n: Fraction) -> float:
    """x^n within two units in the last place (the exponent's own rounding costs |log x| units otherwise)."""
    if n.denominator == 2 and n.numerator % 2:
        whole = n.numerator // 2
        return math.sqrt(x) * math.pow(x, whole) if whole else math.sqrt(x)
    if x == 0 or math.isinf(x):
        return x
    value = math.pow(x, float(n))
    rest = float(n - Fraction(float(n)))
    return value * math.exp(rest * math.log(x)) if rest else value


def absolute(a: Interval) -> Interval:
    """|a|."""
    if a.low >= 0:
        return a
    if a.high <= 0:
        return negative(a)
    if -a.low > a.high:
        return Interval(0.0, -a.low, False, a.open_low)
    if -a.low < a.high:
        return Interval(0.0, a.high, False, a.open_high)
    return Interval(0.0, a.high, False, a.open_low and a.open_high)


def hull(a: Interval, b: Interval) -> Interval:
    """The smallest interval around both."""
    low = min(a, b, key=lambda i: (i.low, i.open_low))
    high = max(a, b, key=lambda i: (i.high, not i.open_high))
    return Interval(low.low, high.high, low.open_low, high.open_high)


def intersection(a: Interval, b: Interval) -> Interval:
    """What lies in both; the caller knows that something does."""
    low = max(a, b, key=lambda i: (i.low, i.open_low))
    high = min(a, b, key=lambda i: (i.high, not i.open_high))
    return Interval(low.low, high.high, low.open_low, high.open_high)


def increasing(
    a: Interval, function: Callable[[float], float], reach: Interval, fixed: tuple[float, ...] = (), ulps: int = 2
) -> Interval:
    """The image of `a` under an increasing function onto `reach`, exact at the points `fixed` and at infinite ends.

    `ulps` bounds the error of `function` in float64; the C library's own functions stay below one unit.
    """
    low, high = _value(function, a.low, reach), _value(function, a.high, reach)
    open_low, open_high = a.open_low, a.open_high
    if math.isfinite(a.low) and a.low not in fixed:
        low, open_low = down(low, ulps), True
    if math.isfinite(a.high) and a.high not in fixed:
        high, open_high = up(high, ulps), True
    if low <= reach.low:
        low, open_low = reach.low, open_low or reach.open_low
    if high >= reach.high:
        high, open_high = reach.high, open_high or reach.open_high
    if low >= reach.high and reach.open_high:  # rounded onto an end that is not reached
        low, open_low = down(reach.high), True
    if high <= reach.low and reach.open_low:
        high, open_high = up(reach.low), True
    return Interval(low, high, open_low or low == -_INF, open_high or high == _INF)


def _value(function: Callable[[float], float], x: float, reach: Interval) -> float:
    """The function at a float or at an end of its domain, where it may be infinite or overflow."""
    try:
        if math.isinf(x):
            return reach.low if x < 0 else reach.high
        return function(x)
    except OverflowError:
        return reach.high if x > 0 or (math.isinf(reach.high) and not math.isinf(reach.low)) else reach.low
    except (ValueError, ZeroDivisionError):  # at or beyond an end of the domain
        return reach.low if x <= 0 else reach.high
