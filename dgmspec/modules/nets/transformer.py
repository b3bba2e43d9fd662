"""Torch twin of the transformer: all tokens at once, or one by one with the keys and values of those before."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from dgmspec.core.masking import Precedence
from dgmspec.core.types import Shape
from dgmspec.modules.nets import incremental, weights
from dgmspec.modules.nets.activations import ACTIVATIONS
from dgmspec.modules.twin import MaskedTwin, NetTwin, Parameters, Read, Solve
from dgmspec.ops.nets.transformer import Transformer

Attend = Callable[[str, Tensor], Tensor]
"""(name of the layer, rows (batch, n, width)) -> what they take from the rows they may attend to."""


def apply(op: Transformer, p: Parameters, h: Tensor, c: Tensor | None, training: bool) -> Tensor:
    """(batch, rows, numbers), (batch, conditions) -> (batch, numbers)."""
    z = weights.linear(p, "in", h)
    if op.causal:
        z = torch.cat((p["start"].to(z.dtype).expand(z.shape[0], 1, -1), z[:, :-1]), 1)
    if op.position == "learned":
        z = z + p["position"]
    film = () if c is None else _film(op, p, c)

    def attend(name: str, a: Tensor) -> Tensor:
        return weights.attended(p, name, a, op.heads, op.causal)

    return _result(p, _layers(op, p, z, iter(film), training, attend))


def _layers(
    op: Transformer, p: Parameters, z: Tensor, film: Iterator[tuple[Tensor, Tensor]], training: bool, attend: Attend
) -> Tensor:
    """Attention and a layer, in turn, and the last normalisation."""
    act, rate = ACTIVATIONS[op.activation], op.dropout if training else 0.0
    for i in range(op.depth):
        a = weights.modulated(weights.layer_norm(p, f"{i}/attention/norm", z), next(film, None))
        z = z + _dropped(attend(f"{i}/attention", a), rate)
        a = weights.modulated(weights.layer_norm(p, f"{i}/norm", z), next(film, None))
        z = z + _dropped(weights.linear(p, f"{i}/1", act(weights.linear(p, f"{i}/0", a))), rate)
    return weights.layer_norm(p, "out/norm", z)


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


# ---- token after token ----------------------------------------------------------------------------------------------


class _Memory:
    """The keys and values that each attention has made so far, (batch, heads, tokens, width / heads).

    With room they are written where they stay; without (for gradients, and while compiling) they are joined.
    """

    def __init__(self, op: Transformer, p: Parameters, tokens: int, growing: bool) -> None:
        self.op, self.p, self.tokens, self.growing = op, p, tokens, growing
        self.held: dict[str, tuple[Tensor, Tensor]] = {}
        self.seen = 0

    def attend(self, name: str, a: Tensor) -> Tensor:
        """The newest token (batch, 1, width) attends to itself and to those before it."""
        q, k, v = weights.attention_parts(self.p, name, a, self.op.heads)
        return weights.attention(self.p, name, q, *self._joined(name, k, v))

    def _joined(self, name: str, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        if self.growing:
            before = self.held.get(name)
            self.held[name] = (k, v) if before is None else (torch.cat((before[0], k), 2), torch.cat((before[1], v), 2))
            return self.held[name]
        if name not in self.held:
            shape = (*k.shape[:2], self.tokens, k.shape[3])
            self.held[name] = k.new_empty(shape), v.new_empty(shape)
        keys, values = self.held[name]
        keys[:, :, self.seen : self.seen + 1], values[:, :, self.seen : self.seen + 1] = k, v
        return keys[:, :, : self.seen + 1], values[:, :, : self.seen + 1]


def invert(
    op: Transformer,
    p: Parameters,
    y: Tensor,
    c: Tensor | None,
    solve: Solve,
    read: Read,
    plan: None,
    training: bool,
) -> tuple[Tensor, Tensor]:
    """x (batch, d) and log|det ∂x/∂y| (batch,), one pass of one token a coordinate: see `MaskedTwin`."""
    order, growing = p.get("order"), torch.is_grad_enabled() or torch.compiler.is_compiling()
    columns = (y if order is None else y.index_select(1, order)).transpose(0, 1)
    film = [] if c is None else _film(op, p, c.flatten(1))
    memory = _Memory(op, p, len(columns), growing)
    z = p["start"].to(y.dtype).expand(y.shape[0], 1, -1)
    solved, slopes = [], []
    for i in range(len(columns)):
        token = z + p["position"][i] if op.position == "learned" else z
        raw = weights.linear(p, "out/planes", _layers(op, p, token, iter(film), training, memory.attend))
        memory.seen += 1
        x, slope = solve(raw.permute(2, 1, 0), columns[i : i + 1])
        solved.append(x)
        slopes.append(slope.expand_as(x))
        z = weights.linear(p, "in", read(x).permute(2, 0, 1))
    x = torch.cat(solved).t()
    x = x.contiguous() if order is None else x.index_select(1, p["ranks"])
    return x, torch.cat(slopes).sum(0)


def _plan(op: Transformer, shape: Shape, order: Precedence, context: Shape | None, features: int) -> None:
    """Every pass finds one coordinate, whatever the event."""


TWINS = {Transformer: NetTwin(apply, MaskedTwin(invert, _plan, incremental.tables))}
