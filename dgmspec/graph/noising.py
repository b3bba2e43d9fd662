"""`sde`, `markov` and `perturb` lowered: their law closed, their net and settings made, one step between their ends.

An `sde` whose start has the prior runs forwards and is a `Simulation`; every other arrow leads from data to noise.
"""

from __future__ import annotations

from typing import Any, Final, NoReturn

from dgmspec.algebra.evaluate import evaluate, show
from dgmspec.algebra.nodes import AbstractExpr, Argument, Call, Name, Range, Vector
from dgmspec.algebra.paths.affine import Times
from dgmspec.algebra.paths.ladders import LADDERS, MOST_LEVELS, ladder
from dgmspec.algebra.rewrite import free_names, substitute
from dgmspec.core.address import Address, child
from dgmspec.core.nets import AbstractNet
from dgmspec.core.types import REAL, UNKNOWN
from dgmspec.graph.building import Building
from dgmspec.graph.contexts import lower_context
from dgmspec.graph.findings import Reported, meant
from dgmspec.graph.flows import lower_end
from dgmspec.graph.gradients import differentiated
from dgmspec.graph.graph import ArrowNode, StepNode, Value, VariableNode
from dgmspec.graph.schedules import Numbers, learned_numbers
from dgmspec.graph.scope import Definitions
from dgmspec.ops import find, signature
from dgmspec.ops.distributions.line import Normal
from dgmspec.ops.paths.arrows import PREDICTIONS, AbstractNoising, Perturb, Sde
from dgmspec.ops.paths.chain import Markov
from dgmspec.ops.paths.simulation import Moments, Simulation
from dgmspec.spec.model import Definition, Fn, Kernel, Learn, LearnFunction, Net, Path, Setting

__all__ = ["lower_noising"]

_LAWS: Final[dict[str, tuple[type[AbstractNoising], tuple[str, ...], str]]] = {
    "sde": (Sde, ("drift", "diffusion"), "`drift(x, t) = …` and `diffusion(t) = …`"),
    "markov": (Markov, ("step",), "`step(x, t) ~ normal(…, …)`"),
    "perturb": (Perturb, ("kernel",), "`kernel(x, t) ~ normal(…, …)`"),
}
"""By head: the class of the step, the names of the law, the law in words."""

Statement = Setting | Definition | Kernel | Learn | LearnFunction | Net | Fn


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
        self.cls: type[AbstractNoising | Simulation]
        self.cls, self.names, self.words = _LAWS[member.head]
        self.simulates = member.head == "sde" and _has_prior(building, member.source[0])
        if self.simulates:
            self.cls = Simulation
        self.time = member.over.name
        self.parts: dict[str, Statement] = {}
        self.places: dict[str, Address] = {}
        self.numbers = Numbers()

    def run(self) -> None:
        """Ends, time, law, net, settings; then the node."""
        member, building = self.member, self.building
        if len(member.source) > 1 or len(member.target) > 1:
            self._refuse("DGM901", "a joint state (`sde [x, v] -> z`) is read and kept, and not compiled yet", self.at)
        source = lower_end(building, member.source, self.at).value
        end = self._target()
        target = lower_end(building, (end,), self.at).value
        self._check_ends(member.source[0], end)
        context = lower_context(building, member.context, self.at)
        self._sort()
        if self.member.head == "markov":
            self.numbers = learned_numbers(building, member, self.at)
        fields = {**self._times(), **self._law(), **self._learned(), "settings": self._settings()}
        if self.simulates:
            fields["start"] = _moments_of(building.variables[member.source[0]])
        if self.member.head == "markov":
            fields["end"] = _moments_of(building.variables[end])
        self._check_start(fields)
        op = self.cls(time=self.time, **fields)
        step = child(self.at, "path")
        building.steps[step] = StepNode(
            step, op, False, source, target, context, self.at, self._label(), self.at, tuple(self.places.items())
        )
        building.arrows[self.at] = ArrowNode(self.at, member.source[0], end, context, (step,))

    def _target(self) -> str:
        """The name of the variable at the arrow's end; a `perturb` without one gets a latent that nobody names."""
        if self.member.target:
            return self.member.target[0]
        name = f"noised_{self.member.source[0]}"
        while name in self.building.variables:
            name += "_"
        at = child(self.building.model.name, name)
        self.building.values[at] = Value(at, UNKNOWN, name)
        self.building.variables[name] = VariableNode(at, name, "latent", at, UNKNOWN, support=REAL)
        return name

    def _check_ends(self, source: str, end: str) -> None:
        """The data stand at the start: neither is the end observed, nor has the start a law of its own."""
        variables, head = self.building.variables, self.member.head
        if self.simulates and variables[end].prior is None:
            return
        if self.simulates:
            why, help_ = f"`{source}` and `{end}` both have a prior", f"leave out the prior of `{end}` to run forwards"
            self._refuse("DGM642", why, self.at, "one of them follows", (help_,))
        if variables[end].role == "observe":
            why = f"the observed `{end}` stands at the end of the path, where the noise is"
        elif variables[source].prior is not None:
            why = f"`{source}` stands at the start of the path, where the data are, and has a prior"
        else:
            return
        forwards = (f"or give `{source}` a prior, to run the process forwards",) if head == "sde" else ()
        self._refuse(
            "DGM642", why, self.at, "from noise to data", (f"write `{head} {end} -> {source} over …`", *forwards)
        )

    def _check_start(self, fields: dict[str, Any]) -> None:
        """`t_eps` leaves something of the time."""
        t_eps = getattr(fields["settings"], "t_eps", None)
        if t_eps is not None and not t_eps < (span := fields["high"] - fields["low"]):
            message = f"`t_eps = {t_eps:g}` leaves nothing of a time that is {span:g} long"
            help_ = ("write a small number, such as `t_eps = 1e-3`",)
            self._refuse("DGM642", message, child(self.at, "t_eps"), "too large", help_)

    def _label(self) -> str:
        learned = self._predictions()
        return self.member.head + (f", learns {learned[0].name}" if learned else "")

    def _refuse(self, code: str, message: str, at: Address, label: str = "", help: tuple[str, ...] = ()) -> NoReturn:
        self.building.findings.report(code, message, at, label, help=help)
        raise Reported

    # ---- the braces -------------------------------------------------------------------------------------------------

    def _sort(self) -> None:
        """Every statement by its name; what does not belong is reported, and what is missing."""
        wrong = False
        for part in self.member.body:
            if isinstance(part, (Setting, Fn)):
                self.parts[part.name] = part
            elif isinstance(part, LearnFunction):
                self.parts[part.name] = part
                wrong |= self._check_prediction(part)
            elif isinstance(part, (Definition, Kernel)) and part.name in self.names:
                self.parts[part.name] = part
            elif not (isinstance(part, Learn) and self.member.head == "markov"):
                wrong |= self._stray(part)
        for name in self.names:
            if not isinstance(self.parts.get(name), Kernel if self.member.head != "sde" else Definition):
                message = f"this `{self.member.head}` has no `{name}`"
                self._refuse("DGM640", message, self.at, "not complete", (f"write {self.words}",))
        if len(self._predictions()) > 1:
            second = self._predictions()[1]
            message = "one net is learned along a path, and this is a second"
            help_ = (f"leave it out: from `{self._predictions()[0].name}` the others follow",)
            self._refuse("DGM641", message, child(self.at, second.name), "a second net", help_)
        if wrong:
            raise Reported

    def _predictions(self) -> list[LearnFunction]:
        return [part for part in self.member.body if isinstance(part, LearnFunction)]

    def _check_prediction(self, part: LearnFunction) -> bool:
        if part.name in PREDICTIONS and len(part.args) == 2 and not self.simulates:
            return False
        if self.simulates:
            message = "a process that starts at the prior runs forwards, and learns nothing for that"
            self.building.findings.report(
                "DGM641",
                message,
                child(self.at, part.name),
                "not learned",
                help=("to learn a score, let it lead from the data to a prior at its end",),
            )
            return True
        known = part.name in PREDICTIONS
        message = (
            f"`{part.name}` is a function of the state and the time" if known else f"nothing learns `{part.name}` here"
        )
        help_ = meant(part.name, list(PREDICTIONS))
        if known:
            ends = (
                f"{self.member.source[0]} -> {self.member.target[0]}" if self.member.target else self.member.source[0]
            )
            bar = f", and the context at the arrow, `{self.member.head} {ends} | {part.args[2]} over …`"
            help_ = (f"write `learn {part.name}(x, {self.time}) = …`{bar if len(part.args) > 2 else ''}",)
        self.building.findings.report("DGM641", message, child(self.at, part.name), "not learned", help=help_)
        return True

    def _stray(self, part: Statement) -> bool:
        at = child(self.at, part.name)
        if isinstance(part, (Learn, Net)):
            message = (
                f"`{'learn' if isinstance(part, Learn) else 'net'}` inside a path is read and kept, not compiled yet"
            )
            self.building.findings.report("DGM901", message, at, "not compiled", help=("write the numbers themselves",))
            return True
        message = f"`{part.name}` does not belong into a `{self.member.head}`"
        help_ = meant(part.name, list(self.names))
        self.building.findings.report("DGM641", message, at, "read by nobody", help=help_)
        return True

    # ---- time -------------------------------------------------------------------------------------------------------

    def _times(self) -> dict[str, Any]:
        """``low`` and ``high``, and the levels of a ladder."""
        domain, at = self.member.over.domain, child(self.at, "over")
        if isinstance(domain, Range):
            low, high = self._number(domain.low, at), self._number(domain.high, at)
            if self.member.head == "markov":
                if not (isinstance(low, int) and isinstance(high, int) and low == 1 and high >= 2):
                    self._refuse(
                        "DGM642",
                        f"the steps of a `markov` are counted 1..T, not {show(low)}..{show(high)}",
                        at,
                        help=(f"write `over {self.time} in 1..1000`",),
                    )
                if high > MOST_LEVELS:
                    message = f"a `markov` takes at most {MOST_LEVELS:,} steps, and this has {high:,}"
                    self._refuse("DGM642", message, at, "too many", (f"write `over {self.time} in 1..1000`",))
                return {"low": low, "high": high}
            if not low < high or high in (float("inf"),):
                help_ = (f"write `over {self.time} in 0..1`, the data standing at 0",)
                message = f"the time of a path rises, and {show(low)}..{show(high)} does not"
                self._refuse("DGM642", message, at, "from data to noise", help_)
            return {"low": float(low), "high": float(high)}
        if self.member.head != "perturb":
            help_ = (f"write `over {self.time} in 0..1`",)
            self._refuse("DGM642", f"the time of a `{self.member.head}` is a range", at, "no range", help_)
        levels = self._levels(domain, at)
        return {"low": min(levels), "high": max(levels), "levels": levels}

    def _levels(self, domain: AbstractExpr, at: Address) -> tuple[float, ...]:
        """``[1, 0.5, 0.1]``, ``geometric(10, 0.01, 10)``, ``linear(1, 0.1, 10)``."""
        caller = self.building.caller()
        if isinstance(domain, Call) and domain.name in LADDERS:
            values = [self._number(arg.value, at) for arg in self._ladder_args(domain, at)]
            with self.building.findings.refusals_at(at):
                return ladder(domain.name, *values)
        if isinstance(domain, Vector):
            with self.building.findings.refusals_at(at):
                found = evaluate(caller.formula(domain, at), {})
            if len(found) > 1 and all(isinstance(v, (int, float)) and v > 0 for v in found):
                return tuple(map(float, found))
        self._refuse(
            "DGM642",
            "levels are a list of two positive numbers or more, or a ladder of them",
            at,
            "no levels",
            ("write `[1, 0.5, 0.1]`, `geometric(1, 0.01, 10)` or `linear(1, 0.1, 10)`",),
        )

    def _ladder_args(self, domain: Call, at: Address) -> list[Argument]:
        names = ("from", "to", "count")
        given = {arg.name or names[i]: arg for i, arg in enumerate(domain.args) if i < 3}
        if set(given) != set(names) or len(domain.args) != 3:
            help_ = (f"write `{domain.name}(10, 0.01, 10)`",)
            self._refuse("DGM642", f"`{domain.name}` takes from, to and count", at, help=help_)
        return [given[name] for name in names]

    def _number(self, formula: AbstractExpr, at: Address) -> Any:
        with self.building.findings.refusals_at(at):
            return evaluate(self.building.caller().formula(formula, at), {})

    # ---- law --------------------------------------------------------------------------------------------------------

    def _law(self) -> dict[str, Any]:
        """The closed formulas of the law, and the name of the state in them."""
        calls = frozenset(("grad",) if self.simulates else ())
        scope = self.building.scope.constants
        names = frozenset(self.numbers.own)
        own = Definitions(self.building.findings, self.building.functions, scope, names, calls)
        own.add_functions({p.name: p for p in self.member.body if isinstance(p, Fn)}, self.at)
        return self._sde(own) if self.member.head == "sde" else self._normal(own)

    def _sde(self, own: Definitions) -> dict[str, Any]:
        drift, diffusion = self.parts["drift"], self.parts["diffusion"]
        assert isinstance(drift, Definition) and isinstance(diffusion, Definition)
        state = self._state(drift)
        reads = len(diffusion.args) == 2
        names = (state, self.time) if reads else (self.time,)
        if reads and not self.simulates:
            self._refuse(
                "DGM647",
                "a diffusion that reads the state gives no normal kernel, so nothing can be learned along this arrow",
                child(self.at, "diffusion"),
                "reads the state",
                (f"write `diffusion({self.time}) = …`",),
            )
        moved = self._closed(own, drift.value, drift.args, (state, self.time), "drift")
        if self.simulates:
            event = self.building.variables[self.member.source[0]].declared
            with self.building.findings.refusals_at(self.places["drift"]):
                moved = differentiated(moved, state, Times(self.time, **self._times()), event)
        return {
            "state": state,
            "drift": moved,
            "diffusion": self._closed(own, diffusion.value, diffusion.args, names, "diffusion"),
        }

    def _normal(self, own: Definitions) -> dict[str, Any]:
        """``step(x, t) ~ normal(loc, scale)``."""
        name = self.names[0]
        kernel = self.parts[name]
        assert isinstance(kernel, Kernel)
        state, at = self._state(kernel), child(child(self.at, name), "law")
        law = kernel.law
        if not isinstance(law, Call) or law.name != "normal":
            message = f"the law of `{name}` is normal: other noise has no score that these losses know"
            self._refuse("DGM640", message, at, "not normal", (f"write `{name}(x, {self.time}) ~ normal(…, …)`",))
        given = {arg.name or ("loc", "scale")[i]: arg.value for i, arg in enumerate(law.args) if i < 2}
        if set(given) != {"loc", "scale"}:
            self._refuse("DGM640", "a normal law has a place and a scale", at, help=("write `normal(loc, scale)`",))
        loc = self._closed(own, given["loc"], kernel.args, (state, self.time), "loc", child(at, 0))
        scale = self._closed(own, given["scale"], kernel.args, (self.time,), "scale", child(at, 1), state)
        learned, shared = self.numbers.read_by(loc, scale)
        found = {"state": state, "loc": loc, "scale": scale}
        return {**found, "learned": learned, "shared": shared} if learned else found

    def _state(self, part: Definition | Kernel) -> str:
        """The name of the state in the law's formulas; the time is the arrow's own, whatever it is called there."""
        if len(part.args) != 2:
            message = f"`{part.name}` is a function of the state and the time"
            help_ = (f"write `{part.name}(x, {self.time})`",)
            self._refuse("DGM640", message, child(self.at, part.name), help=help_)
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
        known = {*written, *self.numbers.own}
        learned = [name for name in free_names(formula) if name in self.building.learned and name not in known]
        if learned:
            self._refuse(
                "DGM901",
                f"a path whose law reads the learned `{learned[0]}` is read and kept, and not compiled yet",
                place,
                "learned",
                (f"make it a param: `param {learned[0]} = 1`",),
            )
        if state and state in free_names(formula):
            self._refuse(
                "DGM647",
                f"a scale that reads the state `{state}` gives no normal kernel",
                place,
                "reads the state",
                ("let the scale depend on the time alone",),
            )
        renamed: dict[str, AbstractExpr] = {w: Name(id=n) for w, n in zip(written, names, strict=False)}
        with self.building.findings.refusals_at(place):
            return own.closed(substitute(formula, renamed), frozenset(names))

    # ---- net and settings -------------------------------------------------------------------------------------------

    def _learned(self) -> dict[str, Any]:
        found = self._predictions()
        if not found:
            return {}
        part = found[0]
        at = child(child(self.at, part.name), "value")
        self.places["learn"] = child(self.at, part.name)
        self.places["net"] = at
        net = self.building.caller().operation("net", part.value, at)
        assert isinstance(net, AbstractNet)
        return {"learn": part.name, "net": net}

    def _settings(self) -> Any:
        """The settings as one operation of the library, whose arguments they are."""
        cls = find("settings", "simulation" if self.simulates else self.member.head)
        assert cls is not None
        known = [parameter.name for parameter in signature(cls)]
        settings = [part for part in self.member.body if isinstance(part, Setting)]
        for setting in settings:
            if setting.name not in known:
                message = f"a `{self.member.head}` has no setting `{setting.name}`"
                help_ = meant(setting.name, known)
                self._refuse("DGM641", message, child(self.at, setting.name), "unknown setting", help_)
        args = tuple(Argument(name=s.name, value=s.value) for s in settings)
        return self.building.caller().build(cls, args, self.at)


def _has_prior(building: Building, name: str) -> bool:
    variable = building.variables.get(name)
    return variable is not None and variable.prior is not None


def _moments_of(variable: VariableNode) -> Moments | None:
    """Mean and standard deviation of a normal prior whose parameters are numbers."""
    law = None if variable.prior is None else variable.prior.op
    if not isinstance(law, Normal):
        return None
    loc, scale = (value if isinstance(value, tuple) else (value,) for value in (law.loc, law.scale))
    numbers = all(isinstance(item, (int, float)) for item in (*loc, *scale))
    return (loc, scale) if numbers else None  # type: ignore[return-value]  # they are numbers
