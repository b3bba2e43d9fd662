"""Twins of the posteriors of labels whose draws pass a surrogate's gradient."""

from __future__ import annotations

from typing import Final

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from dgmspec.modules.distributions.discrete import categorical_log_probs
from dgmspec.modules.distributions.values import Values, open_unit, summed, value_of
from dgmspec.modules.twin import DistributionTwin, StepContext, sum_event
from dgmspec.ops.distributions import Categorical
from dgmspec.ops.distributions.relaxed import GumbelSoftmax, Nearest


def _log_probs(op: GumbelSoftmax, p: Values, like: Tensor) -> Tensor:
    return F.log_softmax(torch.as_tensor(value_of(op, p, "logits", like), dtype=like.dtype, device=like.device), -1)


def _gumbel_log_prob(op: GumbelSoftmax, p: Values, x: Tensor, ctx: StepContext) -> Tensor:
    index = x.long().unsqueeze(-1)
    table = _log_probs(op, p, x)
    return sum_event(table.expand(*index.shape[:-1], table.shape[-1]).gather(-1, index).squeeze(-1), ctx.event)


def _gumbel_draw(op: GumbelSoftmax, p: Values, ctx: StepContext, batch: int) -> Tensor:
    return _perturbed(op, p, ctx).argmax(-1).to(ctx.noise["noise"].dtype)


def _perturbed(op: GumbelSoftmax, p: Values, ctx: StepContext) -> Tensor:
    u = open_unit(ctx.noise["noise"])
    return _log_probs(op, p, u) - torch.log(-torch.log(u))


def _gumbel_features(op: GumbelSoftmax, p: Values, ctx: StepContext, labels: Tensor) -> Tensor:
    """The relaxed one-hot code of a draw, or that of the label with the relaxed one's gradient."""
    soft = F.softmax(_perturbed(op, p, ctx) / op.temperature, -1)
    if op.hard:
        one_hot = F.one_hot(labels.long(), soft.shape[-1]).to(soft.dtype)
        soft = one_hot + soft - soft.detach()
    return soft.flatten(1)


def _gumbel_embed(op: GumbelSoftmax, p: Values, labels: Tensor, ctx: StepContext) -> Tensor:
    return F.one_hot(labels.long(), int(ctx.event.support.high) + 1).to(labels.dtype).flatten(1)


def _gumbel_mode(op: GumbelSoftmax, p: Values, ctx: StepContext, like: Tensor) -> Tensor:
    return _log_probs(op, p, like).argmax(-1).to(like.dtype)


def _gumbel_divergence(
    q: GumbelSoftmax, ours: Values, p: Categorical, theirs: Values, ctx: StepContext, like: Tensor
) -> Tensor:
    """Σ_k q_k (log q_k - log p_k)."""
    a, b = _log_probs(q, ours, like), categorical_log_probs(p, theirs, like, ctx.event)
    return summed((a.exp() * (a - b)).sum(-1), ctx.event, like)


# ---- nearest codes --------------------------------------------------------------------------------------------------


def _vectors(op: Nearest, p: Values, ctx: StepContext, like: Tensor) -> Tensor:
    """The net's vectors (batch, *event, dim)."""
    vector = torch.as_tensor(value_of(op, p, "vector", like), dtype=like.dtype, device=like.device)
    return vector.expand(like.shape[0], *ctx.event.shape, op.dim)


def _labels(op: Nearest, p: Values, ctx: StepContext, like: Tensor) -> Tensor:
    """argmin_k of ‖c_k‖² - 2 e·c_k."""
    codes: Tensor = p["codes"]
    scores = codes.square().sum(1) - 2 * _vectors(op, p, ctx, like).detach() @ codes.T
    return scores.argmin(-1).to(like.dtype)


def _nearest_log_prob(op: Nearest, p: Values, x: Tensor, ctx: StepContext) -> Tensor:
    """0 at the nearest codes, -inf elsewhere."""
    return sum_event(torch.where(x == _labels(op, p, ctx, x), 0.0, -torch.inf).to(x.dtype), ctx.event)


def _nearest_draw(op: Nearest, p: Values, ctx: StepContext, batch: int) -> Tensor:
    return _labels(op, p, ctx, ctx.noise["noise"])


def _nearest_mean(op: Nearest, p: Values, ctx: StepContext, like: Tensor) -> Tensor:
    return _labels(op, p, ctx, like)


def _nearest_features(op: Nearest, p: Values, ctx: StepContext, labels: Tensor) -> Tensor:
    """The codes, with the gradient of the vectors."""
    vectors = _vectors(op, p, ctx, labels)
    codes = p["codes"][labels.long()]
    return _placed(vectors + (codes - vectors).detach(), ctx)


def _nearest_embed(op: Nearest, p: Values, labels: Tensor, ctx: StepContext) -> Tensor:
    return _placed(p["codes"][labels.long()], ctx)


def _placed(codes: Tensor, ctx: StepContext) -> Tensor:
    """Codes (batch, *event, dim) as nets read them: images with dim channels, or flat."""
    return codes.movedim(-1, 1) if len(ctx.event.shape) == 2 else codes.flatten(1)


def _nearest_update(op: Nearest, p: Values, ctx: StepContext, like: Tensor) -> dict[str, Tensor]:
    """Codes and their uses as running means over training steps: N ← γ N + (1 - γ) n and c ← c + (1 - γ) n (m - c) / N,
    with n vectors of mean m nearest to c, those of all processes. A code with hardly any use is put at a vector of the
    batch."""
    codes, uses = p["codes"], p["uses"]
    vectors = _vectors(op, p, ctx, like).reshape(-1, op.dim)
    one_hot = F.one_hot(_labels(op, p, ctx, like).long().reshape(-1), len(codes)).to(codes.dtype)
    counts, sums = _over_processes(one_hot.sum(0)), _over_processes(one_hot.T @ vectors)
    uses = op.decay * uses + (1 - op.decay) * counts
    step = (1 - op.decay) * (sums - counts[:, None] * codes) / uses[:, None].clamp(min=1e-12)
    codes = codes + step
    # Rows far apart in the batch, others at every code: no draw is needed where the batch itself is random.
    places = torch.arange(len(codes), device=codes.device) * 7919 % len(vectors)
    average = uses.mean()
    unused = uses < op.restart * average
    codes = torch.where(unused[:, None], _of_the_first(vectors[places]), codes)
    return {"codes": codes, "uses": torch.where(unused, average, uses)}


def _several() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _over_processes(values: Tensor) -> Tensor:
    """The sum over the processes of a run, which keep one set of codes."""
    if _several():
        dist.all_reduce(values)
    return values


def _of_the_first(values: Tensor) -> Tensor:
    """The values of the first process."""
    if _several():
        dist.broadcast(values, 0)
    return values


def _nearest_commitment(op: Nearest, p: Values, ctx: StepContext, like: Tensor) -> Tensor:
    """Σ ‖e - c‖² over the event, the codes held fixed, (batch,)."""
    vectors = _vectors(op, p, ctx, like)
    codes: Tensor = p["codes"][_labels(op, p, ctx, like).long()]
    return (vectors - codes.detach()).square().flatten(1).sum(1)


TWINS: Final = {
    GumbelSoftmax: DistributionTwin(
        _gumbel_log_prob,
        _gumbel_draw,
        _gumbel_mode,
        _gumbel_divergence,
        features=_gumbel_features,
        embed=_gumbel_embed,
    ),
    Nearest: DistributionTwin(
        _nearest_log_prob,
        _nearest_draw,
        _nearest_mean,
        features=_nearest_features,
        embed=_nearest_embed,
        update=_nearest_update,
        commitment=_nearest_commitment,
    ),
}
