"""Nets inside formulas: the value of each is read under a name of its own, which then stands in the formula."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from dgmspec.algebra.evaluate import evaluate, is_constant
from dgmspec.algebra.nodes import AbstractExpr, Call, Name, children, expr
from dgmspec.algebra.rewrite import rebuild
from dgmspec.core.diagnostics import Refusal
from dgmspec.ops.authored import Reading

__all__ = ["Readings", "folded"]

Seen = Callable[[str, tuple[AbstractExpr, ...]], object]
"""(net, its arguments) -> the state of what they read: the same net of the same values in one state is read once."""


@dataclass
class Readings:
    """Names the values of nets: `arity` says how many arguments each takes, `taken` which names are others'."""

    arity: Mapping[str, int]
    taken: frozenset[str]
    known: dict[object, Reading] = field(default_factory=dict)

    def read(self, node: AbstractExpr, used: list[Reading], seen: Seen = lambda net, args: None) -> AbstractExpr:
        """The formula with names for the values of nets; every reading that it holds is added to `used` once."""
        parts = list(children(node))
        inner = [self.read(part, used, seen) for part in parts]
        if not (isinstance(node, Call) and node.name in self.arity):
            return rebuild(node, inner) if parts else node
        if len(inner) != self.arity[node.name] or any(arg.name for arg in node.args):
            wanted = self.arity[node.name]
            raise Refusal("DGM211", f"`{node.name}` takes {wanted} arguments by position, got {len(inner)}")
        key = (node.name, tuple(inner), seen(node.name, tuple(inner)))
        if key not in self.known:
            self.known[key] = Reading(self._fresh(node.name), node.name, tuple(inner))
        # Whoever uses a reading holds it, also where an earlier formula holds it: backwards that comes later.
        if self.known[key] not in used:
            used.append(self.known[key])
        return Name(id=self.known[key].symbol)

    def _fresh(self, net: str) -> str:
        """A name for a reading that nothing else has."""
        taken = self.taken | {reading.symbol for reading in self.known.values()}
        count = 1
        while f"{net}_{count}" in taken:
            count += 1
        return f"{net}_{count}"


def folded(node: AbstractExpr) -> AbstractExpr:
    """The formula with what is made of numbers worked out where it gives a number of an array (`dot([1, 2], w)`)."""
    parts = list(children(node))
    if parts and is_constant(node, {}):
        value = evaluate(node, {})
        if not isinstance(value, tuple):
            return expr(value)
    return rebuild(node, [folded(part) for part in parts]) if parts else node
