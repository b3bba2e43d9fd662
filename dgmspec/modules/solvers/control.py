"""How wrong a step is and how long the next one may be.

The error norm of a row is the larger of two: the root mean square over the coordinates of y, each in units of
``atol + rtol max(|before|, |after|)``, and the error of the first integral, the log-determinant, in its units. So the
log-determinant weighs as much as all of y; further integrals are not controlled.

Step sizes follow a PI controller: the factor ``0.9 e^(-0.7/q) e'^(0.4/q)`` with e the error, e' that of the last
accepted step and q the embedded method's order plus one; after a rejection ``0.9 e^(-1/q)``, and no growth at once.
References: Hairer, Nørsett and Wanner, Solving ordinary differential equations I, 2nd edition, II.4; Gustafsson,
Control theoretic techniques for stepsize selection in explicit Runge-Kutta methods, 1991.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from dgmspec.modules.solvers.steps import State
from dgmspec.modules.twin import flat_rows

__all__ = ["Tolerance", "error_norm", "first_size", "next_size"]

SAFETY: Final = 0.9
LEAST, MOST = 0.2, 10.0
"""Bounds of the factor between two steps."""


@dataclass(frozen=True)
class Tolerance:
    """What a search keeps to. `together` takes one step for all rows, that of the worst, and lets integrals have any
    shape; `controlled` is how many of the integrals are in the error norm."""

    rtol: float
    atol: float
    max_steps: int
    together: bool = False
    controlled: int = 1

    def norm(self, values: State, before: State, after: State) -> Tensor:
        """The norm of each row, (batch,), of `values` in the units that the two states give."""
        scaled = [
            value / (self.atol + self.rtol * torch.maximum(old.abs(), new.abs()))
            for value, old, new in zip(values[: 1 + self.controlled], before, after, strict=False)
        ]
        y, *integrals = scaled
        found = flat_rows(y).square().mean(1).sqrt()
        for part in integrals:
            found = torch.maximum(found, part.square().mean().sqrt() if self.together else part.abs())
        return found

    def worst(self, norms: Tensor) -> Tensor:
        """What the steps obey: each row's norm, or the largest for all."""
        if not self.together:
            return norms
        return norms.amax(0, keepdim=True) if len(norms) else norms.new_zeros(1)


def error_norm(error: State, before: State, after: State, slope: State, keep: Tolerance) -> Tensor:
    """The norm of each row's error; infinite where the step ends in anything that is not finite."""
    found = keep.norm(error, before, after)
    ends = flat_rows(after[0] + slope[0]).sum(1) + found
    return torch.where(ends.isfinite(), found, torch.inf)


def next_size(size: Tensor, error: Tensor, last: Tensor, grew: Tensor, q: int) -> Tensor:
    """The size after a step of that error. `last` is the error of the last accepted step; `grew` is false where the
    step before was rejected."""
    accepted, floor = error <= 1, 1e-4
    up = SAFETY * error.clamp(min=floor**2) ** (-0.7 / q) * last.clamp(min=floor) ** (0.4 / q)
    factor = torch.where(accepted, up, SAFETY * error ** (-1 / q))
    most = torch.where(accepted & grew, MOST, 1.0)
    return size * torch.minimum(factor.clamp(min=LEAST), most)


def first_size(size: Tensor, slope: Tensor, bend: Tensor, trial: Tensor, q: int) -> Tensor:
    """The time of the first step, from the norms of the state, of its slope, and of the slope's change over `trial`."""
    steepest = torch.maximum(slope, bend / trial)
    guess = torch.where(steepest <= 1e-15, (1e-3 * trial).clamp(min=1e-6), (0.01 / steepest) ** (1 / q))
    return torch.minimum(100 * trial, guess)
