"""Points that refute: simple values of each name, signs proved at them, exact zeros, changes of sign."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Final

from dgmspec.algebra.builder import Builder
from dgmspec.algebra.intervals import Interval, point
from dgmspec.algebra.ranges import Box
from dgmspec.algebra.regular import regular
from dgmspec.algebra.substitution import substitute_term
from dgmspec.algebra.terms import PI, ZERO, Fn, Num, Term, walk_terms

Point = dict[str, float]

_LINE: Final = (0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, 0.1, -0.1, 5.0, -5.0, 10.0, -10.0, 30.0, -30.0)
_HALF_LINE: Final = (1.0, 0.5, 2.0, 0.1, 3.0, 5.0, 10.0, 0.01, 30.0, 100.0)
_SHARES: Final = (0.5, 0.25, 0.75, 0.1, 0.9, 0.01, 0.99, 0.001, 0.999)


def samples(interval: Interval) -> tuple[float, ...]:
    """Simple numbers inside an open interval, the simplest first."""
    low, high = interval.low, interval.high
    if math.isfinite(low) and math.isfinite(high):
        return tuple(low + share * (high - low) for share in _SHARES)
    if math.isfinite(low):
        return tuple(low + step for step in _HALF_LINE)
    return tuple(high - step for step in _HALF_LINE) if math.isfinite(high) else _LINE


def sample_points(box: Mapping[str, Interval], first: str, most: int = 90) -> Iterator[Point]:
    """Points of a box: the simplest in every name, `first` varied before the others, then drawn at random."""
    values = {name: samples(interval) for name, interval in box.items()}
    start = {name: v[0] for name, v in values.items()}
    yield from ({**start, first: x} for x in values.get(first, ()))
    for name in values:
        if name != first:
            yield from ({**start, name: x} for x in values[name][1:5])
    if len(values) > 1:
        draw = random.Random(0)
        yield from ({name: draw.choice(v) for name, v in values.items()} for _ in range(most))


def sign_at(b: Builder, term: Term, at: Point) -> int | None:
    """The sign of a term at a point, proved by interval evaluation; None where rounding hides it."""
    box = Box({name: point(x) for name, x in at.items()}, b.spend)
    return box.range(term).sign if regular(term, box) else None


def exact_zero(b: Builder, term: Term, name: str, near: float, interval: Interval) -> Term | None:
    """A simple number next to `near`, a fraction or a fraction of π, where the term is exactly 0."""
    candidates: list[Term] = [Num(Fraction(near).limit_denominator(n)) for n in (1, 8, 100)]
    if any(isinstance(part, Fn) and part.name in ("sin", "cos", "tan") for part in walk_terms(term)):
        candidates.append(b.scale(PI, Fraction(near / math.pi).limit_denominator(4)))
    for candidate in candidates:
        where = b.box.range(candidate)
        outside = not (interval.has(where.low) and interval.has(where.high))
        if outside or abs(where.low - near) > 1e-3 * max(1.0, abs(near)):
            continue
        if not regular(term, Box({**b.box.names, name: where}, b.spend)):
            continue
        if substitute_term(b.over({**b.box.names, name: where}), term, name, candidate) == ZERO:
            return candidate
    return None


def crossing(b: Builder, term: Term, name: str, low: Point, high: Point) -> float:
    """Where a term changes sign between two points that differ in `name` alone: by bisection."""
    first = sign_at(b, term, low)
    a, c = low[name], high[name]
    for _ in range(200):
        middle = a + (c - a) / 2
        if middle in (a, c):
            break
        here = sign_at(b, term, {**low, name: middle})
        if here in (None, 0):
            return middle
        a, c = (middle, c) if here == first else (a, middle)
    return a
