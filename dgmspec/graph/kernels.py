"""The law of a noising arrow closed: the drift and diffusion of an `sde`, else the normal kernel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from dgmspec.algebra.intervals import REALS
from dgmspec.algebra.nodes import AbstractExpr, Call, Name
from dgmspec.algebra.paths.affine import Times, affine
from dgmspec.algebra.paths.parts import Parts
from dgmspec.algebra.rewrite import called, free_names, substitute
from dgmspec.algebra.shapes import shape_of
from dgmspec.core.address import Address, child
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.types import Type, Unknown
from dgmspec.graph.building import Building
from dgmspec.graph.contexts import visible
from dgmspec.graph.gradients import differentiated
from dgmspec.graph.law_nets import LawNets, names_in
from dgmspec.graph.schedules import Numbers
from dgmspec.graph.scope import Definitions
from dgmspec.graph.untrained import untrained
from dgmspec.ops.continuous import Seen
from dgmspec.ops.continuous.placed import seen_shape
from dgmspec.spec.model import Definition, Fn, Kernel, Path

__all__ = ["ClosingLaw"]


@dataclass
class ClosingLaw:
    """One law on its way, of an arrow whose statements are `parts` by name; `places` tells where its formulas stand."""

    building: Building
    member: Path
    at: Address
    parts: Mapping[str, object]
    times: dict[str, Any]
    numbers: Numbers
    simulates: bool
    """Whether the arrow runs forwards from a prior, where the law may be any."""
    events: tuple[Type | Unknown, ...]
    """The declared types of the variables at the start."""
    joined: Parts
    """The parts of the state there with their shapes."""
    places: dict[str, Address] = field(default_factory=dict)
    states: tuple[str, ...] = ()
    """The names of the parts of a joint state in the formulas, once they are read."""

    @property
    def time(self) -> str:
        """The name of the time."""
        return self.member.over.name

    def fields(self) -> dict[str, Any]:
        """The closed formulas of the law, and the name of the state in them; raises `Reported`."""
        if self.simulates:
            self.nets.declare(frozenset(self.numbers.own))
        calls = frozenset(("grad", *self.nets.nets) if self.member.head == "sde" else ())
        scope = self.building.scope.constants
        names = frozenset((*self.numbers.own, *(seen.name for seen in self.seen)))
        functions = {name: fn for name, fn in self.building.functions.items() if name not in self.nets.nets}
        own = Definitions(self.building.findings, functions, scope, names, calls)
        own.add_functions({p.name: p for p in self.member.body if isinstance(p, Fn)}, self.at)
        return self._sde(own) if self.member.head == "sde" else self._normal(own)

    @cached_property
    def nets(self) -> LawNets:
        """The nets of a law that runs forwards."""
        return LawNets(self.building, self.member, self.at)

    @cached_property
    def seen(self) -> tuple[Seen, ...]:
        """The variables of the arrow's context that a law which runs forwards may read, but for those that other names
        hide."""
        args = {arg for part in self.parts.values() if isinstance(part, Definition) for arg in part.args}
        hidden = {self.time, *args, *self.numbers.own, *self.nets.nets}
        found = visible(self.building, self.member.context) if self.simulates else ()
        return tuple(seen for seen in found if seen.name not in hidden)

    def _sde(self, own: Definitions) -> dict[str, Any]:
        drift, diffusion = self.parts["drift"], self.parts["diffusion"]
        assert isinstance(drift, Definition) and isinstance(diffusion, Definition)
        if len(self.member.source) > 1:
            return self._joint(own, drift, diffusion)
        state = self._state(drift)
        names = (state, self.time) if len(diffusion.args) == 2 else (self.time,)
        return self._drawn(own, drift, diffusion, (state,), names)

    def _drawn(
        self,
        own: Definitions,
        drift: Definition,
        diffusion: Definition,
        states: tuple[str, ...],
        names: tuple[str, ...],
    ) -> dict[str, Any]:
        """The fields of an `sde` of these states, the diffusion a function of `names`."""
        moved = self._part(own, drift, (*states, self.time))
        moved = self._differentiated(moved, states)
        spread = self._part(own, diffusion, names)
        found: dict[str, Any] = {}
        read = frozenset((*free_names(moved), *free_names(spread)))
        if self.simulates:
            taken = frozenset((*states, self.time, *self.numbers.own, *(seen.name for seen in self.seen)))
            places = self.places["drift"], self.places["diffusion"]
            (moved, spread), applied = self.nets.read((moved, spread), places, states[0], taken)
            read = names_in((moved, spread), applied)
            found["applied"] = replace(applied, seen=tuple(seen for seen in self.seen if seen.name in read))
        learned, shared = self.numbers.read_by(read)
        shared = (*shared, *self.nets.shared.items())
        if learned or shared:
            found |= {"learned": learned, "shared": shared}
        return {"state": ", ".join(states), "drift": moved, "diffusion": spread, **found}

    def _part(self, own: Definitions, part: Definition, names: tuple[str, ...]) -> AbstractExpr:
        """A drift or diffusion closed, or the value of the net that stands in its place."""
        found = self.nets.in_place(part, names, self.joined) if self.simulates else None
        if found is None:
            return self._closed(own, part.value, part.args, names, part.name)
        self.places[part.name] = child(child(self.at, part.name), "value")
        return found

    def _differentiated(self, formula: AbstractExpr, states: tuple[str, ...]) -> AbstractExpr:
        """The drift with its gradients written out."""
        parts, times = dict(zip(states, self.events, strict=True)), Times(self.time, **self.times)
        with self.building.findings.refusals_at(self.places["drift"]):
            known, shapes = self.numbers.intervals(), self.numbers.shapes()
            known |= {seen.name: REALS for seen in self.seen}
            shapes |= {seen.name: seen_shape(seen.type) for seen in self.seen}
            return differentiated(formula, parts, times, known, shapes, self.nets.nets)

    def _joint(self, own: Definitions, drift: Definition, diffusion: Definition) -> dict[str, Any]:
        """``drift(x, v, t) = [v, -x - 2 * v]`` and ``diffusion(t) = [0, 2]``: lists of those of the parts."""
        count = len(self.member.source)
        if len(drift.args) != count + 1 or len(diffusion.args) not in (1, count + 1):
            wrong = "drift" if len(drift.args) != count + 1 else "diffusion"
            written, parts = ", ".join(self.member.source), f"the {count} parts of the state and the time"
            what = parts if wrong == "drift" else f"the time alone, or of {parts}"
            help_ = (
                f"write `{wrong}({written + ', ' if wrong == 'drift' else ''}{self.time}) = [{'…, ' * (count - 1)}…]`",
            )
            message = f"`{wrong}` of a joint state is a function of {what}"
            self.building.findings.refuse("DGM675", message, child(self.at, wrong), help=help_)
        self.states = tuple(name if name != self.time else f"{name}_0" for name in drift.args[:-1])
        names = (*self.states, self.time)
        return self._drawn(own, drift, diffusion, self.states, names[-len(diffusion.args) :])

    def mixes(self, formulas: Mapping[str, Any]) -> bool:
        """Whether the law of an `sde` is one of several variables, or one that mixes the coordinates of a vector."""
        if self.states:
            return True
        try:
            affine(formulas["drift"], formulas["state"], Times(self.time, **self.times), self.numbers.intervals())
        except Refusal as refusal:
            return refusal.code == "DGM455"
        try:
            return len(shape_of(formulas["diffusion"], {self.time: (), **self.numbers.shapes()})) > 1
        except Refusal:
            return False

    def named(self, parts: Parts) -> Parts:
        """The parts of the state by their names in the formulas."""
        names = self.states or (str(self._state(self.parts["drift"])),)  # type: ignore[arg-type]  # a definition
        return tuple((name, shape) for name, (_, shape) in zip(names, parts, strict=True))

    def _normal(self, own: Definitions) -> dict[str, Any]:
        """``step(x, t) ~ normal(loc, scale)``."""
        kernel = next(part for part in self.parts.values() if isinstance(part, Kernel))
        state, name, law = self._state(kernel), kernel.name, kernel.law
        at = child(child(self.at, name), "law")
        if not isinstance(law, Call) or law.name != "normal":
            message = f"the law of `{name}` is normal: other noise has no score that these losses know"
            self.building.findings.refuse(
                "DGM640", message, at, "not normal", (f"write `{name}(x, {self.time}) ~ normal(…, …)`",)
            )
        given = {arg.name or ("loc", "scale")[i]: arg.value for i, arg in enumerate(law.args) if i < 2}
        if set(given) != {"loc", "scale"}:
            self.building.findings.refuse(
                "DGM640", "a normal law has a place and a scale", at, help=("write `normal(loc, scale)`",)
            )
        loc = self._closed(own, given["loc"], kernel.args, (state, self.time), "loc", child(at, 0))
        scale = self._closed(own, given["scale"], kernel.args, (self.time,), "scale", child(at, 1), state)
        return {"state": state, "loc": loc, "scale": scale, **self._read(loc, scale)}

    def _read(self, *formulas: AbstractExpr) -> dict[str, Any]:
        """The learned numbers that the law reads."""
        learned, shared = self.numbers.read_by({name for formula in formulas for name in free_names(formula)})
        return {"learned": learned, "shared": shared} if learned else {}

    def _state(self, part: Definition | Kernel) -> str:
        """The name of the state in the law's formulas; the time is the arrow's own, whatever it is called there."""
        if len(part.args) != 2:
            message = f"`{part.name}` is a function of the state and the time"
            help_ = (f"write `{part.name}(x, {self.time})`",)
            self.building.findings.refuse("DGM640", message, child(self.at, part.name), help=help_)
        return part.args[0] if part.args[0] != self.time else f"{part.args[0]}_0"

    def _closed(
        self,
        own: Definitions,
        formula: AbstractExpr,
        written: tuple[str, ...],
        names: tuple[str, ...],
        part: str,
        at: Address | None = None,
        state: str = "",
    ) -> AbstractExpr:
        """A formula over the state and the time alone."""
        place = at or child(child(self.at, part), "value")
        self.places[part] = place
        if not self.simulates:
            for name in called(formula):
                if name in self.building.named_nets and name not in self.parts:
                    self.building.findings.refuse("DGM677", *untrained(self.member.head, name, place))
        if state and state in free_names(formula):
            self.building.findings.refuse(
                "DGM647",
                f"a scale that reads the state `{state}` gives no normal kernel",
                place,
                "reads the state",
                ("let the scale depend on the time alone",),
            )
        renamed: dict[str, AbstractExpr] = {w: Name(id=n) for w, n in zip(written, names, strict=False)}
        with self.building.findings.refusals_at(place):
            return own.closed(substitute(formula, renamed), frozenset(names))
