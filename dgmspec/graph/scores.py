"""Energies that are nets, and ``learn score(x) = NET``: the slope of a log-density without the density."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from dgmspec.algebra.nodes import AbstractExpr, Argument, Call, Name, expr
from dgmspec.core.address import Address
from dgmspec.core.types import Type
from dgmspec.graph.building import Building
from dgmspec.graph.contexts import Readable
from dgmspec.graph.findings import Reported
from dgmspec.graph.graph import VariableNode
from dgmspec.ops import find
from dgmspec.spec.model import LearnFunction, Net, TypeExpr

__all__ = ["NUMBER", "is_net", "lower_score"]

NUMBER: Final = TypeExpr(name="real")
"""What an energy gives."""


def is_net(value: AbstractExpr) -> bool:
    """Whether an expression is a whole network, of the library or supplied from Python."""
    if isinstance(value, Name):
        return value.id == "external"
    return isinstance(value, Call) and find("net", value.name) is not None


def lower_score(building: Building, member: LearnFunction) -> None:
    """The net of a score as a value of the graph, noted at its variable."""
    at = building.at(member)
    try:
        node = _variable(building, member, at)
        readable = frozenset(v.name for v in building.variables.values() if v.role == "given") | {node.name}
        reading = Readable(building, readable, "DGM712", f"the score of `{node.name}`", "declare `given {}`")
        assert isinstance(node.declared, Type)
        type_ = TypeExpr(name="real", dims=tuple(map(expr, node.declared.shape)))
        building.named_nets[member.name] = at, Net(name=member.name, args=member.args, type=type_, value=member.value)
        call = Call(name=member.name, args=tuple(Argument(value=Name(id=name)) for name in member.args))
        building.variables[node.name] = replace(node, score=reading.net(call, at))
    except Reported:
        building.complete = False


def _variable(building: Building, member: LearnFunction, at: Address) -> VariableNode:
    """The observed variable whose score is learned."""
    first = building.variables.get(member.args[0]) if member.args else None
    observed = [v.name for v in building.variables.values() if v.role == "observe"]
    shown = observed[0] if observed else "x"
    if member.name != "score":
        building.findings.refuse(
            "DGM750",
            f"beside the arrows a model learns a `score`, and this is `{member.name}`",
            at,
            label="of no arrow",
            notes=("`noise`, `clean`, `velocity` and `v` are predictions along a noising arrow, in its braces",),
            help=(f"write `learn score({shown}) = mlp(64, 64)`, or put it into the braces of the arrow",),
        )
    if first is None or first.role != "observe" or not isinstance(first.declared, Type):
        what = "no variable" if first is None else f"`{first.role} {first.name}`"
        if first is not None and first.role == "observe":
            what = f"`{first.name}`, whose shape nothing fixes"
        building.findings.refuse(
            "DGM750",
            f"a score is that of an observed variable, and its first argument is {what}",
            at,
            label="whose score?",
            help=(f"write `learn score({shown}) = mlp(64, 64)`, with the dimensions of `{shown}` in its declaration",),
        )
    return first
