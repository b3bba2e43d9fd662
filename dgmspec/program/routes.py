"""Which way a model's steps are run: the components that steps join, and the path from data to prior in each.

Values joined by steps determine one another, so they form a component; contexts only condition and do not join. A
component with an observed variable and a prior has one path between them (without a prior, one to each outermost latent
variable). Along it the change of variables contributes to the log-density; whatever else hangs off it is a
deterministic by-product.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import networkx as nx

from dgmspec.core.address import Address
from dgmspec.graph.dependence import Dependence
from dgmspec.graph.graph import Graph, Prior, ValueId, VariableNode


@dataclass(frozen=True)
class Component:
    """Values that steps join. `counted` are the steps between the variable that is known first (the observed one, or
    the one with the posterior) and the prior. `name` is the variable that stands for it: the observed one, or the one
    that the rest of the model reads."""

    values: frozenset[ValueId]
    observed: tuple[VariableNode, ...]
    latent: tuple[VariableNode, ...]
    prior: Prior | None
    posterior: Prior | None
    counted: frozenset[Address]
    ends: tuple[VariableNode, ...]
    """The latent variables to encode to and decode from: the one with the prior, else those no step leads beyond."""
    name: str


class Routes:
    """The step graph of a model, without direction, and its components."""

    def __init__(self, graph: Graph) -> None:
        self.dependence = Dependence(graph)
        self.joined: nx.Graph = nx.Graph()
        self.joined.add_nodes_from(graph.values)
        for step in graph.steps.values():
            self.joined.add_edge(step.source, step.target, step=step.address)
        self.joints: dict[ValueId, tuple[ValueId, ...]] = {}
        for whole in graph.joints():
            self.joints[whole.value] = tuple(graph.variables[part].value for part in whole.parts)
            self.joined.add_edges_from((part, whole.value) for part in self.joints[whole.value])
        self.of: dict[ValueId, Component] = {}
        for values in nx.connected_components(self.joined):
            component = self._component(graph, frozenset(values))
            self.of |= dict.fromkeys(values, component)
        self.components = tuple({id(c): c for c in (self.of[v] for v in graph.values)}.values())

    def path(self, known: set[ValueId], value: ValueId) -> tuple[Address, ...] | None:
        """What leads from `known` to `value`, in the order to run it: steps, and joint states by their values; None
        where it takes more than is known."""
        made: dict[ValueId, tuple[Address, tuple[ValueId, ...]]] = {}
        queue, reached = deque(sorted(known)), set(known)
        while queue and value not in reached:
            here = queue.popleft()
            for there, by, needed in self._onward(here, reached):
                if there not in reached:
                    made[there] = by, needed
                    reached.add(there)
                    queue.append(there)
        if value not in reached:
            return None
        found: dict[Address, None] = {}
        _collect(value, made, found)
        return tuple(found)

    def _onward(self, here: ValueId, reached: set[ValueId]) -> Iterator[tuple[ValueId, Address, tuple[ValueId, ...]]]:
        """The values next to `here`, by what each is made, and from which."""
        for there, edge in self.joined[here].items():
            if "step" in edge:
                yield there, edge["step"], (here,)
            elif here in self.joints and there in self.joints[here]:
                yield there, here, (here,)
            elif reached.issuperset(self.joints[there]):
                yield there, there, self.joints[there]

    def _component(self, graph: Graph, values: frozenset[ValueId]) -> Component:
        inside = [v for v in graph.variables.values() if v.value in values]
        observed = tuple(v for v in inside if v.role == "observe")
        start = next((v for v in inside if v.prior is not None), None)
        inferred = next((v for v in inside if v.posterior is not None), None)
        latent = tuple(v for v in inside if v.role == "latent")
        ends = tuple(v for v in latent if (v is start if start else self.joined.degree(v.value) <= 1))
        known = observed[0] if observed else inferred
        counted: set[Address] = set()
        for end in (start,) if start else ends:
            if known is not None:
                path = self.path({known.value}, end.value) or self.path({v.value for v in observed}, end.value)
                counted.update(address for address in path or () if address in graph.steps)
        prior = start.prior if start else None
        posterior = inferred.posterior if inferred else None
        name = self.dependence.of[inside[0].name].name if inside else ""
        return Component(values, observed, latent, prior, posterior, frozenset(counted), ends, name)


def _collect(
    value: ValueId, made: dict[ValueId, tuple[Address, tuple[ValueId, ...]]], found: dict[Address, None]
) -> None:
    """What makes a value, after all that makes what it is made from."""
    pending = [(value, False)]
    while pending:
        here, done = pending.pop()
        if here not in made or made[here][0] in found:
            continue
        by, needed = made[here]
        if done:
            found[by] = None
        else:
            pending += [(here, True), *((before, False) for before in reversed(needed))]
