"""A velocity at the type of its state: shapes, gradients written out, and how its trace is had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Final, Literal

from dgmspec.algebra.coordinates import gradient
from dgmspec.algebra.divergence import divergence
from dgmspec.algebra.enclosure import enclosed
from dgmspec.algebra.fields import Field, Moving
from dgmspec.algebra.intervals import Interval
from dgmspec.algebra.nodes import AbstractExpr, Name, expr
from dgmspec.algebra.rewrite import free_names, substitute
from dgmspec.algebra.shapes import shape_of, show_shape
from dgmspec.algebra.updates import as_interval
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.types import Shape, Type
from dgmspec.ops.continuous.moving import CLOSED, Traced, layered, reads_and_traces
from dgmspec.ops.continuous.velocity import Gradient, Velocity
from dgmspec.ops.nets import Mlp, context_shape

__all__ = ["TANGENTS", "Placed", "TracePlan", "placed", "seen_shape"]

TANGENTS: Final = 4
"""Coordinates up to which a trace without a formula is exact by default, one derivative for each."""

Kind = Literal["symbolic", "closed form", "tangents"]


@dataclass(frozen=True)
class TracePlan:
    """How the exact trace is had.

    ``symbolic``: as a `formula` of what the velocity reads. ``closed form``: as a `formula` in which nets' `traces`
    have names, each with a closed form. ``tangents``: by `derivatives`, of the nets in such a formula each by those of
    its own block or, where there is none, of the whole velocity by every coordinate.
    """

    kind: Kind
    formula: AbstractExpr | None = None
    traces: tuple[Traced, ...] = ()
    derivatives: int = 0

    @property
    def vanishes(self) -> bool:
        """Whether the trace is 0 whatever the state, the time and the parameters."""
        return self.formula == expr(0)


@dataclass(frozen=True)
class Placed:
    """`shapes` of every name of the formula, which is `value` with those gradients written out that have a formula;
    the others are `gradients`."""

    velocity: Velocity
    event: Type
    shapes: Mapping[str, Shape]
    box: Mapping[str, Interval]
    value: AbstractExpr
    gradients: tuple[Gradient, ...]
    moving: Mapping[str, Moving]
    plan: TracePlan

    @property
    def shallow(self) -> bool:
        """Whether the velocity is one mlp of at most one hidden layer, whose Jacobian's norm has a closed form."""
        symbols = [traced.symbol for traced in self.plan.traces]
        if not symbols or self.value != Name(id=symbols[0]) or symbols[0] not in self.velocity.values():
            return False
        op = self.velocity.net(self.velocity.values()[symbols[0]].net).op
        return layered(op) and isinstance(op, Mlp) and len(op.hidden) < CLOSED


@lru_cache(maxsize=256)
def placed(velocity: Velocity, event: Type, low: float | AbstractExpr, high: float | AbstractExpr) -> Placed:
    """The velocity where the state is `event` and the time runs from `low` to `high`; `Refusal` where it has no value
    there (a logarithm of a negative number, a shape that does not fit)."""
    shapes = _shapes(velocity, event)
    for end in (low, high):
        _require_number(end, shapes)
    box = _box(velocity, low, high)
    values: dict[str, AbstractExpr] = {}
    for found in velocity.gradients:
        written = None if found.readings else gradient(found.energy, velocity.state, shapes, box)
        if written is not None:
            values[found.symbol] = written
    left = tuple(found for found in velocity.gradients if found.symbol not in values)
    value = substitute(velocity.value, values)
    _require_shape(velocity, value, shapes)
    moving, traces = reads_and_traces(velocity, left, event, shapes)
    plan = _plan(value, Field(velocity.state, shapes, box, moving), traces)
    return Placed(velocity, event, shapes, box, value, left, moving, plan)


def _shapes(velocity: Velocity, event: Type) -> dict[str, Shape]:
    found: dict[str, Shape] = {velocity.state: event.shape}
    if velocity.time:
        found[velocity.time] = ()
    found |= {seen.name: seen_shape(seen.type) for seen in velocity.seen}
    found |= {own.name: own.size.at(found) for own in velocity.learned}
    found |= {reading.symbol: velocity.net(reading.net).size.at(found) for reading in velocity.all_readings}
    return found | {gradient.symbol: event.shape for gradient in velocity.gradients}


def seen_shape(type_: Type) -> Shape:
    """The shape in which a formula meets a variable of the context: its own, or what nets read of labels and angles."""
    if type_.support.continuous and not type_.support.circular:
        return type_.shape
    shape = context_shape(type_)
    assert shape is not None
    return shape


def _box(velocity: Velocity, low: float | AbstractExpr, high: float | AbstractExpr) -> dict[str, Interval]:
    """Where learned numbers, contexts, nets' values and the time lie."""
    found = {own.name: as_interval(own.support) for own in velocity.learned}
    found |= {reading.symbol: as_interval(velocity.net(reading.net).support) for reading in velocity.all_readings}
    found |= {seen.name: as_interval(seen.type.support) for seen in velocity.seen if seen.type.support.continuous}
    ends = [enclosed(end, found) for end in (low, high)]  # refused where a learned end has no value
    if velocity.time:
        found[velocity.time] = Interval(min(end.low for end in ends), max(end.high for end in ends))
    return found


def _plan(value: AbstractExpr, field: Field, traces: Sequence[Traced]) -> TracePlan:
    """The exact trace: a formula in which nets' traces have names, else a derivative for each coordinate."""
    formula = divergence(value, field.state, field.shapes, field.box, field.known)
    if formula is None:
        return TracePlan("tangents", derivatives=prod(field.shape))
    names = free_names(formula)
    used = tuple(traced for traced in traces if traced.name in names)
    derivatives = max((traced.derivatives for traced in used), default=0)
    return TracePlan("tangents" if derivatives else "closed form" if used else "symbolic", formula, used, derivatives)


def _require_number(end: float | AbstractExpr, shapes: Mapping[str, Shape]) -> None:
    """`Refusal` where an end of the time is learned and no number."""
    if isinstance(end, AbstractExpr) and (shape := shape_of(end, shapes)):
        raise Refusal(
            "DGM603",
            f"an end of the time is one number, and this one has the shape {show_shape(shape)}",
            argument="times",
            label="no number",
            help=("declare it as one: `learn T : positive`",),
        )


def _require_shape(velocity: Velocity, value: AbstractExpr, shapes: Mapping[str, Shape]) -> None:
    """`Refusal` where the velocity has another shape than the state."""
    given, state = shape_of(value, shapes), shapes[velocity.state]
    if given != state:
        raise Refusal(
            "DGM602",
            f"the velocity has the shape {show_shape(given)}, and the state `{velocity.state}` has {show_shape(state)}",
            label="no change of the state",
            help=(f"give it one number for each coordinate of `{velocity.state}`, such as `[a, b]` for two",),
        )
