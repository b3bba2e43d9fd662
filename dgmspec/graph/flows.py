"""Flows lowered: their ends, their contexts, their steps joined value by value."""

from __future__ import annotations

from typing import Final

from dgmspec.core.address import Address, child
from dgmspec.core.types import UNKNOWN
from dgmspec.graph.building import Building
from dgmspec.graph.contexts import lower_context
from dgmspec.graph.energies import with_energy
from dgmspec.graph.findings import Reported, meant
from dgmspec.graph.graph import ArrowNode, StepNode, Value, ValueId, VariableNode
from dgmspec.graph.unroll import FlowRefused, Placed, Unroller
from dgmspec.ops.multiscale import Join
from dgmspec.spec.model import Flow

JOIN: Final = Join()
"""What lays the parts of a value end to end: those that splits set aside, or the variables of a joint state."""


def lower_flow(building: Building, unroller: Unroller, member: Flow) -> None:
    """One flow: an arrow, its steps, and the values between them."""
    at = building.at(member)
    try:
        placed = unroller.flow(member.steps, at)
        source, target = lower_end(building, member.source, at), lower_end(building, member.target, at)
        context = lower_context(building, member.context, at)
    except (Reported, FlowRefused):
        building.complete = False
        return
    if not placed:
        building.findings.report(
            "DGM401",
            f"the flow from `{source.name}` to `{target.name}` has no step",
            at,
            label="no steps",
            help=("write a step, such as `actnorm`",),
        )
        building.complete = False
        return
    try:
        placed = [with_energy(building, member, step) for step in with_joins(placed, at)]
    except Reported:
        building.complete = False
        return
    _join(building, placed, source.value, target.value, context, at)
    steps = tuple(step.address for step in placed if step.op is not None)
    building.arrows[at] = ArrowNode(at, source.name, target.name, context, steps)


def lower_end(building: Building, names: tuple[str, ...], at: Address) -> VariableNode:
    """An arrow's end: a variable, or the joint state of several."""
    for name in names:
        if name not in building.variables:
            building.findings.refuse(
                "DGM712",
                f"the model has no variable `{name}`",
                at,
                label=f"`{name}` is not declared",
                help=meant(name, list(building.variables)),
            )
    return building.variables[names[0]] if len(names) == 1 else _joint(building, names, at)


def _joint(building: Building, names: tuple[str, ...], at: Address) -> VariableNode:
    """``[a, b]``: a state of its own, made the first time that the list is written."""
    given = next((name for name in names if building.variables[name].role == "given"), None)
    if given is not None:
        building.findings.refuse(
            "DGM348",
            f"`{given}` is given and has no density to join",
            at,
            label="no part of a joint state",
            help=(f"use it as a context: `flow … | {given} {{ … }}`",),
        )
    name = f"[{', '.join(names)}]"
    if name not in building.variables:
        address = child(building.model.name, name)
        building.values[address] = Value(address, UNKNOWN, name)
        building.variables[name] = VariableNode(address, name, "latent", address, UNKNOWN, parts=names)
    return building.variables[name]


def with_joins(placed: list[Placed], at: Address) -> list[Placed]:
    """The steps with a join at each end where parts are set aside there: an end of an arrow is one event.

    Along the arrow a `split` sets parts aside and an ``inverse split`` puts them back; what is put back without having
    been set aside was set aside at the arrow's start.
    """
    depth = lowest = 0
    for step in placed:
        count = step.op.aside if step.op is not None else 0
        depth += -count if step.inverse else count
        lowest = min(lowest, depth)
    first = [Placed(child(at, "parts"), JOIN, True, at, "join")] if lowest < 0 else []
    last = [Placed(child(at, "join"), JOIN, False, at, "join")] if depth > lowest else []
    return [*first, *placed, *last]


def _join(
    building: Building, placed: list[Placed], source: ValueId, target: ValueId, context: ValueId | None, at: Address
) -> None:
    """Step after step from `source` to `target`; a refused step leaves a gap whose far side has no type."""
    here = source
    for i, step in enumerate(placed):
        there = target if i == len(placed) - 1 else f"{step.address}:out"
        building.values.setdefault(there, Value(there))
        if step.op is None:
            building.complete = False
        else:
            building.steps[step.address] = StepNode(
                step.address, step.op, step.inverse, here, there, context, at, step.label, step.place, step.arguments
            )
        here = there
