"""A loss and its gradients in one graph, in which autograd has no part: it need not keep what lies between."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

import torch
from torch import Tensor, fx

from dgmspec.program.program import Program

__all__ = ["Pull", "apart", "with_gradients"]

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


def _own(gradient: Tensor, weight: Tensor) -> Tensor:
    own = gradient.clone(memory_format=torch.contiguous_format)
    return own if weight.is_contiguous() else torch.empty_like(weight).copy_(own)


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
