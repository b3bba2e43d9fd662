"""What the energies of steps read: numbers and nets that the model learns, and variables behind the flow's bar."""

from __future__ import annotations

from dataclasses import replace

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.algebra.rewrite import free_names
from dgmspec.core.address import Address, child
from dgmspec.core.types import Type
from dgmspec.graph.building import Building
from dgmspec.graph.contexts import net_operation, visible
from dgmspec.graph.findings import Reported
from dgmspec.graph.readings import Readings
from dgmspec.graph.unroll import Placed
from dgmspec.graph.variables import lower_type
from dgmspec.ops.authored import OwnConstant, OwnNet, Reading, Size
from dgmspec.ops.transitions import STATE, AbstractTransition, Own
from dgmspec.spec.model import Flow

__all__ = ["with_energy"]


def with_energy(building: Building, member: Flow, step: Placed) -> Placed:
    """A step of a flow with what its energy reads, if it moves by one; raises `Reported` where that cannot be read."""
    op = step.op
    if not isinstance(op, AbstractTransition):
        return step
    place = dict(step.arguments).get("energy", step.place)
    used: list[Reading] = []
    seen = {found.name: found for found in visible(building, member.context)}
    arity = {name: len(net.args) for name, (_, net) in building.named_nets.items()}
    readings = Readings(arity, frozenset((STATE, *building.learned, *seen)))
    with building.findings.refusals_at(place):
        formula = readings.read(op.energy.formula, used)
    names = _names(formula, used)
    for name in names:
        if name not in seen and name not in building.learned:
            help_ = (f"write it behind the bar: `flow … | {name} {{ … }}`", "or write the state itself as `_`")
            message = f"the energy of `{op.name}` reads `{name}`, which is not in the flow's context"
            building.findings.refuse("DGM458", message, place, f"reads `{name}`", help_)
    energy = replace(
        op.energy,
        formula=formula,
        learned=tuple(_number(building, name) for name in names if name not in seen),
        seen=tuple(seen[name] for name in names if name in seen),
        nets=tuple(_net(building, name, place) for name in dict.fromkeys(reading.net for reading in used)),
        readings=tuple(used),
    )
    return replace(step, op=op.model_copy(update={"energy": energy}))


def _names(formula: AbstractExpr, used: list[Reading]) -> tuple[str, ...]:
    """What an energy reads beside the state and the values of nets."""
    symbols = {STATE, *(reading.symbol for reading in used)}
    formulas = (formula, *(arg for reading in used for arg in reading.args))
    return tuple(dict.fromkeys(n for part in formulas for n in free_names(part) if n not in symbols))


def _number(building: Building, name: str) -> Own[OwnConstant]:
    """A number that the model learns."""
    node = building.learned[name]
    if not isinstance(node.type, Type):
        raise Reported  # nothing fixes its type
    return OwnConstant(name, node.type.support, Size(node.type.shape), node.initial), node.address


def _net(building: Building, name: str, place: Address) -> Own[OwnNet]:
    """A net of the model or of the file, or an energy that is one."""
    at, net = building.named_nets[name]
    op = net_operation(building, at, net)
    declared = None if net.type is None else lower_type(building, net.type, at)
    if op == "external" or declared is None or declared.shape is None:
        what = "comes from Python" if op == "external" else "has a value whose shape nothing fixes"
        help_ = f"write `net {name}({', '.join(net.args)}) : real = mlp(64)`"
        building.findings.refuse("DGM458", f"the net `{name}` of this energy {what}", place, "no formula", (help_,))
    return OwnNet(name, op, declared.support, Size(declared.shape), child(at, "value")), at
