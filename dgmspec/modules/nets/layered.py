"""Torch twins of the layered nets: one chain of linear layers for all of them, masked or not.

Masked weights are stored with their zeros, so the masked reading is the same pass.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dgmspec.modules.nets.activations import ACTIVATIONS, FROM_RESULT, step_of
from dgmspec.modules.nets.incremental import MASKED
from dgmspec.modules.twin import NetTwin, Parameters
from dgmspec.ops.nets.layered import Made, Mlp, ResMlp


def apply(op: Mlp | ResMlp | Made, p: Parameters, h: Tensor, c: Tensor | None, training: bool) -> Tensor:
    """(batch, inputs), (batch, context) -> (batch, outputs)."""
    step, normed, links, drop = step_of(op), op.normed(), op.links(), training and op.dropout > 0
    act = ACTIVATIONS[op.activation]
    if all(link.skip is None for link in links):
        act = FROM_RESULT.get(op.activation, act)
    z = F.linear(joined(h, c), p["0/weight"], p["0/bias"])
    before, name = [z], "0"
    for link in links:
        a = act(F.layer_norm(z, z.shape[1:], p[f"{name}/scale"], p[f"{name}/shift"]) if normed else z)
        if drop and link.dropout:
            a = F.dropout(a, op.dropout)
        name = link.name
        z = F.linear(a, p[f"{name}/weight"], p[f"{name}/bias"])
        if link.skip is not None:
            z = torch.add(before[link.skip], z, alpha=step)
        before.append(z)
    return z


def joined(h: Tensor, c: Tensor | None) -> Tensor:
    """The net's input: (batch, inputs + context)."""
    if c is None:
        return h
    return torch.cat((h, c), 1) if h.shape[1] else c


TWINS = {op: NetTwin(apply, MASKED) for op in (Mlp, ResMlp, Made)}
