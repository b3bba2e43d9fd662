"""How terms grow as t goes to infinity: leading behaviours, multiplied and compared."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

from dgmspec.algebra.builder import Builder
from dgmspec.algebra.terms import ONE, ZERO, Mul, Num, Sym, Term

T: Final = Sym("·t")
"""The variable that goes to infinity; no name of the language is written so."""


@dataclass(frozen=True)
class Lead:
    """The leading behaviour ``coefficient · exp(Σ c t^d) · t^power · (log t)^logs``."""

    coefficient: Term
    exponent: tuple[tuple[Fraction, Term], ...] = ()
    power: Fraction = Fraction(0)
    logs: Fraction = Fraction(0)


def growth(b: Builder, found: Lead) -> int | None:
    """1 if ``exp(q) t^p (log t)^r`` goes to infinity, -1 if to 0, 0 if it is 1."""
    for _, coefficient in sorted(found.exponent, key=lambda item: -item[0]):
        sign = b.sign(coefficient)
        if sign != 0:
            return sign
    for number in (found.power, found.logs):
        if number:
            return 1 if number > 0 else -1
    return 0


def times(b: Builder, a: Lead, c: Lead, n: Fraction) -> Lead:
    """a · c^n."""
    exponent = dict(a.exponent)
    for degree, coefficient in c.exponent:
        exponent[degree] = b.add(exponent.get(degree, ZERO), b.scale(coefficient, n))
    kept = tuple((degree, value) for degree, value in exponent.items() if value != ZERO)
    return Lead(b.mul(a.coefficient, b.power(c.coefficient, n)), kept, a.power + n * c.power, a.logs + n * c.logs)


def compare(b: Builder, a: Lead, c: Lead) -> int | None:
    """Which of two leads outgrows the other."""
    return growth(b, times(b, replace(a, coefficient=ONE), replace(c, coefficient=ONE), Fraction(-1)))


def monomial(b: Builder, part: Term) -> tuple[Fraction, Term] | None:
    """(d, c) where the term is exactly c t^d."""
    degree, rest = Fraction(0), []
    for base, exponent in part.factors if isinstance(part, Mul) else ((part, ONE),):
        if base == T and isinstance(exponent, Num):
            degree = exponent.value
        elif T.name in base.names or T.name in exponent.names:
            return None
        else:
            rest.append((base, exponent))
    return (degree, b.product(rest)) if degree else None
