"""What the derived law of a path leaves over in the Kolmogorov-Fokker-Planck equation

∂p/∂t + Σ ∂(f_i p)/∂x_i - ½ Σ ∂²(g_i² p)/∂x_i² = 0,

all derivatives by autograd in float64: f and g are the author's formulas, p is what the kernel makes of the sources,
p_t(x) = mean over k of N(x; α x_k + m, α² s² + σ²). Divided by p, the equation has no small numbers in it:

∂_t log p + Σ (∂_i f_i + f_i s_i) - ½ Σ (∂_i² D_i + 2 s_i ∂_i D_i + D_i (∂_i s_i + s_i²)),    s = ∇log p, D = g².

Where coordinates mix, α and σ are the matrices Φ and L, and where they share noises, by a matrix G that does not read
the state, the last term is ½ Σ (G Gᵀ)_ij (∂_i s_j + s_i s_j).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dgmspec.modules.paths.coefficients import At
from dgmspec.modules.paths.joint_coefficients import JointAt

__all__ = ["AbstractSources", "JointSources", "Law", "Sources", "residual", "standard"]

Function = Callable[[Tensor, Tensor], Tensor]
"""(x (n, d), t (n,)) -> (n, d)."""


@dataclass(frozen=True)
class Law:
    """dx = drift dt + spread dW in Itô's calculus; `spread` is (n, d, d) where noises are `mixed`."""

    drift: Function
    spread: Function
    mixed: bool = False


class AbstractSources(ABC):
    """A law at the start, and what becomes of it."""

    @abstractmethod
    def log_density(self, x: Tensor, t: Tensor) -> Tensor:
        """log p_t(x), (n,)."""

    @abstractmethod
    def draw(self, t: Tensor, generator: torch.Generator) -> Tensor:
        """One point of the law at each time, (n, d)."""


@dataclass(frozen=True)
class Sources(AbstractSources):
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
        means, deviations = self.moments(t)
        z = (x.unsqueeze(1) - means) / deviations
        each = -0.5 * z.square() - deviations.log() - 0.5 * math.log(2 * math.pi)
        return torch.logsumexp(each.sum(2), 1) - math.log(len(self.points))

    def draw(self, t: Tensor, generator: torch.Generator) -> Tensor:
        means, deviations = self.moments(t)
        chosen, noise = _drawn(t, self.points, generator)
        return means[torch.arange(len(t)), chosen] + deviations[:, 0] * noise


@dataclass(frozen=True)
class JointSources(AbstractSources):
    """The same where coordinates mix; of coordinates whose law at the start is a part of the kernel nothing is read."""

    points: Tensor
    widths: Tensor
    path: Callable[[Tensor], JointAt]

    def moments(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Means (n, k, K, copies) in each group and triangular roots (n, copies, K, K) of the covariances."""
        here = self.path(t)
        known, layout = list(here.layout.data), here.layout
        points, widths = (layout.groups(value)[:, known] for value in (self.points, self.widths.unsqueeze(0)))
        signal, factor = here.signal.unsqueeze(1), here.factor.unsqueeze(1)
        rows = torch.cat((signal * widths[0].mT.unsqueeze(1), factor.expand(-1, layout.copies, -1, -1)), 3)
        return signal @ points + here.mean.unsqueeze(1), torch.linalg.cholesky(rows @ rows.mT)

    def standardised(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """The distances of x (n, d) from each mean by the root, (n, k, d), and the log-determinant of that, (n,)."""
        means, roots = self.moments(t)
        gap = (self.path(t).layout.groups(x).unsqueeze(1) - means).permute(0, 3, 2, 1)
        z = torch.linalg.solve_triangular(roots, gap, upper=False)
        return z.permute(0, 3, 2, 1).flatten(2), -roots.diagonal(dim1=2, dim2=3).log().sum((1, 2))

    def log_density(self, x: Tensor, t: Tensor) -> Tensor:
        z, log_det = self.standardised(x, t)
        each = (-0.5 * z.square() - 0.5 * math.log(2 * math.pi)).sum(2)
        return torch.logsumexp(each, 1) + log_det - math.log(len(self.points))

    def draw(self, t: Tensor, generator: torch.Generator) -> Tensor:
        (means, roots), layout = self.moments(t), self.path(t[:1]).layout
        chosen, noise = _drawn(t, self.points, generator)
        moved = (roots @ layout.groups(noise).mT.unsqueeze(3)).squeeze(3).mT
        return layout.flat(means[torch.arange(len(t)), chosen] + moved)


def _drawn(t: Tensor, points: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """For each time the number of a source, and standard normal numbers."""
    chosen = torch.randint(len(points), (len(t),), generator=generator)
    return chosen, torch.randn(len(t), points.shape[1], generator=generator, dtype=torch.float64)


def standard(size: int) -> Sources:
    """Independent standard normal numbers at every time."""

    def at(t: Tensor) -> At:
        zero = torch.zeros(len(t), 1, dtype=torch.float64)
        return At(zero + 1, zero, zero, zero)

    return Sources(torch.zeros(1, size, dtype=torch.float64), torch.ones(size, dtype=torch.float64), at)


@torch.enable_grad()
def residual(law: Law, sources: AbstractSources, x: Tensor, t: Tensor) -> Tensor:
    """What is left over at points x (n, d) and times t (n,), relative to the sum of the sizes of all terms, (n,)."""
    x, t = x.detach().requires_grad_(), t.detach().requires_grad_()
    value = sources.log_density(x, t)
    score, change = torch.autograd.grad(value.sum(), (x, t), create_graph=True)
    drift, spread = law.drift(x, t), law.spread(x, t)
    terms = [change.unsqueeze(1), _own(drift, x), drift * score, *_diffused(spread, score, x)]
    total = sum((term.sum(1) for term in terms), start=torch.zeros_like(value))
    size = sum((term.abs().sum(1) for term in terms), start=torch.zeros_like(value))
    return (total.abs() / size).detach()


def _diffused(spread: Tensor, score: Tensor, x: Tensor) -> list[Tensor]:
    """The terms of the diffusion, by the coordinate or by pairs of them."""
    if spread.dim() == 2:
        square = spread**2
        slope = _own(square, x)
        own = [_own(slope, x) / 2, score * slope, square * _own(score, x) / 2, square * score**2 / 2]
        return [-term for term in own]
    square = spread @ spread.mT
    bent = [torch.autograd.grad(score[:, i].sum(), x, create_graph=True)[0] for i in range(x.shape[1])]
    pairs = [square * torch.stack(bent, 1), square * score.unsqueeze(2) * score.unsqueeze(1)]
    return [-term.flatten(1) / 2 for term in pairs]


def _own(values: Tensor, x: Tensor) -> Tensor:
    """∂v_i/∂x_i of values (n, d), each row of which reads its own row of x."""
    if not values.requires_grad:
        return torch.zeros_like(x)
    found = []
    for i in range(x.shape[1]):
        (slope,) = torch.autograd.grad(values[:, i].sum(), x, create_graph=True, allow_unused=True)
        found.append(torch.zeros_like(x[:, i]) if slope is None else slope[:, i])
    return torch.stack(found, 1)
