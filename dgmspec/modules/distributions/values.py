"""What the twins of distributions share: parameters, sums over the event, and standard noise.

A parameter that is a constant is read off the operation and stays a Python float, so that it loses nothing in double
precision; formulas and nets arrive evaluated in `p`, shaped to broadcast against (batch, *event).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dgmspec.core.types import CHOLESKY, POSITIVE, REAL, UNIT, Support, Type
from dgmspec.modules.initial import SMALLEST_SCALE, cholesky_factor
from dgmspec.modules.twin import sum_event
from dgmspec.ops.distributions import AbstractParametric

Value = float | Tensor
Values = Mapping[str, Any]


def value_of(op: AbstractParametric, p: Values, name: str, like: Tensor) -> Any:
    """A parameter: as evaluated, else the operation's constant (vectors as tensors)."""
    value = p[name] if name in p else op.parameters()[name]
    return like.new_tensor(value) if isinstance(value, tuple) else value


def into_domain(domain: Support, raw: Tensor) -> Tensor:
    """A number of a net in the domain of its parameter."""
    if domain == REAL:
        return raw
    if domain == POSITIVE:
        return F.softplus(raw) + SMALLEST_SCALE
    if domain == CHOLESKY:
        return cholesky_factor(raw)
    assert domain == UNIT, f"no map from a net's numbers into {domain}"
    return torch.sigmoid(raw)


def log(value: Value) -> Value:
    """log v, of a number before anything runs."""
    return value.log() if isinstance(value, Tensor) else math.log(value)


def lgamma(value: Value) -> Value:
    """log Γ(v), likewise."""
    return torch.lgamma(value) if isinstance(value, Tensor) else math.lgamma(value)


def total(term: Tensor, constant: Value, event: Type) -> Tensor:
    """Σ over the event of `term` + `constant`, the latter multiplied rather than added where it is one number."""
    if isinstance(constant, Tensor):
        return sum_event(term + constant, event)
    return sum_event(term, event) + constant * event.size


def open_unit(u: Tensor) -> Tensor:
    """Uniform draws on a grid of eps/2 that may hold 0, kept within it by half a cell."""
    eps = torch.finfo(u.dtype).eps
    return u.clamp(eps / 4, 1 - eps / 2)


def gamma_noise(name: str, noise: Mapping[str, Tensor]) -> Tensor:
    """Standard gamma draws (batch, *event), kept off 0; entries of a vector of concentrations are stacked last."""
    parts = [value for key, value in noise.items() if key == name or key.startswith(f"{name}/")]
    drawn = parts[0] if name in noise else torch.stack(parts, -1)
    return drawn.clamp(min=torch.finfo(drawn.dtype).tiny)


def summed(per_coordinate: Value, event: Type, like: Tensor) -> Tensor:
    """Σ over the event, (batch,), of what broadcasts against `like` (batch, *event)."""
    return sum_event(like + per_coordinate, event)


def values_of(op: AbstractParametric, p: Values, like: Tensor) -> tuple[Tensor, ...]:
    """All parameters that a distribution was given, as tensors."""
    found = (value_of(op, p, name, like) for name in op.parameters())
    return tuple(torch.as_tensor(value, dtype=like.dtype, device=like.device) for value in found)
