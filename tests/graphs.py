"""Typed graphs built by hand, for tests of the rooms behind the graph."""

from __future__ import annotations

from dgmspec.algebra.nodes import AbstractExpr, Name
from dgmspec.core.distributions import AbstractDistribution
from dgmspec.core.steps import AbstractStep
from dgmspec.core.types import REAL, Type
from dgmspec.graph.graph import ArrowNode, Graph, Loss, LossTerm, Prior, StepNode, Target, Value, VariableNode
from dgmspec.ops.distributions import Normal
from dgmspec.ops.losses import Nll, ReverseKl

Step = AbstractStep | tuple[AbstractStep, bool]
"""An operation, or an operation with True where the flow runs it inverted."""
VECTOR, STANDARD = Type(REAL, (4,)), Normal()


def flow_graph(
    steps: list[Step],
    x: Type = VECTOR,
    c: Type | None = None,
    prior: AbstractDistribution | None = STANDARD,
    loss: str | None = "nll",
    towards_data: bool = False,
    target: AbstractExpr | None = None,
) -> Graph:
    """``flow x -> z | c { steps }`` with the prior on z; with `towards_data` the same steps as ``flow z -> x``."""
    name, arrow = "M", "M/z->x" if towards_data else "M/x->z"
    source, end = ("M/z", "M/x") if towards_data else ("M/x", "M/z")
    values = {source: Value(source, x, source[2:])}
    nodes: dict[str, StepNode] = {}
    here, type_ = source, x
    for i, step in enumerate(steps):
        op, inverse = step if isinstance(step, tuple) else (step, False)
        type_ = op.infer_input(type_, c) if inverse else op.infer_type(type_, c)
        there = end if i == len(steps) - 1 else f"{arrow}/{i}:out"
        values[there] = Value(there, type_, end[2:] if there == end else None)
        nodes[f"{arrow}/{i}"] = StepNode(
            f"{arrow}/{i}", op, inverse, here, there, "M/c" if c is not None else None, arrow
        )
        here = there
    law = None if prior is None else Prior("M/z/prior", "z", prior)
    aim = None if target is None else Target("M/x/prior", "x", target)
    variables = {
        "x": VariableNode("M/x", "x", "observe", "M/x", values["M/x"].type, target=aim),
        "z": VariableNode("M/z", "z", "latent", "M/z", values["M/z"].type, prior=law),
    }
    if c is not None:
        values["M/c"] = Value("M/c", c, "c")
        variables["c"] = VariableNode("M/c", "c", "given", "M/c", c)
    arrows = {arrow: ArrowNode(arrow, source[2:], end[2:], "M/c" if c else None, tuple(nodes))}
    op = {"nll": Nll(), "reverse_kl": ReverseKl()}.get(loss or "")
    term = None if op is None else Loss(Name(id="t0"), {"t0": LossTerm("M/loss/t0", op, None)})
    return Graph(name, values=values, variables=variables, steps=nodes, arrows=arrows, loss=term)
