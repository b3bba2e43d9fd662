"""The names of a file, looked at from the top: what each item and member declares, and what it may see."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dgmspec.algebra.nodes import AbstractExpr, Index, Name, Node, walk
from dgmspec.core.address import Address, child
from dgmspec.core.diagnostics import Diagnostic, Label, Span, has_errors
from dgmspec.spec.bodies import AbstractBodies
from dgmspec.spec.declared import entry_of, members_of, names_of
from dgmspec.spec.model import (
    Bijector,
    Chain,
    Conditional,
    Data,
    Definition,
    Energy,
    Flow,
    Fn,
    Item,
    Kernel,
    Learn,
    LearnFunction,
    Member,
    Model,
    Net,
    Param,
    Path,
    Sample,
    Setting,
    Train,
    Update,
    Variable,
    member_name,
)
from dgmspec.spec.places import FORMS
from dgmspec.spec.scope import Checker, Entry, Names, Scope
from dgmspec.spec.uses import File
from dgmspec.syntax.around import names_around
from dgmspec.syntax.tree import Tree


def check_names(file: File) -> list[Diagnostic]:
    """What is wrong with the names of one file; the files it uses are looked at by themselves."""
    reading = file.document.reading
    before = len(reading.found)
    walker = _Walker(Checker(reading, _lost(file)), file.prefix)
    scope = Scope(names_of(file.document.items, file.prefix), {a: _exported(f) for a, f in file.uses.items()})
    walker.items(file.document.items, scope)
    found = reading.found[before:]
    del reading.found[before:]
    return found


def _lost(file: File) -> frozenset[str]:
    """The names whose declarations may have been refused, here or by the parser."""
    broken = names_around(
        file.text, (d.at.start for d in file.found if d.severity == "error" and isinstance(d.at, Span))
    )
    if not has_errors(file.document.reading.found):
        return broken
    statements = (n for n in file.tree.walk() if isinstance(n, Tree) and (n.kind in FORMS or n.kind == "index"))
    return broken.union(node.name for node in statements)


def _exported(file: File) -> Names:
    """What a file offers to one that uses it."""
    entries = names_of(file.document.items, file.prefix)
    return {name: e for name, e in entries.items() if e.sort in ("fn", "net", "bijector", "chain", "param")}


class _Walker(AbstractBodies):
    """Walks the items of a file with the scope that each of them sees."""

    def __init__(self, checker: Checker, prefix: Address) -> None:
        self.checker = checker
        self.prefix = prefix

    # ------------------------------------------------------------------------------------------------------- items

    def items(self, items: Sequence[Item], scope: Scope) -> None:
        """Every item of the file, and the circles among them."""
        for item in items:
            match item:
                case Param():
                    self.type(item.type, scope, child(child(self.prefix, item.name), "type"))
                    self.checker.check(item.value, scope)
                case Fn() | Net():
                    self.function(item, scope, child(self.prefix, item.name))
                case Data():
                    self.checker.check(item.value, scope, "open")
                case Chain():
                    self.chain(item, scope, child(self.prefix, item.name))
                case Bijector():
                    self.bijector(item, scope, child(self.prefix, item.name))
                case Model():
                    self.model(item, scope, child(self.prefix, item.name))
                case Train() | Sample():
                    self.settings(item, items, scope)
        self.circles((i for i in items if isinstance(i, (Param, Fn, Chain))), self.prefix)

    def settings(self, item: Train | Sample, items: Iterable[Item], scope: Scope) -> None:
        """A train or sample block: its model exists; its values see the file's params."""
        models = [other.name for other in items if isinstance(other, Model)]
        address = child(self.prefix, f"{item.kind} {item.model}")
        if item.model not in models:
            self.checker.unknown(address, item.model, models, "no such model", what="model")
        for setting in item.settings:
            self.checker.check(setting.value, scope, "open")

    def chain(self, item: Chain, scope: Scope, address: Address) -> None:
        """A named chain: its steps see its parameters."""
        for param in item.params:
            if param.value is not None:
                self.checker.check(param.value, scope, "open")
        own = {param.name: Entry("argument", at=child(address, param.name)) for param in item.params}
        self.steps(item.steps, self.bind(scope, own, address), address)

    def bijector(self, item: Bijector, scope: Scope, address: Address) -> None:
        """A bijector of the author's own: updates are formulas in its parts and parameters."""
        own = {name: Entry("part", at=child(address, name)) for name in item.parts}
        own |= {p.name: Entry("learned parameter", at=child(address, p.name)) for p in item.parameters}
        body = [part for part in item.body if not isinstance(part, Update)]
        self.distinct(body, own, address)
        own |= {part.name: entry_of(part, child(address, part.name)) for part in reversed(body)}
        inner = self.bind(scope, own, address)
        for p in item.parameters:
            self.type(p.type, inner, child(child(address, p.name), "type"))
        for i, part in enumerate(item.body):
            if isinstance(part, Update):
                if part.target not in item.parts:
                    self.checker.unknown(child(address, i), part.target, item.parts, "not a part", what="part")
                self.checker.check(part.value, inner)
            else:
                self.definition(part, inner, child(address, part.name))
        self.circles((p for p in body if isinstance(p, (Fn, Net))), address)

    def distinct(self, parts: Iterable[Fn | Net | Learn], own: Names, address: Address) -> None:
        """Report definitions of a bijector's body that repeat a name of its header or of the body."""
        seen = {name: entry.at for name, entry in own.items()}
        for part in parts:
            if part.name in seen:
                help = ("give one of them another name",)
                message = f"the name `{part.name}` is declared twice in this bijector"
                self.checker.report("DGM202", message, child(address, part.name), help=help)
            seen.setdefault(part.name, child(address, part.name))

    # ------------------------------------------------------------------------------------------------------- models

    def model(self, item: Model, scope: Scope, address: Address) -> None:
        """The members of a model, all of which see each other."""
        own = members_of(item.members, address)
        inner = self.bind(scope, own, address)
        for member in item.members:
            self.member(member, inner, child(address, member_name(member)))
        functions = (m for m in item.members if isinstance(m, (Fn, Net, Energy, LearnFunction)))
        self.circles(functions, address)

    def member(self, member: Member, scope: Scope, address: Address) -> None:
        """One member of a model."""
        match member:
            case Variable():
                self.variable(member, scope, address)
            case Flow():
                self.ends(member.source, scope, child(address, "source"))
                self.ends(member.target, scope, child(address, "target"))
                self.context(member.context, scope)
                self.steps(member.steps, scope, address)
            case Path():
                self.path(member, scope, address)
            case Conditional():
                self.conditional(member, scope, address)
            case Setting():
                self.checker.check(member.value, scope, "loose" if member.name == "loss" else "open")
            case _:
                self.definition(member, scope, address)

    def variable(self, member: Variable, scope: Scope, address: Address) -> None:
        """A variable; the index of ``z[k]`` is visible in its own statement."""
        names = {name: Entry("index") for name in (member.index, member.repeat and member.repeat.index) if name}
        inner = scope.inside(names)
        if member.repeat is not None:
            self.checker.check(member.repeat.domain, scope)
        self.type(member.type, inner, child(address, "type"))
        if member.prior is not None:
            self.checker.check(member.prior, inner, "open")

    def conditional(self, member: Conditional, scope: Scope, address: Address) -> None:
        """``generate`` and ``infer``; the index of ``z[k]`` is visible in its own statement."""
        target = member.target
        head = target.of if isinstance(target, Index) else target
        assert isinstance(head, Name)
        self.ends((head.id,), scope, address)
        names: dict[str, Entry] = {}
        if isinstance(target, Index):
            names = {n.id: Entry("index") for n in walk(target.index) if isinstance(n, Name)}
        if member.repeat is not None:
            names[member.repeat.index] = Entry("index")
            self.checker.check(member.repeat.domain, scope)
        inner = scope.inside(names)
        self.context(member.context, inner)
        self.checker.check(member.law, inner, "open")

    def ends(self, names: Iterable[str], scope: Scope, address: Address) -> None:
        """What an arrow joins must be variables."""
        variables = scope.of(("variable",))
        for name in names:
            entry, at = scope.names.get(name), child(address, name)
            if entry is None:
                help = (f"declare it: `latent {name} : real[*]`",)
                self.checker.unknown(at, name, variables, "not declared", what="variable", otherwise=help)
            elif entry.sort != "variable":
                place = self.checker.place(entry.at) if entry.at else None
                labels = (Label(place, f"`{name}` is declared here"),) if place else ()
                message = f"`{name}` is no variable but a {entry.sort}"
                self.checker.report("DGM207", message, at, "an arrow joins variables", labels=labels)

    def context(self, context: Iterable[AbstractExpr], scope: Scope) -> None:
        """What follows the bar: formulas of variables."""
        for part in context:
            self.checker.check(part, scope)

    def path(self, member: Path, scope: Scope, address: Address) -> None:
        """An arrow over a variable of time: its definitions see that variable and each other."""
        self.ends(member.source, scope, child(address, "source"))
        self.ends(member.target, scope, child(address, "target"))
        self.context(member.context, scope)
        self.checker.check(member.over.domain, scope, "open")
        own = {member.over.name: Entry("variable of time", at=child(address, "over"))}
        for part in member.body:
            match part:
                case Definition() | Kernel():
                    own[part.name] = Entry("fn", part.args, at=child(address, part.name))
                case Setting():
                    pass
                case _:
                    own[part.name] = entry_of(part, child(address, part.name))
        inner = self.bind(scope, own, address)
        for part in member.body:
            self.dynamics(part, inner, child(address, part.name))

    def dynamics(self, part: Node, scope: Scope, address: Address) -> None:
        """One statement of an arrow's braces."""
        match part:
            case Setting():
                self.checker.check(part.value, scope, "open")
            case Kernel():
                inner = self.bind(scope, dict.fromkeys(part.args, Entry("argument")), address)
                self.checker.check(part.law, inner, "open")
            case Definition():
                self.function(part, scope, address)
            case Fn() | Net() | Learn() | LearnFunction():
                self.definition(part, scope, address)
