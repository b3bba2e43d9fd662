"""Torch twins of the samplers that need a log-density alone: every row of a batch is a chain of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from dgmspec.modules.results import Chains
from dgmspec.ops.langevin import AbstractChain, Langevin, Mala

__all__ = ["TWINS", "run_chains"]

LogDensity = Callable[[Tensor], Tensor]
"""(batch, *event) -> (batch,), each row by itself."""
Draws = Callable[[], Tensor]


def run_chains(op: AbstractChain, log_density: LogDensity, noise: Draws, chance: Draws) -> Chains:
    """Chains from draws of N(0, start²) on: `noise` gives standard normal rows, `chance` uniform ones, (batch,).

    ValueError where a chain has left the numbers, which the law of the samples would hide.
    """
    found = TWINS[type(op)](op, log_density, op.start * noise(), noise, chance)
    lost = ~(_flat(torch.isfinite(found.values)).all(1) & torch.isfinite(found.log_density))
    if bool(lost.any()):
        raise ValueError(
            f"`{op.name}`: {int(lost.sum()):,} of {len(lost):,} chains left the numbers, or never had a density; "
            "take a smaller `step_size`, or a `start` where the density is positive"
        )
    return found


def _slope(log_density: LogDensity, x: Tensor) -> tuple[Tensor, Tensor]:
    """The log-density and its gradient in x."""
    with torch.enable_grad():
        here = x.detach().requires_grad_()
        value = log_density(here)
        (slope,) = torch.autograd.grad(value.sum(), here)
    return value.detach(), slope


def _flat(x: Tensor) -> Tensor:
    """(batch, *event) -> (batch, coordinates), numbers and empty batches too."""
    return x.unsqueeze(-1).flatten(1)


def langevin(op: Langevin, log_density: LogDensity, x: Tensor, noise: Draws, chance: Draws) -> Chains:
    """Every step is taken."""
    eta = op.step_size
    for _ in range(op.steps):
        x = x + eta / 2 * _slope(log_density, x)[1] + eta**0.5 * noise()
    with torch.no_grad():
        value = log_density(x)
    return Chains(x, value, torch.ones_like(value))


def mala(op: Mala, log_density: LogDensity, x: Tensor, noise: Draws, chance: Draws) -> Chains:
    """A step to where there is no density, or no number, is not taken: its comparison is false."""
    eta = op.step_size
    value, slope = _slope(log_density, x)
    taken = torch.zeros_like(value)
    for _ in range(op.steps):
        z = noise()
        y = x + eta / 2 * slope + eta**0.5 * z
        there, slope_there = _slope(log_density, y)
        # log q(y | x) is -z²/2, and the way back has z' = (x - y - η/2 ∇log p(y)) / √η.
        back = (x - y - eta / 2 * slope_there) / eta**0.5
        ratio = there - value + _flat((z**2 - back**2) / 2).sum(1)
        accepted = chance().log() < ratio
        rows = accepted.reshape(-1, *[1] * (x.dim() - 1))
        x, slope = torch.where(rows, y, x), torch.where(rows, slope_there, slope)
        value, taken = torch.where(accepted, there, value), taken + accepted
    return Chains(x, value, taken / op.steps)


Twin = Callable[[Any, LogDensity, Tensor, Draws, Draws], Chains]

TWINS: Mapping[type[AbstractChain], Twin] = {Langevin: langevin, Mala: mala}
