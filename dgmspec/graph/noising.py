"""`sde`, `markov` and `perturb` lowered: their law closed, their net and settings made, one step between their ends.

An `sde` whose start has the prior runs forwards and is a `Simulation`; every other arrow leads from data to noise.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from dgmspec.algebra.paths.affine import Times
from dgmspec.algebra.paths.slopes import bends
from dgmspec.algebra.rewrite import free_names
from dgmspec.algebra.updates import as_interval
from dgmspec.core.address import Address, child
from dgmspec.core.types import REAL, UNKNOWN, Type
from dgmspec.graph.braces import Braces
from dgmspec.graph.building import Building
from dgmspec.graph.contexts import lower_context
from dgmspec.graph.findings import Reported
from dgmspec.graph.flows import lower_end
from dgmspec.graph.graph import ArrowNode, StepNode, Value, VariableNode
from dgmspec.graph.joint_states import forward_source, joint_prior, joint_source, moments_of
from dgmspec.graph.kernels import ClosingLaw
from dgmspec.graph.schedules import learned_numbers
from dgmspec.graph.times import lower_times
from dgmspec.ops.paths.arrows import Perturb, Sde
from dgmspec.ops.paths.chain import Markov
from dgmspec.ops.paths.joint import JointSde
from dgmspec.ops.paths.noising import AbstractNoising
from dgmspec.ops.paths.simulation import Simulation
from dgmspec.ops.paths.unsolved import Unsolved
from dgmspec.spec.model import Path

__all__ = ["lower_noising"]

_STEPS: Final[dict[str, type[AbstractNoising]]] = {"sde": Sde, "markov": Markov, "perturb": Perturb}
"""By head: the class of the step."""


def lower_noising(building: Building, member: Path) -> None:
    """One noising arrow: an arrow node and the step that it is."""
    at = building.at(member)
    try:
        _Lowering(building, member, at).run()
    except Reported:
        building.complete = False


class _Lowering:
    """One arrow on its way."""

    def __init__(self, building: Building, member: Path, at: Address) -> None:
        self.building, self.member, self.at = building, member, at
        self.simulates = member.head == "sde" and _runs_forwards(building, member)
        self.cls: type[AbstractNoising | Simulation | Unsolved]
        self.cls = Simulation if self.simulates else _STEPS[member.head]
        self.time = member.over.name
        self.braces = Braces(building, member, at, self.simulates)
        self.places: dict[str, Address] = {}

    def run(self) -> None:
        """Ends, time, law, net, settings; then the node."""
        member, building = self.member, self.building
        if (len(member.source) > 1 or len(member.target) > 1) and member.head != "sde":
            self._refuse_joint()
        self._check_apart()
        events = tuple(v.declared if (v := building.variables.get(name)) else UNKNOWN for name in member.source)
        source = (forward_source if self.simulates else joint_source)(building, member, self.at)
        ends = self._target()
        for end in ends:
            self._check_ends(source.variable, lower_end(building, (end,), self.at))
        target = joint_prior(building, ends, self.at)
        context = lower_context(building, member.context, self.at)
        parts = self.braces.sorted()
        numbers = learned_numbers(building, member, self.at)
        times = lower_times(building, member, self.at)
        law = ClosingLaw(
            building, member, self.at, parts, times, numbers, self.simulates, events, source.parts, self.places
        )
        fields = {**times, **law.fields()}
        learned, at_learned = self.braces.learned()
        self.places |= at_learned
        fields |= {**learned, "settings": self.braces.settings()}
        if self.simulates:
            fields["start"] = moments_of(source.variable)
        self._check_start(fields)
        if law.states:
            fields["parts"] = law.named(source.parts)
        if self.cls is Sde:
            self.cls = self._kind(law, fields)
        if self.cls is JointSde:
            fields |= {"parts": law.named(source.parts), "starts": source.starts}
        if issubclass(self.cls, AbstractNoising):
            fields["end"] = moments_of(target)
        at, places = child(self.at, "path"), tuple(self.places.items())
        op, start, end = self.cls(time=self.time, **fields), source.value, target.value
        building.steps[at] = StepNode(at, op, False, start, end, context, self.at, self._label(), self.at, places)
        building.arrows[self.at] = ArrowNode(self.at, source.variable.name, target.name, context, (*source.steps, at))

    def _kind(self, law: ClosingLaw, fields: dict[str, Any]) -> type[AbstractNoising | Unsolved]:
        """What an `sde` from data is: with matrices for coefficients, without a formula for its kernel, or neither."""
        (event, *_), times = law.events, Times(self.time, fields["low"], fields["high"])
        known = {own.name: as_interval(own.support) for own in fields.get("learned", ())}
        state, drift = fields["state"], fields["drift"]
        # Of an event of unknown shape only laws by the coordinate are seen to bend.
        parts = fields.get("parts") or ((state, event.shape if isinstance(event, Type) else ()),)
        names = {name for name, _ in parts}
        shapes = {own.name: own.size.shape for own in fields.get("learned", ())}
        if names & {*free_names(fields["diffusion"])} or bends(drift, parts, times, known, shapes):
            self._require_known(known, "is not affine, so it is learned at simulated states")
            return Unsolved
        return self._told(fields, JointSde if law.mixes(fields) else Sde)

    def _require_known(self, learned: Iterable[str], why: str) -> None:
        """Refuse learned numbers in a law that has no bound which trains them."""
        for name in learned:
            self.building.findings.refuse(
                "DGM677",
                f"the law of this `sde` {why}, of numbers that are known: nothing trains `{name}` in it",
                child(self.at, "drift"),
                "reads a learned number",
                (
                    f"make it a param, a number that you set: `param {name} = 1`",
                    "or write an affine law whose coefficients act on each coordinate by itself",
                ),
            )

    def _refuse_joint(self) -> None:
        """A `markov` or `perturb` over several variables."""
        head, starts, ends = self.member.head, self.member.source, max(self.member.source, self.member.target, key=len)
        named = ", ".join(ends)
        joined = f"`latent u : real[n]`, `flow [{named}] -> u {{ permute(reverse) }}`, `{head} u -> z over …`"
        self.building.findings.refuse(
            "DGM676",
            f"a `{head}` acts on each coordinate by itself, and `[{named}]` are several variables",
            self.at,
            "several variables",
            (
                f"declare one vector in place of {' and '.join(f'`{name}`' for name in ends)}",
                *((f"or join them by a flow first: {joined}",) if ends == starts else ()),
                "where one drives the other, write an `sde`, whose drift may mix them: its kernel is derived",
            ),
        )

    def _told(self, fields: dict[str, Any], cls: type[AbstractNoising]) -> type[AbstractNoising]:
        """A class whose kernel is derived, so that nothing is simulated."""
        if cls is JointSde:
            names = (own.name for own in fields.get("learned", ()))
            self._require_known(names, "mixes coordinates, so the matrices of its kernel are worked out once")
        if fields["settings"].solver is not None:
            self.building.findings.refuse(
                "DGM655",
                "x at any time is drawn from its kernel, which is derived, and `solver` says how to simulate it",
                child(self.at, "solver"),
                "simulates nothing",
                ("leave `solver` out; samplers have their own, as in `reverse_sde(steps = 500, solver = heun)`",),
            )
        return cls

    def _target(self) -> tuple[str, ...]:
        """The names of the variables at the arrow's end; a `perturb` without any gets a latent that nobody names."""
        if self.member.target:
            return self.member.target
        name = f"noised_{self.member.source[0]}"
        while name in self.building.variables:
            name += "_"
        at = child(self.building.model.name, name)
        self.building.values[at] = Value(at, UNKNOWN, name)
        self.building.variables[name] = VariableNode(at, name, "latent", at, UNKNOWN, support=REAL)
        return (name,)

    def _check_apart(self) -> None:
        """What noise makes of a variable is another variable."""
        for name in self.member.target:
            if name in self.member.source:
                message = f"`{name}` stands at both ends of the path, and what noise makes of it is another variable"
                help_ = (f"declare one for the end, `latent {name}T : …`",)
                self.building.findings.refuse("DGM642", message, self.at, "starts and ends there", help_)

    def _check_ends(self, source: VariableNode, end: VariableNode) -> None:
        """The data stand at the start: neither is the end observed, nor has the start a law of its own."""
        start, stop, head = source.name, end.name, self.member.head
        if self.simulates and end.prior is None:
            return
        if self.simulates:
            why, help_ = f"`{start}` and `{stop}` both have a prior", f"leave out the prior of `{stop}` to run forwards"
            self.building.findings.refuse("DGM642", why, self.at, "one of them follows", (help_,))
        if end.role == "observe":
            why = f"the observed `{stop}` stands at the end of the path, where the noise is"
        elif source.prior is not None:
            why = f"`{start}` stands at the start of the path, where the data are, and has a prior"
        else:
            return
        forwards = (f"or give `{start}` a prior, to run the process forwards",) if head == "sde" else ()
        self.building.findings.refuse(
            "DGM642", why, self.at, "from noise to data", (f"write `{head} {stop} -> {start} over …`", *forwards)
        )

    def _check_start(self, fields: dict[str, Any]) -> None:
        """`t_eps` leaves something of the time."""
        t_eps = getattr(fields["settings"], "t_eps", None)
        if t_eps is not None and not t_eps < (span := fields["high"] - fields["low"]):
            message = f"`t_eps = {t_eps:g}` leaves nothing of a time that is {span:g} long"
            help_ = ("write a small number, such as `t_eps = 1e-3`",)
            self.building.findings.refuse("DGM642", message, child(self.at, "t_eps"), "too large", help_)

    def _label(self) -> str:
        learned = self.braces.predictions
        return self.member.head + (f", learns {learned[0].name}" if learned else "")


def _runs_forwards(building: Building, member: Path) -> bool:
    """Whether the start has the prior: every part of it, or some where the end is observed."""
    starts, ends = ([building.variables.get(name) for name in names] for names in (member.source, member.target))
    priors = [node is not None and node.prior is not None for node in starts]
    return all(priors) or (any(priors) and any(node is not None and node.role == "observe" for node in ends))
