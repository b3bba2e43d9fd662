"""Activations with their derivatives: ``z -> (a(z), a'(z))``, and from these the second ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["CURVES", "WITH_SLOPE"]

Pair = tuple[Tensor, Tensor]

_DENSITY: Final = (2 * math.pi) ** -0.5


def _silu(z: Tensor) -> Pair:
    s = z.sigmoid()
    a = z * s
    return a, s + a * (1 - s)


def _relu(z: Tensor) -> Pair:
    return z.relu(), (z > 0).to(z.dtype)


def _gelu(z: Tensor) -> Pair:
    share = 0.5 * (1 + torch.erf(z * 0.5**0.5))
    return z * share, share + z * torch.exp(-z.square() / 2) * _DENSITY


def _elu(z: Tensor) -> Pair:
    return F.elu(z), z.clamp(max=0).exp()


def _tanh(z: Tensor) -> Pair:
    a = z.tanh()
    return a, 1 - a.square()


def _softplus(z: Tensor) -> Pair:
    return F.softplus(z), z.sigmoid()


def _leaky_relu(z: Tensor) -> Pair:
    return F.leaky_relu(z), 0.01 + 0.99 * (z > 0).to(z.dtype)


WITH_SLOPE: Final[Mapping[str, Callable[[Tensor], Pair]]] = {
    "silu": _silu,
    "relu": _relu,
    "gelu": _gelu,
    "elu": _elu,
    "tanh": _tanh,
    "softplus": _softplus,
    "leaky_relu": _leaky_relu,
}


def _silu_curve(z: Tensor, a: Tensor, slope: Tensor) -> Tensor:
    s = z.sigmoid()
    return s * (1 - s) * (2 + z * (1 - 2 * s))


CURVES: Final[Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor] | None]] = {
    "silu": _silu_curve,
    "relu": None,
    "gelu": lambda z, a, slope: _DENSITY * torch.exp(-z.square() / 2) * (2 - z.square()),
    "elu": lambda z, a, slope: torch.where(z < 0, slope, 0.0),
    "tanh": lambda z, a, slope: -2 * a * slope,
    "softplus": lambda z, a, slope: slope * (1 - slope),
    "leaky_relu": None,
}
"""(z, a(z), a'(z)) -> a''(z); None where it is zero."""
