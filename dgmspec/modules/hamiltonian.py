"""Torch twin of Hamiltonian Monte Carlo: every row of a batch is a chain, with a step size and masses of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dgmspec.modules.convergence import Watch
from dgmspec.modules.langevin import Draws, Field, Twin
from dgmspec.modules.results import Chains
from dgmspec.modules.twin import by_row, flat_rows
from dgmspec.ops.hamiltonian import Hmc

__all__ = ["TWINS", "State", "leapfrog", "transition", "windows"]

JITTER = 0.2
"""Half the width of the factor that each step's ε is drawn with."""

DIVERGED = 1000.0
"""By how many nats an orbit may gain energy before it counts as one that the steps have lost."""


@dataclass(frozen=True)
class State:
    """Where chains are: values (batch, *event), their log-density (batch,) and its slope."""

    x: Tensor
    value: Tensor
    slope: Tensor


def look(field: Field, x: Tensor) -> State:
    """The state at `x`."""
    value, slope = field(x)
    assert value is not None
    return State(x, value, slope)


def leapfrog(
    field: Field, here: State, p: Tensor, step: Tensor, inverse_mass: Tensor, count: int
) -> tuple[State, Tensor]:
    """`count` steps of size `step`, (batch, 1, …), from `here` with momenta `p`: where they end, and with which."""
    for _ in range(count):
        p = p + step / 2 * here.slope
        there = look(field, here.x + step * inverse_mass * p)
        # A row that has left the numbers stands still from there on, with no density: its end is not taken.
        fine = torch.isfinite(there.value) & flat_rows(torch.isfinite(there.slope)).all(1) & torch.isfinite(here.value)
        rows = by_row(fine, p)
        x, slope = torch.where(rows, there.x, here.x), torch.where(rows, there.slope, 0.0)
        here = State(x, torch.where(fine, there.value, -math.inf), slope)
        p = p + step / 2 * here.slope
    return here, p


def energy(state: State, p: Tensor, inverse_mass: Tensor) -> Tensor:
    """H = -log p(x) + pᵀM⁻¹p / 2, (batch,)."""
    return flat_rows(inverse_mass * p**2 / 2).sum(1) - state.value


def transition(
    op: Hmc, field: Field, here: State, step: Tensor, inverse_mass: Tensor, noise: Draws, chance: Draws
) -> tuple[State, Tensor, Tensor, Tensor]:
    """One step of each chain: where it then is, the chance of its proposal, whether it was taken, and whether its orbit
    was lost."""
    p = noise() * inverse_mass**-0.5
    size = step * (1 + JITTER * (2 * chance() - 1))
    there, end = leapfrog(field, here, p, by_row(size, p), inverse_mass, op.leapfrog)
    gained = energy(there, end, inverse_mass) - energy(here, p, inverse_mass)
    likely = (-gained).clamp(max=0.0).exp().nan_to_num(0.0)  # from no density to none
    taken = chance() < likely
    rows = by_row(taken, p)
    kept = State(
        torch.where(rows, there.x, here.x),
        torch.where(taken, there.value, here.value),
        torch.where(rows, there.slope, here.slope),
    )
    return kept, likely, taken, gained > DIVERGED


# ---- warm-up --------------------------------------------------------------------------------------------------------


class DualAveraging:
    """Step sizes, (batch,), moved so that the mean chance becomes `target`: Hoffman and Gelman 2014, equation 6."""

    GAMMA, T0, KAPPA = 0.05, 10.0, 0.75

    def __init__(self, step: Tensor, target: float) -> None:
        self.target = target
        self.restart(step)

    def restart(self, step: Tensor) -> None:
        """Forget what was learnt, from `step` on."""
        self.log_step, self.average = step.log(), torch.zeros_like(step)
        self.centre, self.error, self.count = (10 * step).log(), torch.zeros_like(step), 0

    def update(self, likely: Tensor) -> None:
        """After a step whose proposals had the chances `likely`."""
        self.count += 1
        t = self.count
        share = 1 / (t + self.T0)
        self.error = (1 - share) * self.error + share * (self.target - likely)
        self.log_step = self.centre - t**0.5 / self.GAMMA * self.error
        weight = t**-self.KAPPA
        self.average = weight * self.log_step + (1 - weight) * self.average

    @property
    def final(self) -> Tensor:
        """The averaged step size, which stays."""
        return self.average.exp() if self.count else self.log_step.exp()


class Variance:
    """The variance of each chain's values, coordinate by coordinate (Welford's recursion)."""

    def __init__(self, like: Tensor) -> None:
        self.count, self.mean, self.squares = 0, torch.zeros_like(like), torch.zeros_like(like)

    def add(self, x: Tensor) -> None:
        self.count += 1
        off = x - self.mean
        self.mean = self.mean + off / self.count
        self.squares = self.squares + off * (x - self.mean)

    @property
    def shrunk(self) -> Tensor:
        """The variance, drawn towards 1e-3 where few values were seen."""
        n = self.count
        return n / (n + 5.0) * self.squares / max(n - 1, 1) + 1e-3 * 5.0 / (n + 5.0)


def windows(warmup: int) -> tuple[int, ...]:
    """Where the windows begin and end whose values give the masses: the first number opens the first window. Before and
    behind them the step size alone is moved. Empty for a warm-up of less than 20 steps."""
    if warmup < 20:
        return ()
    first, last = (75, warmup - 50) if warmup >= 200 else (int(0.15 * warmup), warmup - int(0.3 * warmup))
    ends, size = [first], 25
    while ends[-1] + 3 * size <= last:
        ends.append(ends[-1] + size)
        size *= 2
    return (*ends, last)


def hmc(op: Hmc, field: Field, x: Tensor, noise: Draws, chance: Draws) -> Chains:
    """The warm-up, then `steps` steps."""
    here, inverse_mass = look(field, x), torch.ones_like(x)
    tuned = DualAveraging(torch.full_like(here.value, op.step_size), op.target)
    first, *ends = windows(op.warmup) or (op.warmup,)
    seen = Variance(x)
    for i in range(op.warmup):
        here, likely, _, _ = transition(op, field, here, tuned.log_step.exp(), inverse_mass, noise, chance)
        tuned.update(likely)
        if ends and first <= i < ends[-1]:
            seen.add(here.x)
        if i + 1 in ends:
            inverse_mass, seen = seen.shrunk, Variance(x)
            tuned.restart(tuned.final)
    step, watch = tuned.final, Watch(op.steps, x)
    moved, lost = torch.zeros_like(here.value), torch.zeros_like(here.value)
    for _ in range(op.steps):
        here, _, taken, diverged = transition(op, field, here, step, inverse_mass, noise, chance)
        moved, lost = moved + taken, lost + diverged
        watch.add(here.x)
    return Chains(here.x, here.value, moved / op.steps, step, lost / op.steps, watch.r_hat(), watch.effective())


TWINS: dict[Any, Twin] = {Hmc: hmc}
