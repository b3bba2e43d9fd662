"""Torch twin of the transformer."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dgmspec.modules.nets import weights
from dgmspec.modules.nets.activations import ACTIVATIONS
from dgmspec.modules.twin import NetTwin, Parameters
from dgmspec.ops.nets.transformer import Transformer


def apply(op: Transformer, p: Parameters, h: Tensor, c: Tensor | None, training: bool) -> Tensor:
    """(batch, rows, numbers), (batch, conditions) -> (batch, numbers)."""
    act, rate = ACTIVATIONS[op.activation], op.dropout if training else 0.0
    z = weights.linear(p, "in", h)
    if op.causal:
        z = torch.cat((p["start"].to(z.dtype).expand(z.shape[0], 1, -1), z[:, :-1]), 1)
    if op.position == "learned":
        z = z + p["position"]
    film = iter(() if c is None else _film(op, p, c))
    for i in range(op.depth):
        a = weights.modulated(weights.layer_norm(p, f"{i}/attention/norm", z), next(film, None))
        z = z + _dropped(weights.attended(p, f"{i}/attention", a, op.heads, op.causal), rate)
        a = weights.modulated(weights.layer_norm(p, f"{i}/norm", z), next(film, None))
        z = z + _dropped(weights.linear(p, f"{i}/1", act(weights.linear(p, f"{i}/0", a))), rate)
    return _result(p, weights.layer_norm(p, "out/norm", z))


def _film(op: Transformer, p: Parameters, c: Tensor) -> list[tuple[Tensor, Tensor]]:
    read = ACTIVATIONS[op.activation](weights.linear(p, "condition", c))
    return weights.film(p, read, [op.width] * (2 * op.depth), 1, 0)


def _dropped(a: Tensor, rate: float) -> Tensor:
    return F.dropout(a, rate) if rate else a


def _result(p: Parameters, z: Tensor) -> Tensor:
    """The tokens' numbers side by side: row after row, plane after plane, or what is read off their mean."""
    if "out/rows/weight" in p:
        return weights.linear(p, "out/rows", z).flatten(1)
    if "out/planes/weight" in p:
        return weights.linear(p, "out/planes", z).mT.flatten(1)
    return weights.linear(p, "out/pooled", z.mean(1))


TWINS = {Transformer: NetTwin(apply)}
