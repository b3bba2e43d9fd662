"""The velocity of an `ode` arrow closed: params put in, functions written out, nets and gradients read by name.

What the formula may name are the state (or the parts of a joint one), the time, the variables behind the arrow's bar,
and numbers and nets that the arrow or the model learns.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from dgmspec.algebra.nodes import AbstractExpr, Name
from dgmspec.algebra.rewrite import free_names
from dgmspec.core.address import Address, child
from dgmspec.core.nets import AbstractNet
from dgmspec.core.types import REAL, Type
from dgmspec.graph.arrow_nets import arity_of, is_net, own_net, require_steady, shared_nets
from dgmspec.graph.building import Building
from dgmspec.graph.contexts import visible
from dgmspec.graph.declaring import Declaring
from dgmspec.graph.differentiating import Differentiating, all_names
from dgmspec.graph.divided import JointState, divided
from dgmspec.graph.findings import Reported
from dgmspec.graph.lipschitz import is_lipschitz, unproved_terms
from dgmspec.graph.readings import Readings, folded
from dgmspec.graph.scope import Definitions
from dgmspec.graph.words import describe
from dgmspec.ops.authored import OwnConstant, OwnNet, Reading, Size
from dgmspec.ops.continuous import Seen, Velocity
from dgmspec.spec.model import Definition, Fn, Learn, Net, Path

__all__ = ["close_velocity"]

IN_PLACE: Final = "net"
"""The name of a net that is the whole velocity, written in place."""

_EQUATION: Final = "velocity", "equation is solved"


def close_velocity(building: Building, member: Path, at: Address, beside: frozenset[str]) -> Velocity:
    """The velocity of an arrow whose braces hold one; raises `Reported` where it holds a mistake. Learned numbers that
    are read `beside` it, by the times at which it starts and ends, are among its own."""
    closing = _Closing(building, member, at)
    found = closing.velocity()
    closing.share_numbers()
    more = sorted(beside - {own.name for own in found.learned})
    if not closing.learned.keys() >= set(more):
        raise Reported  # one whose type nothing fixes
    shared = (*found.shared, *((name, closing.shared[name]) for name in more if name in closing.shared))
    return replace(found, learned=(*found.learned, *(closing.learned[name] for name in more)), shared=shared)


@dataclass
class _Closing:
    """One velocity on its way. `nets` and `learned` are those of the arrow and of the model that it names."""

    building: Building
    member: Path
    at: Address
    nets: dict[str, OwnNet] = field(default_factory=dict)
    learned: dict[str, OwnConstant] = field(default_factory=dict)
    shared: dict[str, Address] = field(default_factory=dict)
    joint: JointState | None = None
    """Of an arrow with a list at an end."""

    def velocity(self) -> Velocity:
        """All of it; raises `Reported` where it holds a mistake."""
        definition = next(p for p in self.member.body if isinstance(p, Definition))
        place = child(self.at, "velocity")
        state, time = self._arguments(definition, place)
        self._declare(state)
        seen = self._seen(definition.value, place)
        if is_net(self.building, definition.value, self.nets):
            return self._in_place(definition.value, state, time, child(place, "value"))
        return self._formula(definition.value, state, time, seen, child(place, "value"))

    def _arguments(self, definition: Definition, place: Address) -> tuple[str, str]:
        """The names of the state and of the time, empty where the velocity does not take it."""
        time, ends = self.member.over.name, max(self.member.source, self.member.target, key=len)
        *states, last = definition.args
        states, timed = (states, True) if last == time else ([*states, last], False)
        if len(states) != len(ends) or time in states:
            names = "y" if len(ends) == 1 else ", ".join(ends)
            help_ = (f"write `velocity({names}, {time})`, or `velocity({names})` where it does not change with time",)
            parts = "the state" if len(ends) == 1 else f"the {len(ends)} parts of the state"
            self.building.findings.refuse(
                "DGM604", f"a velocity takes {parts} and the time `{time}`, in this order", place, "", help_
            )
        if len(states) > 1:
            self.joint = divided(self.building, self.at, states, ends)
        return self.joint.whole if self.joint else states[0], time if timed else ""

    def _declare(self, state: str) -> None:
        """The arrow's own numbers and nets; a net without a type gives a change of the state."""
        ends = (self.member.source[0], self.member.target[0])
        declaring = Declaring(self.building.scope, self.building.findings, self.at, ends)
        for part in self.member.body:
            at = child(self.at, part.name)
            if isinstance(part, Learn):
                learned = declaring.learned(part)
                self.learned[part.name] = replace(learned, size=_like(state, learned.size))
            elif isinstance(part, Net):
                self.nets[part.name] = own_net(declaring, part, at, state)

    def _seen(self, value: AbstractExpr, place: Address) -> tuple[Seen, ...]:
        """The variables of the context that the formula may name, in order."""
        names = [part.id for part in self.member.context if isinstance(part, Name)]
        variables = self.building.variables
        hidden = {self.member.over.name, *self._state_names(), *self.nets, *self.learned}
        read = self._names_read(value)
        for name in read:
            if name in variables and name not in names and name not in hidden:
                help_ = (f"write it behind a bar: `ode … | {name} over …`",)
                message = f"the velocity reads `{name}`, which is not in the arrow's context"
                self.building.findings.refuse("DGM604", message, place, "", help_)
        found = visible(self.building, self.member.context)
        return tuple(seen for seen in found if seen.name in read and seen.name not in hidden)

    def _names_read(self, value: AbstractExpr) -> list[str]:
        """The names that the velocity and the arrow's own functions read."""
        functions = [part for part in self.member.body if isinstance(part, Fn)]
        inside = [name for fn in functions for name in free_names(fn.value) if name not in fn.args]
        return list(dict.fromkeys((*free_names(value), *inside)))

    def _state_names(self) -> tuple[str, ...]:
        return next(p.args for p in self.member.body if isinstance(p, Definition))

    def _in_place(self, value: AbstractExpr, state: str, time: str, place: Address) -> Velocity:
        """A net of the state, the time and the context."""
        op = self.building.caller().operation("net", value, place)
        assert isinstance(op, AbstractNet)
        args = tuple(Name(id=name) for name in (state, time) if name)
        net = OwnNet(IN_PLACE, op, REAL, Size(like=state), place)
        require_steady(self.building, net, *_EQUATION)
        reading = Reading(f"{IN_PLACE}_1", IN_PLACE, args)
        wild = () if is_lipschitz(op) else (describe(op),)
        return Velocity(
            state,
            time,
            Name(id=reading.symbol),
            nets=(net,),
            readings=(reading,),
            in_place=frozenset((IN_PLACE,)),
            unproved=wild,
        )

    def _formula(self, value: AbstractExpr, state: str, time: str, seen: tuple[Seen, ...], place: Address) -> Velocity:
        """A formula closed: nets and gradients under names of their own."""
        building = self.building
        self.share_numbers()
        self._share_nets(state)
        fns = {p.name: p for p in self.member.body if isinstance(p, Fn)}
        parts = self.joint.parts if self.joint else (state,)
        names = frozenset((*parts, *filter(None, (time,)), *(s.name for s in seen), *self.learned))
        functions = {name: fn for name, fn in building.functions.items() if name not in self.nets}
        calls = frozenset((*self.nets, "grad"))
        own = Definitions(building.findings, functions, building.scope.constants, names, calls)
        own.add_functions(fns, self.at)
        with building.findings.refusals_at(place):
            closed = folded(own.closed(value, frozenset()))
            closed = self.joint.listed(closed) if self.joint else closed
            reader = Differentiating(
                Readings(arity_of(building, self.member), names | frozenset((*self.nets, *fns))), state
            )
            formula = reader.read(closed)
            if self.joint:  # not before, or each number of a part would hold the whole net
                formula = self.joint.joined(formula)
        found = Velocity(
            state,
            time,
            formula,
            tuple(learned for learned in self.learned.values() if learned.name in all_names(formula, reader)),
            tuple(net for net in self.nets.values() if any(r.net == net.name for r in reader.all())),
            tuple(reader.used),
            tuple(reader.gradients),
            seen,
        )
        self._require_kinds(found, place)
        kept = {n.name for n in found.nets} | {c.name for c in found.learned}
        shared = tuple((name, address) for name, address in self.shared.items() if name in kept)
        return replace(found, shared=shared, unproved=tuple(unproved_terms(found)))

    def share_numbers(self) -> None:
        """The model's numbers, which the arrow's own hide."""
        for name, node in self.building.learned.items():
            if name not in self.learned and name not in self.nets and isinstance(node.type, Type):
                self.learned[name] = OwnConstant(name, node.type.support, Size(node.type.shape), node.initial)
                self.shared[name] = node.address

    def _share_nets(self, state: str) -> None:
        """The model's nets, which the arrow's own hide."""
        written = [p.value for p in self.member.body if isinstance(p, (Definition, Fn))]
        hidden = (*self.nets, *self.learned)
        for name, (net, at) in shared_nets(self.building, written, hidden, state).items():
            self.nets[name], self.shared[name] = net, at

    def _require_kinds(self, velocity: Velocity, place: Address) -> None:
        """Report nets whose value changes between two evaluations at one point, and states that nothing reads."""
        for net in velocity.nets:
            require_steady(self.building, net, *_EQUATION)
        if velocity.state not in velocity.moving or not velocity.moving.intersection(free_names(velocity.value)):
            self.building.findings.report(
                "DGM608",
                f"the velocity does not read its state `{velocity.state}`: every path is the same, shifted",
                place,
                help=("let it depend on the state, or write the shift as a `flow`",),
            )
        elif velocity.time and not velocity.reads_time():
            self.building.findings.report(
                "DGM609",
                f"the velocity does not read its time `{velocity.time}`: the equation is the same at all times",
                child(self.at, "velocity"),
                help=(f"write `velocity({velocity.state}) = …`",),
            )


def _like(state: str, size: Size) -> Size:
    """A size like that of an end of the arrow is one like the state's."""
    return Size(like=state) if size.like else size
