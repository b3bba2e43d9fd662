"""Names: is everything declared that is named, is it of the sort that can stand there, does it get what it takes?

Names are looked up by role. Where an operation of the library may stand (a whole value, an argument of a call), a bare
name is left to lowering, which knows the list; inside a formula a name must be declared, and is looked at here.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from dgmspec.algebra.functions import FUNCTIONS, OF_LOSSES, only_in_losses
from dgmspec.algebra.nodes import AbstractExpr, Call, Inverse, Name, Vector, children
from dgmspec.core.diagnostics import Label, Place, Span, did_you_mean
from dgmspec.core.source_map import SourceMap
from dgmspec.core.usual import usual
from dgmspec.spec.reading import Reading

Sort = Literal[
    "param", "fn", "net", "data", "file", "bijector", "chain", "model", "variable", "learned parameter", "energy",
    "learned function", "argument", "index", "variable of time", "part", "setting",
]  # fmt: skip
CALLED: frozenset[Sort] = frozenset(("fn", "net", "energy", "learned function"))
VALUES: frozenset[Sort] = frozenset(
    ("param", "variable", "learned parameter", "argument", "index", "variable of time", "part")
)
FORMS = {"grad": 2, "nearest": 2, "gumbel_softmax": 2}

Mode = Literal["formula", "open", "loose"]
"""How names are read: in a ``formula`` each must be declared; in an ``open`` place the library may know it; in a
``loose`` one (a loss) even the operands of a sum may be the library's."""


@dataclass(frozen=True)
class Entry:
    """What a name stands for: its sort, its arguments and those of them without a default, where it is declared."""

    sort: Sort
    arguments: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    at: Place | None = None


Names = Mapping[str, Entry]


@dataclass(frozen=True)
class Scope:
    """The names that are visible in one place. `used` holds those of used files under their aliases."""

    names: Names
    used: Mapping[str, Names]

    def inside(self, more: Mapping[str, Entry]) -> Scope:
        """This scope with more names, which hide others of the same spelling."""
        return replace(self, names={**self.names, **more})

    def find(self, name: str) -> Entry | None:
        """What `name`, plain or qualified, stands for."""
        alias, dot, inner = name.partition(".")
        return self.used.get(alias, {}).get(inner) if dot else self.names.get(name)

    def of(self, sorts: Container[str]) -> list[str]:
        """The plain names of some sorts."""
        return [name for name, entry in self.names.items() if entry.sort in sorts]


class Checker:
    """Checks expressions in scopes. `tolerated` are names whose declaration was lost to another error."""

    def __init__(self, reading: Reading, tolerated: Container[str]) -> None:
        self.reading = reading
        self.tolerated = tolerated

    def report(
        self, code: str, message: str, at: AbstractExpr | Place, label: str = "", **more: tuple[object, ...]
    ) -> None:
        """Add a finding at an expression, a span or an address."""
        place = self.place(at)
        if place is not None:
            self.reading.report(code, message, place, label, **more)  # type: ignore[arg-type]

    def place(self, at: AbstractExpr | Place) -> Span | None:
        """The span of an expression or an address."""
        if isinstance(at, AbstractExpr):
            return self.reading.span_of(at)
        return at if isinstance(at, Span) else SourceMap.nearest(self.reading.spans, at)

    # ------------------------------------------------------------------------------------------------- expressions

    def check(self, node: AbstractExpr, scope: Scope, mode: Mode = "formula") -> None:
        """Check every name below an expression."""
        todo: list[tuple[AbstractExpr, Mode]] = [(node, mode)]
        while todo:
            at, how = todo.pop()
            below: Mode = how
            if isinstance(at, Name):
                self._name(at, scope, how)
            elif isinstance(at, Call):
                below = self._call(at, scope, how)
            elif not isinstance(at, (Vector, Inverse)):
                below = "loose" if how == "loose" else "formula"
            todo.extend((part, below) for part in children(at))

    def _name(self, node: Name, scope: Scope, mode: Mode) -> None:
        entry = scope.find(node.id)
        if entry is None:
            if "." in node.id:
                self._qualified(node, node.id, scope)
            elif mode == "formula":
                self.unknown(node, node.id, scope.of(VALUES), "nothing of this name is declared")
        elif mode == "formula" and entry.sort in CALLED:
            help = (f"write `{node.id}({', '.join(entry.arguments)})`",)
            self._wrong_sort(node, node.id, entry, "where a number is needed", help)
        elif mode == "formula" and entry.sort not in VALUES:
            self._wrong_sort(node, node.id, entry, "where a number is needed")

    def _call(self, node: Call, scope: Scope, mode: Mode) -> Mode:
        """Check a call's own name; the mode in which its arguments are read."""
        entry = scope.find(node.name)
        if entry is not None and entry.sort in CALLED:
            self._arity(node, entry)
            return "formula"
        if entry is not None and entry.sort == "chain":
            self._chain(node, entry)
            return "open"
        if mode != "formula" or (entry is not None and entry.sort == "bijector"):
            if entry is None and "." in node.name:
                self._qualified(node, node.name, scope)
            return "open" if mode == "formula" else mode
        if node.name in FUNCTIONS or node.name in FORMS:
            self._function(node)
        elif entry is not None:
            self._wrong_sort(node, node.name, entry, "where a function is needed")
        elif "." in node.name:
            self._qualified(node, node.name, scope)
        else:
            self._no_function(node, scope)
            return "open"
        return "formula"

    # ------------------------------------------------------------------------------------------------------ findings

    def unknown(
        self,
        at: AbstractExpr | Place,
        name: str,
        candidates: Iterable[str],
        label: str,
        *,
        what: str = "",
        otherwise: tuple[str, ...] = (),
    ) -> None:
        """Report a name that nothing declares; `otherwise` is the help where none is like it."""
        if name in self.tolerated:
            return
        near = did_you_mean(name, candidates)
        help = (f"did you mean `{near}`?",) if near else otherwise
        self.report("DGM201", f"there is no {what or 'name'} `{name}` here", at, label, help=help)

    def _qualified(self, node: AbstractExpr, name: str, scope: Scope) -> None:
        """Report a qualified name that leads nowhere."""
        alias, _, inner = name.partition(".")
        if alias not in scope.used:
            if scope.names.get(alias, Entry("setting")).sort == "file":
                return
            near = did_you_mean(alias, scope.used)
            how = 'a file\'s definitions get a prefix by `use "file.dgm" as NAME`'
            advice = (f"did you mean `{near}.{inner}`?" if near else how,)
            if inner == "T" and alias in scope.names:
                advice = (f"write `transpose({alias})`",)
            self.report("DGM201", f"no used file is called `{alias}`", node, "unknown prefix", help=advice)
            return
        near = did_you_mean(inner, scope.used[alias])
        help = (f"did you mean `{alias}.{near}`?",) if near else ()
        self.report("DGM201", f"the file used as `{alias}` defines no `{inner}`", node, "not defined there", help=help)

    def _wrong_sort(self, node: AbstractExpr, name: str, entry: Entry, where: str, help: tuple[str, ...] = ()) -> None:
        span = self.place(entry.at) if entry.at is not None else None
        labels = (Label(span, f"`{name}` is declared here"),) if span else ()
        article = "an" if entry.sort[0] in "aeiou" else "a"
        message = f"`{name}` is {article} {entry.sort}, but stands {where}"
        self.report("DGM207", message, node, f"{article} {entry.sort}", labels=labels, help=help)

    def _no_function(self, node: Call, scope: Scope) -> None:
        if node.name in self.tolerated:
            return
        if node.name in OF_LOSSES:
            refusal = only_in_losses(node.name)
            self.report(refusal.code, refusal.message, node, refusal.label, help=refusal.help)
            return
        near = did_you_mean(node.name, [*FUNCTIONS, *FORMS, *scope.of(CALLED)])
        named = f"a network gets a name before a formula uses it: `net v(y) = {node.name}(…)`, then `v(y)`"
        help = usual("function", node.name) or (f"did you mean `{near}`?" if near else named,)
        self.report("DGM201", f"there is no function `{node.name}`", node, "not a function of formulas", help=help)

    def _arity(self, node: Call, entry: Entry) -> None:
        wanted, given = len(entry.arguments), len(node.args)
        named = [arg.name for arg in node.args if arg.name is not None]
        span = self.place(entry.at) if entry.at is not None else None
        labels = (Label(span, "declared here"),) if span else ()
        if named:
            message = f"`{node.name}` takes its arguments by position, not as `{named[0]} = …`"
            self.report("DGM211", message, node, labels=labels)
        elif given != wanted:
            message = f"`{node.name}` takes {_count(wanted, 'argument')}, not {given}"
            help = (f"write `{node.name}({', '.join(entry.arguments)})`",)
            self.report("DGM211", message, node, f"{given} given", labels=labels, help=help)

    def _function(self, node: Call) -> None:
        wanted = FUNCTIONS[node.name].arity if node.name in FUNCTIONS else FORMS[node.name]
        if len(node.args) != wanted or any(arg.name for arg in node.args):
            message = f"`{node.name}` takes {_count(wanted, 'argument')} by position, not {len(node.args)}"
            self.report("DGM211", message, node, f"{len(node.args)} given")

    def _chain(self, node: Call, entry: Entry) -> None:
        """Check the arguments of a named chain: each known, given once, and none missing."""
        positional = sum(arg.name is None for arg in node.args)
        named = [arg.name for arg in node.args if arg.name is not None]
        span = self.place(entry.at) if entry.at is not None else None
        labels = (Label(span, "declared here"),) if span else ()
        if positional > len(entry.arguments):
            message = f"`{node.name}` takes {_count(len(entry.arguments), 'argument')}, not {positional}"
            self.report("DGM211", message, node, f"{positional} given", labels=labels)
            return
        for name in named:
            if name not in entry.arguments[positional:]:
                near = did_you_mean(name, entry.arguments)
                help = (f"did you mean `{near}`?",) if near else ()
                what = "is given twice" if name in entry.arguments else "is none of them"
                message = f"`{node.name}` takes {_listed(entry.arguments)}; `{name}` {what}"
                self.report("DGM211", message, node, labels=labels, help=help)
        self.complete(node, entry, entry.arguments[:positional], named)

    def complete(self, node: AbstractExpr, entry: Entry, positional: Iterable[str], named: Iterable[str]) -> None:
        """Report what a chain still needs: parameters without a default."""
        missing = [name for name in entry.required if name not in {*positional, *named}]
        if missing:
            span = self.place(entry.at) if entry.at is not None else None
            labels = (Label(span, "declared here"),) if span else ()
            message = f"a value for {_listed(missing)} is missing: it has no default"
            self.report("DGM211", message, node, "incomplete", labels=labels)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "no arguments"
