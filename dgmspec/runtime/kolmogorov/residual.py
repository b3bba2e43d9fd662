"""What the derived law of a path leaves over in the Kolmogorov-Fokker-Planck equation

∂p/∂t + Σ ∂(f_i p)/∂x_i - ½ Σ ∂²(g_i² p)/∂x_i² = 0,

all derivatives by autograd in float64: f and g are the author's formulas, p is what the kernel makes of the sources,
p_t(x) = mean over k of N(x; α x_k + m, α² s² + σ²). Divided by p, the equation has no small numbers in it:

∂_t log p + Σ (∂_i f_i + f_i s_i) - ½ Σ (∂_i² D_i + 2 s_i ∂_i D_i + D_i (∂_i s_i + s_i²)),    s = ∇log p, D = g².
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dgmspec.modules.paths.coefficients import At

__all__ = ["Law", "Sources", "residual"]

Function = Callable[[Tensor, Tensor], Tensor]
"""(x (n, d), t (n,)) -> (n, d)."""


@dataclass(frozen=True)
class Law:
    """dx = drift dt + spread dW in Itô's calculus."""

    drift: Function
    spread: Function


@dataclass(frozen=True)
class Sources:
    """Normal laws with means `points` (k, d) and deviations `widths` (d,) at the start, each carried on by the kernel
    `path` at times (n,)."""

    points: Tensor
    widths: Tensor
    path: Callable[[Tensor], At]

    def moments(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Means (n, k, d) and deviations (n, 1, d) at times (n,)."""
        alpha, mean, sigma, _ = (value.reshape(len(t), 1, -1) for value in self.path(t))
        variance = (alpha * self.widths) ** 2 + sigma**2
        return alpha * self.points + mean, variance.sqrt().expand(-1, -1, self.points.shape[1])

    def log_density(self, x: Tensor, t: Tensor) -> Tensor:
        """log p_t(x), (n,)."""
        means, deviations = self.moments(t)
        z = (x.unsqueeze(1) - means) / deviations
        each = -0.5 * z.square() - deviations.log() - 0.5 * math.log(2 * math.pi)
        return torch.logsumexp(each.sum(2), 1) - math.log(len(self.points))

    def draw(self, t: Tensor, generator: torch.Generator) -> Tensor:
        """One point of the law at each time."""
        means, deviations = self.moments(t)
        chosen = torch.randint(len(self.points), (len(t),), generator=generator)
        noise = torch.randn(len(t), self.points.shape[1], generator=generator, dtype=torch.float64)
        return means[torch.arange(len(t)), chosen] + deviations[:, 0] * noise


@torch.enable_grad()
def residual(law: Law, sources: Sources, x: Tensor, t: Tensor) -> Tensor:
    """What is left over at points x (n, d) and times t (n,), relative to the sum of the sizes of all terms, (n,)."""
    x, t = x.detach().requires_grad_(), t.detach().requires_grad_()
    value = sources.log_density(x, t)
    score, change = torch.autograd.grad(value.sum(), (x, t), create_graph=True)
    drift, spread = law.drift(x, t), law.spread(x, t)
    square = spread**2
    slope = _own(square, x)
    terms = [
        change.unsqueeze(1),
        _own(drift, x),
        drift * score,
        -0.5 * _own(slope, x),
        -score * slope,
        -0.5 * square * _own(score, x),
        -0.5 * square * score**2,
    ]
    total = sum((term.sum(1) for term in terms), start=torch.zeros_like(value))
    size = sum((term.abs().sum(1) for term in terms), start=torch.zeros_like(value))
    return (total.abs() / size).detach()


def _own(values: Tensor, x: Tensor) -> Tensor:
    """∂v_i/∂x_i of values (n, d), each row of which reads its own row of x."""
    if not values.requires_grad:
        return torch.zeros_like(x)
    found = []
    for i in range(x.shape[1]):
        (slope,) = torch.autograd.grad(values[:, i].sum(), x, create_graph=True, allow_unused=True)
        found.append(torch.zeros_like(x[:, i]) if slope is None else slope[:, i])
    return torch.stack(found, 1)
