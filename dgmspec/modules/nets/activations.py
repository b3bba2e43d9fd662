"""What stands between two layers, out of place, in place and from the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from dgmspec.ops.nets.layered import AbstractLayered, ResMlp

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "relu": F.relu,
    "gelu": F.gelu,
    "elu": F.elu,
    "tanh": torch.tanh,
    "softplus": F.softplus,
    "leaky_relu": F.leaky_relu,
}

FROM_RESULT: Mapping[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu_,
    "tanh": torch.tanh_,
    "elu": partial(F.elu, inplace=True),
}
"""Activations whose gradient follows from their result, so that they may overwrite what they are applied to."""

IN_PLACE: Mapping[str, Callable[[Tensor], Tensor]] = {
    "silu": partial(F.silu, inplace=True),
    "relu": torch.relu_,
    "elu": partial(F.elu, inplace=True),
    "tanh": torch.tanh_,
    "leaky_relu": partial(F.leaky_relu, inplace=True),
}
"""The activations that torch has in place; the others are copied back."""


def step_of(op: AbstractLayered) -> float:
    """The factor of what is added to a skipped z."""
    return op.step if isinstance(op, ResMlp) else 1.0
