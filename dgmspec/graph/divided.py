"""A joint state inside the braces of an arrow: the names of its parts, each with its numbers of the whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dgmspec.algebra.nodes import AbstractExpr, Index, Name, Vector, expr
from dgmspec.algebra.rewrite import substitute
from dgmspec.core.address import Address, child
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.types import Type
from dgmspec.graph.building import Building

__all__ = ["JointState", "divided"]


@dataclass(frozen=True)
class JointState:
    """`whole` is what the whole is called, which no author names; `parts` what the name of each part stands for."""

    whole: str
    parts: Mapping[str, AbstractExpr]

    def listed(self, formula: AbstractExpr) -> Vector:
        """The rates of the parts, which a formula lists, in the numbers of the whole."""
        if not isinstance(formula, Vector) or len(formula.items) != len(self.parts):
            raise Refusal(
                "DGM602",
                f"the velocity of a joint state lists those of its {len(self.parts)} parts",
                label="no list of them",
                help=(f"write `[{', '.join(f'… for {name}' for name in self.parts)}]`",),
            )
        return Vector(items=tuple(substitute(item, self.parts) for item in formula.items))

    def joined(self, rates: AbstractExpr) -> AbstractExpr:
        """The rates of the parts end to end."""
        assert isinstance(rates, Vector)
        flat: list[AbstractExpr] = []
        for item, part in zip(rates.items, self.parts.values(), strict=True):
            count = len(part.items) if isinstance(part, Vector) else 0
            flat += [Index(of=item, index=expr(i)) for i in range(count)] if count else [item]
        return Vector(items=tuple(flat))


def divided(building: Building, at: Address, states: Sequence[str], ends: Sequence[str]) -> JointState:
    """The names `states` for the variables at an end of the arrow at `at`; reports one that is no list of numbers."""
    whole = "state"
    while whole in (*states, *building.variables, *building.learned, *building.scope.constants):
        whole += "_"
    parts: dict[str, AbstractExpr] = {}
    start = 0
    for name, end in zip(states, ends, strict=True):
        type_ = building.variables[end].declared
        if not isinstance(type_, Type) or len(type_.shape) > 1:
            message = f"`{end}` is part of a joint state: a number or a vector of a size that is written out"
            building.findings.refuse("DGM604", message, child(at, "ends"), "", (f"declare `{end} : real[2]`, say",))
        numbers = tuple(Index(of=Name(id=whole), index=expr(start + i)) for i in range(type_.size))
        parts[name] = Vector(items=numbers) if type_.shape else numbers[0]
        start += type_.size
    return JointState(whole, parts)
