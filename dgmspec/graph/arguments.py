"""Calls into operations: arguments evaluated against the fields of the operation's class, then the object made.

A field annotated with a role (`AbstractScalar`, `AbstractMask`, …) or a `Literal` reads its closed list first; numbers,
vectors and strings are evaluated; a formula that is no constant stays one where the field admits it. Every mistake is
reported at the address of the argument it concerns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import NoneType
from typing import Any, Final, get_args, get_origin

from pydantic import ValidationError

from dgmspec.algebra.evaluate import Constants, evaluate, is_constant, show
from dgmspec.algebra.nodes import AbstractExpr, Argument, Call, Inverse, Name, Vector
from dgmspec.algebra.rewrite import Lambda, free_names
from dgmspec.core.address import Address, callee, child
from dgmspec.core.diagnostics import Label, Refusal, did_you_mean
from dgmspec.core.op import AbstractOp
from dgmspec.core.usual import usual
from dgmspec.graph.binding import Written, bind
from dgmspec.graph.candidates import nearest_forms
from dgmspec.graph.findings import Findings, Reported, meant
from dgmspec.graph.fitting import alternatives, fit, holds_operations
from dgmspec.graph.potentials import close_potential
from dgmspec.graph.scope import close_formula
from dgmspec.graph.words import TITLES, a, advice, complaint, said, shown, wanted
from dgmspec.ops import Parameter, find, names, roles_of, signature
from dgmspec.ops.transitions import Potential

Maker = Callable[["Caller", str, AbstractExpr, Address], AbstractOp]
"""(caller, role, call, address) -> the operation of a use of a bijector of the file."""


_NO_CALL: Final = {"data": ("numbers are a `param`; rows come from a file, or from Python as arrays",)}
"""What to write where a formula stands in place of an operation of a role."""


@dataclass(frozen=True)
class Caller:
    """Makes operations from calls. `open_names` are the variables and learned parameters a formula may keep;
    `own` are names of the file that stand in a role but cannot be made into an operation, with the reason."""

    findings: Findings
    constants: Constants = field(default_factory=dict)
    functions: Mapping[str, Lambda] = field(default_factory=dict)
    open_names: frozenset[str] = frozenset()
    own: Mapping[tuple[str, str], str] = field(default_factory=dict)
    makers: Mapping[str, Maker] = field(default_factory=dict)
    """The file's own bijectors by name: each makes the operation of a use, a scalar bijector or a step."""
    named: Mapping[tuple[str, str], Maker] = field(default_factory=dict)
    """The file's own nets and data sources that may stand here, by role and name, likewise."""
    readable: frozenset[str] = frozenset()
    """Names that an energy of the state may keep: the model's variables and learned parameters."""
    labels: tuple[Label, ...] = ()
    """Second places of every finding, such as the use of the chain that a step was written in."""

    def _report(
        self,
        code: str,
        message: str,
        at: Address,
        label: str = "",
        notes: tuple[str, ...] = (),
        help: tuple[str, ...] = (),
    ) -> None:
        self.findings.report(code, message, at, label, self.labels, notes, help)

    def operation(self, role: str, expression: AbstractExpr, at: Address) -> AbstractOp:
        """The operation that a name, a call or `inverse` of one stands for; raises `Reported` after reporting."""
        if isinstance(expression, Inverse):
            return self._inverse(role, expression, at)
        if not isinstance(expression, (Name, Call)):
            self._report(
                "DGM234",
                f"{a(role)} stands here: a name or a call, not a formula",
                at,
                help=_NO_CALL.get(role) or meant("", names(role)) or (f"`dgmspec list {role}` shows them all",),
            )
            raise Reported
        name = expression.id if isinstance(expression, Name) else expression.name
        if role in ("scalar", "step") and name in self.makers:
            return self.makers[name](self, role, expression, at)
        if (role, name) in self.named:
            return self.named[role, name](self, role, expression, at)
        if (role, name) in self.own:
            self._report(
                "DGM230", self.own[role, name], at, "has a name", help=("write one in place, such as `mlp(64)`",)
            )
            raise Reported
        cls = find(role, name)
        args = expression.args if isinstance(expression, Call) else ()
        if cls is None:
            self._unknown(role, name, at, args)
        assert cls is not None
        return self.build(cls, args, at)

    def _has(self, role: str, name: str) -> bool:
        """Whether a name stands for something in a role, of the file or of the library."""
        own = (role, name) in self.own or (role in ("scalar", "step") and name in self.makers)
        return own or (role, name) in self.named or find(role, name) is not None

    def build(self, cls: type[AbstractOp], args: tuple[Argument, ...], at: Address) -> AbstractOp:
        """The operation of that class with these arguments, evaluated."""
        written, wrong = bind(cls, args, at)
        for diagnostic in wrong:
            self.findings.add(replace(diagnostic, labels=self.labels))
        values: dict[str, Any] = {}
        failed = bool(wrong)
        for parameter in signature(cls) if not wrong else ():
            if parameter.name in written:
                try:
                    values[parameter.name] = self._argument(parameter, written[parameter.name])
                except Reported:
                    failed = True
        if failed:
            raise Reported
        places = {name: found.places[0] for name, found in written.items()}
        for found in written.values():
            places |= {name: place for name, place in zip(found.names, found.places, strict=True) if name}
        return self._construct(cls, values, places, at)

    def formula(self, expression: AbstractExpr, at: Address) -> AbstractExpr:
        """A formula over the open names alone: constants put in, functions written out."""
        with self.findings.refusals_at(at, self.labels):
            return close_formula(expression, self.functions, self.constants, self.open_names)

    # ---- one argument -----------------------------------------------------------------------------------------------

    def _argument(self, parameter: Parameter, written: Written) -> Any:
        """The value of a parameter: a tuple of all positional arguments where it is variadic, pairs where it takes
        arguments of any name."""
        if parameter.keywords:
            _, item = get_args(get_args(parameter.annotation)[0])
            triples = zip(written.names, written.values, written.places, strict=True)
            return tuple(
                (name, self.value(item, value, place, replace(parameter, name=name))) for name, value, place in triples
            )
        if parameter.variadic and not self._listed(written.values):
            item = get_args(parameter.annotation)[0]
            pairs = zip(written.values, written.places, strict=True)
            return tuple(self.value(item, value, place, parameter) for value, place in pairs)
        return self.value(parameter.annotation, written.values[0], written.places[0], parameter)

    def _listed(self, values: list[AbstractExpr]) -> bool:
        """Whether one name stands for all values: a param that holds a list."""
        return len(values) == 1 and isinstance(values[0], Name) and isinstance(self.constants.get(values[0].id), tuple)

    def value(self, annotation: Any, expression: AbstractExpr, at: Address, parameter: Parameter) -> Any:
        """An argument as `annotation` asks for it; raises `Reported` after reporting."""
        members = tuple(alternatives(annotation))
        if Potential in members:
            return self._potential(expression, at)
        head = _head(expression)
        choices = [m for m in members if isinstance(m, str)]
        if isinstance(expression, Name) and head in choices and not expression.quoted:
            return head
        if head == "none" and NoneType in members:
            return None
        roles = [m.role for m in members if isinstance(m, type) and issubclass(m, AbstractOp)]
        for role in roles if not (isinstance(expression, Name) and expression.quoted) else ():
            if isinstance(expression, Inverse) or self._has(role, head):
                return self.operation(role, expression, at)
        for member in members:
            if get_origin(member) is tuple and isinstance(expression, Vector) and holds_operations(member):
                item = get_args(member)[0]
                return tuple(self.value(item, v, child(at, i), parameter) for i, v in enumerate(expression.items))
        return self._number_or_formula(members, roles, choices, expression, at, parameter)

    def _potential(self, expression: AbstractExpr, at: Address) -> Potential:
        """An energy of the state: a formula in which it is `_`, or the name of a function of it."""
        nets = [name for role, name in self.own if role == "net"]
        with self.findings.refusals_at(at, self.labels):
            return close_potential(expression, self.functions, self.constants, self.readable, nets)

    def _number_or_formula(
        self,
        members: tuple[Any, ...],
        roles: list[str],
        choices: list[str],
        expression: AbstractExpr,
        at: Address,
        parameter: Parameter,
    ) -> Any:
        head = _head(expression)
        formula = any(isinstance(m, type) and issubclass(m, AbstractExpr) for m in members)
        plain = [m for m in members if m in (int, float, bool, str) or get_origin(m) is tuple]
        stray = isinstance(expression, Name) and head not in self.constants and head not in self.open_names
        if (stray or not (plain or formula)) and (roles or choices):
            self._unknown_choice(roles, choices, expression, at)
        if stray and str in plain and not formula:
            message = f"`{parameter.name}` is a string, and `{head}` is a name"
            self._report("DGM234", message, at, label="no string", help=(f'write it in quotes: "{head}"',))
            raise Reported
        with self.findings.refusals_at(at, self.labels):
            closed = close_formula(expression, self.functions, self.constants, self.open_names)
            if formula and not (plain and is_constant(closed, {})):
                return closed
            if not is_constant(closed, {}):
                reading = free_names(closed)[0]
                self._report(
                    "DGM234",
                    f"`{parameter.name}` is fixed when the model is built, and `{reading}` is not",
                    at,
                    help=("write a number, or an expression of params",),
                    label="not a constant",
                )
                raise Reported
            value = evaluate(closed, {})
        for member in plain:
            accepted, result = fit(member, value)
            if accepted:
                return result
        self._report(
            "DGM234",
            f"`{parameter.name}` is {wanted(plain, choices, roles)}, and {show(value)} is not",
            at,
            label=f"this is {show(value)}",
            help=(f"write {wanted(plain, choices, roles)}",),
        )
        raise Reported

    # ---- what went wrong --------------------------------------------------------------------------------------------

    def _unknown(self, role: str, name: str, at: Address, args: tuple[Argument, ...] = ()) -> None:
        """Report a name that its role does not have; where another role has it, say so."""
        elsewhere = [a(r) for r in roles_of(name)]
        notes: tuple[str, ...] = (
            (f"`{name}` is {' and '.join(elsewhere)}, which cannot stand here",) if elsewhere else ()
        )
        if elsewhere and role == "step" and "distribution" in roles_of(name):
            help_: tuple[str, ...] = (f"a distribution stands after `~`: `latent z : real[2] ~ {name}(…)`",)
        else:
            help_ = usual(role, name)
            notes += () if help_ else nearest_forms(role, name, args)
            help_ = help_ or meant(name, names(role)) or (_scalar(name) if role == "step" else ())
        self._report(
            "DGM230",
            f"`{name}` is not {a(role)}",
            callee(at),
            label=f"no such {TITLES.get(role, role)}",
            notes=notes,
            help=help_ or (f"`dgmspec list {role}` shows them all",),
        )
        raise Reported

    def _unknown_choice(self, roles: list[str], choices: list[str], expression: AbstractExpr, at: Address) -> None:
        """Report what is in none of the lists that an argument reads."""
        head = _head(expression)
        if roles and not choices and isinstance(expression, (Name, Call)):
            self._unknown(roles[0], head, at, expression.args if isinstance(expression, Call) else ())
        candidates = [*choices, *(name for role in roles for name in names(role))]
        wanted = " or ".join([*map(a, roles), *(["one of " + ", ".join(f"`{c}`" for c in choices)] if choices else [])])
        what = f"`{head}`" if head else "a formula"
        self._report(
            "DGM230" if head else "DGM234",
            f"{what} cannot stand here: this is {wanted}",
            callee(at) if head else at,
            label="not in the list",
            help=next(filter(None, (usual(role, head) for role in (*roles, "choice"))), meant(head, candidates))
            or tuple(f"`dgmspec list {role}` shows them all" for role in roles[:1]),
        )
        raise Reported

    def _inverse(self, role: str, expression: Inverse, at: Address) -> AbstractOp:
        cls = find(role, "inverse")
        if cls is None:
            self._report("DGM234", f"{a(role)} has no inverse", at, help=("leave `inverse` out",))
            raise Reported
        of = self.operation(role, expression.of, at)
        return self._construct(cls, {"of": of}, {}, at)

    def _construct(
        self, cls: type[AbstractOp], values: Mapping[str, Any], places: Mapping[str, Address], at: Address
    ) -> AbstractOp:
        """The object; what its validators refuse is reported at the argument."""
        try:
            return cls(**values)
        except Refusal as refusal:
            self.findings.add(refusal.diagnostic(places.get(refusal.argument or "", at), self.labels))
            raise Reported from refusal
        except ValidationError as error:
            for found in said(error.errors(include_url=False, include_input=True)):
                name = str(found["loc"][0]) if found["loc"] else ""
                place = places.get(name, at)
                self._report(
                    "DGM234",
                    f"`{name or cls.name}` {complaint(found)}",
                    place,
                    label=f"this is {shown(found['input'])}",
                    help=(advice(found),),
                )
            raise Reported from error


def _scalar(name: str) -> tuple[str, ...]:
    """The help for a step whose name is near that of a scalar bijector."""
    near = did_you_mean(name, names("scalar"))
    return (f"did you mean the scalar bijector `{near}`? One with parameters stands in `elementwise({near})`",) * bool(
        near
    )


def _head(expression: AbstractExpr) -> str:
    """The name that an expression begins with, or nothing."""
    if isinstance(expression, Inverse):
        return _head(expression.of)
    return expression.id if isinstance(expression, Name) else expression.name if isinstance(expression, Call) else ""
