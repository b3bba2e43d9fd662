"""What several checks ask of a typed graph, worked out once: facts of each step along its arrow, paths to priors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

import networkx as nx

from dgmspec.core.diagnostics import Diagnostic, Refusal
from dgmspec.core.jacobian import Jacobian
from dgmspec.core.parameters import ParamSpec
from dgmspec.core.steps import Cost, Direction, Facts
from dgmspec.core.types import Type, Unknown
from dgmspec.graph.dependence import Dependence, Group
from dgmspec.graph.graph import ArrowNode, Graph, LossTerm, StepNode, VariableNode
from dgmspec.graph.infer import arriving
from dgmspec.graph.parts import Widened, widenings


@dataclass(frozen=True)
class StepFacts:
    """One step seen along its arrow: `before` and `after` it, and what its declaration says of that direction.

    `passed` counts the coordinates set aside earlier, which stand before the event and pass by; `jacobian` has them.
    """

    node: StepNode
    before: Type
    after: Type
    context: Type | None
    jacobian: Jacobian
    cost: Cost
    passed: int
    parameters: tuple[ParamSpec, ...]
    facts: Facts

    @property
    def label(self) -> str:
        """The step as it is written, without its nets."""
        return ("inverse " if self.node.inverse else "") + self.node.label

    @property
    def name(self) -> str:
        """The first word of the step."""
        return self.node.label.partition("(")[0]

    @property
    def event(self) -> Type:
        """The type before the operation as it is written."""
        return self.after if self.node.inverse else self.before

    @property
    def resizes(self) -> bool:
        """Whether it draws coordinates or drops them, so that nothing can be followed through it."""
        return self.before.whole != self.after.whole

    @property
    def size(self) -> int:
        """How many parameters the step owns."""
        return sum(math.prod(spec.shape) for spec in self.parameters)


@dataclass(frozen=True)
class Leg:
    """An arrow as a walk passes it: along its direction as written, or against it."""

    arrow: ArrowNode
    along: bool


class ChainFacts:
    """One arrow whose steps all have types."""

    def __init__(self, arrow: ArrowNode, steps: tuple[StepFacts, ...], widenings: tuple[Widened, ...] = ()) -> None:
        self.arrow = arrow
        self.steps = steps
        self.widenings = widenings

    @cached_property
    def prefixes(self) -> tuple[Jacobian, ...]:
        """The Jacobian from the arrow's start to after each step."""
        found: list[Jacobian] = []
        for step in self.steps:
            found.append(found[-1].then(step.jacobian) if found else step.jacobian)
        return tuple(found)

    @property
    def whole(self) -> Jacobian:
        """The Jacobian of the chain."""
        return self.prefixes[-1]

    def direction(self, *, along: bool) -> list[Direction]:
        """The cost of each step in one direction of the arrow."""
        return [step.cost.forward if along else step.cost.inverse for step in self.steps]


class Analysis:
    """A typed graph with what follows from it; nothing in it raises for a model that is wrong."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    @cached_property
    def chains(self) -> dict[str, ChainFacts]:
        """Every arrow whose types are all known, by address."""
        found = {arrow.address: self._chain(arrow) for arrow in self.graph.arrows.values()}
        return {address: chain for address, chain in found.items() if chain is not None}

    def _chain(self, arrow: ArrowNode) -> ChainFacts | None:
        steps = [self._step(self.graph.steps[address]) for address in arrow.steps]
        if not steps or any(step is None for step in steps):
            return None
        known = tuple(step for step in steps if step is not None)
        return ChainFacts(arrow, known, tuple(widenings(self.graph, arrow)))

    def _step(self, node: StepNode) -> StepFacts | None:
        before, after = self.graph.type_of(node.source), self.graph.type_of(node.target)
        context = None if node.context is None else self.graph.type_of(node.context)
        if not isinstance(before, Type) or not isinstance(after, Type) or isinstance(context, Unknown):
            return None
        if arriving(self.graph, node) is None:
            return None
        x = after if node.inverse else before
        try:
            jacobian, cost = node.op.jacobian(x, context), node.op.cost(x, context)
            parameters, facts = node.op.parameters(x, context), node.op.facts(x, context)
        except Refusal:
            return None
        passed = sum(part.size for part in before.passed_by(after))
        jacobian = jacobian.beside(passed)
        if node.inverse:
            jacobian, cost = jacobian.inverse(), Cost(cost.log_det, cost.inverse, cost.forward)
        return StepFacts(node, before, after, context, jacobian, cost, passed, parameters, facts)

    # ---- which variable has its density from where ------------------------------------------------------------------

    @cached_property
    def joined(self) -> nx.MultiGraph:
        """The variables, and an edge for each arrow."""
        graph: nx.MultiGraph = nx.MultiGraph()
        graph.add_nodes_from(self.graph.variables)
        for arrow in self.graph.arrows.values():
            graph.add_edge(arrow.source, arrow.target, key=arrow.address)
        for whole in self.graph.joints():
            graph.add_edges_from((part, whole.name, "joint") for part in whole.parts)
        return graph

    @cached_property
    def dependence(self) -> Dependence:
        """Which variables condition which."""
        return Dependence(self.graph)

    @cached_property
    def _components(self) -> dict[str, frozenset[str]]:
        found: dict[str, frozenset[str]] = {}
        for component in nx.connected_components(self.joined):
            found |= dict.fromkeys(component, frozenset(component))
        return found

    def priors(self, variable: str) -> list[VariableNode]:
        """The variables with a prior that arrows join to `variable`, itself included, in order of declaration."""
        component = self._components[variable]
        return [v for v in self.graph.variables.values() if v.prior is not None and v.name in component]

    def walk(self, variable: str, kind: Literal["log_prob", "sample_and_log_prob"]) -> list[Leg] | None:
        """The arrows between a variable and its prior as a walk passes them, then those of what shares its density;
        None where there is no single prior."""
        priors = self.priors(variable)
        if len(priors) != 1:
            return None
        component = self._components[variable]
        others = [name for name in self.graph.observed if name in component]
        joint = any(whole.name in component for whole in self.graph.joints())
        legs: dict[Leg, None] = {}
        for name in dict.fromkeys([variable, *(others if joint else ())]):
            legs |= dict.fromkeys(self._legs(name, priors[0].name, kind))
        return list(legs)

    def _legs(self, variable: str, prior: str, kind: str) -> Iterator[Leg]:
        names = nx.shortest_path(self.joined, variable, prior)
        for here, there in pairwise(names if kind == "log_prob" else names[::-1]):
            arrow = self.graph.arrows.get(next(iter(self.joined[here][there])))
            if arrow is not None:
                yield Leg(arrow, arrow.source == here)

    def towards_prior(self, arrow: ArrowNode) -> bool:
        """Whether an arrow leads from the data's side to the prior's; without a prior, from an observed variable."""
        apart = self.joined.copy()
        apart.remove_edge(arrow.source, arrow.target, key=arrow.address)
        ahead, behind = (
            any(self.graph.variables[name].prior is not None for name in nx.node_connected_component(apart, end))
            for end in (arrow.target, arrow.source)
        )
        if ahead or behind:
            return ahead
        return self.graph.variables[arrow.target].role != "observe"

    def sampled(self, observed: list[str]) -> list[Group]:
        """The latent groups behind observed variables that a density cannot sum over: it draws them."""
        every = {self.dependence.of[v.name].name for v in self.dependence.enumerated(observed, inferred=True)}
        return [group for group in self.dependence.latents(observed) if group.name not in every]

    def directions(self, legs: list[Leg]) -> list[tuple[StepFacts, Direction]]:
        """Every step of a walk, in the order of its arrow, with the cost of the direction that is run."""
        found: list[tuple[StepFacts, Direction]] = []
        for leg in legs:
            chain = self.chains.get(leg.arrow.address)
            if chain is not None:
                found += zip(chain.steps, chain.direction(along=leg.along), strict=True)
        return found

    def density(self, variable: str) -> Literal["exact", "estimate", "lower bound", "none"]:
        """What `log_prob` of a variable will be: the weakest of the steps on the way to its prior."""
        legs, drawn = self.walk(variable, "log_prob"), self.sampled([variable])
        if legs is None or any(group.posterior is None for group in drawn):
            return "none"
        passed = [
            (step, leg.along is not step.node.inverse)
            for leg in legs
            if leg.arrow.address in self.chains
            for step in self.chains[leg.arrow.address].steps
        ]
        if any(step.node.op.missing(forward) for step, forward in passed):
            return "none"
        kinds: set[str] = {step.node.op.density_along(forward, step.event) for step, forward in passed}
        kinds |= {law.op.density for v in self.priors(variable) if (law := v.prior) is not None}
        kinds |= {"lower bound" for _ in drawn}
        if "none" in kinds:
            return "none"
        return "lower bound" if "lower bound" in kinds else "estimate" if "estimate" in kinds else "exact"


def nothing_to_fit(term: LossTerm) -> Diagnostic:
    """DGM706: a term that fits data, in a model that observes none."""
    return Diagnostic(
        "DGM706",
        f"`{term.op.name}` needs an observed variable, and the model has none",
        term.address,
        "nothing to fit",
        help=("declare the data: `observe x : real[2]`",),
    )


def place(step: StepNode) -> str:
    """Where a message about a step points: to where it was written."""
    return step.place or step.address
