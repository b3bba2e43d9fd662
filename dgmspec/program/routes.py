"""Which way a model's steps are run: the components that steps join, and the path from data to prior in each.

Values joined by steps determine one another, so they form a component; contexts only condition and do not join. A
component with an observed variable and a prior has one path between them (without a prior, one to each outermost latent
variable). Along it the change of variables contributes to the log-density; whatever else hangs off it is a
deterministic by-product.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import networkx as nx

from dgmspec.core.address import Address
from dgmspec.graph.graph import Graph, Prior, ValueId, VariableNode


@dataclass(frozen=True)
class Component:
    """Values that steps join. `counted` are the steps between the observed variable and the prior."""

    values: frozenset[ValueId]
    observed: tuple[VariableNode, ...]
    latent: tuple[VariableNode, ...]
    prior: Prior | None
    counted: frozenset[Address]
    ends: tuple[VariableNode, ...]
    """The latent variables to encode to and decode from: the one with the prior, else those no step leads beyond."""


class Routes:
    """The step graph of a model, without direction, and its components."""

    def __init__(self, graph: Graph) -> None:
        self.joined: nx.Graph = nx.Graph()
        self.joined.add_nodes_from(graph.values)
        for step in graph.steps.values():
            self.joined.add_edge(step.source, step.target, step=step.address)
        self.of: dict[ValueId, Component] = {}
        for values in nx.connected_components(self.joined):
            component = self._component(graph, frozenset(values))
            self.of |= dict.fromkeys(values, component)
        self.components = tuple({id(c): c for c in (self.of[v] for v in graph.values)}.values())

    def path(self, known: set[ValueId], value: ValueId) -> tuple[Address, ...]:
        """The steps from the nearest of `known` to `value`, in the order to run them."""
        _, found = nx.multi_source_dijkstra(self.joined, known, value, weight=None)
        return tuple(self.joined.edges[pair]["step"] for pair in pairwise(found))

    def _component(self, graph: Graph, values: frozenset[ValueId]) -> Component:
        inside = [v for v in graph.variables.values() if v.value in values]
        observed = tuple(v for v in inside if v.role == "observe")
        start = next((v for v in inside if v.prior is not None), None)
        latent = tuple(v for v in inside if v.role == "latent")
        ends = tuple(v for v in latent if (v is start if start else self.joined.degree(v.value) <= 1))
        counted: set[Address] = set()
        for end in (start,) if start else ends:
            if observed:
                counted.update(self.path({observed[0].value}, end.value))
        prior = None if start is None else start.prior
        return Component(values, observed, latent, prior, frozenset(counted), ends)
