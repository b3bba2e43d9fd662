"""Torch twins of the losses of energies and scores without an arrow: one number a row from data."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dgmspec.core.types import Type
from dgmspec.modules.langevin import langevin, mala
from dgmspec.modules.twin import Parameters, ScoreContext, ScoreTwin, by_row, sum_event
from dgmspec.ops.langevin import AbstractChain, Langevin, Mala
from dgmspec.ops.scores import BUFFER, PLACE, Cd, Fisher

__all__ = ["SCORES"]

Kept = dict[str, Tensor]


def cd(op: Cd, p: Parameters, x: Tensor, ctx: ScoreContext) -> tuple[Tensor, Kept]:
    """(batch,): E(x) - E(y) + magnitude (E(x)² + E(y)²), y the ends of chains; and where persistent ones then are."""
    start, at = (x, None) if not op.persistent else _resumed(op, p, x, ctx)
    y = _chain(op, start, ctx)
    here, there = -ctx.law.log_density(x), -ctx.law.log_density(y)
    found = here - there
    if op.magnitude:
        found = found + op.magnitude * (here**2 + there**2)
    if at is None:
        return found, {}
    return found, {BUFFER: p[BUFFER].index_copy(0, at, y), PLACE: (p[PLACE] + x.shape[0]) % op.buffer}


def _resumed(op: Cd, p: Parameters, x: Tensor, ctx: ScoreContext) -> tuple[Tensor, Tensor]:
    """The kept chains whose turn it is, some started again, and which they are."""
    rows = x.shape[0]
    if rows > op.buffer:
        raise ValueError(f"`cd`: a batch of {rows:,} rows moves as many chains, and `buffer` keeps {op.buffer:,}")
    at = (p[PLACE].long() + torch.arange(rows, device=x.device)) % op.buffer
    again = by_row(ctx.noise["again"] < op.reinit, x)
    return torch.where(again, op.start * ctx.noise["fresh"], p[BUFFER].index_select(0, at)), at


@torch.no_grad()
def _chain(op: Cd, x: Tensor, ctx: ScoreContext) -> Tensor:
    """The ends of chains from `x`."""
    noise, chance = list(ctx.noise["noise"].unbind(1)), list(ctx.noise.get("chance", x[:, None]).unbind(1))
    walk = langevin if op.method == "langevin" else mala
    return walk(ctx.plan, ctx.law.slope, x, noise.pop, chance.pop).values


def _plan(op: Cd, event: Type) -> AbstractChain:
    """The sampler whose steps the chains take."""
    kind = Langevin if op.method == "langevin" else Mala
    return kind(steps=op.steps, step_size=op.step_size)


def fisher(op: Fisher, p: Parameters, x: Tensor, ctx: ScoreContext) -> tuple[Tensor, Kept]:
    """(batch,): ½ ‖s(x) - ∇ log p(x)‖²."""
    return 0.5 * sum_event((ctx.law.score(x) - ctx.target.score(x)) ** 2, ctx.event), {}


SCORES: dict[Any, ScoreTwin] = {Cd: ScoreTwin(cd, _plan), Fisher: ScoreTwin(fisher)}
