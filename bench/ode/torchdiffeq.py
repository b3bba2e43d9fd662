"""torchdiffeq (https://github.com/rtqichen/torchdiffeq), as FFJORD uses it: a tuple state, one Rademacher probe."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torchdiffeq import odeint, odeint_adjoint

from bench.ode.base import Case, Dynamics, normal
from bench.ode.workloads import Numbers, Workload

__all__ = ["CASES"]


def _case(workload: Workload, numbers: Numbers, solve: Any, **options: Any) -> Case:
    dynamics = Dynamics(workload, numbers)
    times = torch.tensor([0.0, 1.0])

    def field(t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return dynamics.velocity(t, state[0])

    def log_prob(x: Tensor, solve: Any, **options: Any) -> Tensor:
        z, log_det = solve(field, (x, x.new_zeros(len(x))), times.to(x), **options)
        return normal(z[-1]) + log_det[-1]

    def estimated(x: Tensor) -> Tensor:
        dynamics.draw(x)
        return log_prob(x, solve, **options)

    def exact(x: Tensor) -> Tensor:
        dynamics.probe = None
        return log_prob(x, odeint, method="dopri5", rtol=1e-10, atol=1e-10)

    if solve is odeint_adjoint:
        options["adjoint_params"] = tuple(dynamics.parameters())
    return Case(dynamics, estimated, exact)


def _fixed(workload: Workload, numbers: Numbers) -> Case:
    return _case(workload, numbers, odeint, method="rk4", options={"step_size": 1 / workload.steps})


def _adaptive(solve: Any, workload: Workload, numbers: Numbers) -> Case:
    return _case(workload, numbers, solve, method="dopri5", rtol=workload.tolerance, atol=workload.tolerance)


CASES = {
    "torchdiffeq rk4": _fixed,
    "torchdiffeq dopri5": partial(_adaptive, odeint),
    "torchdiffeq adjoint": partial(_adaptive, odeint_adjoint),
}
"""Fixed steps and adaptive ones differentiated through, and FFJORD's default: adaptive ones with the adjoint."""
