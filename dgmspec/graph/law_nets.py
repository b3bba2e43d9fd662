"""Nets in the law of an `sde` that runs forwards: named ones in formulas, and whole formulas that are nets in place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from dgmspec.algebra.nodes import AbstractExpr, Index, Name, Vector, expr
from dgmspec.algebra.paths.parts import Parts
from dgmspec.algebra.rewrite import free_names, inline
from dgmspec.core.address import Address, child
from dgmspec.core.nets import AbstractNet
from dgmspec.core.types import POSITIVE, REAL
from dgmspec.graph.arrow_nets import arity_of, is_net, own_net, require_steady, shared_nets
from dgmspec.graph.building import Building
from dgmspec.graph.declaring import Declaring
from dgmspec.graph.differentiating import Differentiating
from dgmspec.graph.readings import Readings
from dgmspec.ops.authored import OwnNet, Reading, Size
from dgmspec.ops.paths.applied import WHOLE, Applied
from dgmspec.spec.model import Definition, Fn, Net, Path

__all__ = ["LawNets", "names_in"]

_SUPPORTS: Final = {"drift": REAL, "diffusion": POSITIVE}
"""Where the value of a net lies that is the whole drift, or the whole diffusion, of which the sign tells nothing."""


@dataclass
class LawNets:
    """Those of one arrow, by name; `shared` has the addresses of the model's, `written` the readings of those in
    place."""

    building: Building
    member: Path
    at: Address
    nets: dict[str, OwnNet] = field(default_factory=dict)
    shared: dict[str, Address] = field(default_factory=dict)
    written: list[Reading] = field(default_factory=list)

    def declare(self, hidden: frozenset[str]) -> None:
        """Those of the braces and, but for names that are `hidden`, those of the model that the law calls."""
        building = self.building
        declaring = Declaring(building.scope, building.findings, self.at, (*self.member.source, *self.member.target))
        for part in self.member.body:
            if isinstance(part, Net):
                self.nets[part.name] = own_net(declaring, part, child(self.at, part.name), WHOLE)
        formulas = [part.value for part in self.member.body if isinstance(part, (Definition, Fn))]
        with building.findings.refusals_at(self.at):
            plain = [inline(formula, building.functions) for formula in formulas]
        found = shared_nets(building, plain, hidden | self.nets.keys(), WHOLE)
        for name, (net, at) in found.items():
            self.nets[name], self.shared[name] = net, at

    def in_place(self, part: Definition, names: tuple[str, ...], parts: Parts) -> AbstractExpr | None:
        """A drift or diffusion that is a net written in place, which reads the `names` that it takes and the arrow's
        context; None where it is a formula. Of a joint state its numbers are divided among the `parts`."""
        if not is_net(self.building, part.value, self.nets):
            return None
        place = child(child(self.at, part.name), "value")
        op = self.building.caller().operation("net", part.value, place)
        assert isinstance(op, AbstractNet)
        self.nets[part.name] = OwnNet(part.name, op, _SUPPORTS[part.name], Size(like=WHOLE), place)
        symbol = f"{part.name}_net"
        while symbol in (*names, *self.nets, *self.building.learned, *self.building.variables):
            symbol += "_"
        reading = Reading(symbol, part.name, tuple(Name(id=name) for name in names))
        self.written.append(reading)
        whole = Name(id=reading.symbol)
        return whole if len(parts) == 1 else _divided(whole, parts)

    def read(
        self, formulas: tuple[AbstractExpr, ...], places: tuple[Address, ...], state: str, taken: frozenset[str]
    ) -> tuple[tuple[AbstractExpr, ...], Applied]:
        """Formulas with their nets, and gradients of these by the state, under names of their own."""
        arity = arity_of(self.building, self.member)
        names = taken | frozenset((*self.nets, *(reading.symbol for reading in self.written)))
        reader = Differentiating(Readings({n: arity[n] for n in self.nets if n in arity}, names), state)
        found = []
        for formula, place in zip(formulas, places, strict=True):
            with self.building.findings.refusals_at(place):
                found.append(reader.read(formula))
        used = (*self.written, *reader.used)
        applied = {reading.net for reading in (*used, *reader.all())}
        nets = tuple(net for name, net in self.nets.items() if name in applied)
        for net in nets:
            require_steady(self.building, net, "law", "process is followed")
        in_place = frozenset(reading.net for reading in self.written)
        return tuple(found), Applied(self.member.over.name, nets, used, tuple(reader.gradients), in_place)


def names_in(formulas: tuple[AbstractExpr, ...], applied: Applied) -> frozenset[str]:
    """Every name that formulas read, inside their nets' arguments and their gradients too."""
    args = (arg for reading in applied.all_readings for arg in reading.args)
    return frozenset(
        name for part in (*formulas, *args, *(g.energy for g in applied.gradients)) for name in free_names(part)
    )


def _divided(whole: Name, parts: Parts) -> Vector:
    """The numbers of a whole for each part, in order."""
    items: list[AbstractExpr] = []
    start = 0
    for _, shape in parts:
        count = shape[0] if shape else 1
        numbers = tuple(Index(of=whole, index=expr(start + i)) for i in range(count))
        items.append(Vector(items=numbers) if shape else numbers[0])
        start += count
    return Vector(items=tuple(items))
