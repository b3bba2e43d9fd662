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
    plain = all(link.skip is None for link in links)
    if plain:
        act = FROM_RESULT.get(op.activation, act)
    gates: list[Gate] = []
    if isinstance(op, Mlp) and op.gates and c is not None:
        gates, c = gates_of(op, p, c[:, -1:]), (c[:, :-1] if c.shape[1] > 1 else None)
    z = F.linear(joined(h, c), p["0/weight"], p["0/bias"])
    before, name = [z], "0"
    for i, link in enumerate(links):
        if gates:
            z = gated(z, gates[i])
        a = act(F.layer_norm(z, z.shape[1:], p[f"{name}/scale"], p[f"{name}/shift"]) if normed else z)
        if drop and link.dropout:
            a = F.dropout(a, op.dropout)
        name = link.name
        z = F.linear(a, p[f"{name}/weight"], p[f"{name}/bias"])
        if link.skip is not None:
            z = torch.add(before[link.skip], z, alpha=step)
        if plain:
            before.clear()  # layers that nobody reads again are freed at once, and their memory is used again
        before.append(z)
    return z


Gate = tuple[Tensor, Tensor | None]
"""What multiplies the units of a hidden layer, and what is added to them."""


def gates_of(op: Mlp, p: Parameters, t: Tensor) -> list[Gate]:
    """The gates of the hidden layers at times t, (rows, 1)."""
    found: list[Gate] = []
    for i in range(len(op.hidden)):
        gate = torch.sigmoid(torch.addcmul(p[f"{i}/gate_bias"], t, p[f"{i}/gate"]))
        found.append((gate, t * p[f"{i}/gate_shift"] if "gate_shift" in op.gates else None))
    return found


def gated(z: Tensor, gate: Gate) -> Tensor:
    """A hidden layer's units under its gate."""
    factor, shift = gate
    return z * factor if shift is None else torch.addcmul(shift, z, factor)


def joined(h: Tensor, c: Tensor | None) -> Tensor:
    """The net's input: (batch, inputs + context)."""
    if c is None:
        return h
    return torch.cat((h, c), 1) if h.shape[1] else c


TWINS = {op: NetTwin(apply, MASKED) for op in (Mlp, ResMlp, Made)}
