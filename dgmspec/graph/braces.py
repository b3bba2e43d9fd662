"""The braces of a noising arrow: its law, what it learns, its settings; what does not belong there is reported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dgmspec.algebra.nodes import Argument
from dgmspec.core.address import Address, child
from dgmspec.core.nets import AbstractNet
from dgmspec.core.usual import usual
from dgmspec.graph.building import Building
from dgmspec.graph.findings import Reported, meant
from dgmspec.graph.untrained import untrained
from dgmspec.ops import find, signature
from dgmspec.ops.paths.predictions import PREDICTIONS
from dgmspec.spec.model import Definition, Fn, Kernel, Learn, LearnFunction, Net, Path, Setting

__all__ = ["Braces", "Statement"]

Statement = Setting | Definition | Kernel | Learn | LearnFunction | Net | Fn

_LAWS: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "sde": (("drift", "diffusion"), "`drift(x, t) = …` and `diffusion(t) = …`"),
    "markov": (("step",), "`step(x, t) ~ normal(…, …)`"),
    "perturb": (("kernel",), "`kernel(x, t) ~ normal(…, …)`"),
}
"""By head: the names of the law, and the law in words."""


class Braces:
    """The statements of one arrow; `simulates` where it runs forwards from a prior, and so learns no prediction."""

    def __init__(self, building: Building, member: Path, at: Address, simulates: bool) -> None:
        self.building, self.member, self.at, self.simulates = building, member, at, simulates
        self.names, self.words = _LAWS[member.head]
        self.predictions = [part for part in member.body if isinstance(part, LearnFunction)]

    def sorted(self) -> Mapping[str, Statement]:
        """Every statement by its name; raises `Reported` where one does not belong, or is missing."""
        parts: dict[str, Statement] = {}
        wrong = False
        for part in self.member.body:
            if isinstance(part, (Setting, Fn)):
                parts[part.name] = part
            elif isinstance(part, LearnFunction):
                parts[part.name] = part
                wrong |= not self._predicts(part)
            elif isinstance(part, (Definition, Kernel)) and part.name in self.names:
                parts[part.name] = part
            elif not isinstance(part, Learn) and not (self.simulates and isinstance(part, Net)):
                self._report_stray(part)
                wrong = True
        self._require_law(parts)
        self._require_one_net()
        if wrong:
            raise Reported
        return parts

    def _require_law(self, parts: Mapping[str, Statement]) -> None:
        kind = Definition if self.member.head == "sde" else Kernel
        for name in self.names:
            if not isinstance(parts.get(name), kind):
                message = f"this `{self.member.head}` has no `{name}`"
                self.building.findings.refuse("DGM640", message, self.at, "not complete", (f"write {self.words}",))

    def _require_one_net(self) -> None:
        if len(self.predictions) > 1:
            first, second = self.predictions[:2]
            message = "one net is learned along a path, and this is a second"
            help_ = (f"leave it out: from `{first.name}` the others follow",)
            self.building.findings.refuse("DGM641", message, child(self.at, second.name), "a second net", help_)

    def _predicts(self, part: LearnFunction) -> bool:
        """Whether a function is a prediction that the arrow can learn; reported where it is not."""
        known = part.name in PREDICTIONS
        if self.simulates:
            message = "a process that starts at the prior runs forwards, and learns nothing for that"
            help_: tuple[str, ...] = ("to learn a score, let it lead from the data to a prior at its end",)
        elif known and len(part.args) == len(self.member.source) + 1:
            return True
        elif known:
            message = f"`{part.name}` is a function of the state and the time"
            help_ = (f"write {self._declaration(part)}",)
        else:
            message = f"nothing learns `{part.name}` here"
            help_ = usual("prediction", part.name) or meant(part.name, list(PREDICTIONS))
        self.building.findings.report("DGM641", message, child(self.at, part.name), "not learned", help=help_)
        return False

    def _declaration(self, part: LearnFunction) -> str:
        """A prediction as it is to be written; an argument too many is a context, which stands at the arrow."""
        member = self.member
        state = "x" if len(member.source) == 1 else ", ".join(member.source)
        written = f"`learn {part.name}({state}, {member.over.name}) = …`"
        if len(part.args) <= len(member.source) + 1:
            return written
        ends = f"{member.source[0]} -> {member.target[0]}" if member.target else member.source[0]
        return f"{written}, and the context at the arrow, `{member.head} {ends} | {part.args[-1]} over …`"

    def _report_stray(self, part: Statement) -> None:
        at = child(self.at, part.name)
        if isinstance(part, Net):
            message, at, label, helps = untrained(self.member.head, part.name, at)
            self.building.findings.report("DGM677", message, at, label, help=helps)
            return
        message = f"`{part.name}` does not belong into a `{self.member.head}`"
        help_ = meant(part.name, list(self.names))
        self.building.findings.report("DGM641", message, at, "read by nobody", help=help_)

    # ---- the net and the settings, made -----------------------------------------------------------------------------

    def learned(self) -> tuple[dict[str, Any], dict[str, Address]]:
        """What is learned and its net, and where they stand; nothing where nothing is."""
        if not self.predictions:
            return {}, {}
        part = self.predictions[0]
        at = child(self.at, part.name)
        net = self.building.caller().operation("net", part.value, child(at, "value"))
        assert isinstance(net, AbstractNet)
        return {"learn": part.name, "net": net}, {"learn": at, "net": child(at, "value")}

    def settings(self) -> Any:
        """The settings as one operation of the library, whose arguments they are."""
        cls = find("settings", "simulation" if self.simulates else self.member.head)
        assert cls is not None
        known = [parameter.name for parameter in signature(cls)]
        settings = [part for part in self.member.body if isinstance(part, Setting)]
        for setting in settings:
            if setting.name not in known:
                message = f"a `{self.member.head}` has no setting `{setting.name}`"
                help_ = meant(setting.name, known)
                self.building.findings.refuse("DGM641", message, child(self.at, setting.name), "unknown setting", help_)
        args = tuple(Argument(name=s.name, value=s.value) for s in settings)
        return self.building.caller().build(cls, args, self.at)
