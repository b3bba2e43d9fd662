"""The laws of a model as `check --explain` prints them: what each reads, how many parameters are its own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from dgmspec.checks.analysis import Analysis
from dgmspec.core.parameters import ParamSpec
from dgmspec.core.types import Type
from dgmspec.graph.graph import Graph, Prior
from dgmspec.graph.parameters import net_types, net_use, own_parameters, trunk_types
from dgmspec.graph.words import law_label

__all__ = ["LawRow", "law_rows"]


@dataclass(frozen=True)
class LawRow:
    """One ``generate`` or ``infer``, how many parameters its nets have, how it enters the bound, and how gradients pass
    through what it draws."""

    head: str
    law: str
    parameters: int
    divergence: str
    gradient: str


def law_rows(analysis: Analysis) -> Iterator[LawRow]:
    """The laws that read other variables or have parameters of their own, and those that infer."""
    graph, dependence = analysis.graph, analysis.dependence
    for law in graph.laws:
        variable = graph.variables[law.variable]
        inferred = law is variable.posterior
        size = sum(math.prod(spec.shape) for spec in _own_specs(graph, law))
        if not inferred and not law.inputs and not size:
            continue
        group = dependence.of[law.variable]
        bounds = inferred and not group.observed
        how = ("in closed form" if dependence.closed_divergence(group) else "by draws") if bounds else ""
        gradient = _gradient(analysis, law) if bounds else ""
        yield LawRow("infer" if inferred else "generate", law_label(graph, law), size, how, gradient)


def _gradient(analysis: Analysis, law: Prior) -> str:
    """The estimator of a bound's gradient that a posterior leads to: unbiased, or that of a surrogate."""
    if law.op.relaxes:
        return "biased (a surrogate's)"
    if law.variable in (v.name for v in analysis.dependence.enumerated(analysis.graph.observed, inferred=True)):
        return "unbiased (all values weighed)"
    return f"unbiased ({'through the draw' if law.op.pathwise else 'by the score'})"


def _own_specs(graph: Graph, law: Prior) -> Iterator[ParamSpec]:
    """The parameters of a law and of the nets that are its own, what a prior shares with a posterior left to that."""
    yield from own_parameters(graph, law)
    others = [f"{other.address}/" for other in graph.laws if other.address != law.address]
    for trunk in law.trunks:
        known = all(isinstance(graph.type_of(value), Type) for value in trunk.inputs)
        if trunk.op != "external" and known and not trunk.address.startswith(tuple(others)):
            yield from trunk.op.net_parameters(net_use(*trunk_types(graph, law, trunk)))
    for node in graph.nets.values():
        if node.address.startswith(f"{law.address}/") and node.op != "external":
            yield from node.op.net_parameters(net_use(*net_types(graph, node)))
