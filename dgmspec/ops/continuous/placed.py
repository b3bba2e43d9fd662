"""A velocity at the type of its state: shapes, gradients written out, and how its trace is had."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from dgmspec.algebra.divergence import divergence, gradient
from dgmspec.algebra.enclosure import enclosed
from dgmspec.algebra.intervals import Interval
from dgmspec.algebra.nodes import AbstractExpr, Name, expr
from dgmspec.algebra.rewrite import free_names, substitute
from dgmspec.algebra.shapes import shape_of, show_shape
from dgmspec.algebra.updates import as_interval
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.nets import AbstractNet
from dgmspec.core.types import REAL, Shape, Type
from dgmspec.ops.authored import Reading
from dgmspec.ops.continuous.velocity import Gradient, Velocity
from dgmspec.ops.nets import Mlp, ResMlp, context_shape

__all__ = ["TANGENTS", "Placed", "TracePlan", "chained", "closed", "placed", "potential", "seen_shape"]

TANGENTS: Final = 4
"""Coordinates up to which a trace without a formula is exact by default, one derivative for each."""

CLOSED: Final = 2
"""Hidden layers up to which the trace of an mlp has a closed form."""

Kind = Literal["symbolic", "closed form", "tangents"]


@dataclass(frozen=True)
class TracePlan:
    """How the exact trace is had.

    ``symbolic``: as a `formula` of what the velocity reads. ``closed form``: as a `formula` in which nets' traces have
    names, (name, value's name) in `traces`, each with a closed form. ``tangents``: by one derivative for each
    coordinate, of the nets in such a formula or, where there is none, of the whole velocity.
    """

    kind: Kind
    formula: AbstractExpr | None = None
    traces: tuple[tuple[str, str], ...] = ()

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
    plan: TracePlan

    @property
    def shallow(self) -> bool:
        """Whether the velocity is one mlp of at most one hidden layer, whose Jacobian's norm has a closed form."""
        symbols = [symbol for _, symbol in self.plan.traces]
        if not symbols or self.value != Name(id=symbols[0]) or symbols[0] not in self.velocity.values():
            return False
        op = self.velocity.net(self.velocity.values()[symbols[0]].net).op
        return isinstance(op, Mlp) and len(op.hidden) < CLOSED


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
    return Placed(velocity, event, shapes, box, value, left, _plan(velocity, value, left, event, shapes, box))


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
    """Where names that do not depend on the state lie."""
    found = {own.name: as_interval(own.support) for own in velocity.learned}
    found |= {seen.name: as_interval(seen.type.support) for seen in velocity.seen if seen.type.support.continuous}
    ends = [enclosed(end, found) for end in (low, high)]  # refused where a learned end has no value
    if velocity.time:
        found[velocity.time] = Interval(min(end.low for end in ends), max(end.high for end in ends))
    return found


def _plan(
    velocity: Velocity,
    value: AbstractExpr,
    gradients: tuple[Gradient, ...],
    event: Type,
    shapes: Mapping[str, Shape],
    box: Mapping[str, Interval],
) -> TracePlan:
    """The exact trace: a formula where each net in it has a closed form and stands in a sum, else tangents."""
    names: dict[str, str] = {}
    known: dict[str, AbstractExpr | None] = {}
    for found in gradients:
        named = f"trace_of_{found.symbol}" if potential(velocity, found) else ""
        names |= {named: found.symbol} if named else {}
        known[found.symbol] = Name(id=named) if named else None
    for reading in velocity.readings:
        if reading.symbol not in velocity.moving:
            continue
        named = f"trace_of_{reading.symbol}" if chained(velocity, reading, event) else ""
        names |= {named: reading.symbol} if named else {}
        known[reading.symbol] = Name(id=named) if named else None
    formula = divergence(value, velocity.state, shapes, box, known)
    if formula is None:
        return TracePlan("tangents")
    used = tuple((name, names[name]) for name in free_names(formula) if name in names)
    forms = [_has_closed_form(velocity, gradients, symbol) for _, symbol in used]
    kind: Kind = "symbolic" if not forms else "closed form" if all(forms) else "tangents"
    return TracePlan(kind, formula, used)


def _has_closed_form(velocity: Velocity, gradients: tuple[Gradient, ...], symbol: str) -> bool:
    """Whether no derivative is taken for the trace of a net's value, or of its gradient."""
    for found in gradients:
        if found.symbol == symbol:
            op = velocity.net(found.readings[0].net).op
            return isinstance(op, Mlp) and len(op.hidden) == 1
    return closed(velocity.net(velocity.values()[symbol].net).op)


def potential(velocity: Velocity, gradient: Gradient) -> bool:
    """Whether a gradient is that of an mlp of the state, whose second derivatives follow from its layers."""
    if [Name(id=reading.symbol) for reading in gradient.readings] != [gradient.energy]:
        return False
    (reading,) = gradient.readings
    net = velocity.net(reading.net)
    number = not net.size.like and net.size.shape == () and net.support == REAL
    return number and _of_state_alone(velocity, reading) and isinstance(net.op, Mlp) and len(net.op.hidden) > 0


def closed(op: AbstractNet) -> bool:
    """Whether the trace of a layered net has a closed form: no skips, and at most two hidden layers."""
    return isinstance(op, Mlp) and len(op.hidden) <= CLOSED


def chained(velocity: Velocity, reading: Reading, event: Type) -> bool:
    """Whether a net's value is a chain of linear layers and activations applied to the state by itself."""
    net = velocity.net(reading.net)
    shaped = net.size.like == velocity.state or net.size.shape == event.shape
    return shaped and net.support == REAL and _of_state_alone(velocity, reading)


def _of_state_alone(velocity: Velocity, reading: Reading) -> bool:
    """Whether a net of linear layers and activations is applied to the state, and to nothing else that moves."""
    op = velocity.net(reading.net).op
    moving = [arg for arg in reading.args if velocity.moving.intersection(free_names(arg))]
    plain = isinstance(op, (Mlp, ResMlp)) and not op.normed() and op.input_embedding() is None
    return plain and moving == [Name(id=velocity.state)]


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
