"""Where a term and its derivative can be trusted: no pole, no jump, nothing that is not differentiated."""

from __future__ import annotations

import math
from functools import lru_cache

from dgmspec.algebra.intervals import REALS, intersection
from dgmspec.algebra.ranges import INCREASING, Box
from dgmspec.algebra.terms import Fn, Mul, Num, Opaque, Term, walk_terms


def smooth_in(term: Term, name: str, box: Box) -> bool:
    """Whether the sign of the derivative in a name says how the term moves over the box.

    It does not where the name stands in a formula that is taken as it stands, where a step jumps inside the box, nor
    where a derivative may have a pole.
    """
    rough = [p for p in _delicate_parts(term) if name in p.names and (isinstance(p, Opaque) or _is_step(p))]
    return all(_is_step(part) and box.range(part).is_point() for part in rough) and regular(term, box)


def regular(term: Term, box: Box) -> bool:
    """Whether every part of a term has a finite value everywhere on a box, whose closed ends count.

    At an end of a support it may not: interval arithmetic takes 0 · (1 / 0) for 0, which only a limit decides.
    """
    return all(_defined(part, box) for part in _delicate_parts(term))


def _defined(part: Term, box: Box) -> bool:
    match part:
        case Mul():
            return all(_has_power(box.range(v).sign, e) for v, e in part.factors)
        case Fn(name="tan"):
            around = box.range(part)
            return math.isfinite(around.low) and math.isfinite(around.high)
        case Fn() if part.name in INCREASING:
            domain, around = INCREASING[part.name][0], box.range(part.args[0])
            return intersection(domain, around) == around
    return True


def _has_power(sign: int | None, exponent: Term) -> bool:
    """Whether a base of that sign has the power: a positive one all, others those of numbers, 0 none below 0."""
    return sign == 1 or (isinstance(exponent, Num) and (exponent.value >= 0 or sign == -1))


def _is_step(part: Term) -> bool:
    return isinstance(part, Fn) and part.name == "step"


@lru_cache(maxsize=1024)
def _delicate_parts(term: Term) -> tuple[Term, ...]:
    """Powers that may divide by 0, functions with a bounded domain, steps, and formulas taken as they stand."""
    return tuple(part for part in dict.fromkeys(walk_terms(term)) if _is_delicate(part))


def _is_delicate(part: Term) -> bool:
    match part:
        case Mul():
            return not all(isinstance(e, Num) and e.value >= 0 for _, e in part.factors)
        case Fn():
            return part.name in ("tan", "step") or (part.name in INCREASING and INCREASING[part.name][0] != REALS)
    return isinstance(part, Opaque)
