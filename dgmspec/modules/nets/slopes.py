"""Activations with their derivatives: ``z -> (a(z), a'(z))``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["WITH_SLOPE"]

Pair = tuple[Tensor, Tensor]


def _silu(z: Tensor) -> Pair:
    s = z.sigmoid()
    a = z * s
    return a, s + a * (1 - s)


def _relu(z: Tensor) -> Pair:
    return z.relu(), (z > 0).to(z.dtype)


def _gelu(z: Tensor) -> Pair:
    share = 0.5 * (1 + torch.erf(z * 0.5**0.5))
    return z * share, share + z * torch.exp(-z.square() / 2) * (2 * math.pi) ** -0.5


def _elu(z: Tensor) -> Pair:
    return F.elu(z), z.clamp(max=0).exp()


def _tanh(z: Tensor) -> Pair:
    a = z.tanh()
    return a, 1 - a.square()


def _softplus(z: Tensor) -> Pair:
    return F.softplus(z), z.sigmoid()


def _leaky_relu(z: Tensor) -> Pair:
    return F.leaky_relu(z), 0.01 + 0.99 * (z > 0).to(z.dtype)


WITH_SLOPE: Mapping[str, Callable[[Tensor], Pair]] = {
    "silu": _silu,
    "relu": _relu,
    "gelu": _gelu,
    "elu": _elu,
    "tanh": _tanh,
    "softplus": _softplus,
    "leaky_relu": _leaky_relu,
}
