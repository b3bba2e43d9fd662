"""The inverse of an autoregressive step in the arithmetic of about one pass of its masked net.

Hidden units ascend in level, so the masked weights are block lower-triangular: when the coordinates of a level are to
be found (in a linear order there is one), the units of earlier levels are known, those of this level have just become
determined, and only their rows of each layer and the parameters of those coordinates are computed. As in a blocked
triangular solve, what a run of `RUN` levels takes from everything before the run is one matrix product per layer, and
the passes inside the run add what the run itself has found. Activations lie unit by unit, (units, batch), so that what
is known is a contiguous block of rows.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from dgmspec.core.masking import Precedence
from dgmspec.core.types import Shape
from dgmspec.modules.nets.activations import ACTIVATIONS, IN_PLACE, step_of
from dgmspec.modules.twin import MaskedTwin, Parameters, Read, Solve
from dgmspec.ops.nets import AbstractLayered, unit_levels

RUN: Final = 16
"""Levels per run: long enough for the products to be efficient, short enough for the steps inside it to be cheap."""


@dataclass(frozen=True)
class Plan:
    """`counts[l]` coordinates have level l; `stops[i][l]` units of hidden layer i have a level below l; the net reads
    `features` numbers of each coordinate."""

    counts: tuple[int, ...]
    stops: tuple[tuple[int, ...], ...]
    features: int


def plan(op: AbstractLayered, shape: Shape, order: Precedence, context: Shape | None, features: int) -> Plan:
    """What the inverse does in each pass."""
    counts, stops = [0] * order.depth, []
    for level in order.levels:
        counts[level] += 1
    for width in op.widths():
        levels = unit_levels(width, order, context is not None)
        stops.append(tuple(bisect_left(levels, level) for level in range(order.depth + 1)))
    return Plan(tuple(counts), tuple(stops), features)


def tables(op: AbstractLayered, shape: Shape, order: Precedence) -> dict[str, Tensor]:
    """Which coordinate stands at each rank, and each coordinate's rank; nothing where these are the same."""
    ranks = torch.tensor(order.ranks)
    natural = order.ranks == tuple(range(len(order.ranks)))
    return {} if natural else {"order": ranks.argsort(), "ranks": ranks}


class _Rows:
    """The results of one layer (or what is read of x) for the levels that are known: old ones from before the run,
    fresh ones.

    With a buffer they are written where they stay; without (for gradients, and while compiling) they are joined.
    """

    def __init__(self, like: Tensor, count: int, growing: bool) -> None:
        self.buffer = None if growing else like.new_empty((count, like.shape[1]))
        self.old = self.fresh = like[:0]

    def append(self, new: Tensor) -> None:
        """Rows computed elsewhere become fresh."""
        if self.buffer is None:
            self.fresh = torch.cat((self.fresh, new))
        else:
            start = self.old.shape[0] + self.fresh.shape[0]
            self.buffer[start : start + new.shape[0]] = new
            self.grow(new.shape[0])

    def grow(self, count: int) -> None:
        """The next `count` rows of the buffer have been written and become fresh."""
        assert self.buffer is not None
        start = self.old.shape[0]
        self.fresh = self.buffer[start : start + self.fresh.shape[0] + count]

    def close(self) -> None:
        """All that is known becomes old: a run ends."""
        known = self.old.shape[0] + self.fresh.shape[0]
        self.old = torch.cat((self.old, self.fresh)) if self.buffer is None else self.buffer[:known]
        self.fresh = self.old[:0]


class _Layer:
    """A linear layer whose rows ascend in level; `stops[l]` rows have a level below l."""

    def __init__(self, weight: Tensor, base: Tensor, stops: Sequence[int]) -> None:
        self.weight, self.base, self.stops = weight, base, stops

    def open(self, first: int, last: int, source: _Rows, buffer: Tensor | None) -> None:
        """Start the run of levels first..last-1 with what its rows take from all that is old."""
        rows, old = slice(self.stops[first], self.stops[last]), source.old.shape[0]
        base, out = self.base[rows], None if buffer is None else buffer[rows]
        if old:
            base = torch.addmm(base, self.weight[rows, :old], source.old, out=out)
        elif out is not None:
            base = out.copy_(base)
        counts = [self.stops[level + 1] - self.stops[level] for level in range(first, last)]
        self.parts, self.weights = torch.split(base, counts), torch.split(self.weight[rows, old:], counts)

    def rows(self, index: int, source: _Rows, in_place: bool) -> Tensor:
        """The result for the rows of the run's level `index`, where `open` put its beginning if in place."""
        part, fresh = self.parts[index], source.fresh.shape[0]
        if not fresh or not part.shape[0]:
            return part
        weight = self.weights[index][:, :fresh]
        return part.addmm_(weight, source.fresh) if in_place else torch.addmm(part, weight, source.fresh)


def invert(
    net: AbstractLayered,
    p: Parameters,
    y: Tensor,
    c: Tensor | None,
    solve: Solve,
    read: Read,
    plan: Plan,
    training: bool,
) -> tuple[Tensor, Tensor]:
    """x (batch, d) and log|det ∂x/∂y| (batch,): see `MaskedTwin`."""
    order, growing = p.get("order"), torch.is_grad_enabled() or torch.compiler.is_compiling()
    columns = (y if order is None else y.index_select(1, order)).transpose(0, 1).contiguous()
    layers = _layers(net, p, None if c is None else c.flatten(1), plan, order)
    counts = (plan.features * y.shape[1], *(layer.stops[-1] for layer in layers))
    found = [_Rows(columns.flatten(2)[..., 0] if columns.dim() > 2 else columns, n, growing) for n in counts]
    advance = _advance(net, layers, found, training, growing)
    values, solved, slopes = torch.split(columns, list(plan.counts)), [], []
    for first in range(0, len(values), RUN):
        last = min(first + RUN, len(values))
        for layer, source, target in zip(layers, found, found[1:], strict=False):
            layer.open(first, last, source, target.buffer)
        for level in range(first, last):
            raw = advance(level - first)
            count = plan.counts[level]
            planes = raw.reshape(count, raw.shape[0] // count, raw.shape[1]).transpose(0, 1)
            x, slope = solve(planes, values[level])
            found[0].append(read(x).flatten(0, 1))
            solved.append(x)
            slopes.append(slope.expand_as(x))
        for rows in found[:-1]:
            rows.close()
    x = torch.cat(solved).t()
    x = x.contiguous() if order is None else x.index_select(1, p["ranks"])
    return x, torch.cat(slopes).sum(0)


def _advance(
    net: AbstractLayered, layers: list[_Layer], found: list[_Rows], training: bool, growing: bool
) -> Callable[[int], Tensor]:
    """What computes the hidden units of one level, layer by layer, and from them the raw parameters of its coordinates,
    (coordinates · P, batch)."""
    name, step = net.activation, step_of(net)  # type: ignore[attr-defined]  # every layered net has one
    act = ACTIVATIONS[name]
    act_: Callable[[Tensor], Tensor] = IN_PLACE.get(name, lambda z: z.copy_(act(z)))
    rate = net.dropout if training else 0.0  # type: ignore[attr-defined]  # likewise
    links, batch = net.links(), found[0].old.shape[1]
    skips = [None, *(link.skip for link in links)]
    rates = [rate if link.dropout else 0.0 for link in links]

    def advance(index: int) -> Tensor:
        passed: list[Tensor] = []
        for i, layer in enumerate(layers[:-1]):
            z = layer.rows(index, found[i], in_place=not growing)
            skip = skips[i]
            if skip is not None:
                z = torch.add(passed[skip], z, alpha=step, out=None if growing else z)
            passed.append(z if growing or i not in skips else z.clone())
            if growing:
                a = F.dropout(act(z), rates[i]) if rates[i] else act(z)
                found[i + 1].append(a.expand(-1, batch))
            elif z.shape[0]:
                act_(z)
                if rates[i]:
                    F.dropout(z, rates[i], inplace=True)
                found[i + 1].grow(z.shape[0])
        return layers[-1].rows(index, found[len(layers) - 1], in_place=not growing)

    return advance


def _layers(net: AbstractLayered, p: Parameters, c: Tensor | None, plan: Plan, order: Tensor | None) -> list[_Layer]:
    """All layers: columns of the first in the order of ranks, its context in the base; outputs rank by rank."""
    size = sum(plan.counts)
    names, layers = ["0", *(link.name for link in net.links())], []
    for i, name in enumerate(names):
        weight, base = p[f"{name}/weight"], p[f"{name}/bias"].unsqueeze(1)
        if i == 0:
            read = plan.features * size
            if c is not None:
                base = torch.addmm(base, weight[:, read:], c.t())
            weight = _columns_by_rank(weight[:, :read], plan.features, order)
        stops: Sequence[int]
        if i < len(names) - 1:
            stops = plan.stops[i]
        else:
            planes = weight.shape[0] // size
            weight, base = _rows_by_rank(weight, size, order), _rows_by_rank(base, size, order)
            stops = [planes * before for before in accumulate(plan.counts, initial=0)]
        layers.append(_Layer(weight, base, stops))
    return layers


def _columns_by_rank(weight: Tensor, features: int, order: Tensor | None) -> Tensor:
    """Columns k·n + i, feature k of coordinate i, put rank by rank with all features of one coordinate together."""
    if features == 1:
        return weight if order is None else weight.index_select(1, order)
    planes = weight.reshape(weight.shape[0], features, -1)
    return (planes if order is None else planes.index_select(2, order)).transpose(1, 2).flatten(1)


def _rows_by_rank(rows: Tensor, size: int, order: Tensor | None) -> Tensor:
    """Rows k·n + i, parameter k of coordinate i, put rank by rank with all parameters of one coordinate together."""
    planes = rows.reshape(-1, size, rows.shape[1]).transpose(0, 1)
    return (planes if order is None else planes.index_select(0, order)).reshape(rows.shape)


MASKED: Final = MaskedTwin(invert, plan, tables)
