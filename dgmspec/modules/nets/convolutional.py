"""Torch twins of the convolutional nets: one chain of convolutions for both."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dgmspec.modules.nets.activations import ACTIVATIONS
from dgmspec.modules.twin import NetTwin, Parameters
from dgmspec.ops.nets.convolutional import AbstractConvolutional, Conv, ResNet


def apply(op: Conv | ResNet, p: Parameters, h: Tensor, c: Tensor | None, training: bool) -> Tensor:
    """(batch, channels, height, width), (batch, conditions) -> (batch, channels out, height, width)."""
    act, drop, normed = ACTIVATIONS[op.activation], training and op.dropout > 0, op.normed()
    film = {} if c is None else _film(op, p, c)
    if h.device.type == "cpu":
        h = h.contiguous(memory_format=torch.channels_last)  # twice as fast there for few channels
    z = _convolved(p, "0", h)
    before, name = [z], "0"
    for i, link in enumerate(op.links()):
        a = F.group_norm(z, 1, p[f"{name}/scale"], p[f"{name}/shift"]) if normed else z
        if i in film:
            factor, shift = film[i]
            a = torch.addcmul(shift, a, factor)
        a = act(a)
        if drop and link.dropout:
            a = F.dropout(a, op.dropout)
        name = link.name
        z = _convolved(p, name, a)
        if link.skip is not None:
            z = before[link.skip] + z
        before.append(z)
    return z


def _convolved(p: Parameters, name: str, h: Tensor) -> Tensor:
    weight = p[f"{name}/weight"]
    return F.conv2d(h, weight, p[f"{name}/bias"], padding=weight.shape[-1] // 2)


def _film(op: AbstractConvolutional, p: Parameters, c: Tensor) -> dict[int, tuple[Tensor, Tensor]]:
    """The factor 1 + γ and the shift β of each conditioned layer, both (batch, channels, 1, 1)."""
    numbers = F.linear(c, p["film/weight"], p["film/bias"])[:, :, None, None]
    widths = [width for i in op.conditioned() for width in (op.widths()[i],) * 2]
    parts = iter(torch.split(numbers, widths, 1))
    return {i: (1 + gamma, beta) for i, gamma, beta in zip(op.conditioned(), parts, parts, strict=True)}


TWINS = {Conv: NetTwin(apply), ResNet: NetTwin(apply)}
