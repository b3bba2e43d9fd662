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
from dgmspec.ops.distributions.product import PROPOSALS

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


def gamma_noise(name: str, noise: Mapping[str, Tensor], concentration: Value) -> Tensor:
    """Standard gamma draws (batch, *event), kept off 0; entries of a vector of concentrations are stacked last."""
    if f"{name}/power" in noise:
        assert isinstance(concentration, Tensor)
        drawn = _chosen_gamma(name, noise, concentration)
    else:
        parts = [value for key, value in noise.items() if key == name or key.startswith(f"{name}/")]
        drawn = parts[0] if name in noise else torch.stack(parts, -1)
    return drawn.clamp(min=torch.finfo(drawn.dtype).tiny)


def _chosen_gamma(name: str, noise: Mapping[str, Tensor], concentration: Tensor) -> Tensor:
    """The first proposal that is taken, the last one in any case, differentiable in the concentration k.

    For k ≥ 1, d = k - 1/3 and v = (1 + z / √(9 d))³ with z ~ N(0, 1), ``d v`` is taken where v > 0 and
    ``log u < z² / 2 + d (1 - v + log v)`` (Marsaglia and Tsang 2000, "A simple method for generating gamma variables");
    for k < 1 a draw of k + 1 times u^(1/k). The derivative is that of the draw at a fixed value of the distribution
    function (Figurnov, Mohamed and Mnih 2018, "Implicit reparameterization gradients").
    """
    k = concentration.detach()
    d = torch.where(k < 1, k + 1, k) - 1 / 3
    proposed = [noise[f"{name}/proposed/{i}"] for i in range(PROPOSALS)]
    drawn = _taken(proposed[-1], d)[0]
    for i in reversed(range(PROPOSALS - 1)):
        value, log_chance = _taken(proposed[i], d)
        drawn = torch.where(open_unit(noise[f"{name}/chance/{i}"]).log() < log_chance, value, drawn)
    drawn = torch.where(k < 1, drawn * open_unit(noise[f"{name}/power"]) ** (1 / k), drawn)
    if not concentration.requires_grad:
        return drawn
    drawn = drawn.clamp(min=torch.finfo(drawn.dtype).tiny)
    slope = torch._standard_gamma_grad(k.expand_as(drawn), drawn)
    return drawn + slope * (concentration - k)


def _taken(z: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """A proposal, and the log of the chance to take it; where there is none the proposal of z = 0."""
    root = 1 + z * torch.rsqrt(9 * d)
    inside = root > 0
    v = torch.where(inside, root, 1.0) ** 3
    return d * v, torch.where(inside, 0.5 * z.square() + d * (1 - v + v.log()), -math.inf)


def summed(per_coordinate: Value, event: Type, like: Tensor) -> Tensor:
    """Σ over the event, (batch,), of what broadcasts against `like` (batch, *event)."""
    return sum_event(like + per_coordinate, event)


def values_of(op: AbstractParametric, p: Values, like: Tensor) -> tuple[Tensor, ...]:
    """All parameters that a distribution was given, as tensors."""
    found = (value_of(op, p, name, like) for name in op.parameters())
    return tuple(torch.as_tensor(value, dtype=like.dtype, device=like.device) for value in found)
