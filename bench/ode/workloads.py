"""What is timed: an `ode` whose velocity is a net of the state and the time, after a short training.

A fresh velocity is nearly zero, and an adaptive solver crosses it in a few steps; after training it takes those that
people wait for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

import dgmspec
from dgmspec.modules.compiled import CompiledModel
from dgmspec.runtime.toys import eight_gaussians

__all__ = ["WORKLOADS", "Numbers", "Workload", "ours"]

Numbers = list[tuple[Tensor, Tensor]]
"""Weight and bias of each layer; the first reads the state, then the time."""

STEPS, RATE = 300, 5e-3
"""The training that precedes every timing."""


@dataclass(frozen=True)
class Workload:
    """A velocity of two hidden layers of `hidden` tanh units over `size` coordinates.

    Fixed steps are `steps` of rk4; adaptive ones dopri5 at `tolerance`, relative and absolute.
    """

    name: str
    title: str
    size: int
    hidden: int
    batch: int = 512
    steps: int = 8
    tolerance: float = 1e-5

    def text(self, solver: str = "", trace: str = "") -> str:
        """The spec."""
        event = f"real[{self.size}]"
        lines = [
            f"velocity(y, t) = mlp({self.hidden}, {self.hidden}, activation = tanh)",
            f"solver = {solver or f'rk4(steps = {self.steps})'}",
            *([f"trace = {trace}"] if trace else []),
        ]
        return (
            f"dgm 1\nmodel M {{ observe x : {event}; latent z : {event} ~ normal(0, 1); loss = nll\n"
            f"ode x -> z over t in 0..1 {{ {'; '.join(lines)} }} }}\n"
        )

    @cached_property
    def data(self) -> Tensor:
        """Eight Gaussians: on a circle, and in more than two dimensions around random centres."""
        if self.size == 2:
            return torch.as_tensor(eight_gaussians(20_000), dtype=torch.float32)
        generator = torch.Generator().manual_seed(0)
        centres = 2 * torch.randn(8, self.size, generator=generator)
        which = torch.randint(8, (20_000,), generator=generator)
        return centres[which] + 0.5 * torch.randn(20_000, self.size, generator=generator)

    def rows(self, step: int) -> Tensor:
        """The batch of a step."""
        generator = torch.Generator().manual_seed(step)
        return self.data[torch.randint(len(self.data), (self.batch,), generator=generator)]

    @cached_property
    def numbers(self) -> Numbers:
        """The trained velocity's numbers."""
        model = ours(self)
        optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
        for step in range(STEPS):
            optimizer.zero_grad()
            (-model.log_prob(self.rows(step)).mean()).backward()
            optimizer.step()
        return [
            (model.get_parameter(w).detach().clone(), model.get_parameter(b).detach().clone()) for w, b in _keys(model)
        ]


def ours(
    workload: Workload, numbers: Numbers | None = None, dtype: torch.dtype = torch.float32, **options: str
) -> CompiledModel:
    """The compiled model, with those numbers."""
    model = dgmspec.compile(dgmspec.parse(workload.text(**options)), dtype=dtype)
    with torch.no_grad():
        for (weight, bias), (w, b) in zip(_keys(model), numbers or (), strict=False):
            model.get_parameter(weight).copy_(w)
            model.get_parameter(bias).copy_(b)
    return model


def _keys(model: CompiledModel) -> list[tuple[str, str]]:
    """The addresses of each layer's weight and bias, in order."""
    weights = [name for name, _ in model.named_parameters() if name.endswith("/weight")]
    return [(name, f"{name.removesuffix('weight')}bias") for name in sorted(weights)]


WORKLOADS: dict[str, Workload] = {
    w.name: w
    for w in (
        Workload("cnf-2", "CNF, D = 2, 2 × 64", 2, 64),
        Workload("cnf-43", "CNF, D = 43, 2 × 256", 43, 256),
    )
}
