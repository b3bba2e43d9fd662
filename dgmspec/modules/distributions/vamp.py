"""The twins of `vamp`: the mean of a posterior over pseudo-inputs, and the pseudo-inputs themselves."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Final

import torch
from torch import Tensor

from dgmspec.core.op import AbstractOp
from dgmspec.modules.distributions.values import Values
from dgmspec.modules.initial import constrain
from dgmspec.modules.registry import distribution_twin
from dgmspec.modules.twin import DistributionTwin, NetTwin, Parameters, StepContext
from dgmspec.ops.distributions.vamp import PosteriorMean, PseudoInputs


def _own(p: Values) -> dict[str, Any]:
    """The posterior's parameters under their own names; a row for each pseudo-input, or one for all."""
    return {name.removeprefix("of/"): value for name, value in p.items()}


def _log_prob(op: PosteriorMean, p: Values, x: Tensor, ctx: StepContext) -> Tensor:
    """Every row with every pseudo-input, (batch · k, *event), as one batch."""
    batch, event = x.shape[0], x.shape[1:]
    each = x.unsqueeze(1).expand(batch, op.k, *event).reshape(batch * op.k, *event)
    own = {name: _repeated(value, batch) for name, value in _own(p).items()}
    found = distribution_twin(op.of).log_prob(op.of, own, each, ctx)
    return torch.logsumexp(found.reshape(batch, op.k), 1) - math.log(op.k)


def _repeated(value: Any, batch: int) -> Any:
    if not isinstance(value, Tensor) or value.shape[0] == 1:
        return value
    return value.unsqueeze(0).expand(batch, *value.shape).reshape(batch * value.shape[0], *value.shape[1:])


def _draw(op: PosteriorMean, p: Values, ctx: StepContext, batch: int) -> Tensor:
    noise = dict(ctx.noise)
    index = (noise.pop("component") * op.k).long().clamp(max=op.k - 1)
    own = {
        name: value[index] if isinstance(value, Tensor) and value.shape[0] > 1 else value
        for name, value in _own(p).items()
    }
    return distribution_twin(op.of).draw(op.of, own, replace(ctx, noise=noise), batch)


def _mean(op: PosteriorMean, p: Values, ctx: StepContext, like: Tensor) -> Any:
    mean = distribution_twin(op.of).mean
    assert mean is not None, f"`{op.of.name}` has no mean"
    at = like.new_zeros(op.k, *like.shape[1:])
    return (at + mean(op.of, _own(p), ctx, at)).mean(0, keepdim=True)


def _inputs(op: PseudoInputs, p: Parameters, h: Tensor, c: Tensor | None, training: bool) -> Tensor:
    return constrain(op.like.support, p["inputs"])


TWINS: Final[dict[type[AbstractOp], Any]] = {
    PosteriorMean: DistributionTwin(_log_prob, _draw, _mean),
    PseudoInputs: NetTwin(_inputs),
}
