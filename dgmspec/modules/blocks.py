"""The twin of `block_autoregressive`: the net with the slopes of its coordinates carried along as logarithms."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dgmspec.core.types import REAL
from dgmspec.modules.linear import widened
from dgmspec.modules.nets import context_features
from dgmspec.modules.solve import solve
from dgmspec.modules.twin import Parameters, StepContext, StepTwin
from dgmspec.ops.blocks import BlockAutoregressive

Result = tuple[Tensor, Tensor]


class _Layer(NamedTuple):
    """The positive blocks (d, out, in), the blocks below them (None for one coordinate) and the bias (1 or batch,
    d · out), the context's share in it."""

    positive: Tensor
    below: Tensor | None
    bias: Tensor


def _layers(op: BlockAutoregressive, p: Parameters, x: Tensor, ctx: StepContext) -> list[_Layer]:
    """A unit's positive weights are means: exponentials divided by their number."""
    found = []
    for i in range(op.layers + 1):
        diagonal = p[f"{i}/diagonal"]
        bias = p[f"{i}/bias"].unsqueeze(0)
        if i == 0 and ctx.given is not None and ctx.given_type is not None:
            bias = bias + F.linear(context_features(ctx.given, ctx.given_type, x).flatten(1), p["context"])
        found.append(_Layer(diagonal.exp() / diagonal.shape[2], p.get(f"{i}/weight"), bias))
    return found


def _log_slope(z: Tensor) -> Tensor:
    """log tanh′, which is even: 2 (log 2 - |z| - log(1 + exp(-2 |z|)))."""
    size = z.abs()
    return 2 * (math.log(2) - size - F.softplus(-2 * size))


def _times(positive: Tensor, a: Tensor) -> Tensor:
    """Each coordinate's block applied to its units: (d, out, in), (batch, d, in) -> (batch, d, out); of one coordinate
    without d."""
    return a @ positive.mT if positive.dim() == 2 else torch.einsum("doi,bdi->bdo", positive, a)


def _log_product(positive: Tensor, log_slopes: Tensor) -> Tensor:
    """The logarithm of the blocks applied to exp(log_slopes): the largest slope is taken out, so no sum is ever 0."""
    top = log_slopes.amax(-1, keepdim=True).detach()
    return torch.log(_times(positive, (log_slopes - top).exp())) + top


def _gated(gate: Tensor, x: Tensor, f: Tensor, log_slope: Tensor) -> Result:
    """α x + (1 - α) f and the logarithm of its slope in x."""
    alpha = torch.sigmoid(gate)
    return alpha * x + (1 - alpha) * f, torch.logaddexp(F.logsigmoid(gate), F.logsigmoid(-gate) + log_slope)


def block_forward(op: BlockAutoregressive, p: Parameters, x: Tensor, ctx: StepContext) -> Result:
    with torch.autocast(x.device.type, enabled=False):
        flat = widened(x, p).reshape(x.shape[0], ctx.event.size)
        a, slopes = flat.unsqueeze(2), flat.new_zeros((*flat.shape, 1))
        for i, layer in enumerate(_layers(op, p, flat, ctx)):
            if i:
                slopes = slopes + _log_slope(a)
                a = torch.tanh(a)
            base = layer.bias if layer.below is None else F.linear(a.flatten(1), layer.below) + layer.bias
            a = base.reshape(base.shape[0], *layer.positive.shape[:2]) + _times(layer.positive, a)
            slopes = _log_product(layer.positive, slopes)
        y, log_slope = _gated(p["gate"], flat, a.squeeze(2), slopes.squeeze(2))
        return y.reshape(x.shape), log_slope.sum(1)


class _Coordinate(NamedTuple):
    """What is left of the net for one coordinate when those before it are known: the positive weights (out, in) of its
    own units, what they take from all else (batch, out), its gate."""

    positive: list[Tensor]
    bases: list[Tensor]
    gate: Tensor

    def units(self, x: Tensor) -> list[Tensor]:
        """What each layer reads, (batch, in)."""
        found = [x.unsqueeze(1)]
        for positive, base in zip(self.positive[:-1], self.bases, strict=False):
            found.append(torch.tanh(base + _times(positive, found[-1])))
        return found

    def value(self, x: Tensor) -> Result:
        """The coordinate y (batch,) and its log-slope."""
        z, slopes = x.unsqueeze(1), torch.zeros_like(x).unsqueeze(1)
        for i, (positive, base) in enumerate(zip(self.positive, self.bases, strict=True)):
            if i:
                slopes, z = slopes + _log_slope(z), torch.tanh(z)
            z, slopes = base + _times(positive, z), _log_product(positive, slopes)
        return _gated(self.gate, x, z.squeeze(1), slopes.squeeze(1))

    def bracket(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Ends that enclose x: f lies within the sum of the last positive weights of its base."""
        alpha, reach = torch.sigmoid(self.gate), self.positive[-1].sum()
        middle = self.bases[-1].squeeze(1)
        return (y - (1 - alpha) * (middle + reach)) / alpha, (y - (1 - alpha) * (middle - reach)) / alpha


def block_inverse(op: BlockAutoregressive, p: Parameters, y: Tensor, ctx: StepContext) -> Result:
    """Coordinate by coordinate; `bases` holds what the units of those left to find take from the found ones."""
    with torch.autocast(y.device.type, enabled=False):
        flat = widened(y, p).reshape(y.shape[0], ctx.event.size)
        layers = _layers(op, p, flat, ctx)
        bases = [layer.bias.expand(flat.shape[0], -1) for layer in layers]
        found, slopes = [], []
        for i in range(flat.shape[1]):
            own = [base[:, : layer.positive.shape[1]] for base, layer in zip(bases, layers, strict=True)]
            coordinate = _Coordinate([layer.positive[i] for layer in layers], own, p["gate"][i])
            x, log_slope = solve(coordinate.value, flat[:, i], REAL, bracket=coordinate.bracket(flat[:, i]))
            found.append(x)
            slopes.append(log_slope)
            units = coordinate.units(x)
            bases = [_rest(base, layer, a, i) for base, layer, a in zip(bases, layers, units, strict=True)]
        return torch.stack(found, 1).reshape(y.shape), torch.stack(slopes).sum(0)


def _rest(base: Tensor, layer: _Layer, a: Tensor, i: int) -> Tensor:
    """The bases of the coordinates after i, once the units that coordinate i brings into the layer are known."""
    _, outputs, inputs = layer.positive.shape
    if layer.below is None:
        return base[:, outputs:]
    weight = layer.below[(i + 1) * outputs :, i * inputs : (i + 1) * inputs]
    return torch.addmm(base[:, outputs:], a, weight.mT)


TWINS: Final = {BlockAutoregressive: StepTwin(block_forward, block_inverse, loop="bounded")}
