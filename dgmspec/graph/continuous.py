"""`ode` arrows lowered: their time, velocity, solver and trace, and the one step that they become."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from dgmspec.algebra.enclosure import sign_of
from dgmspec.algebra.evaluate import evaluate, show
from dgmspec.algebra.nodes import AbstractExpr, Call, Constant, Name, Range, expr
from dgmspec.algebra.rewrite import free_names
from dgmspec.algebra.updates import as_interval
from dgmspec.core.address import Address, child
from dgmspec.core.usual import usual
from dgmspec.graph.building import Building
from dgmspec.graph.contexts import lower_context
from dgmspec.graph.findings import Reported, meant
from dgmspec.graph.flows import lower_end
from dgmspec.graph.graph import ArrowNode, StepNode
from dgmspec.graph.scope import close_formula
from dgmspec.graph.velocities import close_velocity
from dgmspec.graph.words import describe
from dgmspec.ops.continuous import AbstractSolver, AbstractTrace, Ode
from dgmspec.ops.continuous.ode import End
from dgmspec.ops.paths.settings import OdeSettings
from dgmspec.spec.model import Definition, Fn, Learn, Net, Path, Setting
from dgmspec.spec.unresolve import formula_text

__all__ = ["lower_ode"]

SETTINGS: Final = ("solver", "trace", "gradient")
GRADIENTS: Final = get_args(Literal["direct", "adjoint", "checkpoint"])


def lower_ode(building: Building, member: Path) -> None:
    """One arrow: a step from its source to its target, at the velocity's place."""
    at = building.at(member)
    try:
        for name in (*member.source, *member.target):
            lower_end(building, (name,), at)
        context = lower_context(building, member.context, at)
        op = _Arrow(building, member, at).operation()
        # Last, since a joint state that no arrow ends at would be left over.
        source, target = (lower_end(building, names, at) for names in (member.source, member.target))
    except Reported:
        building.complete = False
        return
    step = child(at, "velocity")
    places = (
        ("ends", at),
        ("times", child(child(at, "over"), "domain")),
        *((name, child(at, name)) for name in SETTINGS),
    )
    ends = source.value, target.value
    building.steps[step] = StepNode(step, op, False, *ends, context, at, describe(op), arguments=places)
    building.arrows[at] = ArrowNode(at, source.name, target.name, context, (step,))


@dataclass
class _Arrow:
    """One arrow on its way."""

    building: Building
    member: Path
    at: Address

    def operation(self) -> Ode:
        """The step; raises `Reported` where the arrow holds a mistake."""
        self._require_known()
        low, high = self._times()
        read = {name for end in (low, high) if isinstance(end, AbstractExpr) for name in free_names(end)}
        solver = self._setting("solver", AbstractSolver) or OdeSettings().solver
        trace = self._setting("trace", AbstractTrace)
        gradient, seminorm = self._gradient()
        velocity = close_velocity(self.building, self.member, self.at, frozenset(read))
        box = {own.name: as_interval(own.support) for own in velocity.learned}
        return Ode(
            velocity=velocity,
            low=low,
            high=high,
            solver=solver,
            trace=trace,
            gradient=gradient,
            seminorm=seminorm,
            learned_times=_written(self.member.over.domain) if read else "",
            passes=not read or sign_of(expr(high) - expr(low), box) in (1, -1),
        )

    # ---- settings ---------------------------------------------------------------------------------------------------

    def _require_known(self) -> None:
        """Report what an ode's braces do not hold, and what they hold twice or lack."""
        seen: set[str] = set()
        for part in self.member.body:
            place = child(self.at, part.name)
            if isinstance(part, (Learn, Net, Fn)):
                continue
            setting = isinstance(part, Setting) and part.name in SETTINGS
            if setting or (isinstance(part, Definition) and part.name == "velocity"):
                if part.name in seen:
                    self.building.findings.refuse(
                        "DGM600", f"`{part.name}` is given twice", place, "given again", ("keep one",)
                    )
                seen.add(part.name)
                continue
            what = "an `ode` has no noise, and" if part.name in ("drift", "diffusion") else "an `ode` has"
            help_ = usual("ode", part.name) or meant(part.name, ["velocity", *SETTINGS])
            self.building.findings.refuse("DGM600", f"{what} no `{part.name}`", place, "unknown here", help_)
        if "velocity" not in seen:
            help_ = ("write `velocity(y, t) = mlp(64, 64)`, or a formula",)
            self.building.findings.refuse(
                "DGM600", "the arrow says no velocity", self.at, "nothing moves the state", help_
            )

    def _setting(self, name: str, kind: type[Any]) -> Any:
        """The operation that a setting names, or None."""
        written = next((p for p in self.member.body if isinstance(p, Setting) and p.name == name), None)
        if written is None:
            return None
        op = self.building.caller().operation(name, written.value, child(self.at, name))
        assert isinstance(op, kind)
        return op

    def _gradient(self) -> tuple[Literal["direct", "adjoint", "checkpoint"], bool]:
        """How gradients are had, and whether the adjoint's error norm leaves out those of the weights."""
        written = next((p for p in self.member.body if isinstance(p, Setting) and p.name == "gradient"), None)
        if written is None:
            return OdeSettings().gradient, True
        value, seminorm = written.value, True
        if isinstance(value, Call) and value.name == "adjoint" and len(value.args) == 1:
            (arg,) = value.args
            truth = arg.value.name if isinstance(arg.value, Constant) else ""
            if arg.name in (None, "seminorm") and truth in ("true", "false"):
                value, seminorm = Name(id="adjoint"), truth == "true"
        if not isinstance(value, Name) or value.id not in GRADIENTS:
            place, listed = child(self.at, "gradient"), ", ".join(f"`{choice}`" for choice in GRADIENTS)
            help_ = (f"write one of {listed}, or `adjoint(seminorm = false)`",)
            self.building.findings.refuse("DGM600", "this is no way to a gradient", place, "unknown", help_)
        return value.id, seminorm  # type: ignore[return-value]  # one of the list

    def _times(self) -> tuple[End, End]:
        """The ends of the time: two different numbers, or formulas of learned ones."""
        place, domain = child(child(self.at, "over"), "domain"), self.member.over.domain
        if not isinstance(domain, Range):
            self.building.findings.refuse(
                "DGM603", "an `ode` runs from one time to another", place, "no range", ("write `0..1`",)
            )
        low, high = self._time(domain.low, place), self._time(domain.high, place)
        if low == high:
            message = f"from {formula_text(domain.low)} to {formula_text(domain.high)} no time passes"
            self.building.findings.refuse(
                "DGM603", message, place, "no interval", ("write two different numbers, such as `0..1`",)
            )
        return low, high

    def _time(self, written: AbstractExpr, place: Address) -> End:
        """One end, a number where nothing in it is learned."""
        scope, learned = self.building.scope, frozenset(self.building.learned)
        for name in free_names(written):
            if name in self.building.variables and name not in scope.constants:
                message = f"a time is the same for all rows, and `{name}` is a variable"
                help_ = (f"declare a number: `param {name} = 1`, or `learn {name} : positive`",)
                self.building.findings.refuse("DGM603", message, place, "no number", help_)
        with self.building.findings.refusals_at(place):
            closed = close_formula(written, scope.functions, scope.constants, learned)
            if free_names(closed):
                return closed
            value = evaluate(closed, {})
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            self.building.findings.refuse(
                "DGM603", f"a time is a finite number, not {show(value)}", place, "", ("write `0..1`, say",)
            )
        return float(value)


def _written(domain: AbstractExpr) -> str:
    """A range of times as its author wrote it."""
    return f"{formula_text(domain.low)}..{formula_text(domain.high)}" if isinstance(domain, Range) else ""
