"""Formulas as parameters of distributions: a scale or a rate proved positive for all that the formula may read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from dgmspec.algebra.builder import Builder, Exhausted
from dgmspec.algebra.intervals import REALS
from dgmspec.algebra.nodes import AbstractExpr, Call, Name, Vector
from dgmspec.algebra.points import sample_points, sign_at
from dgmspec.algebra.prove import Prover
from dgmspec.algebra.reading import Reader, shown
from dgmspec.algebra.rewrite import free_names
from dgmspec.algebra.terms import Term
from dgmspec.algebra.updates import as_interval
from dgmspec.core.address import Address
from dgmspec.core.diagnostics import Diagnostic, Refusal
from dgmspec.core.op import AbstractOp
from dgmspec.core.types import CHOLESKY, POSITIVE, UNIT, Support
from dgmspec.graph.binding import bind
from dgmspec.ops.distributions.mixture import Mixture
from dgmspec.ops.distributions.product import AbstractParametric

__all__ = ["unproved_scales"]

_BUDGET: Final = 10_000
_NOBODY: Final = "·"
"""The variable of a formula that updates none."""


def unproved_scales(
    op: AbstractOp, law: AbstractExpr, at: Address, read: Mapping[str, Support], declared: Mapping[str, str]
) -> Iterator[Diagnostic]:
    """DGM470: formulas that are not proved positive, or in (0, 1), where their parameter has to be.

    `read` holds the supports of the names in formulas, `declared` how each is declared: ``learn a``.
    """
    written = bind(type(op), law.args if isinstance(law, Call) else (), at)[0]
    if isinstance(op, Mixture):
        found = written["components"]
        for component, inner, place in zip(op.components, found.values, found.places, strict=True):
            yield from unproved_scales(component, inner, place, read, declared)
    if not isinstance(op, AbstractParametric):
        return
    for name, value in op.parameters().items():
        if "/" in name:  # a component's, met with it
            continue
        factor = isinstance(value, AbstractExpr) and op.domain_of(name) == CHOLESKY
        if factor and not (isinstance(value, Name) and read[value.id] == CHOLESKY):
            yield _no_factor(op, name, written[name].places[0])
        if isinstance(value, AbstractExpr) and op.domain_of(name) in (POSITIVE, UNIT):
            note = _doubt(value, read)
            if note is None and op.domain_of(name) == UNIT:
                note = _doubt(1 - value, read)
            if note is not None:
                yield _diagnostic(op, name, value, note, written[name].places[0], declared)


def _doubt(formula: AbstractExpr, read: Mapping[str, Support]) -> str | None:
    """Why a formula may not be positive; None where it is proved to be."""
    if isinstance(formula, Vector):
        return next((doubt for item in formula.items if (doubt := _doubt(item, read)) is not None), None)
    box = {name: as_interval(read[name]) for name in sorted(free_names(formula))}
    prover = Prover(Builder({**box, _NOBODY: REALS}, [_BUDGET]))
    try:
        term = Reader(prover, _NOBODY).read(formula)
        return None if prover.sign(term).sign == 1 else _where(prover, term)
    except Refusal as refusal:
        return refusal.message
    except Exhausted:
        return ""


def _where(prover: Prover, term: Term) -> str:
    """A point at which a term is 0 or negative, in words."""
    names = {name: interval for name, interval in prover.b.box.names.items() if name in term.names}
    for at in sample_points(names, next(iter(names), "")):
        sign = sign_at(prover.b, term, at)
        if sign in (0, -1):
            return f"it is {'negative' if sign else 0} at {shown(at, (term,))}"
    return ""


def _no_factor(op: AbstractParametric, name: str, place: Address) -> Diagnostic:
    return Diagnostic(
        "DGM470",
        f"`{name}` of `{op.name}` must be lower triangular with a positive diagonal, which no formula is by itself",
        place,
        "not known to be a Cholesky factor",
        help=("name a learned one: `learn L : cholesky[2, 2]`",),
    )


def _diagnostic(
    op: AbstractParametric, name: str, formula: AbstractExpr, note: str, place: Address, declared: Mapping[str, str]
) -> Diagnostic:
    unit = op.domain_of(name) == UNIT
    maps, support = ("`sigmoid(…)`", "unit") if unit else ("`softplus(…)` or `exp(…)`", "positive")
    if isinstance(op, Mixture):
        support = f"simplex[{len(op.components)}]"
    help_ = f"write {maps} of it"
    if isinstance(formula, Name) and formula.id in declared:
        help_ = f"declare `{declared[formula.id]} : {support}`, or write {maps.partition('(')[0]}({formula.id})`"
    return Diagnostic(
        "DGM470",
        f"`{name}` of `{op.name}` must {'lie in (0, 1)' if unit else 'be positive'}, "
        "and this formula is not proved to be so everywhere",
        place,
        "may lie outside" if unit else "may be 0 or negative",
        notes=(note,) if note else (),
        help=(help_,),
    )
