"""nflows (https://github.com/bayesiains/nflows): Durkan, Bekasov, Murray and Papamakarios' own library.

Its affine maps squash scales by a sigmoid or a softplus; they are given the plain exponential, so that densities can be
compared. Its splines are ours up to a shift of the raw slopes.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from nflows.distributions.normal import StandardNormal
from nflows.flows import Flow as NFlow
from nflows.transforms import autoregressive, coupling
from nflows.transforms.base import CompositeTransform
from nflows.transforms.lu import LULinear
from nflows.transforms.normalization import ActNorm
from nflows.transforms.permutations import Permutation, ReversePermutation
from nflows.utils import torchutils
from torch import Tensor, nn

from bench.adapters.base import Flow, Layer, copy_net, embed, mlp, rows
from bench.workloads import Workload

__all__ = ["Net", "build", "load_factors", "quietly", "shift_slopes"]

RAW_SLOPE = math.log(math.expm1(1 - 1e-3))
"""The raw slope that stands for slope 1 there; ours is 0."""


class Net(nn.Module):
    """A net with the signature that nflows asks of one."""

    def __init__(self, workload: Workload, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = mlp(workload, inputs, outputs)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        out: Tensor = self.layers(x)
        return out


class AffineCoupling(coupling.AffineCouplingTransform):
    """``exp(scale) x + shift``."""

    def _scale_and_shift(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        count = self.num_transform_features
        return parameters[:, :count].exp(), parameters[:, count:]


class AffineAutoregressive(autoregressive.MaskedAffineAutoregressiveTransform):
    """``exp(scale) x + shift``."""

    def _elementwise_forward(self, inputs: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        scale, shift = self._unconstrained_scale_and_shift(parameters)
        return scale.exp() * inputs + shift, torchutils.sum_except_batch(scale, num_batch_dims=1)

    def _elementwise_inverse(self, inputs: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        scale, shift = self._unconstrained_scale_and_shift(parameters)
        return (inputs - shift) * torch.exp(-scale), -torchutils.sum_except_batch(scale, num_batch_dims=1)


def build(workload: Workload) -> Flow | None:
    """The workload with freshly drawn parameters, or None where nflows has no such layer."""
    if workload.kind == "residual" or workload.scalar == "mixture":
        return None
    steps = [t for k in range(workload.layers) for t in _layer(workload, k)]
    flow = NFlow(CompositeTransform(steps), StandardNormal([workload.size]))

    log_prob = quietly(flow.log_prob) if workload.scalar == "rqs" else flow.log_prob
    return Flow(flow, log_prob, flow.sample, partial(_load, flow, workload))


def quietly(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Without the advice on initial values that splines in couplings give at every call."""

    def call(x: Tensor) -> Tensor:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Inputs to the softmax are not scaled down")
            return function(x)

    return call


def _layer(workload: Workload, k: int) -> list[Any]:
    spline = {"num_bins": workload.bins, "tails": "linear", "tail_bound": workload.bound}
    if workload.kind == "autoregressive":
        masked = {"features": workload.size, "hidden_features": workload.hidden}
        masked |= {"num_blocks": 1, "use_residual_blocks": False}
        step = (
            AffineAutoregressive(**masked)
            if workload.scalar == "affine"
            else autoregressive.MaskedPiecewiseRationalQuadraticAutoregressiveTransform(**masked, **spline)
        )
        return [step, ReversePermutation(workload.size)]
    size, net = workload.size, partial(Net, workload)
    mask = [int(i >= size // 2) if workload.kind == "glow" else (i + k) % 2 for i in range(size)]
    if workload.scalar == "rqs":
        return [coupling.PiecewiseRationalQuadraticCouplingTransform(mask, net, **spline)]
    step = AffineCoupling(mask, net)
    if workload.kind == "coupling":
        return [step]
    return [ActNorm(workload.size), LULinear(workload.size), Permutation(torch.arange(workload.size)), step]


@torch.no_grad()
def _load(flow: Any, workload: Workload, layers: Sequence[Layer]) -> None:
    steps = list(flow._transform._transforms)
    per = len(steps) // len(layers)
    for k, layer in enumerate(layers):
        mine = steps[per * k : per * (k + 1)]
        layer = shift_slopes(layer, workload)
        if workload.kind == "autoregressive":
            embed(mine[0].autoregressive_net, layer, rows(workload.raw, workload.size))
            continue
        count = workload.size // 2
        order = rows(workload.raw, count) if workload.scalar == "rqs" else range(2 * count)
        copy_net(mine[-1].transform_net, layer, order)
        if workload.kind == "glow":
            _load_linear(mine, layer.rest)


def shift_slopes(layer: Layer, workload: Workload) -> Layer:
    """The layer with its raw slopes shifted to where nflows has slope 1."""
    if workload.scalar == "affine":
        return layer
    *hidden, (weight, bias) = layer.net
    bias = bias.clone()
    bias[2 * workload.bins * (len(bias) // workload.raw) :] += RAW_SLOPE
    return Layer((*hidden, (weight, bias)), layer.rest)


def _load_linear(steps: Sequence[Any], rest: dict[str, Tensor]) -> None:
    norm, factors, permutation, _ = steps
    norm.log_scale.copy_(rest["log_scale"])
    norm.shift.copy_(rest["shift"])
    norm.initialized.fill_(True)
    load_factors(factors, rest)
    permutation._permutation.copy_(rest["source"])


def load_factors(factors: Any, rest: dict[str, Tensor]) -> None:
    """Our triangular factors into those of an LULinear, whose diagonal is a softplus plus a small number."""
    factors.lower_entries.copy_(rest["lower"][tuple(factors.lower_indices)])
    factors.upper_entries.copy_(rest["upper"][tuple(factors.upper_indices)])
    factors.unconstrained_upper_diag.copy_((rest["log_diagonal"].exp() - factors.eps).expm1().log())
    factors.bias.zero_()
