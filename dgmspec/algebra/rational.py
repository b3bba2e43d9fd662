"""Rational numbers in terms: their powers where they are exact, ratios of sums, multiples of π/2."""

from __future__ import annotations

from fractions import Fraction
from math import isqrt
from typing import Final

from dgmspec.algebra.terms import ONE, PI, Add, Mul, Num, Opaque, Term, split_multiple

_LONGEST: Final = 512
"""Bits beyond which rational numbers are no longer multiplied out into powers."""


def ratio(a: Term, b: Term) -> Fraction | None:
    """c with a = c · b for two sums, or None."""
    if not isinstance(b, Add) or not isinstance(a, Add) or len(a.parts) != len(b.parts):
        return None
    of_b = dict(b.parts)
    term, coefficient = a.parts[0]
    if term not in of_b:
        return None
    ratio = coefficient / of_b[term]
    same = a.constant == ratio * b.constant and all(c == ratio * of_b.get(t, Fraction(0)) for t, c in a.parts)
    return ratio if same else None


def short(value: Fraction, n: Fraction) -> bool:
    """Whether value^n is small enough to be written out."""
    bits = max(value.numerator.bit_length(), value.denominator.bit_length())
    return value in (1, -1) or (value == 0 and n > 0) or (value != 0 and bits * abs(n) <= _LONGEST)


def number_power(value: Fraction, n: Fraction) -> Term:
    """value^n, exact where it is rational and short."""
    if n.denominator == 1 and short(value, n):
        return Num(value ** int(n))
    if n.denominator == 2 and value > 0 and short(value, Fraction(n.numerator)):
        top, bottom = isqrt(value.numerator), isqrt(value.denominator)
        if top * top == value.numerator and bottom * bottom == value.denominator:
            return Num(Fraction(top, bottom) ** n.numerator)
    if value == 1:
        return ONE
    return Mul(((Num(value), Num(n)),))


def turns(u: Term) -> int | None:
    """k where u = k π / 2."""
    scale, rest = split_multiple(u)
    if isinstance(rest, Opaque) and rest == PI and (2 * scale).denominator == 1:
        return int(2 * scale)
    return None
