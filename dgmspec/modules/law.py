"""A compiled model as a torch Distribution."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints

from dgmspec.core.types import Support, SupportKind, Type

__all__ = ["Law", "Model"]


class Model(Protocol):
    """What a distribution asks of a model."""

    @property
    def differentiable(self) -> bool: ...

    def type_of(self, variable: str) -> Type: ...

    def as_input(self, variable: str, array: Any) -> Tensor: ...

    def log_prob(self, x: Any, given: Mapping[str, Any] | None = None) -> Tensor: ...

    def sample(self, n: int, given: Mapping[str, Any] | None = None) -> Any: ...

    def rsample(self, n: int, given: Mapping[str, Any] | None = None) -> Any: ...


class Law(Distribution):
    """p(x | given) of a model with one observed variable: `batch_shape` is () or (m,) for a context of batch m.

    `sample` and `rsample` draw with torch's global generator deciding the seed; `log_prob` takes what broadcasts
    against (*batch, *event). A lower bound has no `rsample`: what falls outside the data's support is drawn again.
    The parameters are the model's own, so gradients reach them.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}

    has_rsample = True

    def __init__(self, model: Model, variable: str, given: Mapping[str, Any] | None) -> None:
        self.model, self.given = model, {k: model.as_input(k, v) for k, v in (given or {}).items()}
        self.type = model.type_of(variable)
        self.has_rsample = model.differentiable
        sizes = {value.shape[0] for value in self.given.values()} - {1}
        if len(sizes) > 1:
            raise ValueError(f"the given variables have batches of different sizes: {sorted(sizes)}")
        super().__init__(Size(sizes), Size(self.type.shape), validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """The declared support of the event."""
        return constraints.independent(_constraint(self.type.support), len(self.type.shape))  # type: ignore[no-untyped-call]

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with torch.no_grad():
            return self._shaped(self.model.sample, Size(sample_shape))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return self._shaped(self.model.rsample, Size(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        shape: Size = torch.broadcast_shapes(value.shape, self.batch_shape + self.event_shape)  # type: ignore[no-untyped-call]
        outer = shape[: len(shape) - len(self.event_shape)]
        rows = value.expand(shape).reshape(-1, *self.event_shape)
        copies = len(rows) // math.prod(self.batch_shape)
        given = {k: v.repeat(copies, *(1,) * (v.dim() - 1)) if len(v) > 1 else v for k, v in self.given.items()}
        return self.model.log_prob(rows, given or None).reshape(outer)

    def _shaped(self, draw: Any, shape: Size) -> Tensor:
        found: Tensor = draw(math.prod(shape), given=self.given or None)
        return found.reshape(*shape, *self.batch_shape, *self.event_shape)


def _constraint(support: Support) -> Any:
    """A support as torch names it."""
    if support.discrete:
        return constraints.integer_interval(int(support.low), int(support.high))  # type: ignore[no-untyped-call]
    if support.kind is SupportKind.SIMPLEX:
        return constraints.simplex
    if math.isinf(support.low) and math.isinf(support.high):
        return constraints.real
    if math.isinf(support.high):
        return constraints.greater_than(support.low)  # type: ignore[no-untyped-call]
    if math.isinf(support.low):
        return constraints.less_than(support.high)  # type: ignore[no-untyped-call]
    return constraints.interval(support.low, support.high)  # type: ignore[no-untyped-call]
