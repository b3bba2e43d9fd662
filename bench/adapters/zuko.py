"""zuko (https://github.com/probabilists/zuko): its lazy flows, as its documentation builds them.

Its affine map clamps log-scales softly; it is given the plain exponential, which is less work, so that densities can be
compared. Its splines squash their parameters in a way of their own and stay as they are. It has no shift in its LU map.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from zuko.distributions import DiagNormal
from zuko.flows import MAF, NAF
from zuko.flows.coupling import GeneralCouplingTransform
from zuko.flows.gaussianization import ElementWiseTransform
from zuko.lazy import Flow as LazyFlow
from zuko.lazy import UnconditionalDistribution, UnconditionalTransform
from zuko.transforms import LULinearTransform, MonotonicAffineTransform, MonotonicRQSTransform, PermutationTransform

from bench.adapters.base import Flow, Layer, copy_net, embed, rows
from bench.workloads import Workload

__all__ = ["build"]

SHIFT_THEN_SCALE = (1, 0)


class Affine(MonotonicAffineTransform):
    """``exp(scale) x + shift`` without the soft clamp."""

    def __init__(self, shift: Tensor, scale: Tensor) -> None:
        super(MonotonicAffineTransform, self).__init__()
        self.shift, self.log_scale, self.scale = shift, scale, scale.exp()


def build(workload: Workload) -> Flow | None:
    """The workload with freshly drawn parameters, or None where zuko has no such layer."""
    if workload.kind == "residual":
        return None
    if workload.scalar == "mixture":
        return _neural(workload)
    if workload.kind == "autoregressive":
        flow = MAF(workload.size, transforms=workload.layers, **_conditioner(workload))
    else:
        transforms = [t for k in range(workload.layers) for t in _layer(workload, k)]
        zeros, ones = torch.zeros(workload.size), torch.ones(workload.size)
        flow = LazyFlow(transforms, UnconditionalDistribution(DiagNormal, loc=zeros, scale=ones, buffer=True))
    load = partial(_load, flow, workload) if workload.scalar == "affine" else None
    return Flow(flow, lambda x: flow().log_prob(x), lambda n: flow().sample((n,)), load)


def _neural(workload: Workload) -> Flow:
    """Its own family: a monotonic net per coordinate, whose signal is as wide as our mixture has parameters."""
    hidden = {"hidden_features": (workload.hidden, workload.hidden)}
    flow = NAF(workload.size, transforms=workload.layers, signal=workload.raw, **hidden)
    return Flow(flow, lambda x: flow().log_prob(x), lambda n: flow().sample((n,)))


def _conditioner(workload: Workload) -> dict[str, Any]:
    """The univariate map and its net."""
    hidden = {"hidden_features": (workload.hidden, workload.hidden)}
    if workload.scalar == "affine":
        return {"univariate": Affine, **hidden}
    k = workload.bins
    univariate = partial(MonotonicRQSTransform, bound=workload.bound)
    return {"univariate": univariate, "shapes": [(k,), (k,), (k - 1,)], **hidden}


def _layer(workload: Workload, k: int) -> list[Any]:
    size = workload.size
    mask = torch.arange(size) < size // 2 if workload.kind == "glow" else (torch.arange(size) + k) % 2 == 0
    coupling = GeneralCouplingTransform(size, mask=mask, **_conditioner(workload))
    if workload.kind == "coupling":
        return [coupling]
    return [
        ElementWiseTransform(size, univariate=Affine),
        UnconditionalTransform(LULinearTransform, torch.eye(size)),
        UnconditionalTransform(PermutationTransform, torch.arange(size), buffer=True),
        coupling,
    ]


@torch.no_grad()
def _load(flow: Any, workload: Workload, layers: Sequence[Layer]) -> None:
    transforms = list(flow.transform.transforms)
    per = len(transforms) // len(layers)
    for k, layer in enumerate(layers):
        *linear, last = transforms[per * k : per * (k + 1)]
        if workload.kind == "autoregressive":
            embed(last.hyper, layer, rows(2, workload.size, SHIFT_THEN_SCALE, flipped=k % 2 == 1), flipped=k % 2 == 1)
        else:
            copy_net(last.hyper, layer, rows(2, workload.size // 2, SHIFT_THEN_SCALE))
        if linear:
            _load_linear(linear, layer.rest)


def _load_linear(transforms: Sequence[Any], rest: dict[str, Tensor]) -> None:
    """(I + lower) (upper + D) = ((I + lower) D) (D⁻¹ upper + I): zuko has the diagonal in the lower factor."""
    norm, factors, permutation = transforms
    norm.phi[0].copy_(rest["shift"])
    norm.phi[1].copy_(rest["log_scale"])
    scale = rest["log_diagonal"].exp()
    (packed,) = factors.args
    packed.copy_(rest["lower"] * scale + torch.diag(scale) + rest["upper"] / scale[:, None])
    (order,) = permutation.args
    order.copy_(rest["source"])
