"""Numbers and arrays that the law of a path reads and that are learned: the model's, and those of the braces."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from dgmspec.algebra.intervals import Interval
from dgmspec.algebra.updates import as_interval
from dgmspec.core.address import Address, child
from dgmspec.core.types import Shape, Type
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

    def shapes(self) -> dict[str, Shape]:
        """Their shapes."""
        return {name: own.size.shape for name, own in self.own.items()}

    def read_by(self, names: Collection[str]) -> tuple[tuple[OwnConstant, ...], tuple[tuple[str, Address], ...]]:
        """Those among some names, and the addresses of the model's among them."""
        read = tuple(own for name, own in self.own.items() if name in names)
        return read, tuple((own.name, self.shared[own.name]) for own in read if own.name in self.shared)


def learned_numbers(building: Building, member: Path, at: Address) -> Numbers:
    """What the law of an arrow may read; raises `Reported` where a declaration holds a mistake."""
    found = Numbers()
    for name, node in building.learned.items():
        if isinstance(node.type, Type):
            found.own[name] = OwnConstant(name, node.type.support, Size(node.type.shape), node.initial)
            found.shared[name] = node.address
    declaring = Declaring(building.scope, building.findings, at, (*member.source, *member.target))
    for part in member.body:
        if isinstance(part, Learn):
            own = declaring.learned(part)
            found.own[part.name] = replace(own, size=_resolved(building, own.size, child(at, part.name)))
            found.shared.pop(part.name, None)
    return found


def _resolved(building: Building, size: Size, place: Address) -> Size:
    """A size in numbers, also where it is that of an end of the arrow."""
    if not size.like:
        return size
    known = building.variables[size.like].declared if size.like in building.variables else None
    if not isinstance(known, Type):
        message = f"nothing fixes the shape of `{size.like}` before the arrows are read"
        building.findings.refuse("DGM305", message, child(place, "type"), "open", ("write the dimensions",))
    return Size(known.shape)
