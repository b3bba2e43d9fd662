"""normflows (https://github.com/VincentStimper/normalizing-flows): flows written from noise to data.

Its layers run forward from noise, so ours stand there reversed. Its affine autoregressive map squashes scales by a
sigmoid and is given the plain exponential; its affine coupling divides in the middle, so coordinates are relabelled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import normflows
import torch
from normflows import utils
from normflows.flows.affine.autoregressive import MaskedAffineAutoregressive
from normflows.flows.affine.coupling import AffineCouplingBlock
from normflows.flows.base import Reverse
from normflows.flows.mixing import Permute, _LULinear
from normflows.flows.neural_spline.autoregressive import MaskedPiecewiseRationalQuadraticAutoregressive
from normflows.flows.neural_spline.coupling import PiecewiseRationalQuadraticCoupling
from normflows.flows.normalization import ActNorm
from normflows.flows.residual import Residual
from normflows.nets import LipschitzMLP
from torch import Tensor, nn

from bench.adapters.base import Flow, Layer, copy_net, embed, halves, mlp, rows
from bench.adapters.nflows import Net, load_factors, quietly, shift_slopes
from bench.workloads import LAYER_NORM, Workload

__all__ = ["build"]

SHIFT_THEN_SCALE = (1, 0)


class AffineAutoregressive(MaskedAffineAutoregressive):
    """``exp(scale) x + shift``."""

    def _elementwise_forward(self, inputs: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        scale, shift = self._unconstrained_scale_and_shift(parameters)
        return scale.exp() * inputs + shift, utils.sum_except_batch(scale, num_batch_dims=1)

    def _elementwise_inverse(self, inputs: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        scale, shift = self._unconstrained_scale_and_shift(parameters)
        return (inputs - shift) * torch.exp(-scale), -utils.sum_except_batch(scale, num_batch_dims=1)


def build(workload: Workload) -> Flow | None:
    """The workload with freshly drawn parameters, or None where normflows has no such layer."""
    if workload.scalar == "mixture":
        return None
    layers = [_layer(workload, k) for k in range(workload.layers)]
    flows = [Reverse(step) for layer in layers for step in layer]
    base = normflows.distributions.DiagGaussian(workload.size, trainable=False)
    model = normflows.NormalizingFlow(base, flows[::-1])
    divided = workload.kind == "coupling" and workload.scalar == "affine"
    order = halves(workload.size, 0) if divided else None
    log_prob = quietly(model.log_prob) if workload.scalar == "rqs" else model.log_prob
    # Beyond two coordinates its residual log-determinants are estimates, and ours exact.
    estimated = workload.kind == "residual" and workload.size > 2
    load = None if estimated else partial(_load, layers, workload)
    return Flow(model, log_prob, lambda n: model.sample(n)[0], load, order)


def _layer(workload: Workload, k: int) -> list[Any]:
    size, count = workload.size, workload.size // 2
    if workload.kind == "residual":
        widths = [size, workload.hidden, workload.hidden, size]
        net = LipschitzMLP(widths, lipschitz_const=LAYER_NORM, init_zeros=False)
        net.net = net.net[1:]  # it begins with an activation of the event
        return [Residual(net, reverse=False)]
    spline = {"num_bins": workload.bins, "tails": "linear", "tail_bound": workload.bound}
    if workload.kind == "autoregressive":
        masked = {"features": size, "hidden_features": workload.hidden, "num_blocks": 1, "use_residual_blocks": False}
        affine = workload.scalar == "affine"
        made = AffineAutoregressive if affine else partial(MaskedPiecewiseRationalQuadraticAutoregressive, **spline)
        step = made(**masked)
        # Without residual blocks its net has no activation behind its first layer.
        step.autoregressive_net.initial_layer = nn.Sequential(step.autoregressive_net.initial_layer, nn.ReLU())
        return [step, _permutation(torch.arange(size).flip(0))]
    if workload.scalar == "rqs":
        mask = torch.tensor([(i + k) % 2 for i in range(size)])
        return [PiecewiseRationalQuadraticCoupling(mask, partial(Net, workload), **spline)]
    net = mlp(workload, count, workload.raw * count)
    if workload.kind == "coupling":
        return [AffineCouplingBlock(net, split_mode="channel" if k % 2 == 0 else "channel_inv")]
    return [ActNorm(size), _LULinear(size), _permutation(torch.arange(size)), AffineCouplingBlock(net)]


def _permutation(source: Tensor) -> Permute:
    step = Permute(len(source))
    _set_source(step, source)
    return step


def _set_source(step: Permute, source: Tensor) -> None:
    step.perm.copy_(source)
    step.inv_perm.copy_(source.argsort())


@torch.no_grad()
def _load(mine: Sequence[Sequence[Any]], workload: Workload, layers: Sequence[Layer]) -> None:
    for steps, layer in zip(mine, layers, strict=True):
        layer = shift_slopes(layer, workload)
        count = workload.size // 2
        if workload.kind == "residual":
            _load_residual(steps[0], layer)
        elif workload.kind == "autoregressive":
            embed(steps[0].autoregressive_net, layer, rows(workload.raw, workload.size))
        elif workload.scalar == "rqs":
            copy_net(steps[0].transform_net, layer, rows(workload.raw, count))
        else:
            copy_net(steps[-1], layer, rows(2, count, SHIFT_THEN_SCALE))
        if workload.kind == "glow":
            _load_linear(steps, layer.rest)


def _load_residual(step: Any, layer: Layer) -> None:
    """Its activation is ours where softplus(β) = 1."""
    for module in step.modules():
        if hasattr(module, "beta"):
            module.beta.fill_(math.log(math.expm1(1.0)))
    copy_net(step, layer, range(len(layer.net[-1][0])))


def _load_linear(steps: Sequence[Any], rest: dict[str, Tensor]) -> None:
    """As in nflows, whose factors these are; the actnorm is its own."""
    norm, factors, permutation, _ = steps
    norm.s.copy_(rest["log_scale"])
    norm.t.copy_(rest["shift"])
    norm.data_dep_init_done.fill_(1.0)
    load_factors(factors, rest)
    _set_source(permutation, rest["source"])
