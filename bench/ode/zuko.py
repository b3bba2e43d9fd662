"""zuko (https://github.com/probabilists/zuko): the transform of its `CNF`, which has its adjoint, around our velocity.

The trace is exact, by batched products, where the state is small, and one Gaussian probe's estimate else.
"""

from __future__ import annotations

import torch
from torch import Tensor
from zuko.transforms import FreeFormJacobianTransform

from bench.ode.base import Case, Dynamics, normal
from bench.ode.workloads import Numbers, Workload

__all__ = ["CASES"]

SMALL = 8


def _adaptive(workload: Workload, numbers: Numbers) -> Case:
    net = Dynamics(workload, numbers).net

    def field(t: Tensor, y: Tensor) -> Tensor:
        return net(torch.cat((y, t.to(y).expand(*y.shape[:-1], 1)), -1))

    def log_prob(x: Tensor, tolerance: float, exact: bool) -> Tensor:
        phi = tuple(net.parameters())
        z, log_det = FreeFormJacobianTransform(
            field, phi=phi, atol=tolerance, rtol=tolerance, exact=exact
        ).call_and_ladj(x)
        return normal(z) + log_det

    return Case(
        net,
        lambda x: log_prob(x, workload.tolerance, exact=workload.size <= SMALL),
        lambda x: log_prob(x, 1e-10, exact=True),
    )


CASES = {"zuko adjoint": _adaptive}
