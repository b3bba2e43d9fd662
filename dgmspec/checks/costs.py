"""Costs against the loss: does training run a direction that goes one coordinate after another?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dgmspec.checks.analysis import Analysis, StepFacts, place
from dgmspec.core.diagnostics import Diagnostic, Label
from dgmspec.core.losses import AbstractDensityLoss
from dgmspec.core.steps import Direction
from dgmspec.graph.graph import LossTerm
from dgmspec.graph.words import describe

_KINDS: Final = ("free", "parallel", "sequential", "iterative", "solver")
WARN_FROM: Final = 8
"""Dependent passes in a direction that training runs, from which on it is worth a warning."""


def check_costs(analysis: Analysis) -> Iterator[Diagnostic]:
    """DGM507."""
    loss = analysis.graph.loss
    seen: set[str] = set()
    for term in loss.terms.values() if loss else ():
        if not isinstance(term.op, AbstractDensityLoss) or term.binds is None:
            continue
        if f"{term.op.walk} {term.binds}" not in seen:
            seen.add(f"{term.op.walk} {term.binds}")
            yield from _term(analysis, term, term.op)


def _term(analysis: Analysis, term: LossTerm, op: AbstractDensityLoss) -> Iterator[Diagnostic]:
    assert term.binds is not None
    legs = analysis.walk(term.binds, op.walk)
    if not legs:
        return
    slow = [(step, way) for step, way in analysis.directions(legs) if way.kind == "sequential"]
    passes = sum(way.passes for _, way in slow)
    if passes < WARN_FROM:
        return
    first, way = slow[0]
    start, end = (legs[0].arrow.source, legs[0].arrow.target)[:: 1 if legs[0].along else -1]
    steps = f"{len(slow)} such steps" if len(slow) > 1 else "one such step"
    yield Diagnostic(
        "DGM507",
        f"`{op.name}` runs this flow from `{start}` to `{end}`, {passes} passes one after another on every batch",
        place(first.node),
        f"{way.passes} dependent passes this way",
        (Label(term.address, "this loss runs it"),),
        notes=(f"{steps}, each with as many passes as coordinates; the other way takes one",),
        help=(_remedy(first, op),),
    )


def _remedy(step: StepFacts, op: AbstractDensityLoss) -> str:
    """Turn the step round, or use one that is fast both ways."""
    call = describe(step.node.op).removeprefix("inverse ")
    if step.node.inverse:
        turned = f"leave `inverse` out: `{call}`"
    else:
        turned = f"turn the step round: `inverse {call}`"
    pays = "sampling" if op.walk == "log_prob" else "the density of given points"
    return f"{turned} (then {pays} pays instead), or use a `coupling`, which takes one pass both ways"


def total(directions: list[Direction]) -> Direction:
    """One direction of a whole chain: passes add up, the slowest kind names them."""
    slowest = max(directions, key=lambda direction: _KINDS.index(direction.kind), default=Direction("free"))
    return Direction(slowest.kind, sum(direction.passes for direction in directions if direction.kind != "free"))
