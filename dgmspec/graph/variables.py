"""Variables and learned parameters lowered: their types and starting values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from dgmspec.algebra.evaluate import evaluate, show
from dgmspec.algebra.nodes import AbstractExpr, Name
from dgmspec.core.address import Address, child
from dgmspec.core.diagnostics import Label, Refusal
from dgmspec.core.types import CHOLESKY, REAL, UNKNOWN, MaybeType, Support, Type, is_cholesky_factor
from dgmspec.graph.building import Building, flat
from dgmspec.graph.declared import Declared, declared_type
from dgmspec.graph.findings import Reported
from dgmspec.graph.graph import LearnedNode, Value, VariableNode
from dgmspec.spec.model import Learn, TypeExpr, Variable


def lower_type(
    building: Building, type_: TypeExpr, owner: Address, known: Mapping[str, MaybeType] | None = None
) -> Declared:
    """A declared type; what is refused is reported on the part of the type at fault.

    `known` are the types that ``like(name)`` may take; without it those of the variables declared so far.
    """
    if type_.name == "like":
        variables = {name: node.declared for name, node in building.variables.items()}
        return _like(building, type_, child(owner, "type"), variables if known is None else known)
    try:
        return declared_type(type_, building.scope.constants)
    except Refusal as refusal:
        at = child(owner, "type")
        part = refusal.argument
        building.findings.add(refusal.diagnostic(at if part is None else child(at, part)))
        building.complete = False
        raise Reported from refusal


def _like(building: Building, type_: TypeExpr, at: Address, known: Mapping[str, MaybeType]) -> Declared:
    """``like(b)``: the type of b."""
    of = type_.args[0] if len(type_.args) == 1 else None
    found = known.get(of.id) if isinstance(of, Name) else None
    if isinstance(found, Type) and not type_.dims:
        return Declared(found.support, found.shape)
    building.findings.report(
        "DGM305",
        f"nothing fixes what `like({', '.join(map(show, type_.args))})` is like",
        at,
        label="no type known here",
        help=("name a variable declared above, or an argument of the net", "or write the type out, `real[16]`"),
    )
    building.complete = False
    raise Reported


def lower_learn(building: Building, member: Learn) -> None:
    """A learned parameter: its type (real without one) and its start."""
    at = building.at(member)
    node = LearnedNode(at, member.name, UNKNOWN, None)
    try:
        type_ = Type(REAL) if member.type is None else lower_type(building, member.type, at).type
        if not isinstance(type_, Type):
            building.findings.refuse(
                "DGM305",
                f"nothing fixes the shape of `{member.name}`",
                child(at, "type"),
                label="no dimensions",
                help=("write its dimensions",),
            )
        node = replace(node, type=type_)
        if member.value is not None:
            node = replace(node, initial=_initial(building, member, member.value, type_))
    except Reported:
        building.complete = False
    building.learned[member.name] = node


def _initial(building: Building, member: Learn, value: AbstractExpr, type_: Type) -> float | tuple[float, ...]:
    """The starting value, one number or one for each entry, inside the support."""
    at = child(building.at(member), "value")
    with building.findings.refusals_at(at):
        found = evaluate(value, building.scope.constants)
    numbers, support = flat(found), type_.support
    inside = all(isinstance(n, (int, float)) and support.low < n < support.high for n in numbers)
    if support == CHOLESKY:
        rows = found if isinstance(found, tuple) and all(isinstance(row, tuple) for row in found) else ()
        inside &= len(rows) > 0 and is_cholesky_factor(rows)
    if inside and len(numbers) in (1, type_.size):
        return float(numbers[0]) if len(numbers) == 1 else tuple(map(float, numbers))
    labels = (Label(child(building.at(member), "type"), "its declared type"),) if member.type else ()
    building.findings.refuse(
        "DGM234",
        f"`{member.name}` starts at {show(found)}, which is no value of {type_}",
        at,
        label=f"not in {type_}",
        labels=labels,
        help=(f"start it at a value of {type_}",),
    )


def lower_variable(building: Building, member: Variable) -> None:
    """A variable and its value, with the declared type where the text fixes it."""
    at = building.at(member)
    type_: MaybeType
    support: Support | None
    try:
        declared = lower_type(building, member.type, at)
        type_, support = declared.type, declared.support
        if support == CHOLESKY:
            building.findings.report(
                "DGM309",
                "a Cholesky factor is a parameter of a law, and no variable has a density on them",
                child(at, "type"),
                label="not for a variable",
                help=(f"write `learn {member.name} : cholesky[…]`",),
            )
            type_, support = UNKNOWN, None
    except Reported:
        type_, support = UNKNOWN, None
    building.values[at] = Value(at, type_, member.name)
    building.variables[member.name] = VariableNode(at, member.name, member.role, at, type_, support=support)
