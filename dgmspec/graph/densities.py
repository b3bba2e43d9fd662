"""Densities lowered: priors, targets, and the conditional laws ``generate`` and ``infer``."""

from __future__ import annotations

from dataclasses import replace

from dgmspec.algebra.nodes import AbstractExpr, Call, Index
from dgmspec.algebra.rewrite import free_names
from dgmspec.core.address import Address, child
from dgmspec.core.diagnostics import Label
from dgmspec.graph.building import Building
from dgmspec.graph.contexts import Readable
from dgmspec.graph.findings import Reported
from dgmspec.graph.graph import Prior, Target, VariableNode
from dgmspec.graph.parametric import lower_law
from dgmspec.ops import find
from dgmspec.spec.model import Conditional, Variable

__all__ = ["lower_conditional", "lower_density"]


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
        building.findings.refuse(
            "DGM711",
            f"`{node.name}` is latent and must be drawn, but `exp(…)` is an unnormalised density",
            at,
            label="cannot be drawn from",
            help=("give it a distribution, such as `normal(0, 1)`",),
        )
    hint = "declare `given {}`, or join the two variables by a flow"
    reading = Readable(building, _given(building) | {node.name}, "DGM712", f"the density of `{node.name}`", hint)
    formula = reading.formula(log_density, child(at, 0))
    read = [reading.variable(name, child(at, 0)) for name in free_names(formula) if name in building.variables]
    return Target(at, node.name, formula, (*read, *reading.values.values()), tuple(reading.values.items()))


def _prior(building: Building, node: VariableNode, law: AbstractExpr, at: Address) -> Prior:
    """``~ D``: the distribution, whose parameters may read given variables and learned parameters."""
    hint = f"declare `given {{}}`, join the two by a flow, or write `generate {node.name} | {{}} ~ …`"
    reading = Readable(building, _given(building), "DGM712", f"the density of `{node.name}`", hint)
    return lower_law(building, node, law, at, reading)


def _given(building: Building) -> frozenset[str]:
    return frozenset(v.name for v in building.variables.values() if v.role == "given")


# ---- generate and infer ---------------------------------------------------------------------------------------------


def lower_conditional(building: Building, member: Conditional) -> None:
    """``generate x | z ~ D`` is the prior of x, ``infer z | x ~ D`` the posterior of z."""
    at = building.at(member)
    node = None if isinstance(member.target, Index) else building.variables.get(member.target.id)
    if node is None:  # declared nowhere, or not as an indexed variable, as the reading of names has said
        building.complete = False
        return
    try:
        _check_role(building, node, at)
        before = node.prior if member.head == "generate" else node.posterior
        if before is not None:
            _second(building, node, at, before)
        reading = Readable(building)
        context = reading.items(member.context, at)
        bar = frozenset(name for item in member.context for name in free_names(item))
        said = ", ".join((*(name for name in building.variables if name in bar), "{}"))
        reading = Readable(
            building,
            bar | _given(building),
            "DGM725",
            f"the law of `{node.name}`",
            f"write it after the bar: `{member.head} {node.name} | {said} ~ …`",
        )
        law = lower_law(building, node, member.law, child(at, "law"), reading, context)
        law = replace(law, address=at)
        generates = member.head == "generate"
        changed = replace(node, prior=law) if generates else replace(node, posterior=law)
        building.variables[node.name] = changed
    except Reported:
        building.complete = False


def _check_role(building: Building, node: VariableNode, at: Address) -> None:
    """A given variable has no law."""
    if node.role == "given":
        building.findings.refuse(
            "DGM710",
            f"`{node.name}` is given with every call, so it has no density",
            at,
            labels=(Label(node.address, "declared `given` here"),),
            help=(f"leave it out, or declare `observe {node.name}` or `latent {node.name}`",),
        )


def _second(building: Building, node: VariableNode, at: Address, before: Prior) -> None:
    building.findings.refuse(
        "DGM720",
        f"`{node.name}` is given two laws",
        at,
        label="a second law",
        labels=(Label(before.address, "the first"),),
        help=("leave one of the two out",),
    )
