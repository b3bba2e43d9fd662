"""Drifts read as functions of the state: affine or not, and with which coefficients.

A drift that uses its state coordinate by coordinate is a term in which the state is one symbol: it is affine exactly
when its derivative no longer reads the state, and then f = a(t) x + b(t). Coefficients that are vectors of numbers give
one path a coordinate. Drifts that mix coordinates (``A @ x``, ``[x[1], -x[0]]``) have matrices for coefficients, and
are refused here (DGM455): `mixing` reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from dgmspec.algebra.builder import Builder, Exhausted
from dgmspec.algebra.derive import derivative_term
from dgmspec.algebra.emit import emit
from dgmspec.algebra.intervals import REALS, Interval
from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.algebra.prove import Prover
from dgmspec.algebra.reading import Reader
from dgmspec.algebra.substitution import substitute_term
from dgmspec.algebra.terms import ZERO, Term
from dgmspec.core.diagnostics import Refusal

__all__ = ["Affine", "NotAffine", "Times", "affine", "derivative", "quotient", "simplified", "squared"]

_BUDGET: Final = 60_000

Others = Mapping[str, Interval] | None
"""Further names that a formula may read, with what is known of them."""


@dataclass(frozen=True)
class Times:
    """The time variable and the open interval that it runs over."""

    name: str
    low: float
    high: float

    @property
    def interval(self) -> Interval:
        """The open interval, in which formulas of the time have to be defined."""
        return Interval(self.low, self.high, True, True)


@dataclass(frozen=True)
class Affine:
    """``rate · x + offset``, formulas of the time alone."""

    rate: AbstractExpr
    offset: AbstractExpr


@dataclass(frozen=True)
class NotAffine:
    """Why a formula is not affine in the state: the derivative that still reads it."""

    derivative: AbstractExpr


def affine(formula: AbstractExpr, state: str, times: Times, others: Others = None) -> Affine | NotAffine:
    """The coefficients of a formula that uses `state` coordinate by coordinate; `Refusal` where it does not, or leaves
    the domain of a function."""
    prover = _prover({state: REALS, times.name: times.interval, **(others or {})})
    try:
        term = Reader(prover, state).read(formula)
        slope = derivative_term(prover.b, term, state)
        if state in slope.names:
            return NotAffine(emit(prover.b, slope))
        return Affine(emit(prover.b, slope), emit(prover.b, substitute_term(prover.b, term, state, ZERO)))
    except Exhausted:
        raise _too_large() from None


def squared(formula: AbstractExpr, times: Times, others: Others = None) -> AbstractExpr:
    """The square of a formula of the time: g(t)² of a diffusion, in its stable form."""
    b, term = _read(formula, times, others)
    return emit(b, b.power(term, 2))


def simplified(formula: AbstractExpr, times: Times, others: Others = None) -> AbstractExpr:
    """A formula of the time in its stable form."""
    b, term = _read(formula, times, others)
    return emit(b, term)


def derivative(formula: AbstractExpr, times: Times, others: Others = None) -> AbstractExpr:
    """d/dt of a formula of the time."""
    b, term = _read(formula, times, others)
    return emit(b, derivative_term(b, term, times.name))


def quotient(above: AbstractExpr, below: AbstractExpr, times: Times, others: Others = None) -> AbstractExpr:
    """above / below for formulas of the time whose divisor is known to be positive."""
    b, first = _read(above, times, others)
    return emit(b, b.div(first, _read(below, times, others)[1]))


def _read(formula: AbstractExpr, times: Times, others: Others = None) -> tuple[Builder, Term]:
    prover = _prover({times.name: times.interval, **(others or {})})
    try:
        # The name that stands nowhere is the variable that a formula of the time does not have.
        return prover.b, Reader(prover, times.name).read(formula)
    except Exhausted:
        raise _too_large() from None


def _prover(box: dict[str, Interval]) -> Prover:
    return Prover(Builder(box, [_BUDGET]))


def _too_large() -> Refusal:
    return Refusal("DGM454", "the formula is too large to be analysed", help=("write it with fewer operations",))
