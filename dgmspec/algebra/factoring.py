"""Sums factored and products multiplied out, where that shows a sign or lets terms cancel."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product

from dgmspec.algebra.builder import Builder
from dgmspec.algebra.terms import ONE, Add, Mul, Num, Term, split_multiple


def factor_sum(b: Builder, term: Term) -> Term:
    """A sum with what its terms have in common taken out: ``x exp(-x) - x^2 exp(-x) = x exp(-x) (1 - x)``.

    Common are bases with numeric exponents, to the lowest that occurs (so quotients come to one denominator), and
    exponentials of the same argument.
    """
    if not isinstance(term, Add):
        return term
    parts: list[tuple[Term, Fraction]] = [*term.parts, *([(ONE, term.constant)] if term.constant else [])]
    if len(parts) < 2:
        return term
    tables = [_numeric_factors(part) for part, _ in parts]
    common: dict[Term, Fraction] = {}
    for base in dict.fromkeys(base for table in tables for base in table):
        lowest = min(table.get(base, Fraction(0)) for table in tables)
        if lowest:
            common[base] = lowest
    if not common:
        return term
    outside = b.product((base, Num(n)) for base, n in common.items())
    undo = b.product((base, Num(-n)) for base, n in common.items())
    inside = b.combine((expanded(b, b.mul(part, undo)), c) for part, c in parts)
    scale, rest = split_multiple(inside)
    result = b.product([*(outside.factors if isinstance(outside, Mul) else ((outside, ONE),)), (rest, ONE)])
    return b.scale(result, scale)


def _numeric_factors(part: Term) -> dict[Term, Fraction]:
    """The bases of a product with numeric exponents."""
    factors = part.factors if isinstance(part, Mul) else ((part, ONE),)
    return {base: e.value for base, e in factors if isinstance(e, Num) and not isinstance(base, Num)}


def expanded(b: Builder, term: Term) -> Term:
    """A product of sums to small whole powers, multiplied out; other terms as they are."""
    scale, rest = split_multiple(term)
    if not isinstance(rest, Mul):
        return term
    sums: list[Add] = []
    others: list[tuple[Term, Term]] = []
    for base, exponent in rest.factors:
        n = exponent.value if isinstance(exponent, Num) else Fraction(0)
        if isinstance(base, Add) and n.denominator == 1 and 1 <= n <= 4:
            sums += [base] * int(n)
        else:
            others.append((base, exponent))
    if not sums or math.prod(len(s.parts) + 1 for s in sums) > 64:
        return term
    lists = [[*s.parts, *([(ONE, s.constant)] if s.constant else [])] for s in sums]
    kept = b.product(others)
    return b.combine(
        (b.mul(kept, *(part for part, _ in choice)), scale * math.prod((c for _, c in choice), start=Fraction(1)))
        for choice in product(*lists)
    )


def grouped(b: Builder, term: Term) -> Term:
    """A sum with the terms that share a factor put together: ``a + a sin(u) + b = a (1 + sin(u)) + b``.

    The factor that most terms share goes first, then the same within the group and among the rest: interval evaluation
    then sees each factor once.
    """
    if isinstance(term, Mul):
        return b.product((grouped(b, factor_sum(b, base)), exponent) for base, exponent in term.factors)
    if not isinstance(term, Add):
        return term
    tables = [_numeric_factors(part) for part, _ in term.parts]
    count: dict[Term, int] = {}
    for table in tables:
        for base in table:
            count[base] = count.get(base, 0) + 1
    best = max(count, key=lambda base: count[base], default=None)
    if best is None or count[best] < 2:
        return b.combine(((grouped(b, part), c) for part, c in term.parts), term.constant)
    inside = [(part, c, table[best]) for (part, c), table in zip(term.parts, tables, strict=True) if best in table]
    outside = [item for item, table in zip(term.parts, tables, strict=True) if best not in table]
    lowest = min(n for _, _, n in inside)
    undo = b.power(best, -lowest)
    group = grouped(b, b.combine((b.mul(part, undo), c) for part, c, _ in inside))
    rest = grouped(b, b.combine(outside, term.constant))
    return b.add(b.mul(b.power(best, lowest), group), rest)
