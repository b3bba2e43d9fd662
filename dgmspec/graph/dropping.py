"""`drop = 0.1`: a graph whose noising arrows sometimes do without their context while training."""

from __future__ import annotations

from dataclasses import replace

from dgmspec.core.steps import AbstractStep
from dgmspec.graph.graph import Graph, StepNode

__all__ = ["dropped", "dropping"]


def dropped(graph: Graph, share: float) -> Graph:
    """The graph in which every step that can do without its context drops that of a share of the rows."""
    changed = {at: replace(step, op=op) for at, step in graph.steps.items() if (op := dropping(step, share))}
    return replace(graph, steps={**graph.steps, **changed})


def dropping(step: StepNode, share: float) -> AbstractStep | None:
    """The step's operation as it drops its context; None where it has none, or cannot do without."""
    return None if step.context is None else step.op.dropping(share)
