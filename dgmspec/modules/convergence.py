"""Whether chains have come to one law: split R-hat, and how many independent draws their values are worth."""

from __future__ import annotations

import torch
from torch import Tensor

from dgmspec.modules.twin import flat_rows

__all__ = ["Watch", "effective_size", "split_r_hat"]

NUMBERS = 2**23
"""Values kept of all steps; of more chains and coordinates the first are watched."""

COORDINATES = 256


class Watch:
    """The values of chains at each of `steps` steps, of as many chains and coordinates as fit."""

    def __init__(self, steps: int, like: Tensor) -> None:
        events = flat_rows(like)
        self.columns = min(events.shape[1], COORDINATES)
        self.rows = min(events.shape[0], max(4, NUMBERS // (steps * self.columns)))
        self.kept: list[Tensor] = []

    def add(self, x: Tensor) -> None:
        """One step's values, (batch, *event)."""
        self.kept.append(flat_rows(x)[: self.rows, : self.columns].clone())

    def r_hat(self) -> Tensor | None:
        """`split_r_hat` of each coordinate; None of too few chains or steps."""
        return split_r_hat(torch.stack(self.kept).double()) if self.enough else None

    def effective(self) -> Tensor | None:
        """`effective_size` of each coordinate for one chain."""
        return effective_size(torch.stack(self.kept).double()) / self.rows if self.enough else None

    @property
    def enough(self) -> bool:
        """Whether there is anything to compare."""
        return len(self.kept) >= 4 and self.rows >= 2


def _halves(values: Tensor) -> Tensor:
    """(steps, chains, d) as (steps / 2, 2 chains, d): a chain that drifts differs from itself."""
    half = values.shape[0] // 2
    return torch.cat([values[:half], values[half : 2 * half]], 1)


def split_r_hat(values: Tensor) -> Tensor:
    """√(((n - 1) W / n + B / n) / W) of the halves of chains, (d,): 1 where all halves have one law and are long.

    `values` (steps, chains, d); W is the mean variance within, B / n the variance of the means. Of many short chains it
    is about √(1 + 1 / m) with m effective draws in half a chain. Gelman et al. 2013, section 11.4.
    """
    halves = _halves(values)
    n = halves.shape[0]
    within, between = halves.var(0).mean(0), halves.mean(0).var(0)
    found: Tensor = ((n - 1) / n + between / within).sqrt()
    return found


def effective_size(values: Tensor) -> Tensor:
    """n m / (1 + 2 Σ ρ_t) over all m halves of n steps, (d,), ρ_t the autocorrelation that is left after what chains
    differ by, summed in pairs as long as these are positive and fall (Geyer 1992). Stan's estimate."""
    halves = _halves(values)
    n, m, d = halves.shape
    centred = halves - halves.mean(0)
    spectrum = torch.fft.rfft(centred, n=2 * n, dim=0)
    covariances = torch.fft.irfft(spectrum.abs() ** 2, n=2 * n, dim=0)[:n].mean(1) / n  # over chains, (n, d)
    within = covariances[0] * n / (n - 1)
    total = covariances[0] + halves.mean(0).var(0)
    correlations = 1 - (within - covariances) / total
    correlations[0] = 1.0
    pairs = correlations[: n // 2 * 2].reshape(n // 2, 2, d).sum(1)
    falling = torch.cummin(pairs, 0).values
    # The first pair, ρ_0 + ρ_1, always counts; from the first negative one on none does.
    counted = torch.cat([torch.ones_like(pairs[:1], dtype=torch.bool), falling[1:] > 0])
    time = 2 * torch.where(counted, falling, 0.0).sum(0) - 1
    found: Tensor = n * m / time.clamp(min=1 / torch.log10(torch.tensor(float(n * m))))
    return found
