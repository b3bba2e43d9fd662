"""Laws whose draws are choices, a label or the component of a mixture: no gradient of a draw reaches what it is chosen
by."""

from __future__ import annotations

from dgmspec.algebra.rewrite import free_names
from dgmspec.graph.building import parameter_formulas
from dgmspec.graph.graph import Graph, Prior

__all__ = ["learns_choice"]


def learns_choice(graph: Graph, law: Prior) -> bool:
    """Whether a draw of the law is a choice by what is learned, or by another draw."""
    chosen = law.op.choices()
    if "net" in chosen or any(name in chosen for trunk in law.trunks for name in trunk.parameters):
        return True
    read = {name for path, formula in parameter_formulas(law.op) if path in chosen for name in free_names(formula)}
    return any(name not in graph.givens for name in read)
