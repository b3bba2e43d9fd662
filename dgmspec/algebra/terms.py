"""Terms: the normal form in which updates are analysed.

A formula is read into a `Term`, a light immutable tree in which sums are flat with rational coefficients, products are
flat with exponents, and equal things are equal whatever order they were written in. Numbers are exact rationals (0.1
is 1/10), so that what cancels on paper cancels here. Terms are made by `dgmspec.algebra.builder.Builder` alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from dgmspec.algebra.intervals import Interval
from dgmspec.algebra.nodes import AbstractExpr, Constant


class Term:
    """A term: `key` decides equality, `names` are the names it reads."""

    __slots__ = ("_hash", "key", "names")

    def __init__(self, key: object, names: frozenset[str]) -> None:
        self.key, self.names = key, names
        self._hash = hash((type(self), key))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(self) is not type(other) or self._hash != other._hash:
            return False
        if self.key is not other.key:
            if self.key != other.key:
                return False
            other.key = self.key  # so that equal terms are compared in depth once
        return True

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.key})"


class Num(Term):
    """A rational number."""

    __slots__ = ("value",)

    def __init__(self, value: Fraction | int) -> None:
        self.value = Fraction(value)
        super().__init__(self.value, frozenset())


class Sym(Term):
    """A name."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(name, frozenset({name}))


class Opaque(Term):
    """A constant (``pi``), or a formula of other names that is taken as it stands, with the interval it lies in."""

    __slots__ = ("formula", "within")

    def __init__(self, formula: AbstractExpr, within: Interval, names: frozenset[str] = frozenset()) -> None:
        self.formula, self.within = formula, within
        super().__init__(formula, names)


class Add(Term):
    """``Σ coefficient · term + constant``; no term is a number, a sum or a multiple."""

    __slots__ = ("constant", "parts")

    def __init__(self, parts: tuple[tuple[Term, Fraction], ...], constant: Fraction) -> None:
        self.parts, self.constant = parts, constant
        super().__init__((constant, frozenset(parts)), frozenset().union(*(term.names for term, _ in parts)))


class Mul(Term):
    """``Π base ^ exponent`` without a rational factor of its own (that is a coefficient of an `Add`)."""

    __slots__ = ("factors",)

    def __init__(self, factors: tuple[tuple[Term, Term], ...]) -> None:
        self.factors = factors
        names = frozenset().union(*(base.names | exponent.names for base, exponent in factors))
        super().__init__(frozenset(factors), names)


class Fn(Term):
    """A function applied."""

    __slots__ = ("args", "name")

    def __init__(self, name: str, args: tuple[Term, ...]) -> None:
        self.name, self.args = name, args
        super().__init__((name, args), frozenset().union(*(arg.names for arg in args)))


ZERO: Final = Num(0)
ONE: Final = Num(1)
TWO: Final = Num(2)
HALF: Final = Num(Fraction(1, 2))
MINUS: Final = Num(-1)
PI: Final = Opaque(Constant(name="pi"), Interval(math.pi, math.nextafter(math.pi, 4.0), True, True))


def split_multiple(term: Term) -> tuple[Fraction, Term]:
    """A term as (coefficient, rest): ``3 x`` is (3, x), a number is (itself, 1)."""
    if isinstance(term, Num):
        return term.value, ONE
    if isinstance(term, Add) and not term.constant and len(term.parts) == 1:
        part, coefficient = term.parts[0]
        return coefficient, part
    return Fraction(1), term


def subterms(term: Term) -> tuple[Term, ...]:
    """The direct parts of a term."""
    match term:
        case Add():
            return tuple(part for part, _ in term.parts)
        case Mul():
            return tuple(side for factor in term.factors for side in factor)
        case Fn():
            return term.args
    return ()


def walk_terms(term: Term) -> Iterator[Term]:
    """A term and everything in it, parents first."""
    stack = [term]
    while stack:
        top = stack.pop()
        yield top
        stack.extend(subterms(top))


def occurrences(term: Term, name: str) -> int:
    """How often a name stands in a term."""
    return sum(1 for part in walk_terms(term) if isinstance(part, Sym) and part.name == name)
