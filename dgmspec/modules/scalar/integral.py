"""The integral of a positive network over planes of raw parameters."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dgmspec.core.types import Support
from dgmspec.modules.scalar.fixed import softplus
from dgmspec.modules.solve import Function, solve_steep
from dgmspec.modules.twin import ScalarTwin
from dgmspec.ops.scalar.integral import FLOOR, Umnn, clenshaw_curtis

Result = tuple[Tensor, Tensor]

_UNIT = math.log(math.expm1(1 - FLOOR))
"""The argument at which the integrand is 1."""


def _integrand(op: Umnn, raw: Tensor) -> Function:
    """t -> (g(t), log g(t)) on the box, for t (…) or (nodes, …)."""
    h = op.hidden
    spread = torch.linspace(-2, 2, h, dtype=raw.dtype, device=raw.device) if h > 1 else raw.new_zeros(1)
    height = 4 / math.sqrt(h) * torch.tanh(raw[:h] / 4)
    slope = 2 / op.bound * torch.exp(math.log(2) * torch.tanh(raw[h : 2 * h]))
    shift = raw[2 * h : 3 * h] + spread.reshape(h, *[1] * (raw.dim() - 1))
    constant = raw[3 * h] + _UNIT

    def function(t: Tensor) -> Result:
        arguments = constant
        for unit in range(h):
            arguments = arguments + height[unit] * torch.tanh(slope[unit] * t + shift[unit])
        g = FLOOR + softplus(arguments)
        return g, g.log()

    return function


def _integral(op: Umnn, raw: Tensor) -> Function:
    """x -> (y, log dy/dx)."""
    integrand, (nodes, weights) = _integrand(op, raw), clenshaw_curtis(op.nodes)

    def function(x: Tensor) -> Result:
        at = x.clamp(-op.bound, op.bound)
        shape = (len(nodes), *[1] * max(x.dim(), raw.dim() - 1))
        node, weight = (x.new_tensor(values).reshape(shape) for values in (nodes, weights))
        mean = (integrand(node * at)[0] * weight).sum(0)
        end, log_slope = integrand(at)
        return raw[-1] + at * mean + (x - at) * end, log_slope

    return function


def umnn_forward(op: Umnn, raw: Tensor, x: Tensor, support: Support) -> Result:
    return _integral(op, raw)(x)


def umnn_inverse(op: Umnn, raw: Tensor, y: Tensor, support: Support) -> Result:
    return solve_steep(_integral(op, raw), y, raw[-1], FLOOR)


TWINS = {Umnn: ScalarTwin(umnn_forward, umnn_inverse, loop="bounded")}
