"""FrEIA (https://github.com/vislearn/FrEIA): coupling blocks that transform both halves in turn.

One block is two of our couplings; its clamp of log-scales is the identity here. It has no splines, no autoregressive
steps and no triangular matrices in its release, so it takes part in RealNVP alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
from FrEIA.framework import SequenceINN
from FrEIA.modules import GLOWCouplingBlock
from torch import Tensor

from bench.adapters.base import Flow, Layer, copy_net, halves, mlp
from bench.workloads import Workload

__all__ = ["build"]


def build(workload: Workload) -> Flow | None:
    """The workload with freshly drawn parameters, or None where FrEIA has no such layer."""
    if workload.kind != "coupling" or workload.scalar != "affine":
        return None
    flow, size = SequenceINN(workload.size), workload.size
    subnet = partial(mlp, workload)
    for _ in range(workload.layers // 2):
        flow.append(GLOWCouplingBlock, subnet_constructor=subnet, clamp=1.0, clamp_activation=lambda u: u)
    constant = -0.5 * size * math.log(2 * math.pi)

    def log_prob(x: Tensor) -> Tensor:
        z, log_det = flow(x)
        found: Tensor = constant - 0.5 * z.square().sum(1) + log_det
        return found

    def sample(count: int) -> Tensor:
        x: Tensor = flow(torch.randn(count, size), rev=True)[0]
        return x

    # Its blocks transform their first half first, so the coordinates that our first mask moves come first.
    return Flow(flow, log_prob, sample, partial(_load, flow, workload), halves(size, 1))


def _load(flow: SequenceINN, workload: Workload, layers: Sequence[Layer]) -> None:
    for block, first, second in zip(flow, layers[::2], layers[1::2], strict=True):
        copy_net(block.subnet2, first, range(workload.size))
        copy_net(block.subnet1, second, range(workload.size))
