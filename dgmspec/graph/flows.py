"""Flows lowered: their ends, their contexts, their steps joined value by value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from dgmspec.algebra.nodes import AbstractExpr, Call, Name, Vector
from dgmspec.algebra.rewrite import called, free_names
from dgmspec.core.address import Address, child
from dgmspec.core.op import AbstractNet
from dgmspec.core.types import UNKNOWN, MaybeType
from dgmspec.graph.building import Building
from dgmspec.graph.findings import Reported, meant
from dgmspec.graph.graph import ArrowNode, FormulaNode, NetNode, StepNode, Value, ValueId, VariableNode
from dgmspec.graph.unroll import Placed, TooManySteps, Unroller
from dgmspec.graph.variables import lower_type
from dgmspec.ops.multiscale import Join
from dgmspec.spec.model import Flow, Net

JOIN: Final = Join()
"""What lays the parts of a value end to end: those that splits set aside, or the variables of a joint state."""


def lower_flow(building: Building, unroller: Unroller, member: Flow) -> None:
    """One flow: an arrow, its steps, and the values between them."""
    at = building.at(member)
    try:
        placed = unroller.flow(member.steps, at)
        source, target = lower_end(building, member.source, at), lower_end(building, member.target, at)
        context = lower_context(building, member.context, at)
    except (Reported, TooManySteps):
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
    placed = with_joins(placed, at)
    _join(building, placed, source.value, target.value, context, at)
    steps = tuple(step.address for step in placed if step.op is not None)
    building.arrows[at] = ArrowNode(at, source.name, target.name, context, steps)


def lower_end(building: Building, names: tuple[str, ...], at: Address) -> VariableNode:
    """An arrow's end: a variable, or the joint state of several."""
    for name in names:
        if name not in building.variables:
            building.findings.report(
                "DGM712",
                f"the model has no variable `{name}`",
                at,
                label=f"`{name}` is not declared",
                help=meant(name, list(building.variables)),
            )
            raise Reported
    return building.variables[names[0]] if len(names) == 1 else _joint(building, names, at)


def _joint(building: Building, names: tuple[str, ...], at: Address) -> VariableNode:
    """``[a, b]``: a state of its own, made the first time that the list is written."""
    given = next((name for name in names if building.variables[name].role == "given"), None)
    if given is not None:
        building.findings.report(
            "DGM348",
            f"`{given}` is given and has no density to join",
            at,
            label="no part of a joint state",
            help=(f"use it as a context: `flow … | {given} {{ … }}`",),
        )
        raise Reported
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


# ---- contexts -------------------------------------------------------------------------------------------------------


def lower_context(building: Building, items: tuple[AbstractExpr, ...], at: Address) -> ValueId | None:
    """The value of an arrow's context: a variable, a net's value, or a formula; several are joined end to end."""
    if not items:
        return None
    if len(items) == 1:
        written = items[0]
        place = child(child(at, "context"), 0)
        if isinstance(written, Name) and written.id in building.variables:
            return _given(building, written.id, place)
        if isinstance(written, Call) and written.name in building.named_nets:
            return _apply_net(building, written, place)
        return _formula(building, written, at, place)
    return _formula(building, Vector(items=items), at, child(at, "context"))


def _given(building: Building, name: str, place: Address) -> ValueId:
    """The value of a variable that may be read as a context."""
    node = building.variables[name]
    if node.role != "given":
        building.findings.report(
            "DGM712",
            f"a context is given, and `{name}` is declared `{node.role}`",
            place,
            label="not a given variable",
            help=(f"declare `given {name}`",),
        )
        raise Reported
    return node.value


def _formula(building: Building, written: AbstractExpr, at: Address, place: Address) -> ValueId:
    """A formula over given variables, learned parameters and nets as a value."""
    nets: dict[str, ValueId] = {}
    parts = written.items if isinstance(written, Vector) else (written,)
    plain = [_name_net(building, part, child(place, i), nets) for i, part in enumerate(parts)]
    open_names = building.names_in_formulas() | frozenset(nets)
    formula = building.caller(open_names).formula(
        Vector(items=tuple(plain)) if isinstance(written, Vector) else plain[0], place
    )
    names = [name for name in free_names(formula) if name in building.variables or name in nets]
    inputs = tuple(nets[n] if n in nets else _given(building, n, place) for n in names)
    node = child(at, "context")
    target = f"{node}:out"
    building.values[target] = Value(target)
    building.formulas[node] = FormulaNode(node, formula, inputs, target, tuple(names))
    return target


def _name_net(building: Building, part: AbstractExpr, place: Address, nets: dict[str, ValueId]) -> AbstractExpr:
    """A net among the parts of a context becomes a name for its value; inside arithmetic it is refused."""
    if isinstance(part, Call) and part.name in building.named_nets:
        name = f"{part.name}_{len(nets)}"
        nets[name] = _apply_net(building, part, place)
        return Name(id=name)
    inner = next((name for name in called(part) if name in building.named_nets), None)
    if inner is not None:
        building.findings.report(
            "DGM901",
            f"`{inner}(…)` inside a formula is part of the language, but this version does not compile it yet",
            place,
            label="read and kept, not compiled",
            help=(f"write `| {inner}(…)` by itself",),
        )
        raise Reported
    return part


def _apply_net(building: Building, call: Call, place: Address) -> ValueId:
    """``h(c)``: one use of a named net; equal uses share one value."""
    at, net = building.named_nets[call.name]
    if len(call.args) != len(net.args) or any(arg.name for arg in call.args):
        building.findings.report(
            "DGM211",
            f"`{net.name}` takes {len(net.args)} argument{'s' * (len(net.args) > 1)} by position, got {len(call.args)}",
            place,
            help=(f"write `{net.name}({', '.join(net.args)})`",),
        )
        raise Reported
    inputs = []
    for arg in call.args:
        if not isinstance(arg.value, Name) or arg.value.id not in building.variables:
            building.findings.report(
                "DGM901",
                f"`{net.name}` reads a formula here, which this version does not compile yet",
                place,
                label="read and kept, not compiled",
                help=(f"apply `{net.name}` to a given variable by itself",),
            )
            raise Reported
        inputs.append(_given(building, arg.value.id, place))
    return _net_value(building, at, net, tuple(inputs))


def _net_value(building: Building, at: Address, net: Net, inputs: tuple[ValueId, ...]) -> ValueId:
    uses = [node for node in building.nets.values() if node.address == at]
    for node in uses:
        if node.inputs == inputs:
            return node.target
    key = f"{at}@{len(uses)}" if uses else at
    target = f"{key}:out"
    op = _net_operation(building, at, net)
    building.nets[key] = NetNode(at, net.name, op, inputs, target)
    known = {name: building.values[value].type for name, value in zip(net.args, inputs, strict=True)}
    building.values[target] = Value(target, _net_type(building, at, net, known))
    return target


def _net_operation(building: Building, at: Address, net: Net) -> AbstractNet | Literal["external"]:
    """What computes the net: an operation of the library, or a module supplied from Python."""
    if isinstance(net.value, Name) and net.value.id == "external":
        return "external"
    op = building.caller().operation("net", net.value, child(at, "value"))
    assert isinstance(op, AbstractNet)
    return op


def _net_type(building: Building, at: Address, net: Net, known: Mapping[str, MaybeType]) -> MaybeType:
    """The declared type of a net's value, which a context needs; `known` are the types of its arguments."""
    if net.type is None:
        building.findings.report(
            "DGM305",
            f"nothing fixes the size of `{net.name}`'s value",
            at,
            label="no type",
            help=(f"state it: `net {net.name}({', '.join(net.args)}) : real[16] = …`",),
        )
        raise Reported
    type_ = lower_type(building, net.type, at, known).type
    if type_ is UNKNOWN:
        building.findings.report(
            "DGM305",
            f"nothing fixes the shape of `{net.name}`'s value",
            child(at, "type"),
            label="open",
            help=("write its dimensions",),
        )
        raise Reported
    return type_
