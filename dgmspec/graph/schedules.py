"""Numbers that the law of a path reads and that are learned: the model's, and those declared in the braces."""

from __future__ import annotations

from dataclasses import dataclass, field

from dgmspec.algebra.intervals import Interval
from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.algebra.rewrite import free_names
from dgmspec.algebra.updates import as_interval
from dgmspec.core.address import Address, child
from dgmspec.core.types import Type
from dgmspec.graph.building import Building
from dgmspec.graph.declaring import Declaring
from dgmspec.ops.authored import OwnConstant, Size
from dgmspec.spec.model import Learn, Path

__all__ = ["Numbers", "learned_numbers"]


@dataclass(frozen=True)
class Numbers:
    """By name, and the addresses of those that are the model's."""

    own: dict[str, OwnConstant] = field(default_factory=dict)
    shared: dict[str, Address] = field(default_factory=dict)

    def intervals(self) -> dict[str, Interval]:
        """Where they lie."""
        return {name: as_interval(own.support) for name, own in self.own.items()}

    def read_by(self, *formulas: AbstractExpr) -> tuple[tuple[OwnConstant, ...], tuple[tuple[str, Address], ...]]:
        """Those that the formulas read, and the addresses of the model's among them."""
        names = {name for formula in formulas for name in free_names(formula)}
        read = tuple(own for name, own in self.own.items() if name in names)
        return read, tuple((own.name, self.shared[own.name]) for own in read if own.name in self.shared)


def learned_numbers(building: Building, member: Path, at: Address) -> Numbers:
    """What the law of an arrow may read; raises `Reported` where a declaration holds a mistake."""
    found = Numbers()
    for name, node in building.learned.items():
        if isinstance(node.type, Type) and not node.type.shape:
            found.own[name] = OwnConstant(name, node.type.support, Size(()), node.initial)
            found.shared[name] = node.address
    declaring = Declaring(building.scope, building.findings, at, (*member.source, *member.target))
    for part in member.body:
        if isinstance(part, Learn):
            own = declaring.learned(part)
            if own.size.like or own.size.shape:
                message = f"`{part.name}` is an array, and the law of a `{member.head}` reads learned numbers alone"
                place = child(at, part.name)
                building.findings.refuse("DGM901", message, place, "not compiled", ("learn one number",))
            found.own[part.name] = own
            found.shared.pop(part.name, None)
    return found
