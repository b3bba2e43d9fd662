"""Variables and learned parameters lowered: their types, priors, targets and starting values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from dgmspec.algebra.evaluate import evaluate, show
from dgmspec.algebra.nodes import AbstractExpr, Call, Name
from dgmspec.algebra.rewrite import free_names
from dgmspec.core.address import Address, child
from dgmspec.core.diagnostics import Label, Refusal
from dgmspec.core.op import AbstractDistribution
from dgmspec.core.types import REAL, UNKNOWN, MaybeType, Type
from dgmspec.graph.building import Building, flat, formulas_in, holds_net
from dgmspec.graph.declared import Declared, declared_type
from dgmspec.graph.findings import Reported
from dgmspec.graph.graph import LearnedNode, Prior, Target, Value, VariableNode
from dgmspec.graph.laws import unproved_scales
from dgmspec.ops import find
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
            building.findings.report(
                "DGM305",
                f"nothing fixes the shape of `{member.name}`",
                child(at, "type"),
                label="no dimensions",
                help=("write its dimensions",),
            )
            raise Reported
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
    if inside and len(numbers) in (1, type_.size):
        return float(numbers[0]) if len(numbers) == 1 else tuple(map(float, numbers))
    labels = (Label(child(building.at(member), "type"), "its declared type"),) if member.type else ()
    building.findings.report(
        "DGM234",
        f"`{member.name}` starts at {show(found)}, which is no value of {type_}",
        at,
        label=f"not in {type_}",
        labels=labels,
        help=(f"start it at a value of {type_}",),
    )
    raise Reported


def lower_variable(building: Building, member: Variable) -> None:
    """A variable and its value, with the declared type where the text fixes it."""
    at = building.at(member)
    try:
        declared = lower_type(building, member.type, at)
        type_, support = declared.type, declared.support
    except Reported:
        type_, support = UNKNOWN, None
    building.values[at] = Value(at, type_, member.name)
    building.variables[member.name] = VariableNode(at, member.name, member.role, at, type_, support=support)


def stand_in(building: Building, member: Variable) -> None:
    """A variable that was refused: its name is known, and nothing else."""
    at = building.at(member)
    building.values[at] = Value(at, UNKNOWN, member.name)
    building.variables[member.name] = VariableNode(at, member.name, member.role, at, UNKNOWN)


def lower_density(building: Building, member: Variable) -> None:
    """A variable's prior, or its target where it says `~ exp(e)`."""
    node, law = building.variables[member.name], member.prior
    if law is None:
        return
    at = child(node.address, "prior")
    if member.role == "given":
        building.findings.report(
            "DGM710",
            f"`{member.name}` is given with every call, so it has no density",
            at,
            labels=(Label(node.address, "declared `given` here"),),
            help=(f"leave the distribution out, or declare `observe {member.name}` or `latent {member.name}`",),
        )
        return
    unnormalised = isinstance(law, Call) and law.name == "exp" and len(law.args) == 1
    try:
        if unnormalised and find("distribution", "exp") is None:
            assert isinstance(law, Call)
            building.variables[member.name] = replace(node, target=_target(building, node, law.args[0].value, at))
        else:
            building.variables[member.name] = replace(node, prior=_prior(building, node, law, at))
    except Reported:
        building.complete = False


def _target(building: Building, node: VariableNode, log_density: AbstractExpr, at: Address) -> Target:
    """``~ exp(e)``: e written out, over the variable itself, given ones and learned parameters."""
    if node.role == "latent":
        building.findings.report(
            "DGM711",
            f"`{node.name}` is latent and must be drawn, but `exp(…)` is an unnormalised density",
            at,
            label="cannot be drawn from",
            help=("give it a distribution, such as `normal(0, 1)`",),
        )
        raise Reported
    formula = building.caller(building.names_in_formulas()).formula(log_density, child(at, 0))
    inputs = _readable(building, node, [formula], child(at, 0), itself=True)
    return Target(at, node.name, formula, inputs)


def _prior(building: Building, node: VariableNode, law: AbstractExpr, at: Address) -> Prior:
    """``~ D``: the distribution, whose parameters may read given variables and learned parameters."""
    op = building.caller(building.names_in_formulas()).operation("distribution", law, at)
    assert isinstance(op, AbstractDistribution)
    if holds_net(op):
        building.findings.report(
            "DGM901",
            "a network as a prior's parameter is part of the language, but this version does not compile it yet",
            at,
            label="read and kept, not compiled",
            help=("write numbers, or `learn` the parameter",),
        )
        raise Reported
    inputs = _readable(building, node, formulas_in(op), at, itself=False)
    _require_positive(building, op, law, at)
    return Prior(at, node.name, op, inputs)


def _require_positive(building: Building, op: AbstractDistribution, law: AbstractExpr, at: Address) -> None:
    """Every scale and rate that is a formula proved positive, whatever the values that it reads."""
    read = {n.name: n.support for n in building.variables.values() if n.support is not None}
    read |= {n.name: n.type.support for n in building.learned.values() if isinstance(n.type, Type)}
    if not all(name in read for formula in formulas_in(op) for name in free_names(formula)):
        return
    declared = {n.name: f"{n.role} {n.name}" for n in building.variables.values()}
    declared |= {name: f"learn {name}" for name in building.learned}
    found = list(unproved_scales(op, law, at, read, declared))
    for diagnostic in found:
        building.findings.add(diagnostic)
    if found:
        raise Reported


def _readable(
    building: Building, node: VariableNode, formulas: Iterable[AbstractExpr], at: Address, *, itself: bool
) -> tuple[str, ...]:
    """The values that a density's formulas read; anything but given variables (and `itself`) is refused."""
    names = dict.fromkeys(n for f in formulas for n in free_names(f) if n in building.variables)
    for name in names:
        read = building.variables[name]
        if read.role != "given" and not (itself and name == node.name):
            building.findings.report(
                "DGM712",
                f"the density of `{node.name}` reads `{name}`, which is not given",
                at,
                labels=(Label(read.address, f"`{name}` is declared `{read.role}` here"),),
                help=(f"declare `given {name}`, or join the two variables by a flow",),
            )
            raise Reported
    return tuple(building.variables[name].value for name in names)
