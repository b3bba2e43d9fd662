"""Torch twins of the samplers that need a log-density alone: every row of a batch is a chain of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dgmspec.modules.registry import twin_of
from dgmspec.modules.results import Chains
from dgmspec.modules.twin import by_row, flat_rows
from dgmspec.ops.langevin import AbstractChain, Langevin, Mala

__all__ = ["TWINS", "Draws", "Field", "run_chains"]

Field = Callable[[Tensor], tuple[Tensor | None, Tensor]]
"""(batch, *event) -> the log-density (batch,), None where the slope alone is known, and its slope; row by row."""
Draws = Callable[[], Tensor]
Twin = Callable[[Any, Field, Tensor, Draws, Draws], Chains]


def run_chains(op: AbstractChain, field: Field, noise: Draws, chance: Draws) -> Chains:
    """Chains from draws of N(0, start²) on: `noise` gives standard normal rows, `chance` uniform ones, (batch,).

    ValueError where a chain has left the numbers, which the law of the samples would hide.
    """
    twin: Twin = twin_of(type(op))
    found = twin(op, field, op.start * noise(), noise, chance)
    lost = ~flat_rows(torch.isfinite(found.values)).all(1)
    if found.log_density is not None:
        lost = lost | ~torch.isfinite(found.log_density)
    if bool(lost.any()):
        raise ValueError(
            f"`{op.name}`: {int(lost.sum()):,} of {len(lost):,} chains left the numbers, or never had a density; "
            "take a smaller `step_size`, or a `start` where the density is positive"
        )
    return found


def langevin(op: Langevin, field: Field, x: Tensor, noise: Draws, chance: Draws) -> Chains:
    """Every step is taken."""
    eta = op.step_size
    for _ in range(op.steps):
        x = x + eta / 2 * field(x)[1] + eta**0.5 * noise()
    return Chains(x, field(x)[0], torch.ones_like(flat_rows(x).sum(1)))


def mala(op: Mala, field: Field, x: Tensor, noise: Draws, chance: Draws) -> Chains:
    """A step to where there is no density, or no number, is not taken: its comparison is false."""
    eta = op.step_size
    value, slope = field(x)
    assert value is not None
    taken = torch.zeros_like(value)
    for _ in range(op.steps):
        z = noise()
        y = x + eta / 2 * slope + eta**0.5 * z
        there, slope_there = field(y)
        assert there is not None
        # log q(y | x) is -z²/2, and the way back has z' = (x - y - η/2 ∇log p(y)) / √η.
        back = (x - y - eta / 2 * slope_there) / eta**0.5
        ratio = there - value + flat_rows((z**2 - back**2) / 2).sum(1)
        accepted = chance().log() < ratio
        rows = by_row(accepted, x)
        x, slope = torch.where(rows, y, x), torch.where(rows, slope_there, slope)
        value, taken = torch.where(accepted, there, value), taken + accepted
    return Chains(x, value, taken / op.steps)


TWINS: dict[Any, Twin] = {Langevin: langevin, Mala: mala}
