"""Interval evaluation never loses a value: every enclosure against 60 digits of mpmath, at ends and inside."""

from __future__ import annotations

import math
from fractions import Fraction

import mpmath
import pytest
from formulas import EXACT
from hypothesis import given, settings
from hypothesis import strategies as st

from dgmspec.algebra import intervals
from dgmspec.algebra.intervals import Interval, exact, power
from dgmspec.algebra.ranges import INCREASING, apply

NUMBERS = st.one_of(
    st.sampled_from([0.0, 1.0, -1.0, 0.5, -0.5, 2.0, math.pi, 1e-300, -1e-300, 1e300, 0.1, 700.0, -745.0]),
    st.floats(-30, 30),
    st.floats(allow_nan=False, allow_infinity=False),
)


EXPONENTIAL = ("exp", "sinh", "cosh", "tanh", "sigmoid", "softplus", "erf", "bell", "log_expm1")
"""Functions of which far arguments would take too many digits."""


@st.composite
def placed(draw: st.DrawFn, low: float = -math.inf, high: float = math.inf) -> tuple[Interval, float]:
    """A closed interval and a point of it, an end as often as not, inside (low, high)."""
    ends = sorted(draw(NUMBERS.filter(lambda x: low < x < high)) + 0.0 for _ in range(2))  # -0.0 is 0.0
    inside = draw(st.one_of(st.sampled_from(ends), st.floats(*ends)))
    return Interval(*ends), inside


def holds(interval: Interval, value: mpmath.mpf) -> bool:
    """Whether an exact value lies in the interval, its open ends excluded."""
    above = value > interval.low or (value == interval.low and not interval.open_low)
    return above and (value < interval.high or (value == interval.high and not interval.open_high))


@given(placed(), placed())
@settings(deadline=None, max_examples=300)
def test_sums_products_and_quotients(a: tuple[Interval, float], b: tuple[Interval, float]) -> None:
    with mpmath.workdps(700):
        x, y = mpmath.mpf(a[1]), mpmath.mpf(b[1])
        assert holds(intervals.add(a[0], b[0]), x + y)
        assert holds(intervals.multiply(a[0], b[0]), x * y)
        assert holds(intervals.absolute(a[0]), abs(x))
        if y != 0:
            assert holds(intervals.reciprocal(b[0]), 1 / y)


@given(placed(), st.sampled_from([Fraction(2), Fraction(3), Fraction(4), Fraction(5), Fraction(-1), Fraction(-2)]))
@settings(deadline=None, max_examples=200)
def test_whole_powers(a: tuple[Interval, float], n: Fraction) -> None:
    with mpmath.workdps(60):
        if a[1] != 0 or n > 0:
            assert holds(power(a[0], n), mpmath.mpf(a[1]) ** int(n))


@given(placed(0.0), st.sampled_from([Fraction(n, d) for n, d in ((1, 2), (3, 2), (1, 3), (-7, 10), (-1, 2))]))
@settings(deadline=None, max_examples=200)
def test_fractional_powers(a: tuple[Interval, float], n: Fraction) -> None:
    with mpmath.workdps(60):
        assert holds(power(a[0], n), mpmath.mpf(a[1]) ** (mpmath.mpf(n.numerator) / n.denominator))


@pytest.mark.parametrize("name", [*INCREASING, "cosh", "bell", "sin", "cos", "abs"])
def test_functions(name: str) -> None:
    domain = INCREASING[name][0] if name in INCREASING else intervals.REALS

    @given(placed(domain.low, domain.high))
    @settings(deadline=None, max_examples=50)
    def check(a: tuple[Interval, float]) -> None:
        x = abs(a[1])
        if x > 1e4 and name in EXPONENTIAL:
            return
        around = apply(name, (a[0],))
        with mpmath.workdps(60 + int(min(x * x, 1000))):
            value = EXACT[name](mpmath.mpf(a[1]))
            assert around.low <= value <= around.high  # an open end may be the value in any number of digits

    check()


@given(st.floats(-1.4, 1.4), st.floats(0, 0.16), st.integers(-3, 3), st.floats(0, 1))
@settings(deadline=None)
def test_tan_within_a_branch_and_across(low: float, width: float, k: int, share: float) -> None:
    a = Interval(low + k * math.pi, low + width + k * math.pi)
    x = min(max(a.low + share * (a.high - a.low), a.low), a.high)
    with mpmath.workdps(60):
        assert holds(apply("tan", (a,)), mpmath.tan(mpmath.mpf(x)))


@given(st.fractions())
def test_rational_numbers_are_enclosed(value: Fraction) -> None:
    around = exact(value)
    assert Fraction(around.low) <= value <= Fraction(around.high)
    assert around.is_point() == (Fraction(float(value)) == value)


def test_openness_tells_a_strict_inequality_from_a_weak_one() -> None:
    reals, unit = intervals.REALS, Interval(0.0, 1.0, True, True)
    assert apply("exp", (reals,)).sign == 1
    assert apply("abs", (reals,)).sign is None
    below_one = intervals.multiply(unit, apply("cos", (reals,)))
    assert intervals.add(intervals.ONE, below_one).sign == 1
    assert intervals.add(intervals.ONE, apply("cos", (reals,))).sign is None
