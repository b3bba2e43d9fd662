"""torchdyn (https://github.com/DiffEqML/torchdyn): its `NeuralODE`; the first column of a state gathers the trace."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torchdyn.core import NeuralODE

from bench.ode.base import Case, Dynamics, normal
from bench.ode.workloads import Numbers, Workload

__all__ = ["CASES"]


class _Field(nn.Module):
    def __init__(self, dynamics: Dynamics) -> None:
        super().__init__()
        self.dynamics = dynamics

    def forward(self, t: Tensor, state: Tensor, args: Any = None) -> Tensor:
        value, trace = self.dynamics.velocity(t, state[:, 1:])
        return torch.cat((trace[:, None], value), 1)


def _case(workload: Workload, numbers: Numbers, span: int, **options: Any) -> Case:
    dynamics = Dynamics(workload, numbers)
    tolerance = {} if options["solver"] == "rk4" else {"atol": workload.tolerance, "rtol": workload.tolerance}
    solve = NeuralODE(_Field(dynamics), return_t_eval=False, **tolerance, **options)
    precise = NeuralODE(_Field(dynamics), solver="dopri5", return_t_eval=False, atol=1e-10, rtol=1e-10)

    def log_prob(x: Tensor, solve: Any, count: int) -> Tensor:
        state = torch.cat((x.new_zeros(len(x), 1), x), 1)
        end = solve(state, torch.linspace(0, 1, count).to(x))[-1]
        return normal(end[:, 1:]) + end[:, 0]

    def estimated(x: Tensor) -> Tensor:
        dynamics.draw(x)
        return log_prob(x, solve, span)

    def exact(x: Tensor) -> Tensor:
        dynamics.probe = None
        return log_prob(x, precise, 2)

    return Case(dynamics, estimated, exact)


def _fixed(workload: Workload, numbers: Numbers) -> Case:
    return _case(workload, numbers, workload.steps + 1, solver="rk4", sensitivity="autograd")


def _adaptive(workload: Workload, numbers: Numbers) -> Case:
    return _case(workload, numbers, 2, solver="dopri5", sensitivity="autograd")


CASES = {"torchdyn rk4": _fixed, "torchdyn dopri5": _adaptive}
"""Differentiated through; its adjoint stops at a field that is itself a derivative."""
