"""What the libraries share: the net, and its trace by Hutchinson's estimator or by products, as examples write them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.ode.workloads import Numbers, Workload

__all__ = ["Case", "Dynamics", "normal"]


@dataclass(frozen=True)
class Case:
    """A library's continuous flow as it is used: log-densities (batch,) of events.

    `exact` is the same with the exact trace and a solver of next to no error, to be compared with ours; None where the
    library's velocity is of another form.
    """

    module: nn.Module
    log_prob: Callable[[Tensor], Tensor]
    exact: Callable[[Tensor], Tensor] | None


class Dynamics(nn.Module):
    """The velocity beside the trace of its Jacobian, by one probe fixed within a solve or by a product a coordinate."""

    def __init__(self, workload: Workload, numbers: Numbers) -> None:
        super().__init__()
        size, hidden = workload.size, workload.hidden
        self.net = nn.Sequential(
            nn.Linear(size + 1, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, size)
        )
        with torch.no_grad():
            for layer, (weight, bias) in zip(self.net[::2], numbers, strict=True):
                layer.weight.copy_(weight)
                layer.bias.copy_(bias)
        self.probe: Tensor | None = None

    def draw(self, x: Tensor) -> None:
        """A new probe of random signs."""
        self.probe = torch.randint(0, 2, x.shape).to(x) * 2 - 1

    def velocity(self, t: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """dy/dt and its trace."""
        create = torch.is_grad_enabled()
        with torch.enable_grad():
            y = y if y.requires_grad else y.detach().requires_grad_()
            value = self.net(torch.cat((y, t.to(y).expand(len(y), 1)), 1))
            if self.probe is not None:
                (row,) = torch.autograd.grad(value, y, self.probe, create_graph=create)
                return value, (row * self.probe).sum(1)
            rows = [torch.autograd.grad(value[:, i].sum(), y, create_graph=True)[0][:, i] for i in range(y.shape[1])]
            return value, torch.stack(rows).sum(0)


def normal(z: Tensor) -> Tensor:
    """The standard normal log-density."""
    return -0.5 * z.square().sum(1) - 0.5 * z.shape[1] * math.log(2 * math.pi)
