"""What every rewrite must keep: a well-formed typed graph, the same face, the same parameters. Else it is our bug."""

from __future__ import annotations

from dgmspec.core.types import Type
from dgmspec.graph.graph import Graph
from dgmspec.graph.parameters import parameters, step_types
from dgmspec.graph.verify import verify

__all__ = ["verify_rewrite"]


def verify_rewrite(before: Graph, after: Graph, name: str) -> None:
    """Assert that `after`, which the pass `name` made of `before`, is a graph of the same model."""
    verify(after, typed=True)
    assert parameters(before) == parameters(after), f"{name} changed the parameters"
    assert before.variables == after.variables and before.loss == after.loss, f"{name} changed the model's face"
    for step in after.steps.values():
        event, given = step_types(after, step)
        end = after.type_of(step.source if step.inverse else step.target)
        assert isinstance(end, Type)
        assert step.op.infer_type(event, given).shape == end.shape, f"{name}: {step.address} has a wrong type"
