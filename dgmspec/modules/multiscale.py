"""Twins of `split` and of the join at a flow's end."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from dgmspec.modules.nets import below, context_of, evaluate, planes_of
from dgmspec.modules.parts import Parts, packed, unpacked
from dgmspec.modules.registry import scalar_twin
from dgmspec.modules.twin import Parameters, StepContext, StepTwin
from dgmspec.ops.multiscale import SCALE, Join, Split


def _split_forward(op: Split, p: Parameters, x: Tensor, ctx: StepContext) -> tuple[Parts, Tensor]:
    kept, aside = torch.tensor_split(x, 2, 1)
    aside, log_det = _placed(op, p, kept, aside, ctx, inverse=True)
    return (kept, aside), log_det


def _split_inverse(op: Split, p: Parameters, y: Parts, ctx: StepContext) -> tuple[Tensor, Tensor]:
    kept, aside = y
    aside, log_det = _placed(op, p, kept, aside, ctx, inverse=False)
    return torch.cat((kept, aside), 1), log_det


def _placed(
    op: Split, p: Parameters, kept: Tensor, aside: Tensor, ctx: StepContext, inverse: bool
) -> tuple[Tensor, Tensor]:
    """σ aside + μ, or its inverse, with μ and σ from the net of what goes on."""
    if op.prior is None:
        return aside, aside.new_zeros(())
    out = evaluate(op.prior, below(p, "prior"), (kept,), context_of(ctx, kept), ctx.training)
    raw = planes_of(op.prior, out, 2, tuple(aside.shape[1:]))
    twin = scalar_twin(SCALE)
    y, slopes = (twin.inverse if inverse else twin.forward)(SCALE, raw, aside, ctx.event.support)
    return y, slopes.flatten(1).sum(1)


def _join_forward(op: Join, p: Parameters, x: Parts, ctx: StepContext) -> tuple[Tensor, Tensor]:
    y = packed(x).flatten(1)
    return y, y.new_zeros(())


def _join_inverse(op: Join, p: Parameters, y: Tensor, ctx: StepContext) -> tuple[Parts, Tensor]:
    return unpacked(y, ctx.event), y.new_zeros(())


TWINS: Final = {Split: StepTwin(_split_forward, _split_inverse), Join: StepTwin(_join_forward, _join_inverse)}
