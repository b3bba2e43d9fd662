"""The nets that formulas of an arrow over time apply: those of its braces, and those of the model that they name."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from dgmspec.algebra.nodes import AbstractExpr, Call, Name
from dgmspec.algebra.rewrite import called
from dgmspec.core.address import Address, child
from dgmspec.core.types import REAL, Support
from dgmspec.graph.building import Building
from dgmspec.graph.contexts import net_operation
from dgmspec.graph.declaring import Declaring
from dgmspec.graph.variables import lower_type
from dgmspec.graph.words import describe
from dgmspec.ops import find
from dgmspec.ops.authored import OwnNet, Size
from dgmspec.ops.nets import External
from dgmspec.spec.model import Net, Path

__all__ = ["arity_of", "is_net", "own_net", "require_steady", "shared_nets"]


def arity_of(building: Building, member: Path) -> dict[str, int]:
    """How many arguments each net takes, those of the braces before those of the model."""
    own = {part.name: len(part.args) for part in member.body if isinstance(part, Net)}
    return {name: len(net.args) for name, (_, net) in building.named_nets.items()} | own


def own_net(declaring: Declaring, part: Net, at: Address, whole: str) -> OwnNet:
    """A net of the braces; without a type, or like an end of the arrow, its value is like the `whole` state."""
    support, size = declaring.type(part.type, at) if part.type else (REAL, Size(like=whole))
    size = Size(like=whole) if size.like else size
    return OwnNet(part.name, declaring.network(part), support, size, child(at, "value"))


def shared_nets(
    building: Building, written: Iterable[AbstractExpr], hidden: Collection[str], whole: str
) -> dict[str, tuple[OwnNet, Address]]:
    """The model's nets that formulas call, but for the names that the braces hide, each with its address."""
    names = {name for formula in written for name in called(formula)} - set(hidden)
    found: dict[str, tuple[OwnNet, Address]] = {}
    for name, (at, net) in building.named_nets.items():
        if name in names:
            made = net_operation(building, at, net)
            op = External() if made == "external" else made
            found[name] = OwnNet(name, op, *_net_type(building, at, net, whole), child(at, "value")), at
    return found


def _net_type(building: Building, at: Address, net: Net, whole: str) -> tuple[Support, Size]:
    """The declared type of a net's value; without one it is like the state, as with `like` of its first argument."""
    like = net.type.args[0] if net.type is not None and net.type.name == "like" and net.type.args else None
    if net.type is None or (isinstance(like, Name) and like.id == net.args[0]):
        return REAL, Size(like=whole)
    declared = lower_type(building, net.type, at)
    if declared.shape is None:
        help_ = ("write its dimensions",)
        building.findings.refuse(
            "DGM305", f"nothing fixes the shape of `{net.name}`'s value", child(at, "type"), "open", help_
        )
    return declared.support, Size(declared.shape)


def is_net(building: Building, value: AbstractExpr, own: Collection[str]) -> bool:
    """Whether a whole formula is a net of the library, written in place."""
    name = value.id if isinstance(value, Name) else value.name if isinstance(value, Call) else ""
    taken = name in own or name in building.functions or name in building.named_nets
    return not taken and find("net", name) is not None


def require_steady(building: Building, net: OwnNet, where: str, what: str) -> None:
    """Report a net that changes between two evaluations at one point."""
    if getattr(net.op, "dropout", 0.0):
        message = f"`{describe(net.op)}` drops other units at every evaluation, so that no one {what}"
        building.findings.refuse("DGM605", message, net.place, f"dropout inside a {where}", ("leave `dropout` out",))
