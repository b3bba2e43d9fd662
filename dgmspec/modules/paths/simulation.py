"""Torch twin of an `sde` that is run forwards: all steps of its scheme, and the way back of normal laws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from dgmspec.algebra.paths.joint import JointPath
from dgmspec.algebra.shapes import shape_of
from dgmspec.core.types import Type
from dgmspec.modules.nets.external import tried
from dgmspec.modules.paths.anew import AbstractAnew, ByMatrix, anew_of
from dgmspec.modules.paths.beside import Beside, beside_of
from dgmspec.modules.paths.joint_coefficients import Layout, layout_of
from dgmspec.modules.paths.process import Process, advance, process_of
from dgmspec.modules.paths.transitions import drawn, grid_of, moves_of, transition_tables, undone
from dgmspec.modules.twin import Modules, Parameters, StepContext, StepTwin
from dgmspec.ops.nets import External
from dgmspec.ops.paths.schemes import Exact
from dgmspec.ops.paths.simulation import Simulation

__all__ = ["TWINS", "Law", "states"]


@dataclass(frozen=True)
class Law:
    """A law made ready: as functions of tensors, with what these read; how the state is groups of coordinates, where
    its transitions are matrices; how these are worked out `anew`, where a normal law reads learned numbers."""

    process: Process
    beside: Beside | None
    layout: Layout | None
    anew: AbstractAnew | None

    def under(self, p: Parameters, ctx: StepContext, like: Tensor) -> Process:
        """The law under these parameters and this context."""
        return self.process if self.beside is None else self.beside.bound(self.process, p, ctx, like)


def states(op: Simulation, p: Parameters, x: Tensor, ctx: StepContext) -> Iterator[tuple[float, Tensor]]:
    """(t, x_t) after each step, up to the end; the draws are those of the whole time wherever the end is."""
    scheme, noise, ready = op.scheme(ctx.event.shape), ctx.noise["path"], ctx.plan
    grid = grid_of(op, scheme.steps)
    if isinstance(scheme, Exact):
        moves = moves_of(op, p, ready.anew)
        for i, t in enumerate(grid[1:]):
            x = drawn(moves[i], ready.layout, x, noise[:, i])
            yield t, x
        return
    law = ready.under(p, ctx, x)
    for i, (t, after) in enumerate(pairwise(grid)):
        x = advance(scheme, law, x, t, after - t, noise[:, i])
        yield after, x


def _forward(op: Simulation, p: Parameters, x: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    """The state at the end; no log-determinant belongs to a draw."""
    for _, state in states(op, p, x, ctx):
        x = state
    return x, x.new_zeros(())


def _inverse(op: Simulation, p: Parameters, y: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    """Between normal laws: a map whose density at the start is that at the end."""
    return undone(op, p, ctx.plan.anew, ctx.plan.layout, y)


def _plan(op: Simulation, event: Type, given: Type | None) -> Law:
    path, anew = op.gaussian(event.shape), anew_of(op, event.shape)
    layout = layout_of(path) if isinstance(path, JointPath) else None
    if isinstance(anew, ByMatrix):
        places = tuple(range(event.size))
        layout = Layout(places, places, 0, 1)
    return Law(process_of(op, event), beside_of(op, event), layout, anew)


def _examine(op: Simulation, event: Type, modules: Modules, like: Tensor) -> None:
    """Run each network of the user's own on random states and times."""
    generator, addresses = torch.Generator().manual_seed(0), dict(op.externals())
    shapes = {**dict(op.parts_of(event.shape)), **op.beside(event.shape)}
    for reading in op.applied.all_readings:
        if isinstance(op.applied.net(reading.net).op, External):
            drawn = [torch.randn(3, *shape_of(arg, shapes), generator=generator) for arg in reading.args]
            module = modules[addresses[reading.net]]
            tried(reading.net, module, [v.to(like) for v in drawn], shapes[reading.symbol])


TWINS: dict[Any, StepTwin] = {
    Simulation: StepTwin(_forward, _inverse, tables=transition_tables, plan=_plan, examine=_examine, loop="bounded")
}
