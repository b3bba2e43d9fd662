"""The inverse of an autoregressive step in the arithmetic of about one pass of its masked net.

Hidden units ascend in degree, so the masked weights are block lower-triangular: when coordinate r of the order is to be
found, the units of degree < r are known, those of degree r have just become determined, and only their rows of each
layer and the parameters of that one coordinate are computed. As in a blocked triangular solve, what a run of `RUN`
degrees takes from everything before the run is one matrix product per layer, and the steps inside the run add what the
run itself has found. Activations lie unit by unit, (units, batch), so that what is known is a contiguous block of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from dgmspec.modules.nets.layered import ACTIVATIONS, step_of
from dgmspec.modules.twin import Parameters
from dgmspec.ops.nets import AbstractLayered, degree_range

Solve = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
RUN = 16
"""Degrees per run: long enough for the products to be efficient, short enough for the steps inside it to be cheap."""


_IN_PLACE: Mapping[str, Callable[[Tensor], Tensor]] = {
    "silu": partial(F.silu, inplace=True),
    "relu": torch.relu_,
    "elu": partial(F.elu, inplace=True),
    "tanh": torch.tanh_,
    "leaky_relu": partial(F.leaky_relu, inplace=True),
}
"""The activations that torch has in place; the others are copied back."""


class _Rows:
    """The results of one layer (or x itself) for the degrees that are known: old ones from before the run, fresh ones.

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
    """A linear layer whose rows ascend in degree; `stops[d]` rows have a degree below d."""

    def __init__(self, weight: Tensor, base: Tensor, stops: Sequence[int]) -> None:
        self.weight, self.base, self.stops = weight, base, stops

    def open(self, first: int, last: int, source: _Rows, buffer: Tensor | None) -> None:
        """Start the run of degrees first..last-1 with what its rows take from all that is old."""
        rows, old = slice(self.stops[first], self.stops[last]), source.old.shape[0]
        base, out = self.base[rows], None if buffer is None else buffer[rows]
        if old:
            base = torch.addmm(base, self.weight[rows, :old], source.old, out=out)
        elif out is not None:
            base = out.copy_(base)
        counts = [self.stops[d + 1] - self.stops[d] for d in range(first, last)]
        self.parts, self.weights = torch.split(base, counts), torch.split(self.weight[rows, old:], counts)

    def rows(self, index: int, source: _Rows, in_place: bool) -> Tensor:
        """The result for the rows of the run's degree `index`, where `open` put its beginning if in place."""
        part, fresh = self.parts[index], source.fresh.shape[0]
        if not fresh or not part.shape[0]:
            return part
        weight = self.weights[index][:, :fresh]
        return part.addmm_(weight, source.fresh) if in_place else torch.addmm(part, weight, source.fresh)


def invert(
    net: AbstractLayered, p: Parameters, y: Tensor, c: Tensor | None, solve: Solve, order: Tensor | None, training: bool
) -> tuple[Tensor, Tensor]:
    """x in the order of ranks, (batch, n), and log|det ∂x/∂y|, (batch,).

    ``solve(raw (P, batch), y_i) -> (x_i, log|dx_i/dy_i|)`` inverts one coordinate; `order` lists coordinates by rank.
    """
    size, growing = y.shape[1], torch.is_grad_enabled() or torch.compiler.is_compiling()
    columns = (y if order is None else y.index_select(1, order)).t().contiguous()
    layers = _layers(net, p, c, size, order)
    found = [_Rows(columns, count, growing) for count in (size, *(layer.stops[-1] for layer in layers))]
    advance = _advance(net, layers, found, training, growing)
    values, slopes = columns.unbind(0), []
    for first in range(0, size, RUN):
        last = min(first + RUN, size)
        for layer, source, target in zip(layers, found, found[1:], strict=False):
            layer.open(first, last, source, target.buffer)
        for rank in range(first, last):
            x, slope = solve(advance(rank - first), values[rank])
            found[0].append(x.unsqueeze(0))
            slopes.append(slope if slope.shape == x.shape else slope.expand_as(x))
        for rows in found[:-1]:
            rows.close()
    return found[0].old.t().contiguous(), torch.stack(slopes).sum(0)


def _advance(
    net: AbstractLayered, layers: list[_Layer], found: list[_Rows], training: bool, growing: bool
) -> Callable[[int], Tensor]:
    """What computes the hidden units of one degree, layer by layer, and from them the raw parameters (P, batch)."""
    name, step = net.activation, step_of(net)  # type: ignore[attr-defined]  # every layered net has one
    act = ACTIVATIONS[name]
    act_: Callable[[Tensor], Tensor] = _IN_PLACE.get(name, lambda z: z.copy_(act(z)))
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


def _layers(net: AbstractLayered, p: Parameters, c: Tensor | None, size: int, order: Tensor | None) -> list[_Layer]:
    """All layers: columns of the first in the order of ranks, its context in the base; outputs rank by rank."""
    lowest, count = degree_range(size, c is not None)
    names, layers = ["0", *(link.name for link in net.links())], []
    for i, name in enumerate(names):
        weight, base = p[f"{name}/weight"], p[f"{name}/bias"].unsqueeze(1)
        if i == 0 and c is not None:
            weight, base = weight[:, :size], torch.addmm(base, weight[:, size:], c.t())
        if i == 0 and order is not None:
            weight = weight.index_select(1, order)
        if i < len(names) - 1:
            width = weight.shape[0]
            stops = [max(0, -(-(d - lowest) * width // count)) for d in range(size)] + [width]
        else:
            weight, base = _by_rank(weight, size, order), _by_rank(base, size, order)
            stops = list(range(0, weight.shape[0] + 1, weight.shape[0] // size))
        layers.append(_Layer(weight, base, stops))
    return layers


def _by_rank(rows: Tensor, size: int, order: Tensor | None) -> Tensor:
    """Rows k·n + i, parameter k of coordinate i, put rank by rank with all parameters of one coordinate together."""
    planes = rows.reshape(-1, size, rows.shape[1]).transpose(0, 1)
    return (planes if order is None else planes.index_select(0, order)).reshape(rows.shape)
