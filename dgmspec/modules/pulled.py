"""A loss and its gradients in one graph that autograd does not see: it need not keep what lies between, nor walk back.

`with_gradients` is the function for torch.compile, `traced` the graph for compiling it ahead of its calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

import torch
from torch import Tensor, fx
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext

from dgmspec.program.program import Program

__all__ = ["Pull", "apart", "traced", "with_gradients"]

_NUMBERS: Final = count()


@dataclass(frozen=True)
class Pull:
    """A loss on a batch: the program with its inputs in order, the weights that may have gradients, and where some of
    them are masked (their gradient is 0 there)."""

    program: Program
    values: Sequence[Tensor]
    weights: Mapping[str, Tensor]
    masked: Mapping[str, Tensor]


def with_gradients(graph: fx.GraphModule, read: Sequence[str]) -> Callable[..., list[Tensor]]:
    """The total of a loss, and its gradients by the weights that are `read`: a function of all weights, of where some
    of them are masked, and of the inputs of the graph.

    Each gradient has memory of its own, laid out as its weight's.
    """

    def pulled(weights: Mapping[str, Tensor], masked: Mapping[str, Tensor], *values: Tensor) -> list[Tensor]:
        def loss(weights: dict[str, Tensor]) -> Tensor:
            found: Any = torch.func.functional_call(graph, weights, values)
            total: Tensor = found["total"] if isinstance(found, dict) else found
            return total

        gradients, total = torch.func.grad_and_value(loss)({key: weights[key] for key in read})
        for key in read:
            if key in masked:
                gradients[key] = gradients[key].masked_fill(masked[key], 0.0)
        return [total, *(_own(gradients[key], weights[key]) for key in read)]

    # Torch keeps what it compiled, and which sizes it has seen change, by code: each program has one of its own.
    pulled.__code__ = pulled.__code__.replace(co_name=f"pulled_{next(_NUMBERS)}")
    return pulled


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


def _own(gradient: Tensor, weight: Tensor) -> Tensor:
    own = gradient.clone(memory_format=torch.contiguous_format)
    return own if weight.is_contiguous() else torch.empty_like(weight).copy_(own)


def _same_rows(asked: Any) -> bool:
    """Whether what tracing took for granted is no more than that all inputs have as many rows."""
    rows = next(iter(asked.free_symbols), None)
    left = asked.xreplace(dict.fromkeys(asked.free_symbols, rows))
    return not left.free_symbols and bool(left)


def apart(gradients: dict[str, Tensor], pull: Pull) -> dict[str, Tensor]:
    """The gradients, each with memory of its own: for back ends that may give one tensor twice, or an input."""
    held = {_memory(value) for value in (*pull.values, *pull.weights.values())}
    for name, gradient in gradients.items():
        if _memory(gradient) in held:
            gradients[name] = gradient.clone()
        held.add(_memory(gradients[name]))
    return gradients


def _memory(value: Tensor) -> int:
    return value.untyped_storage().data_ptr()


def _open(value: Tensor, first: bool) -> Any:
    sizes = [DimDynamic.DYNAMIC if first and at == 0 else DimDynamic.STATIC for at in range(value.dim())]
    return StatelessSymbolicContext(dynamic_sizes=sizes, constraint_sizes=[None] * len(sizes))
