"""Signs proved on whole boxes, and points that refute them.

A term is positive on a box if interval evaluation says so, or if each factor of it has a sign, or if it is so on each
part of a division of the box. On a part where the term's own derivative has a sign, only the lower end (or the limit at
infinity) is looked at. Boxes are divided at powers of two on unbounded sides. The number of boxes is limited: what is
not decided by then is reported as not decided, with the place where the proof got stuck.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import reduce
from typing import Final

from dgmspec.algebra.builder import Builder
from dgmspec.algebra.derive import derivative_term
from dgmspec.algebra.factoring import factor_sum, grouped
from dgmspec.algebra.intervals import ONE as ONE_INTERVAL
from dgmspec.algebra.intervals import Interval, hull, multiply, point
from dgmspec.algebra.limits import limit
from dgmspec.algebra.points import Point
from dgmspec.algebra.ranges import Box
from dgmspec.algebra.regular import regular, smooth_in
from dgmspec.algebra.terms import Fn, Mul, Num, Sym, Term, split_multiple, walk_terms

_BOXES: Final = 400
_FARTHEST: Final = 2.0**24
_FADING: Final = {"exp", "sigmoid", "bell"}
_NARROWEST: Final = 2.0**-30

Names = dict[str, Interval]


@dataclass
class Proof:
    """A sign shown on a whole box (None: not shown), the boxes it took, and where it got stuck."""

    sign: int | None
    boxes: int = 1
    stuck: list[Point] = field(default_factory=list)


class Prover:
    """Proofs over the box of a builder."""

    def __init__(self, builder: Builder) -> None:
        self.b = builder
        self._proofs: dict[Term, Proof] = {}
        self._slopes: dict[tuple[Term, str], Term] = {}

    def sign(self, term: Term) -> Proof:
        """The sign of `term` on the whole box."""
        found = self._proofs.get(term)
        if found is None:
            found = self._proofs[term] = self._sign(term)
        return found

    def _sign(self, term: Term) -> Proof:
        plain = self.b.sign(term)
        if plain is not None:
            return Proof(plain)
        factored = factor_sum(self.b, term)
        scale, rest = split_multiple(factored)
        if isinstance(rest, Mul):
            return self._of_product(rest, 1 if scale > 0 else -1)
        return self._divide(factored)

    def _of_product(self, term: Mul, sign: int) -> Proof:
        """The product of the factors' signs; base^n has the sign of the base for odd n and is positive else."""
        total = Proof(sign, 0)
        for base, exponent in term.factors:
            proof = self.sign(base)
            odd = isinstance(exponent, Num) and exponent.value.denominator == 1 and exponent.value.numerator % 2
            total.boxes += proof.boxes
            total.stuck += proof.stuck
            if proof.sign is None or total.sign is None:
                total.sign = None
            else:
                total.sign *= proof.sign if odd else proof.sign**2
        return total

    def _divide(self, term: Term) -> Proof:
        """Divide the box until the sign of the first decided part holds everywhere, or somewhere fails."""
        names = sorted({part.name for part in walk_terms(term) if isinstance(part, Sym)})
        together = grouped(self.b, term)
        todo = [{name: self.b.box.names[name] for name in names}]
        sign: int | None = None
        done = 0
        while todo:
            box = todo.pop()
            done += 1
            self.b.spend()
            within = self._box(box)
            here = within.range(term).sign
            if here is None and together != term:
                here = within.range(together).sign
            if here is None:
                here = self._by_ends(term, box)
            if here is not None and here != 0 and sign in (None, here):
                sign = here
                continue
            parts = _halves(box) if done + len(todo) < _BOXES and here is None else None
            if parts is None:
                return Proof(None, done, _landmarks(box))
            todo.extend(parts)
        return Proof(sign, done)

    def _by_ends(self, term: Term, box: Names) -> int | None:
        """The sign of a term that is monotone in one name on a part of the box, from its ends there."""
        within = self._box(box)
        for name, interval in box.items():
            if interval.is_point() or not smooth_in(term, name, within):
                continue
            slope = self._slopes.get((term, name))
            if slope is None:
                slope = self._slopes[term, name] = factor_sum(self.b, derivative_term(self.b, term, name))
            if within.range(slope).sign in (None, 0):
                continue
            signs = {self._at_end(term, box, name, end) for end in (-1, 1)}
            if len(signs - {0}) == 1 and None not in signs:
                return (signs - {0}).pop()
        return None

    def _box(self, names: Names) -> Box:
        """Enclosures over a part, refined where unbounded factors balance."""
        return Box(names, self.b.spend, lambda term: self._balanced(term, names))

    def _balanced(self, term: Mul, names: Names) -> Interval | None:
        """A product of unbounded factors and exponentials that is monotone on a part, from its values at both ends.

        Its direction is the sign of its logarithmic derivative, ``Σ e v'/v`` over the factors v^e.
        """
        box = Box(names, self.b.spend)
        wild, tame = [], [ONE_INTERVAL]
        for base, exponent in term.factors:
            around = box.range(Mul(((base, exponent),)))
            if math.isinf(around.high - around.low) or (isinstance(base, Fn) and base.name in _FADING):
                wild.append((base, exponent))
            else:
                tame.append(around)
        product = self.b.product(wild)
        if not isinstance(product, Mul) or len(product.factors) < 2:
            return None
        free = [name for name in product.names & names.keys() if not names[name].is_point()]
        if len(free) != 1 or not smooth_in(product, free[0], box):
            return None
        slope = self._log_slope(product, free[0])
        if box.range(slope).sign in (None, 0):
            return None
        ends = [self._value(product, names, free[0], end) for end in (-1, 1)]
        if ends[0] is None or ends[1] is None:
            return None
        return reduce(multiply, tame, hull(ends[0], ends[1]))

    def _log_slope(self, term: Mul, name: str) -> Term:
        found = self._slopes.get((term, "log " + name))
        if found is None:
            b = self.b
            parts = [b.mul(e, b.div(derivative_term(b, v, name), v)) for v, e in term.factors if name in v.names]
            parts += [b.mul(b.log(v), derivative_term(b, e, name)) for v, e in term.factors if name in e.names]
            found = self._slopes[term, "log " + name] = b.add(*parts)
        return found

    def _value(self, term: Term, names: Names, name: str, end: int) -> Interval | None:
        """Where a term lies at one end of a name's interval: its value, or its limit at infinity."""
        interval = names[name]
        edge = interval.high if end > 0 else interval.low
        if math.isfinite(edge):
            there = Box({**names, name: point(edge)}, self.b.spend)
            if regular(term, there):
                return there.range(term)
        value = limit(self.b.over({**self.b.box.names, **names}), term, name, interval, end)
        if isinstance(value, Term):
            return Box(names, self.b.spend).range(value)
        return None if value is None else Interval(value, value, True, True)

    def _at_end(self, term: Term, box: Names, name: str, end: int) -> int | None:
        """The sign at one end of one name's interval: 0 also where the term only tends to 0 there."""
        interval = box[name]
        edge = interval.high if end > 0 else interval.low
        is_open = interval.open_high if end > 0 else interval.open_low
        there = Box({**box, name: point(edge)}, self.b.spend)
        if math.isfinite(edge) and regular(term, there):
            sign = there.range(term).sign
            if sign is not None and (sign or is_open):
                return sign
        if not is_open:
            return None
        value = limit(self.b.over({**self.b.box.names, **box}), term, name, interval, end)
        if isinstance(value, float):
            return 1 if value > 0 else -1
        return None if value is None else self.b.over({**self.b.box.names, **box}).sign(value)


# ---- dividing boxes -------------------------------------------------------------------------------------------------


def _halves(box: Names) -> list[Names] | None:
    """The box cut in two along the name where it is widest; None where it is too narrow or too far out."""
    widths = {name: _width(interval) for name, interval in box.items()}
    name = max(widths, key=lambda n: widths[n], default=None)
    if name is None or widths[name] < _NARROWEST:
        return None
    interval = box[name]
    middle = _cut(interval)
    if middle is None or not interval.low < middle < interval.high:
        return None
    left = Interval(interval.low, middle, interval.open_low, False)
    right = Interval(middle, interval.high, False, interval.open_high)
    halves: list[Names] = [{**box, name: left}, {**box, name: right}]
    return sorted(halves, key=lambda h: -abs(_inside(h[name])))


def _width(interval: Interval) -> float:
    """The width as the eye sees it: relative far from 0, the whole of a half-line counts as 2."""
    squeezed = [math.copysign(1, x) if math.isinf(x) else x / (1 + abs(x)) for x in (interval.low, interval.high)]
    return squeezed[1] - squeezed[0]


def _cut(interval: Interval) -> float | None:
    """Where an interval is divided: at 0, at the next power of two on an infinite side, else in the middle."""
    low, high = interval.low, interval.high
    if math.isinf(low) and math.isinf(high):
        return 0.0
    if math.isinf(high):
        return None if low > _FARTHEST else max(1.0, 2 * low) if low >= 0 else 0.0
    if math.isinf(low):
        return None if high < -_FARTHEST else min(-1.0, 2 * high) if high <= 0 else 0.0
    if low < 0 < high and max(-low, high) > 4 * min(-low, high):
        return 0.0
    return low + (high - low) / 2


def _inside(interval: Interval) -> float:
    """A float inside the interval."""
    if math.isinf(interval.low) or math.isinf(interval.high):
        cut = _cut(interval)
        return math.copysign(_FARTHEST, interval.low + interval.high) if cut is None else cut
    return interval.low + (interval.high - interval.low) / 2


def _landmarks(box: Names) -> list[Point]:
    """The middle of a box, and the points where one name is at a finite end of its interval."""
    middle = {name: _inside(interval) for name, interval in box.items()}
    ends = ((name, end) for name, interval in box.items() for end in (interval.high, interval.low))
    return [middle, *({**middle, name: end} for name, end in ends if math.isfinite(end))]
