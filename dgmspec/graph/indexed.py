"""Indexed latent variables written out: ``latent z[k] : T for k in a..b`` and the laws of ``z[k]`` as z_a, …, z_b."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import NoReturn

from dgmspec.algebra.evaluate import evaluate
from dgmspec.algebra.nodes import AbstractExpr, Index, Name, Number, Range, children
from dgmspec.algebra.rewrite import free_names, rebuild, substitute
from dgmspec.core.address import Address, child, turn
from dgmspec.core.diagnostics import Diagnostic, Label
from dgmspec.graph.building import Building
from dgmspec.graph.findings import Reported
from dgmspec.spec.model import Conditional, Flow, For, Member, Model, Path, TypeExpr, Variable, member_name

__all__ = ["MAX_TURNS", "as_written", "written_out"]

MAX_TURNS = 1_000
"""How many variables one index may stand for."""


def written_out(building: Building, members: list[Member]) -> list[Member]:
    """The members with each indexed variable, and each law of one, once for every value of its index.

    A law without a range of its own is written for the values of the index at which all that it reads is there.
    """
    indexed = {m.name: m for m in members if isinstance(m, Variable) and (m.repeat or m.index)}
    unroller = _Unroller(building, indexed)
    variables = {name: unroller.safely(unroller.variable(member)) for name, member in indexed.items()}
    found: list[Member] = []
    for member in members:
        if isinstance(member, Variable) and member.name in indexed:
            found += variables[member.name]
        else:
            found += unroller.safely(unroller.member(member))
    return found


def as_written(model: Model, found: Iterable[Diagnostic]) -> list[Diagnostic]:
    """What was found in a model with its indexed variables as its author writes them, `z[2]` for `z_2`."""
    names = [re.escape(m.name) for m in model.members if isinstance(m, Variable) and m.repeat is not None]
    if not names:
        return list(found)
    taken = {member_name(m) for m in model.members}
    one = re.compile(rf"\b({'|'.join(names)})_(\d+)\b")

    def said(text: str) -> str:
        return one.sub(lambda match: match[0] if match[0] in taken else f"{match[1]}[{match[2]}]", text)

    def label(of: Label) -> Label:
        return replace(of, text=said(of.text))

    return [
        replace(
            d,
            message=said(d.message),
            label=said(d.label),
            labels=tuple(map(label, d.labels)),
            notes=tuple(map(said, d.notes)),
            help=tuple(map(said, d.help)),
        )
        for d in found
    ]


class _Outside(Exception):
    """An index that the variable does not have."""


@dataclass
class _Unroller:
    building: Building
    declared: Mapping[str, Variable]
    ranges: dict[str, range] = field(default_factory=dict)

    def safely(self, members: Iterator[Member]) -> list[Member]:
        """What becomes of one member, up to where it is refused."""
        found: list[Member] = []
        try:
            found.extend(members)
        except Reported:
            self.building.complete = False
        return found

    def member(self, member: Member) -> Iterator[Member]:
        """What becomes of a member that is no indexed variable."""
        match member:
            case Conditional():
                yield from self._conditional(member)
            case Flow() | Path() if member.context:
                context = tuple(self._fixed(item, self.building.at(member)) for item in member.context)
                yield member.model_copy(update={"context": context})
            case _:
                yield member

    # ---- variables --------------------------------------------------------------------------------------------------

    def variable(self, member: Variable) -> Iterator[Member]:
        """The variables that an indexed one stands for."""
        at, name, index = self.building.at(member), member.name, member.index
        if member.repeat is None or index != member.repeat.index:
            self._refuse(at, f"nothing says what the index of `{name}` runs over", self._for(member))
        if member.role != "latent":
            larger = f"`{member.role} {name} : real[4, 2]`"
            self._refuse(
                at, "only latent variables are indexed: data come by name", f"declare a larger shape, {larger}"
            )
        self.ranges[name] = self._range(member.repeat, at)
        for k in self.ranges[name]:
            env = {member.repeat.index: Number(value=k)}
            prior = None if member.prior is None else self._resolved(member.prior, env, at)
            copy: dict[str, object] = {"index": None, "repeat": None, "prior": prior}
            copy |= {"name": _named(name, k), "type": _typed(member.type, env)}
            yield self._placed(member.model_copy(update=copy), turn(at, k, member.repeat.index))

    def _for(self, member: Variable) -> str:
        return f"write `latent {member.name}[{member.index}] : … for {member.index} in 1..3`"

    def _range(self, repeat: For, at: Address) -> range:
        domain, place = repeat.domain, child(at, "for")
        ends: list[object] = []
        if isinstance(domain, Range):
            with self.building.findings.refusals_at(place):
                ends = [evaluate(end, self.building.scope.constants) for end in (domain.low, domain.high)]
        if len(ends) != 2 or not all(isinstance(end, int) for end in ends):
            self._refuse(place, f"`{repeat.index}` runs over no range of whole numbers", "write `for k in 1..3`")
        low, high = (int(end) for end in ends if isinstance(end, int))
        if not 1 <= high - low + 1 <= MAX_TURNS or low < 0:
            many = f"an index takes 1 to {MAX_TURNS:,} values, from 0 up"
            self._refuse(place, f"`{repeat.index}` runs from {low} to {high}", many)
        return range(low, high + 1)

    # ---- laws -------------------------------------------------------------------------------------------------------

    def _conditional(self, member: Conditional) -> Iterator[Member]:
        at, target = self.building.at(member), member.target
        free = [n for n in free_names(target.index) if n not in self._constants()] if isinstance(target, Index) else []
        if member.repeat is not None:
            index, turns = member.repeat.index, self._range(member.repeat, at)
        elif free:
            assert isinstance(target, Index) and isinstance(target.of, Name)
            index, turns = free[0], self.ranges.get(target.of.id, range(0))
        else:
            yield self._strictly(member, {}, at, at)
            return
        if free != [index]:
            self._refuse(
                at, f"the variable here has not `{index}` as its index", f"write `{member.head} z[{index}] | …`"
            )
        write = self._strictly if member.repeat is not None else self._law
        for k in turns:
            with suppress(_Outside):
                yield write(member, {index: Number(value=k)}, at, turn(at, k, index))

    def _strictly(self, member: Conditional, env: Mapping[str, AbstractExpr], at: Address, place: Address) -> Member:
        try:
            return self._law(member, env, at, place)
        except _Outside:
            where = "".join(f"at {name} = {k.value} " for name, k in env.items() if isinstance(k, Number))
            self._refuse(at, f"{where}this law is about a variable beyond the range", "stay inside it")

    def _law(self, member: Conditional, env: Mapping[str, AbstractExpr], at: Address, place: Address) -> Member:
        target = self._resolved(member.target, env, at)
        context = tuple(self._resolved(item, env, at) for item in member.context)
        copy = {"target": target, "context": context, "law": self._resolved(member.law, env, at), "repeat": None}
        found = member.model_copy(update=copy)
        return found if isinstance(member.target, Name) else self._placed(found, place)

    # ---- formulas ---------------------------------------------------------------------------------------------------

    def _fixed(self, expression: AbstractExpr, at: Address) -> AbstractExpr:
        """A formula outside of the laws of indexed variables."""
        try:
            return self._resolved(expression, {}, at)
        except _Outside:
            self._refuse(at, "this reads a variable that is not there", "correct the index")

    def _resolved(self, expression: AbstractExpr, env: Mapping[str, AbstractExpr], at: Address) -> AbstractExpr:
        """The formula with the index a number, and ``z[2]`` the name of a variable."""
        if isinstance(expression, Index) and isinstance(expression.of, Name) and expression.of.id in self.declared:
            return self._one(expression.of.id, substitute(expression.index, env), at)
        if isinstance(expression, Name):
            if expression.id in self.declared:
                name = expression.id
                self._refuse(at, f"`{name}` stands for several variables", f"write which one: `{name}[1]`")
            return env.get(expression.id, expression)
        parts = list(children(expression))
        return rebuild(expression, [self._resolved(part, env, at) for part in parts]) if parts else expression

    def _one(self, name: str, index: AbstractExpr, at: Address) -> Name:
        with self.building.findings.refusals_at(at):
            k = evaluate(index, self._constants())
        if name not in self.ranges:  # refused already
            raise Reported
        if not isinstance(k, int):
            self._refuse(at, f"`{name}` has no whole number as its index here", f"write `{name}[1]`")
        if k not in self.ranges[name]:
            raise _Outside
        return Name(id=_named(name, k))

    def _constants(self) -> Mapping[str, object]:
        return self.building.scope.constants

    # ---- places -----------------------------------------------------------------------------------------------------

    def _placed(self, member: Member, at: Address) -> Member:
        """The member, its address that of what it is written out of."""
        name = member_name(member)
        others = [member_name(m) for m in self.building.model.members]
        if isinstance(member, Conditional) and name in self.building.places:
            first = (Label(self.building.places[name], "the first"),)
            message = f"`{name.partition(' ')[2]}` is given two laws"
            self.building.findings.refuse("DGM720", message, at, "a second law", ("leave one of the two out",), first)
        if name in self.building.places or name in others:
            self._refuse(at, f"`{name}` has this name already", "call the indexed variable otherwise")
        self.building.places[name] = at
        return member

    def _refuse(self, at: Address, message: str, help_: str) -> NoReturn:
        self.building.findings.refuse("DGM736", message, at, help=(help_,))


def _named(name: str, k: int) -> str:
    """What ``z[k]`` is called outside of the text."""
    return f"{name}_{k}"


def _typed(type_: TypeExpr, env: Mapping[str, AbstractExpr]) -> TypeExpr:
    """A type whose dimensions read the index."""

    def put(part: object) -> object:
        return substitute(part, env) if isinstance(part, AbstractExpr) else part

    return type_.model_copy(update={"args": tuple(map(put, type_.args)), "dims": tuple(map(put, type_.dims))})
