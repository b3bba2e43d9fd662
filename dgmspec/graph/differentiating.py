"""Formulas read with their gradients: ``grad(E(y), y)`` stands under a name of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from dgmspec.algebra.nodes import AbstractExpr, Call, Name, children
from dgmspec.algebra.rewrite import free_names, rebuild
from dgmspec.core.diagnostics import Refusal
from dgmspec.graph.readings import Readings
from dgmspec.ops.authored import Reading
from dgmspec.ops.continuous import Gradient

__all__ = ["Differentiating", "all_names"]


@dataclass
class Differentiating:
    """A closed formula read: `used` are its nets' values, `gradients` what stood as ``grad(E(y), y)``."""

    readings: Readings
    state: str
    used: list[Reading] = field(default_factory=list)
    gradients: list[Gradient] = field(default_factory=list)

    def read(self, node: AbstractExpr) -> AbstractExpr:
        return self.readings.read(self._differentiated(node), self.used)

    def all(self) -> Iterator[Reading]:
        yield from self.used
        for found in self.gradients:
            yield from found.readings

    def _differentiated(self, node: AbstractExpr) -> AbstractExpr:
        if not (isinstance(node, Call) and node.name == "grad"):
            parts = list(children(node))
            return rebuild(node, [self._differentiated(part) for part in parts]) if parts else node
        if len(node.args) != 2 or node.args[1].value != Name(id=self.state):
            raise Refusal(
                "DGM604",
                f"`grad` takes a number and the state `{self.state}`, by which it is differentiated",
                help=(f"write `grad(E({self.state}), {self.state})`",),
            )
        inner: list[Reading] = []
        energy = self.readings.read(node.args[0].value, inner)
        known = next((g for g in self.gradients if g.energy == energy), None)
        if known is None:
            known = Gradient(f"gradient_{len(self.gradients) + 1}", energy, tuple(inner))
            self.gradients.append(known)
        return Name(id=known.symbol)


def all_names(formula: AbstractExpr, reader: Differentiating) -> frozenset[str]:
    """Every name that a velocity reads, inside its nets' arguments and its gradients too."""
    args = [arg for reading in reader.all() for arg in reading.args]
    formulas = (formula, *args, *(found.energy for found in reader.gradients))
    return frozenset(name for part in formulas for name in free_names(part))
