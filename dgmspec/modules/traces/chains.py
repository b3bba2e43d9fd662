"""The Jacobian of a chain of linear layers with an activation between them: its trace, its norm, its products.

``z_0 = g_0 ∘ (W_0 y) + o_0``, ``z_l = g_l ∘ (W_l a(z_{l-1})) + o_l``, the last z being the velocity. One pass gives it
and the slopes ``s_l = g_l ∘ a'(z_l)`` of the hidden layers, of which everything else is made:

- no hidden layer: ``tr = Σ_i g_i W_ii``.
- one: ``tr = s_0ᵀ c`` with ``c_h = Σ_i g_i W_1[i, h] W_0[h, i]``, and ``‖J‖² = s_0ᵀ N s_0`` with
  ``N = (W_0 W_0ᵀ) ∘ (W_1ᵀ g² W_1)``.
- two: ``tr = s_1ᵀ (W_1 ∘ M) s_0`` with ``M[h', h] = Σ_i g_i W_2[i, h'] W_0[h, i]``.
- more: the Jacobian by d tangents, of which the first layer's are the columns of W_0.

c, W_1 ∘ M and N do not depend on y and are made once per solve: so the exact trace of two hidden layers costs one
product with an H × H matrix beside the velocity's, less than a single probe of Hutchinson's. The last layer's gates are
in them, so that there they are the same for all rows; gates of hidden layers may differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dgmspec.modules.nets.slopes import WITH_SLOPE

__all__ = [
    "Chain",
    "closed_norm",
    "closed_trace",
    "forward",
    "jacobian",
    "norm_core",
    "product",
    "tangent_trace",
    "trace_core",
]


@dataclass(frozen=True)
class Chain:
    """`weights[0]` has the columns of y alone: what else the first layer reads is in `offsets[0]`, (batch, width).

    Offsets and gates are (width,) or (batch, width). `skips[l]` is the earlier z that layer l, `step` times, is added
    to (see `Link` of the nets); a chain with skips has no gates.
    """

    activation: str
    weights: tuple[Tensor, ...]
    offsets: tuple[Tensor, ...]
    gates: tuple[Tensor, ...] = ()
    skips: tuple[int | None, ...] = ()
    step: float = 1.0


def forward(chain: Chain, y: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The velocity, (batch, d), and the slopes of the hidden layers, (batch, width) each."""
    bend, before = WITH_SLOPE[chain.activation], [layer_of(chain, 0, y)]
    slopes: list[Tensor] = []
    for layer in range(1, len(chain.weights)):
        a, slope = bend(before[-1])
        slopes.append(slope * chain.gates[layer - 1] if chain.gates else slope)
        before.append(_skipped(chain, layer, before, layer_of(chain, layer, a)))
    return before[-1], slopes


def trace_core(weights: Sequence[Tensor], gate: Tensor | None = None) -> Tensor:
    """What the trace of up to two hidden layers takes from the weights; `gate` is the last layer's, (d,) or (1, d)."""
    first, last = weights[0], weights[-1]
    if gate is not None:
        last = gate.reshape(-1, 1) * last
    if len(weights) == 1:
        return torch.trace(last)
    if len(weights) == 2:
        return (last * first.t()).sum(0)
    return weights[1] * (first @ last).t()


def closed_trace(core: Tensor, slopes: Sequence[Tensor], rows: int) -> Tensor:
    """The trace, (batch,), of up to two hidden layers from their core."""
    if not slopes:
        return core.expand(rows)
    if len(slopes) == 1:
        return slopes[0] @ core
    return (F.linear(slopes[0], core) * slopes[1]).sum(1)


def norm_core(weights: Sequence[Tensor], gate: Tensor | None = None) -> Tensor:
    """What the squared norm of up to one hidden layer takes from the weights."""
    first, last = weights[0], weights[-1]
    if gate is not None:
        last = gate.reshape(-1, 1) * last
    if len(weights) == 1:
        return last.square().sum()
    return (first @ first.t()) * (last.t() @ last)


def closed_norm(core: Tensor, slopes: Sequence[Tensor], rows: int) -> Tensor:
    """The squared Frobenius norm of the Jacobian, (batch,), of up to one hidden layer from its core."""
    if not slopes:
        return core.expand(rows)
    return (F.linear(slopes[0], core) * slopes[0]).sum(1)


def product(chain: Chain, slopes: Sequence[Tensor], e: Tensor) -> Tensor:
    """J e for vectors (batch, k, d), of any number of layers."""
    return _ended(chain, _pushed(chain, slopes, e @ chain.weights[0].t(), len(chain.weights)))


def jacobian(chain: Chain, slopes: Sequence[Tensor], rows: int) -> Tensor:
    """∂f/∂y, (batch, d, d), of any number of layers, by d tangents."""
    start = chain.weights[0].t().expand(rows, -1, -1)
    return _ended(chain, _pushed(chain, slopes, start, len(chain.weights))).mT


def tangent_trace(chain: Chain, slopes: Sequence[Tensor], rows: int) -> Tensor:
    """The trace, (batch,), of any number of hidden layers but none, by d tangents that the last layer does not multiply
    out."""
    start, last = chain.weights[0].t().expand(rows, -1, -1), len(chain.weights) - 1
    inner = _pushed(chain, slopes, start, last) * slopes[-1].unsqueeze(1)
    diagonal = (inner * chain.weights[-1]).sum(2)
    return (diagonal * chain.gates[-1] if chain.gates else diagonal).sum(1)


def _pushed(chain: Chain, slopes: Sequence[Tensor], start: Tensor, layers: int) -> Tensor:
    """Tangents (batch, k, width) of the first z, without its gate, carried through as many layers."""
    before = [start]
    for layer in range(1, layers):
        tangent = (before[-1] * slopes[layer - 1].unsqueeze(1)) @ chain.weights[layer].t()
        before.append(_skipped(chain, layer, before, tangent))
    return before[-1]


def _skipped(chain: Chain, layer: int, before: Sequence[Tensor], z: Tensor) -> Tensor:
    """z added to the earlier one that its layer skips from."""
    skip = chain.skips[layer] if chain.skips else None
    return z if skip is None else torch.add(before[skip], z, alpha=chain.step)


def _ended(chain: Chain, tangents: Tensor) -> Tensor:
    """Tangents behind the last layer's gate."""
    return tangents * chain.gates[-1].unsqueeze(-2) if chain.gates else tangents


def layer_of(chain: Chain, layer: int, a: Tensor) -> Tensor:
    """g (W a) + b of one layer, from activations (batch, inputs)."""
    weight, offset = chain.weights[layer], chain.offsets[layer]
    if chain.gates:
        return torch.addcmul(offset, chain.gates[layer], F.linear(a, weight))
    return F.linear(a, weight, offset) if offset.dim() == 1 else torch.addmm(offset, a, weight.t())
