"""The inverse of an autoregressive step along masked convolutions, a diagonal of the image at a time.

All that a pixel reads lies on earlier diagonals (and in earlier channels of its own), so that the pixels of one are
found together: each layer is worked out at these pixels alone, one product with their patches, in all the arithmetic of
about one pass. What each layer reads is held with a border of zeros, (channels, pixels, batch).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dgmspec.core.masking import Precedence
from dgmspec.core.types import Shape
from dgmspec.modules.nets import weights
from dgmspec.modules.nets.activations import ACTIVATIONS
from dgmspec.modules.twin import MaskedTwin, Parameters, Read, Solve
from dgmspec.ops.nets.masked_conv import MaskedConv, channel_groups


@dataclass(frozen=True)
class Plan:
    """An event (c, height, width) whose channels the net reads `features` times. The pixels stand diagonal by diagonal,
    `stops[t]` of them before diagonal t; each pass finds channel g on diagonal t. Channel g has the rows
    `groups[i][g]` of hidden layer i. A patch holds the first `taps[i]` taps of the kernel of layer i."""

    shape: tuple[int, int, int]
    features: int
    stops: tuple[int, ...]
    passes: tuple[tuple[int, int], ...]
    groups: tuple[tuple[slice, ...], ...]
    taps: tuple[int, ...]


def plan(op: MaskedConv, shape: Shape, order: Precedence, context: Shape | None, features: int) -> Plan:
    """What the inverse does in each pass."""
    count, height, width = shape
    scan, (lean, diagonals) = op.scan(shape, order), op.diagonals(height, width)
    sizes = [sum(1 for row in range(height) if 0 <= t - lean * row < width) for t in range(diagonals)]
    by_pixels = scan.by == "pixels"
    passes = [(t, g) for t in range(diagonals) for g in range(count)]
    groups = []
    for channels in op.widths():
        held = channel_groups(channels, count)
        starts = [bisect_left(held, g) for g in range(count + 1)]
        groups.append(tuple(slice(start, stop) for start, stop in pairwise(starts)))
    return Plan(
        (count, height, width),
        features,
        tuple(sum(sizes[:t]) for t in range(diagonals + 1)),
        tuple(passes if by_pixels else sorted(passes, key=lambda found: (found[1], found[0]))),
        tuple(groups),
        tuple((side**2 + 1) // 2 if by_pixels else side**2 for side in op.kernels()),
    )


def tables(op: MaskedConv, shape: Shape, order: Precedence) -> dict[str, Tensor]:
    """The pixels diagonal by diagonal, counted without the border and with it, and the way from a pixel to each tap of
    every kernel."""
    _, height, width = shape
    lean, border = op.diagonals(height, width)[0], max(op.kernels()) // 2
    pixels = sorted((column + lean * row, row, column) for row in range(height) for column in range(width))
    wide = width + 2 * border
    found = {
        "pixels": torch.tensor([row * width + column for _, row, column in pixels]),
        "held": torch.tensor([(row + border) * wide + column + border for _, row, column in pixels]),
    }
    for side in set(op.kernels()):
        reach = torch.arange(side) - side // 2
        found[f"taps{side}"] = (reach[:, None] * wide + reach).flatten()
    return found


class _Layer(NamedTuple):
    """A convolution as products with patches: weight (out, in, taps), bias (out, 1), what a context image adds
    (out, pixels, batch), the ways to its taps."""

    weight: Tensor
    bias: Tensor
    base: Tensor | None
    taps: Tensor

    def at(self, rows: slice, held: Tensor, here: Tensor, source: Tensor) -> Tensor:
        """Some output channels at some pixels, (n, pixels, batch)."""
        where = (self.taps.unsqueeze(1) + held).flatten()
        patch = source.index_select(1, where).reshape(len(source) * len(self.taps), len(held) * source.shape[2])
        z = torch.addmm(self.bias[rows], self.weight[rows].flatten(1), patch)
        z = z.reshape(z.shape[0], len(held), source.shape[2])
        return z if self.base is None else z + self.base[rows].index_select(1, here)


def invert(
    net: MaskedConv,
    p: Parameters,
    y: Tensor,
    c: Tensor | None,
    solve: Solve,
    read: Read,
    plan: Plan,
    training: bool,
) -> tuple[Tensor, Tensor]:
    """x (batch, d) and log|det ∂x/∂y| (batch,): see `MaskedTwin`."""
    count, height, width = plan.shape
    image = c is not None and c.dim() == 4 and c.shape[2:] == (height, width)
    layers = _layers(net, p, plan, c if image else None)
    film = _film(net, p, None if image or c is None else c.flatten(1))
    border = max(net.kernels()) // 2
    size = (height + 2 * border) * (width + 2 * border)
    held = [y.new_zeros(channels, size, y.shape[0]) for channels in (plan.features * count, *net.widths())]
    values = y.reshape(y.shape[0], count, height * width, *y.shape[2:]).movedim(0, 2)
    x, total = y.new_zeros(count, height * width, y.shape[0]), y.new_zeros(y.shape[0])
    for diagonal, group in plan.passes:
        part = slice(plan.stops[diagonal], plan.stops[diagonal + 1])
        here, there = p["pixels"][part], p["held"][part]
        raw = _parameters(net, layers, film, held, group, (here, there), plan, training)
        found, slope = solve(raw, values[group].index_select(0, here))
        x[group].index_copy_(0, here, found)
        held[0][group::count].index_copy_(1, there, read(found).transpose(0, 1))
        total = total + slope.expand_as(found).sum(0)
    return x.permute(2, 0, 1).reshape(y.shape[:2]), total


def _parameters(
    net: MaskedConv,
    layers: Sequence[_Layer],
    film: Sequence[tuple[Tensor, Tensor]],
    held: Sequence[Tensor],
    group: int,
    at: tuple[Tensor, Tensor],
    plan: Plan,
    training: bool,
) -> Tensor:
    """The raw parameters (P, pixels, batch) of one channel at some pixels; what hidden layers give there is kept."""
    (here, there), act, passed = at, ACTIVATIONS[net.activation], list[Tensor]()
    skips = [None, *(link.skip for link in net.links())]
    for i, layer in enumerate(layers[:-1]):
        rows = plan.groups[i][group]
        z, skip = layer.at(rows, there, here, held[i]), skips[i]
        if skip is not None:
            z = passed[skip] + z
        passed.append(z)
        a = act(torch.addcmul(film[i][1][rows], z, film[i][0][rows]) if film else z)
        if training and net.dropout:
            a = F.dropout(a, net.dropout)
        held[i + 1][rows].index_copy_(1, there, a)
    return layers[-1].at(slice(group, None, plan.shape[0]), there, here, held[-1])


def _layers(net: MaskedConv, p: Parameters, plan: Plan, image: Tensor | None) -> list[_Layer]:
    found = []
    for i, name in enumerate(("0", *(link.name for link in net.links()))):
        weight, base = p[f"{name}/weight"], None
        side, read = weight.shape[-1], plan.features * plan.shape[0]
        if i == 0 and image is not None:
            base = F.conv2d(image, weight[:, read:], padding=side // 2).flatten(2).permute(1, 2, 0)
            weight = weight[:, :read]
        taps = plan.taps[i]
        found.append(
            _Layer(weight.flatten(2)[..., :taps], p[f"{name}/bias"].unsqueeze(1), base, p[f"taps{side}"][:taps])
        )
    return found


def _film(net: MaskedConv, p: Parameters, c: Tensor | None) -> list[tuple[Tensor, Tensor]]:
    """The factor and the shift of each hidden layer, (channels, 1, batch)."""
    if c is None:
        return []
    return [(f.mT.unsqueeze(1), s.mT.unsqueeze(1)) for f, s in weights.film(p, c, net.widths(), 0, 0)]


MASKED: Final = MaskedTwin(invert, plan, tables)
