"""A loss with its gradients as a graph, for compiling it ahead of its calls.

Imported when that is asked for: what tells open sizes apart brings sympy, a third of a second of every start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext

from dgmspec.modules.pulled import Pull

__all__ = ["traced"]


def traced(pulled: Callable[..., list[Tensor]], pull: Pull, rows: Sequence[bool]) -> fx.GraphModule | None:
    """What `with_gradients` gives as a graph of its inputs alone, over the very tensors that it reads; the first
    dimension is open of the inputs that have `rows`. None where it is one for this batch only, and where it draws
    random numbers, as dropout does.
    """
    # Sizes that happen to be equal stay apart: a batch as large as an event must not become part of the graph.
    sizes = ShapeEnv(duck_shape=False)
    mode = FakeTensorMode(shape_env=sizes, allow_non_fake_inputs=True)
    fakes = [
        mode.from_tensor(value.contiguous(), symbolic_context=_open(value, first))
        for value, first in zip(pull.values, rows, strict=True)
    ]
    graph = make_fx(lambda *values: pulled(pull.weights, pull.masked, *values), tracing_mode="symbolic")(*fakes)
    draws = any(torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()) for node in graph.graph.nodes)
    if draws or not all(_same_rows(guard.expr) for guard in sizes.guards):
        return None
    for name in {str(node.target) for node in graph.graph.nodes if node.op == "get_attr"} - {*graph._parameters}:
        constant = getattr(graph, name)
        delattr(graph, name)
        graph.register_buffer(name, constant, persistent=False)
    return graph


def _same_rows(asked: Any) -> bool:
    """Whether what tracing took for granted is no more than that all inputs have as many rows."""
    rows = next(iter(asked.free_symbols), None)
    left = asked.xreplace(dict.fromkeys(asked.free_symbols, rows))
    return not left.free_symbols and bool(left)


def _open(value: Tensor, first: bool) -> Any:
    sizes = [DimDynamic.DYNAMIC if first and at == 0 else DimDynamic.STATIC for at in range(value.dim())]
    return StatelessSymbolicContext(dynamic_sizes=sizes, constraint_sizes=[None] * len(sizes))
