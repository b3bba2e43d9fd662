"""Torch twin of the U-Net, which walks the plan of the operation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dgmspec.modules.nets import weights
from dgmspec.modules.nets.activations import ACTIVATIONS
from dgmspec.modules.twin import NetTwin, Parameters
from dgmspec.ops.nets.unet import Block, Resize, Unet


def apply(op: Unet, p: Parameters, h: Tensor, c: Tensor | None, training: bool) -> Tensor:
    """(batch, channels, height, width), (batch, conditions) -> (batch, channels out, height, width)."""
    act, height = ACTIVATIONS[op.activation], h.shape[2]
    film = iter(() if c is None else weights.film(p, _trunk(op, p, c), op.conditioned(height), 0, 2))
    z = weights.convolved(p, "in", h)
    kept = [z]
    for part in op.plan(height):
        if isinstance(part, Resize):
            z = _resized(p, part, z)
        else:
            z = _block(op, p, part, torch.cat((z, kept.pop()), 1) if part.takes else z, next(film, None), training)
        if part.keeps:
            kept.append(z)
    return weights.convolved(p, "out", act(weights.group_norm(p, "out/norm", z, op.group(z.shape[1]))))


def _trunk(op: Unet, p: Parameters, c: Tensor) -> Tensor:
    """What all blocks read of the conditions."""
    act = ACTIVATIONS[op.activation]
    return act(weights.linear(p, "condition/1", act(weights.linear(p, "condition/0", c))))


def _resized(p: Parameters, part: Resize, z: Tensor) -> Tensor:
    if not part.up:
        return weights.convolved(p, part.name, z, stride=2)
    return weights.convolved(p, part.name, F.interpolate(z, scale_factor=2.0, mode="nearest"))


def _block(
    op: Unet, p: Parameters, block: Block, z: Tensor, by: tuple[Tensor, Tensor] | None, training: bool
) -> Tensor:
    act, name = ACTIVATIONS[op.activation], block.name
    a = weights.convolved(p, f"{name}/0", act(weights.group_norm(p, f"{name}/0/norm", z, op.group(block.read))))
    a = act(weights.modulated(weights.group_norm(p, f"{name}/1/norm", a, op.group(block.width)), by))
    if training and op.dropout > 0:
        a = F.dropout(a, op.dropout)
    kept = z if block.read == block.width else weights.convolved(p, f"{name}/skip", z)
    z = kept + weights.convolved(p, f"{name}/1", a)
    return _attended(op, p, block, z) if block.attends else z


def _attended(op: Unet, p: Parameters, block: Block, z: Tensor) -> Tensor:
    name = f"{block.name}/attention"
    rows = weights.group_norm(p, f"{name}/norm", z, op.group(block.width)).flatten(2).mT
    return z + weights.attended(p, name, rows, op.heads).mT.reshape(z.shape)


TWINS = {Unet: NetTwin(apply)}
