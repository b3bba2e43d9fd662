"""The twin of `resampled`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from dgmspec.modules.distributions.values import Values
from dgmspec.modules.nets import below, evaluate
from dgmspec.modules.registry import distribution_twin
from dgmspec.modules.twin import DistributionTwin, StepContext
from dgmspec.ops.distributions import Resampled

LARGEST_SHARE: Final = 1 - 1e-6
LOWEST_LOG_SHARE: Final = -30.0
"""Beyond these the share that is kept is 1 or 0 for every purpose, and its logarithms lose their gradients."""


def _score(op: Resampled, p: Values, x: Tensor) -> Tensor:
    """The net's number, (batch,), whose sigmoid is the chance to be kept."""
    return evaluate(op.net, below(p, "net"), (x,), None, False).reshape(x.shape[0])


def _proposed(op: Resampled, noise: Mapping[str, Tensor], ctx: StepContext, count: int) -> Tensor:
    """`count` draws of the base from its noise."""
    return distribution_twin(op.base).draw(op.base, {}, replace(ctx, noise=noise), count)


def _log_prob(op: Resampled, p: Values, x: Tensor, ctx: StepContext) -> Tensor:
    score = _score(op, p, _proposed(op, below(ctx.noise, "base"), ctx, op.draws_))
    log_share = (torch.logsumexp(F.logsigmoid(score), 0) - math.log(op.draws_)).clamp(min=LOWEST_LOG_SHARE)
    log_forced = (op.truncate - 1) * torch.log1p(-log_share.exp().clamp(max=LARGEST_SHARE))
    log_chosen = torch.log(-torch.expm1(log_forced)) if op.truncate > 1 else log_forced - math.inf
    kept = log_chosen + F.logsigmoid(_score(op, p, x)) - log_share
    base = distribution_twin(op.base).log_prob(op.base, {}, x, ctx)
    return base + torch.logaddexp(kept, log_forced.expand_as(kept))


def _draw(op: Resampled, p: Values, ctx: StepContext, batch: int) -> Tensor:
    count = op.truncate
    noise = {name: value.flatten(0, 1) for name, value in below(ctx.noise, "proposed").items()}
    proposed = _proposed(op, noise, ctx, batch * count)
    kept = ctx.noise["kept"] < torch.sigmoid(_score(op, p, proposed)).reshape(batch, count)
    forced = torch.arange(count, device=kept.device) == count - 1
    first = (kept | forced).to(torch.uint8).argmax(1)  # the first of the largest
    rows = torch.arange(batch, device=kept.device) * count + first
    return proposed.index_select(0, rows)


TWINS: Final = {Resampled: DistributionTwin(_log_prob, _draw)}
