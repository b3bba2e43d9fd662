"""Twins of `actnorm`, `permute`, `flatten` and `reshape`."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from dgmspec.core.types import Type
from dgmspec.modules.twin import Parameters, StepContext, StepTwin
from dgmspec.ops.structure import ActNorm, Flatten, Permute, Reshape

Result = tuple[Tensor, Tensor]


def per_channel(parameter: Tensor, event: Type) -> Tensor:
    """A parameter of shape () or (c,) as one that broadcasts against (batch, *event)."""
    return parameter.reshape(parameter.shape + (1,) * (len(event.shape) - 1)) if event.shape else parameter


def _actnorm_log_det(p: Parameters, event: Type) -> Tensor:
    return p["log_scale"].sum() * math.prod(event.shape[1:])


def _actnorm_forward(op: ActNorm, p: Parameters, x: Tensor, ctx: StepContext) -> Result:
    scale = per_channel(p["log_scale"].exp(), ctx.event)
    return torch.addcmul(per_channel(p["shift"], ctx.event), x, scale), _actnorm_log_det(p, ctx.event)


def _actnorm_inverse(op: ActNorm, p: Parameters, y: Tensor, ctx: StepContext) -> Result:
    scale = per_channel(torch.exp(-p["log_scale"]), ctx.event)
    return (y - per_channel(p["shift"], ctx.event)) * scale, -_actnorm_log_det(p, ctx.event)


def _actnorm_initialise(op: ActNorm, p: Parameters, x: Tensor, ctx: StepContext, inverse: bool) -> dict[str, Tensor]:
    """Scale and shift that give the batch mean 0 and standard deviation 1 behind the step, or before it where the
    batch arrives at its end (see the operation's caveat)."""
    axes = [axis for axis in range(x.dim()) if axis != 1]
    std, mean = torch.std_mean(x, axes, correction=0)
    varies = std > 1e-6 * (1 + mean.abs())
    log_std = torch.where(varies, std, 1.0).log()
    if inverse:
        return {"log_scale": log_std, "shift": mean}
    return {"log_scale": -log_std, "shift": -mean * torch.exp(-log_std)}


def _permute_tables(op: Permute, event: Type, given: Type | None) -> dict[str, Tensor]:
    source = torch.tensor(op.source(event))
    return {"source": source, "target": torch.argsort(source)}


def _permute_forward(op: Permute, p: Parameters, x: Tensor, ctx: StepContext) -> Result:
    return x.index_select(1, p["source"]), x.new_zeros(())


def _permute_inverse(op: Permute, p: Parameters, y: Tensor, ctx: StepContext) -> Result:
    return y.index_select(1, p["target"]), y.new_zeros(())


def _flatten(op: Flatten | Reshape, p: Parameters, x: Tensor, ctx: StepContext) -> Result:
    return x.reshape(x.shape[0], ctx.event.size), x.new_zeros(())


def _reshape(op: Reshape, p: Parameters, x: Tensor, ctx: StepContext) -> Result:
    return x.reshape(x.shape[0], *op.dims), x.new_zeros(())


def _restore(op: Flatten | Reshape, p: Parameters, y: Tensor, ctx: StepContext) -> Result:
    return y.reshape(y.shape[0], *ctx.event.shape), y.new_zeros(())


TWINS: Final = {
    ActNorm: StepTwin(_actnorm_forward, _actnorm_inverse, initialise=_actnorm_initialise),
    Permute: StepTwin(_permute_forward, _permute_inverse, _permute_tables),
    Flatten: StepTwin(_flatten, _restore),
    Reshape: StepTwin(_reshape, _restore),
}
