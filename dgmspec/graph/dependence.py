"""Which variables condition which: the generative graph and the inference graph of a model.

Variables that arrows join determine one another and form a group; a group has one law that generates it, at one of its
variables, and may have one posterior. An edge leads from a group to another whose law, or an arrow on the way from that
law to what is needed of the group, reads one of its values. The generative graph goes by the priors, the inference
graph by what is observed or given and by the posteriors.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import networkx as nx

from dgmspec.core.address import Address
from dgmspec.core.types import SupportKind, Type
from dgmspec.graph.graph import Graph, Prior, ValueId, VariableNode

__all__ = ["MAX_STATES", "Dependence", "Group", "states"]

MAX_STATES = 1024
"""How many combinations of values of discrete latent variables are summed over, at most."""


@dataclass(frozen=True)
class Group:
    """Variables that arrows join, by the name of the one that the rest of the model reads (the observed one)."""

    name: str
    variables: tuple[VariableNode, ...]
    prior: Prior | None
    posterior: Prior | None

    @property
    def observed(self) -> bool:
        """Whether a variable of the group is data, or given."""
        return any(v.role != "latent" for v in self.variables)


class Dependence:
    """The two graphs of a model, over the names of its groups. An edge's `law` is the address of what reads."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.joined: nx.Graph = nx.Graph()
        self.joined.add_nodes_from(graph.variables)
        for arrow in graph.arrows.values():
            self.joined.add_edge(arrow.source, arrow.target, arrow=arrow)
        for whole in graph.joints():
            self.joined.add_edges_from((part, whole.name, {"arrow": None}) for part in whole.parts)
        self._makers = {n.target: n.inputs for n in graph.nets.values()}
        self._makers |= {n.target: n.inputs for n in graph.formulas.values()}
        self._makers |= {s.target: (s.source,) for s in graph.steps.values()}
        self._names = {v.value: v.name for v in graph.variables.values()}
        # A step of a variable's own (`standardize`) is read from the variable's side, whichever way its arrow runs.
        ends = {v.address: v.value for v in graph.variables.values()}
        own = [s for s in graph.steps.values() if s.target == ends.get(s.address.rpartition("/")[0])]
        self._makers |= {step.source: (step.target,) for step in own}
        self.read = frozenset(self.variables(v for law in self._laws("prior") for v in law.inputs))
        contexts = (a.context for a in graph.arrows.values() if a.context is not None)
        self.read |= frozenset(self.variables(contexts))
        found = [self._group(names) for names in nx.connected_components(self.joined)]
        self.groups = {group.name: group for group in sorted(found, key=self._place)}
        self.of = {v.name: group for group in self.groups.values() for v in group.variables}

    def variables(self, values: Iterable[ValueId]) -> Iterator[str]:
        """The variables that values are made of."""
        queue = list(values)
        while queue:
            value = queue.pop()
            if value in self._names:
                yield self._names[value]
            else:
                queue += self._makers.get(value, ())

    @cached_property
    def generative(self) -> nx.DiGraph:
        """Edges to each group from what its generation reads."""
        graph: nx.DiGraph = nx.DiGraph()
        graph.add_nodes_from(self.groups)
        for group in self.groups.values():
            start = group.prior.variable if group.prior else next((v.name for v in group.variables if _given(v)), None)
            needed = [v.name for v in group.variables if v.role == "observe" or v.name in self.read]
            self._edges(graph, group, group.prior, start, needed)
        return graph

    @cached_property
    def inference(self) -> nx.DiGraph:
        """Edges to each group from what its inference reads."""
        graph: nx.DiGraph = nx.DiGraph()
        graph.add_nodes_from(self.groups)
        inferring = frozenset(self.variables(v for law in self._laws("posterior") for v in law.inputs))
        for group in self.groups.values():
            known = next((v.name for v in group.variables if v.role != "latent"), None)
            needed = [v.name for v in group.variables if v.name in inferring]
            if known is None and group.posterior is not None:
                known = group.posterior.variable
                needed += [v.name for v in group.variables if v.prior is not None or v.name in self.read]
            self._edges(graph, group, None if group.observed else group.posterior, known, needed)
        return graph

    @cached_property
    def inferred(self) -> tuple[str, ...]:
        """The observed variables that have an `infer`, or arrows to a variable that has one."""
        return tuple(name for name in self.graph.observed if self.of[name].posterior is not None)

    # ---- what a density has to do with latent variables -------------------------------------------------------------

    def latents(self, observed: Iterable[str]) -> list[Group]:
        """The groups of latent variables that generate some observed ones, directly or through others."""
        of = {self.of[name].name for name in observed}
        found = {name for start in of for name in nx.ancestors(self.generative, start)}
        return [g for g in self.groups.values() if g.name in found and not g.observed]

    def enumerated(self, observed: Iterable[str], inferred: bool, relaxed: bool = False) -> list[VariableNode]:
        """The discrete variables among them that can take all their values, where these are few enough together; those
        with a posterior too where `inferred` says so, but for relaxed ones, which are drawn where `relaxed` says so."""
        found = [v for g in self.latents(observed) for v in [self.discrete(g)] if v is not None]
        found = [v for v in found if inferred or v.posterior is None]
        found = [v for v in found if not (relaxed and v.posterior is not None and v.posterior.op.relaxes)]
        count = 1
        for variable in found:
            count *= states(self.graph, variable)
        return found if count <= MAX_STATES else []

    def summed(self, observed: Iterable[str], weighted: bool) -> list[VariableNode]:
        """The discrete variables that a bound takes at all their values: those without a posterior, summed over; where
        there are none, those with one, which are weighted by it. A bound that weighs nothing sums over both."""
        found = self.enumerated(observed, inferred=True, relaxed=True)
        without = [v for v in found if v.posterior is None]
        return without if weighted and without else found

    def closed_divergence(self, group: Group, summed: Iterable[str] = ()) -> bool:
        """Whether the divergence of a group's posterior from its prior is taken in closed form: the pair of laws has
        one, both are laws of the same variable, and neither reads what is drawn from it, or what is summed over."""
        prior, posterior = group.prior, group.posterior
        if prior is None or posterior is None or prior.variable != posterior.variable:
            return False
        behind, more = self._behind(prior), self._behind(posterior)
        closed = posterior.op.has_divergence(prior.op)
        return closed and group.name not in behind and (behind | more).isdisjoint(summed)

    def landing(self, group: Group) -> tuple[str, ...]:
        """The variables on the way from the one that is inferred to where a draw of the group arrives: the first that
        generation reads, or that has the prior."""
        assert group.prior is not None and group.posterior is not None
        names = nx.shortest_path(self.joined, group.posterior.variable, group.prior.variable)
        last = next(i for i, name in enumerate(names) if name in self.read or name == group.prior.variable)
        return tuple(names[: last + 1])

    def _behind(self, law: Prior) -> set[str]:
        """The groups that a law's parameters depend on, in the order of inference."""
        direct = {self.of[name].name for name in self.variables(law.inputs)}
        return direct.union(*(nx.ancestors(self.inference, name) for name in direct))

    def discrete(self, group: Group) -> VariableNode | None:
        """The variable of a group that is discrete and no arrow's end."""
        variable = group.variables[0]
        alone = len(group.variables) == 1 and group.prior is not None
        return variable if alone and states(self.graph, variable) else None

    # ---- making -----------------------------------------------------------------------------------------------------

    def _laws(self, kind: str) -> list[Prior]:
        laws = [v.prior if kind == "prior" else v.posterior for v in self.graph.variables.values()]
        return [law for law in laws if law is not None]

    def _group(self, names: set[str]) -> Group:
        inside = tuple(v for v in self.graph.variables.values() if v.name in names)
        inferred = next((v for v in inside if v.posterior is not None), None)
        known = [v for v in inside if v.role != "latent"]
        read = [v for v in ((inferred,) if inferred else ()) + inside if v.name in self.read]
        prior = next((v.prior for v in inside if v.prior is not None), None)
        return Group((known + read + list(inside))[0].name, inside, prior, inferred.posterior if inferred else None)

    def _place(self, group: Group) -> int:
        return [*self.graph.variables].index(group.variables[0].name)

    def _edges(
        self, graph: nx.DiGraph, group: Group, law: Prior | None, start: str | None, needed: Iterable[str]
    ) -> None:
        """Edges from what a law reads, and what the arrows read that lead from its variable to what is needed."""
        for name in self.variables(law.inputs) if law else ():
            self._edge(graph, name, group, law.address if law else "")
        for end in needed if start is not None else ():
            for pair in pairwise(nx.shortest_path(self.joined, start, end)):
                arrow = self.joined.edges[pair]["arrow"]
                for name in self.variables((arrow.context,) if arrow is not None and arrow.context else ()):
                    self._edge(graph, name, group, arrow.address)

    def _edge(self, graph: nx.DiGraph, name: str, group: Group, law: Address) -> None:
        graph.add_edge(self.of[name].name, group.name, law=law, reads=name)


def _given(variable: VariableNode) -> bool:
    return variable.role == "given"


def states(graph: Graph, variable: VariableNode) -> int:
    """How many values a discrete variable has; 0 for one that is not discrete, or of unknown type."""
    type_ = graph.type_of(variable.value)
    if not isinstance(type_, Type) or type_.support.kind not in (SupportKind.INTEGER, SupportKind.CATEGORY):
        return 0
    count = int(type_.support.high - type_.support.low + 1)
    few = type_.size * math.log2(count) <= math.log2(MAX_STATES)
    return count**type_.size if few else MAX_STATES + 1
