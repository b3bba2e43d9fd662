"""The law of some observed variables given the others, as a graph of its own: what is given is so by declaration.

Where what is given lies behind nothing that is asked for, the law is the generative one, its latent variables included.
Else it is what `infer` says: the posterior then stands where the prior was, and the arrows that lead from it do the
rest. Addresses stay, so that the parameters of both graphs are the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

import networkx as nx

from dgmspec.graph.dependence import Dependence
from dgmspec.graph.graph import Graph, VariableNode

__all__ = ["conditioned", "inferred"]


def conditioned(graph: Graph, known: Iterable[str]) -> Graph | None:
    """The graph of the law of the other observed variables given those `known`; None where the model has none."""
    known = frozenset(known)
    return _generated(graph, known) or inferred(graph, known)


def inferred(graph: Graph, known: Iterable[str]) -> Graph | None:
    """The graph of what `infer` says of the other observed variables given those `known`; None where it says nothing of
    one of them, or reads more."""
    dependence, known = Dependence(graph), frozenset(known)
    asked = _asked(graph, known)
    groups = {dependence.of[name].name: dependence.of[name] for name in asked}
    if not asked or any(group.posterior is None for group in groups.values()):
        return None
    inside = {v.name: group for group in groups.values() for v in group.variables}
    if inside.keys() & known:
        return None
    law = _placed(graph, dependence, known, frozenset(inside))
    there = graph.givens.keys() | known | inside.keys()
    reading = Dependence(law).generative
    read = {source for name in groups for source in reading.predecessors(name)}
    complete = all(any(v.name in there for v in dependence.groups[source].variables) for source in read)
    return law if complete and nx.is_directed_acyclic_graph(reading) else None


def _generated(graph: Graph, known: frozenset[str]) -> Graph | None:
    dependence = Dependence(graph)
    asked = {dependence.of[name].name for name in _asked(graph, known)}
    given = {dependence.of[name].name for name in known}
    generative = dependence.generative
    if not asked or asked & given or not nx.is_directed_acyclic_graph(generative):
        return None
    behind = asked.union(*(nx.ancestors(generative, name) for name in asked)) - given
    if any(nx.ancestors(generative, name) & behind for name in given):
        return None
    return _placed(graph, dependence, known, frozenset())


def _asked(graph: Graph, known: frozenset[str]) -> list[str]:
    """The observed variables that are not known."""
    return [name for name in graph.observed if name not in known]


def _placed(graph: Graph, dependence: Dependence, known: frozenset[str], inside: frozenset[str]) -> Graph:
    """The graph with variables given where they are known, which makes whatever arrows join them to lawless; those
    `inside` groups that are inferred have their posterior as their law."""
    beside = {v.name for name in known for v in dependence.of[name].variables}

    def placed(variable: VariableNode) -> VariableNode:
        if variable.name in beside:
            role: Literal["given", "latent"] = "given" if variable.name in known else "latent"
            return replace(variable, role=role, prior=None, posterior=None, target=None)
        return replace(variable, prior=variable.posterior, posterior=None) if variable.name in inside else variable

    return replace(graph, variables={name: placed(variable) for name, variable in graph.variables.items()})
