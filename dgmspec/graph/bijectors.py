"""Uses of bijectors of the author's own made into operations: fixed values put in, the event's division read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from dgmspec.algebra.evaluate import evaluate, is_constant, show
from dgmspec.algebra.nodes import AbstractExpr, Argument, Call, expr
from dgmspec.algebra.rewrite import substitute
from dgmspec.core.address import Address, child, keyword
from dgmspec.core.masking import AbstractMask
from dgmspec.core.op import AbstractOp
from dgmspec.graph.arguments import Caller
from dgmspec.graph.authored import close_bijector
from dgmspec.graph.building import flat
from dgmspec.graph.findings import Findings, Reported, meant
from dgmspec.graph.scope import FileScope, close_formula
from dgmspec.graph.words import describe, describe_value
from dgmspec.ops.authored import AuthoredScalar, AuthoredStep, Definition, Line, OwnConstant, Reading

__all__ = ["Bijectors"]


@dataclass
class Bijectors:
    """The bijectors that a file's text can name, each closed once, at its first use."""

    findings: Findings
    scope: FileScope
    _closed: dict[str, Definition | None] = field(default_factory=dict)

    def makers(self, scope: FileScope) -> Mapping[str, Any]:
        """What makes the operation of a use, by the names that `scope` sees."""
        return {name: lambda *use, n=name, s=scope: self.make(n, s, *use) for name in scope.bijectors}

    def make(
        self, name: str, scope: FileScope, caller: Caller, role: str, call: AbstractExpr, at: Address
    ) -> AbstractOp:
        """The operation of one use; raises `Reported` where the definition or the use holds a mistake."""
        definition = self._definition(name, scope)
        if role == "scalar" and not definition.scalar:
            caller.findings.refuse(
                "DGM464",
                f"`{name}` is a step of its own and no scalar bijector",
                at,
                "a map of several coordinates, or with constants of its own",
                labels=caller.labels,
                notes=(
                    "a scalar bijector has one part and updates each coordinate by itself; its parameters follow a `;`",
                ),
                help=(f"write `{name}` as a step, without the conditioner",),
            )
        use = _Use(caller, definition, at)
        use.read(call.args if isinstance(call, Call) else ())
        return use.operation(name)

    def _definition(self, name: str, scope: FileScope) -> Definition:
        home = scope.home.get(name, scope)
        bijector = scope.bijectors[name]
        key = child(home.prefix, bijector.name)
        if key not in self._closed:
            try:
                self._closed[key] = close_bijector(bijector, home, self.findings)
            except Reported:
                self._closed[key] = None
        found = self._closed[key]
        if found is None:
            raise Reported
        return found


@dataclass
class _Use:
    """``slide_coupling(0.5, mask = half)``: values for parameters by position or name, and the division by name."""

    caller: Caller
    definition: Definition
    at: Address
    values: dict[str, Any] = field(default_factory=dict)
    mask: AbstractMask | None = None
    counts: tuple[int, ...] = ()
    shown: list[str] = field(default_factory=list)

    def read(self, args: tuple[Argument, ...]) -> None:
        """The arguments, one after the other."""
        known = [parameter.name for parameter in self.definition.parameters]
        dividing = ("mask", "parts") if len(self.definition.parts) > 1 else ()
        given: set[str] = set()
        for i, arg in enumerate(args):
            place = child(self.at, arg.name if arg.name is not None else i)
            name = arg.name if arg.name is not None else known[i] if i < len(known) else ""
            if name in given or name not in (*known, *dividing):
                self._surplus(arg, name in given, (*known, *dividing), place)
            given.add(name)
            if name in known:
                self._value(next(p for p in self.definition.parameters if p.name == name), arg.value, place)
            elif name == "mask":
                self._mask(arg.value, place)
            else:
                self._counts(arg.value, place)
        if dividing and (self.mask is None) == (not self.counts):
            self._undivided()

    def operation(self, name: str) -> AbstractOp:
        """The operation: a scalar bijector where it is one, else a step."""
        definition = _fixed(self.definition, self.values)
        label = f"{name}({', '.join(self.shown)})" if self.shown else name
        if definition.scalar:
            return AuthoredScalar(definition=definition, label=label)
        return AuthoredStep(definition=definition, label=label, mask=self.mask, counts=self.counts)

    # ---- arguments --------------------------------------------------------------------------------------------------

    def _value(self, parameter: OwnConstant, written: AbstractExpr, place: Address) -> None:
        value = self._constant(parameter.name, written, place)
        numbers, support = flat(value), parameter.support
        if not all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in numbers) or not numbers:
            self._report("DGM234", f"`{parameter.name}` is a number, and {show(value)} is not", place)
        if not all(support.low < n < support.high for n in numbers):
            message = f"`{parameter.name}` is declared on {support.describe()}, and {show(value)} is outside"
            self._report("DGM234", message, place, f"not {support}", (f"write a value in {support.describe()}",))
        if isinstance(value, tuple) and self.definition.scalar:
            message = f"`{parameter.name}` is one number for every coordinate, and {show(value)} is a list"
            self._report("DGM234", message, place, help=("write one number",))
        self.values[parameter.name] = value
        self.shown.append(f"{parameter.name} = {describe_value(value)}")

    def _mask(self, written: AbstractExpr, place: Address) -> None:
        if len(self.definition.parts) != 2:
            count = len(self.definition.parts)
            help_ = (f"write `parts = [{', '.join(['2'] * count)}]`, the coordinates of each part",)
            message = f"a mask divides an event in two, and `{self._name}` has {count} parts"
            self._report("DGM460", message, place, "divides in two", help_)
        mask = self.caller.operation("mask", written, place)
        assert isinstance(mask, AbstractMask)
        self.mask = mask
        self.shown.append(f"mask = {describe(mask)}")

    def _counts(self, written: AbstractExpr, place: Address) -> None:
        value, count = self._constant("parts", written, place), len(self.definition.parts)
        listed = value if isinstance(value, tuple) else ()
        if len(listed) != count or not all(type(n) is int and n > 0 for n in listed):
            message = f"`parts` lists {count} whole numbers from 1 up, one for each part, and this is {show(value)}"
            self._report("DGM460", message, place, f"`{self._name}` has the parts {self._parts()}")
        self.counts = tuple(value)
        self.shown.append(f"parts = {show(value)}")

    def _constant(self, name: str, written: AbstractExpr, place: Address) -> Any:
        """The value of an argument that is fixed when the model is built."""
        with self.caller.findings.refusals_at(place, self.caller.labels):
            closed = close_formula(written, self.caller.functions, self.caller.constants, self.caller.open_names)
            if is_constant(closed, {}):
                return evaluate(closed, {})
        self._report("DGM234", f"`{name}` is fixed when the model is built", place, "not a constant")

    # ---- what went wrong --------------------------------------------------------------------------------------------

    @property
    def _name(self) -> str:
        return self.definition.name

    def _parts(self) -> str:
        return ", ".join(f"`{part}`" for part in self.definition.parts)

    def _report(self, code: str, message: str, at: Address, label: str = "", help: tuple[str, ...] = ()) -> NoReturn:
        self.caller.findings.refuse(code, message, at, label, help, self.caller.labels)

    def _surplus(self, arg: Argument, twice: bool, known: tuple[str, ...], place: Address) -> None:
        if twice:
            self._report("DGM232", f"`{arg.name}` is given twice, by position and by name", place, "given again")
        if arg.name is None:
            what = f"`{self._name}` has no further parameter to fix by position"
            help_ = tuple(f"name it: `{n} = …`" for n in known if n in ("mask", "parts"))[:1] or ("leave it out",)
            self._report("DGM232", what, place, "one too many", help_)
        help_ = meant(arg.name or "", list(known)) or ("leave it out",)
        at = keyword(self.at, arg.name or "")
        self._report("DGM232", f"`{self._name}` has no argument `{arg.name}`", at, "unknown argument", help_)

    def _undivided(self) -> None:
        """Report a use that does not say how the event is divided, or says it twice."""
        if self.counts:
            self._report("DGM460", "`mask` and `parts` both divide the event", self.at, "divided twice", ("keep one",))
        two = len(self.definition.parts) == 2
        form = "mask = half" if two else f"parts = [{', '.join(['2'] * len(self.definition.parts))}]"
        message = f"`{self._name}` has the parts {self._parts()}, and nothing here divides the event between them"
        self._report("DGM460", message, self.at, "not divided", (f"write `{self._name}({form})`",))


def _fixed(definition: Definition, values: Mapping[str, Any]) -> Definition:
    """The definition with some parameters replaced by numbers."""
    if not values:
        return definition
    put = {name: expr(value) for name, value in values.items()}
    lines = tuple(
        Line(
            line.target,
            substitute(line.value, put),
            tuple(Reading(r.symbol, r.net, tuple(substitute(arg, put) for arg in r.args)) for r in line.readings),
            line.place,
        )
        for line in definition.lines
    )
    kept = tuple(parameter for parameter in definition.parameters if parameter.name not in values)
    return replace(definition, parameters=kept, lines=lines)
