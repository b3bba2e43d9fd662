"""What stands inside declarations, looked at with the names that it may see: functions, steps, types."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from dgmspec.algebra.nodes import AbstractExpr, Name, walk
from dgmspec.core.address import Address, child
from dgmspec.core.diagnostics import Label, did_you_mean
from dgmspec.core.usual import usual
from dgmspec.ops.transitions import STATE
from dgmspec.spec.circles import Definable, circles
from dgmspec.spec.model import (
    Apply,
    Definition,
    Energy,
    Fn,
    InverseBlock,
    Learn,
    LearnFunction,
    Net,
    Repeat,
    Step,
    TypeExpr,
)
from dgmspec.spec.scope import Checker, Entry, Scope

__all__ = ["TYPES", "AbstractBodies"]

TYPES: Final = {
    "real": 0, "positive": 0, "unit": 0, "circle": 0, "binary": 0, "simplex": 0, "cholesky": 0,
    "interval": 2, "integer": 1, "category": 1, "like": 1,
}  # fmt: skip
"""How many arguments the name of a type takes; a range counts as one."""

_EXAMPLES: Final = {
    "interval": "as in `interval(-1, 1)`",
    "integer": "as in `integer(0..255)`",
    "category": "as in `category(10)`",
    "like": "as in `like(b)`",
}
"""What those with arguments look like."""


class AbstractBodies(ABC):
    """The parts that items and members share; each method takes the scope around its part, and its address."""

    checker: Checker

    # ---- functions --------------------------------------------------------------------------------------------------

    def function(self, item: Fn | Net | Energy | LearnFunction | Definition, scope: Scope, address: Address) -> None:
        """A function: its value sees its arguments; the value of a net or an energy may be a network."""
        if isinstance(item, Net):
            self.type(item.type, scope, child(address, "type"))
        inner = self.bind(scope, dict.fromkeys(item.args, Entry("argument")), address)
        self.checker.check(item.value, inner, "formula" if isinstance(item, Fn) else "open")

    def definition(self, part: Fn | Net | Energy | Learn | LearnFunction, scope: Scope, address: Address) -> None:
        """A function or a learned parameter."""
        if not isinstance(part, Learn):
            self.function(part, scope, address)
            return
        self.type(part.type, scope, child(address, "type"))
        if part.value is not None:
            self.checker.check(part.value, scope, "open")

    def bind(self, scope: Scope, own: Mapping[str, Entry], address: Address) -> Scope:
        """The scope inside a declaration; a name that hides one of the file's values is warned about."""
        for name, entry in own.items():
            outer = scope.names.get(name)
            if outer is not None and outer.sort in ("param", "fn"):
                place = self.checker.place(outer.at) if outer.at else None
                labels = (Label(place, f"this {outer.sort} is hidden"),) if place else ()
                message = f"`{name}` hides the {outer.sort} of that name"
                at = entry.at or child(address, name)
                self.checker.report("DGM214", message, at, "another meaning from here", labels=labels)
        return scope.inside(own)

    def circles(self, parts: Iterable[Definable], address: Address) -> None:
        """Report definitions that need themselves, each circle once."""
        for circle in circles(parts):
            chain = " -> ".join(f"`{name}`" for name in circle)
            message = f"`{circle[0]}` is defined by itself: {chain}"
            self.checker.report("DGM212", message, child(address, circle[0]), "no value can follow from this")

    # ---- steps ------------------------------------------------------------------------------------------------------

    def steps(self, steps: Sequence[Step], scope: Scope, address: Address) -> None:
        """The steps of a block, and of the blocks in it."""
        for i, step in enumerate(steps):
            at = child(address, i)
            match step:
                case Apply():
                    self.apply(step, scope)
                case InverseBlock():
                    self.steps(step.steps, scope, at)
                case Repeat():
                    self.checker.check(step.count, scope)
                    own = {step.index: Entry("index", at=at)} if step.index else {}
                    self.steps(step.steps, self.bind(scope, own, at), at)

    def apply(self, step: Apply, scope: Scope) -> None:
        """A step: a chain of the file gets what it takes; the library's steps are looked up in lowering."""
        call = step.call
        self.checker.check(call, scope.inside({STATE: Entry("argument")}), "open")
        if isinstance(call, Name) and (entry := scope.find(call.id)) and entry.sort == "chain":
            self.checker.complete(call, entry, (), ())

    # ---- types ------------------------------------------------------------------------------------------------------

    def type(self, node: TypeExpr | None, scope: Scope, address: Address) -> None:
        """A type's name is one of the language's; its dimensions are made of params."""
        if node is None:
            return
        if node.name not in TYPES:
            near = did_you_mean(node.name, TYPES)
            help: tuple[str, ...] = usual("type", node.name) or (
                (f"did you mean `{near}`?",) if near else (f"types are {', '.join(f'`{t}`' for t in TYPES)}",)
            )
            self.checker.report("DGM213", f"there is no type `{node.name}`", address, "not a type", help=help)
        elif len(node.args) != TYPES[node.name]:
            count = TYPES[node.name]
            message = f"the type `{node.name}` takes {count or 'no'} argument{'' if count == 1 else 's'}"
            message += f", and {len(node.args)} {'is' if len(node.args) == 1 else 'are'} given"
            help = (f"dimensions stand in brackets: `{node.name}[2]`",) if not count else ()
            self.checker.report("DGM213", message, address, _EXAMPLES.get(node.name, ""), help=help)
        for part in (*node.args, *node.dims):
            if isinstance(part, AbstractExpr):
                self.checker.check(part, scope)
                if node.name != "like":
                    self.constant(part, scope)

    def constant(self, part: AbstractExpr, scope: Scope) -> None:
        """A dimension or a bound may not depend on a variable."""
        for node in walk(part):
            entry = scope.find(node.id) if isinstance(node, Name) else None
            if entry is not None and entry.sort in ("variable", "learned parameter", "part", "variable of time"):
                assert isinstance(node, Name)
                help = ("sizes and bounds are numbers and params",)
                message = f"`{node.id}` is a {entry.sort}; a type is made of constants"
                self.checker.report("DGM207", message, node, "not a constant", help=help)
