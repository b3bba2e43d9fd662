"""The graph of a model: values and steps, parameters substituted, repeats unrolled, operations made.

A bipartite DAG. A `Value` is a node with a type (or `UNKNOWN`); a `StepNode` reads values and gives values along its
arrow as written. `lower` builds it without types, `infer` returns the same graph with every type filled in, and nothing
later mutates it: passes return new graphs whose parameters keep their addresses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import networkx as nx

from dgmspec.algebra.nodes import AbstractExpr, Name, Vector
from dgmspec.algebra.rewrite import free_names
from dgmspec.core.address import Address
from dgmspec.core.distributions import AbstractDistribution
from dgmspec.core.nets import AbstractNet
from dgmspec.core.op import AbstractOp
from dgmspec.core.steps import AbstractStep
from dgmspec.core.types import UNKNOWN, MaybeType, Support

ValueId = str
"""The address of a value: a variable's (``RealNVP/x``) or ``<step address>:out``."""


@dataclass(frozen=True)
class Value:
    """An event flowing through the graph."""

    id: ValueId
    type: MaybeType = UNKNOWN
    variable: str | None = None


@dataclass(frozen=True)
class StepNode:
    """One step of a flow, as written from `source` to `target`; `inverse` runs `op` backwards along the arrow.

    `label` is the step as an author writes it, without its nets. `place` is where it was written, if that is not its
    address (inside a named chain), and `arguments` where each argument was. All three serve people alone.
    """

    address: Address
    op: AbstractStep
    inverse: bool
    source: ValueId
    target: ValueId
    context: ValueId | None
    arrow: Address
    label: str = ""
    place: Address = ""
    arguments: tuple[tuple[str, Address], ...] = ()


@dataclass(frozen=True)
class NetNode:
    """A named net applied to values: ``h(c)`` as a context. `address` owns the parameters, shared by all uses."""

    address: Address
    name: str
    op: AbstractNet | Literal["external"]
    inputs: tuple[ValueId, ...]
    target: ValueId


@dataclass(frozen=True)
class FormulaNode:
    """An expression over values and learned parameters whose result is a value (a context such as ``[c, 2 * d]``, or
    what a named net is applied to, ``h(2 * c)``).

    `names` are the names of `inputs` in the formula. A `Vector` at the top joins its flattened items end to end; any
    other value is `flat` as a context, and keeps its shape before a net.
    """

    address: Address
    formula: AbstractExpr
    inputs: tuple[ValueId, ...]
    target: ValueId
    names: tuple[str, ...] = ()
    flat: bool = True

    @property
    def keeps(self) -> bool:
        """Whether its value keeps the shape of the formula."""
        return not self.flat and not isinstance(self.formula, Vector)

    @property
    def listed(self) -> frozenset[str]:
        """The names that stand in it as items of a list alone, which are read as nets read them."""
        items = self.formula.items if isinstance(self.formula, Vector) else ()
        inside = {name for item in items if not isinstance(item, Name) for name in free_names(item)}
        return frozenset(item.id for item in items if isinstance(item, Name)) - inside


@dataclass(frozen=True)
class Trunk:
    """A net as parameters of a distribution: its result is divided into one head for each of `parameters` (named by
    their path, ``components/0/loc``), which is mapped to the parameter's domain. `address` owns the weights."""

    address: Address
    op: AbstractNet | Literal["external"]
    inputs: tuple[ValueId, ...]
    parameters: tuple[str, ...]


@dataclass(frozen=True)
class Prior:
    """The law of a variable: ``latent z : T ~ D``, ``generate x | z ~ D``, ``infer z | x ~ D``.

    `context` are the values after the bar, which nets written in place read; `inputs` all that the parameters read.
    `named` are the values that formulas read under names of the compiler's: those of nets applied inside them.
    """

    address: Address
    variable: str
    op: AbstractDistribution
    inputs: tuple[ValueId, ...] = ()
    context: tuple[ValueId, ...] = ()
    named: tuple[tuple[str, ValueId], ...] = ()
    trunks: tuple[Trunk, ...] = ()


@dataclass(frozen=True)
class Target:
    """``observe x ~ exp(e)``: an unnormalised log-density `log_density` of the variable, inlined to a formula.

    `inputs` are all values that it reads; `named` those of nets applied inside it, under names of the compiler's.
    """

    address: Address
    variable: str
    log_density: AbstractExpr
    inputs: tuple[ValueId, ...] = ()
    named: tuple[tuple[str, ValueId], ...] = ()


@dataclass(frozen=True)
class VariableNode:
    """A declared variable, its value in the graph and its declared type (UNKNOWN where it says ``real[*]``, whose
    support is in `support` all the same).

    `prior` is the law that generates it: the one of its declaration, or its ``generate``. `posterior` is its ``infer``.
    `score` is the value of the net that ``learn score(x) = NET`` declares.
    """

    address: Address
    name: str
    role: Literal["observe", "latent", "given"]
    value: ValueId
    declared: MaybeType
    prior: Prior | None = None
    posterior: Prior | None = None
    target: Target | None = None
    score: ValueId | None = None
    support: Support | None = None
    parts: tuple[str, ...] = ()
    """Of a joint state, an arrow's end ``[a, b]``: the variables that stand in it end to end. No author declares it."""


@dataclass(frozen=True)
class LearnedNode:
    """A model-level ``learn``: a parameter by name, with the support its value is mapped to."""

    address: Address
    name: str
    type: MaybeType
    initial: float | tuple[float, ...] | None


@dataclass(frozen=True)
class ArrowNode:
    """One arrow: its ends, its steps in reading order."""

    address: Address
    source: str
    target: str
    context: ValueId | None
    steps: tuple[Address, ...]


@dataclass(frozen=True)
class LossTerm:
    """One term of the loss: an operation of role ``loss`` bound to a variable or an arrow."""

    address: Address
    op: AbstractOp
    binds: str | None


@dataclass(frozen=True)
class Loss:
    """``loss = EXPR``: the formula over term names (``t0``, ``t1``, …) and the terms themselves."""

    formula: AbstractExpr
    terms: dict[str, LossTerm]


@dataclass(frozen=True)
class Graph:
    """One model, ready to be typed, checked and compiled. `complete` is False where a member was refused: what can
    be said of the whole is then left unsaid."""

    name: str
    complete: bool = True
    values: dict[ValueId, Value] = field(default_factory=dict)
    variables: dict[str, VariableNode] = field(default_factory=dict)
    steps: dict[Address, StepNode] = field(default_factory=dict)
    nets: dict[Address, NetNode] = field(default_factory=dict)
    formulas: dict[Address, FormulaNode] = field(default_factory=dict)
    learned: dict[str, LearnedNode] = field(default_factory=dict)
    arrows: dict[Address, ArrowNode] = field(default_factory=dict)
    loss: Loss | None = None

    @property
    def observed(self) -> dict[str, VariableNode]:
        """The observed variables by name, in the order of their declarations."""
        return {name: variable for name, variable in self.variables.items() if variable.role == "observe"}

    @property
    def givens(self) -> dict[str, VariableNode]:
        """The conditioning variables, likewise."""
        return {name: variable for name, variable in self.variables.items() if variable.role == "given"}

    @property
    def laws(self) -> tuple[Prior, ...]:
        """Every law of a variable, in the order of the variables."""
        return tuple(law for v in self.variables.values() for law in (v.prior, v.posterior) if law is not None)

    def type_of(self, value: ValueId) -> MaybeType:
        """The type of a value, `UNKNOWN` where inference could not tell."""
        return self.values[value].type

    @property
    def externals(self) -> dict[str, Address]:
        """The addresses of the nets that Python supplies, by name."""
        found = {node.name: node.address for node in self.nets.values() if node.op == "external"}
        trunks = [trunk for law in self.laws for trunk in law.trunks if trunk.op == "external"]
        found |= {trunk.address.rpartition("/")[2]: trunk.address for trunk in trunks}
        return found | {name: at for step in self.steps.values() for name, at in step.op.externals()}

    def joints(self) -> tuple[VariableNode, ...]:
        """The joint states among the variables."""
        return tuple(variable for variable in self.variables.values() if variable.parts)

    def network(self) -> nx.DiGraph:
        """The bipartite graph as networkx sees it: values and step/net addresses, edges along the arrows."""
        graph: nx.DiGraph = nx.DiGraph()
        graph.add_nodes_from(self.values, kind="value")
        for step in self.steps.values():
            graph.add_node(step.address, kind="step")
            graph.add_edges_from([(step.source, step.address), (step.address, step.target)])
            if step.context is not None:
                graph.add_edge(step.context, step.address, kind="context")
        for whole in self.joints():
            graph.add_edges_from((self.variables[part].value, whole.value) for part in whole.parts)
        nodes: list[NetNode | FormulaNode] = [*self.nets.values(), *self.formulas.values()]
        for node in nodes:
            graph.add_node(node.address, kind="net")
            graph.add_edges_from((value, node.address) for value in node.inputs)
            graph.add_edge(node.address, node.target)
        return graph
