"""Torch twins of the convolutional nets: one chain of convolutions for both."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dgmspec.modules.nets import weights
from dgmspec.modules.nets.activations import ACTIVATIONS
from dgmspec.modules.twin import NetTwin, Parameters
from dgmspec.ops.nets import Conv, MaskedConv, ResNet


def apply(op: Conv | ResNet | MaskedConv, p: Parameters, h: Tensor, c: Tensor | None, training: bool) -> Tensor:
    """(batch, channels, height, width), (batch, conditions) -> (batch, channels out, height, width)."""
    act, drop, normed = ACTIVATIONS[op.activation], training and op.dropout > 0, op.normed()
    acting = op.conditioned()
    film = (
        {} if c is None else dict(zip(acting, weights.film(p, c, [op.widths()[i] for i in acting], 0, 2), strict=True))
    )
    if h.device.type == "cpu" and not normed:  # a normalisation of it cannot be differentiated forward
        h = h.contiguous(memory_format=torch.channels_last)  # twice as fast there for few channels
    z = weights.convolved(p, "0", h)
    before, name = [z], "0"
    for i, link in enumerate(op.links()):
        a = weights.group_norm(p, name, z, 1) if normed else z
        a = act(weights.modulated(a, film.get(i)))
        if drop and link.dropout:
            a = F.dropout(a, op.dropout)
        name = link.name
        z = weights.convolved(p, name, a)
        if link.skip is not None:
            z = before[link.skip] + z
        before.append(z)
    return z


TWINS = {Conv: NetTwin(apply), ResNet: NetTwin(apply)}
