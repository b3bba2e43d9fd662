"""Twins of Markov transitions: the same moves both ways, and the change of the energy that they add.

Which moves are taken is worked out without gradients; the end of the taken ones is then a function of the start and of
the parameters through which gradients pass. A proposal without an energy is never taken, and no gradient meets it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor

from dgmspec.core.types import Type
from dgmspec.modules.continuous.constants import seen_value
from dgmspec.modules.expressions import Prepared, as_tensor, prepare
from dgmspec.modules.hamiltonian import State, leapfrog, look
from dgmspec.modules.hamiltonian import energy as hamiltonian
from dgmspec.modules.initial import learned_value
from dgmspec.modules.langevin import Field
from dgmspec.modules.nets import below, context_features
from dgmspec.modules.nets.applied import net_value
from dgmspec.modules.registry import net_twin, resolve_held
from dgmspec.modules.twin import Parameters, StepContext, StepTwin, by_row
from dgmspec.ops.authored import OwnNet, Reading
from dgmspec.ops.transitions import STATE, AbstractTransition, Hmc, Metropolis

Result = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class _Ready:
    """The closures of an energy: of its formula, and of what its nets are applied to, in order."""

    formula: Prepared
    readings: tuple[tuple[Reading, OwnNet, tuple[Prepared, ...]], ...]


def _plan(op: AbstractTransition, event: Type, given: Type | None) -> _Ready:
    nets = {net.name: net for net, _ in op.energy.nets}
    for net in nets.values():
        net_twin(net.op)
        resolve_held(net.op)
    readings = tuple((r, nets[r.net], tuple(map(prepare, r.args))) for r in op.energy.readings)
    return _Ready(prepare(op.energy.formula), readings)


@dataclass(frozen=True)
class _Landscape:
    """An energy under these parameters and this context, `fixed` by name. Its nets drop no units: it is one function of
    the state."""

    ready: _Ready
    p: Parameters
    fixed: Mapping[str, Tensor]

    def energy(self, x: Tensor) -> Tensor:
        """E, (batch,)."""
        rows, env = x.shape[0], {**self.fixed, STATE: x}
        for reading, net, args in self.ready.readings:
            inputs = [as_tensor(arg(env, x), x) for arg in args]
            env[reading.symbol] = net_value(net, below(self.p, net.name), inputs, x, net.size.shape)
        return as_tensor(self.ready.formula(env, x), x).expand(rows)

    def field(self, x: Tensor) -> Result:
        """-E and its slope, row by row."""

        def total(at: Tensor) -> Result:
            value = -self.energy(at)
            return value.sum(), value

        slope, (_, value) = torch.func.grad_and_value(total, has_aux=True)(x)
        return value, slope


def _landscape(op: AbstractTransition, p: Parameters, like: Tensor, ctx: StepContext, held: bool = False) -> _Landscape:
    """The energy of a step; `held` passes no gradient to parameters."""
    own = {name: value.detach() for name, value in p.items()} if held else p
    fixed = {c.name: learned_value(c.support, own[c.name]) for c, _ in op.energy.learned}
    if op.energy.seen:
        assert ctx.given is not None and ctx.given_type is not None
        features = context_features(ctx.given, ctx.given_type, like)
        fixed |= {seen.name: seen_value(ctx.given, features, seen) for seen in op.energy.seen}
    return _Landscape(ctx.plan, own, fixed)


def _added(land: _Landscape, x: Tensor, y: Tensor, moved: Tensor, ctx: StepContext) -> Tensor:
    """E(y) - E(x): nothing where no move was taken, whether x has an energy or not."""
    return torch.where(moved, land.energy(y) - land.energy(x), 0.0) if ctx.counted else x.new_zeros(())


# ---- metropolis -----------------------------------------------------------------------------------------------------


def _metropolis(op: Metropolis, p: Parameters, x: Tensor, ctx: StepContext, way: str) -> Result:
    proposals, chances = ctx.noise[f"proposal{way}"], ctx.noise[f"chance{way}"]
    held, here = _landscape(op, p, x, ctx, held=True), x.detach()
    value = held.energy(here)
    moved = torch.zeros_like(value, dtype=torch.bool)
    for i in range(op.steps):
        there = here + op.scale * proposals[:, i]
        other = held.energy(there)
        taken = chances[:, i].log() < value - other
        here, value = torch.where(by_row(taken, x), there, here), torch.where(taken, other, value)
        moved = moved | taken
    y = x + (here - x.detach())
    return y, _added(_landscape(op, p, x, ctx), x, y, moved, ctx)


# ---- hmc ------------------------------------------------------------------------------------------------------------


def _hmc(op: Hmc, p: Parameters, x: Tensor, ctx: StepContext, way: str) -> Result:
    momenta, chances = ctx.noise[f"momentum{way}"], ctx.noise[f"chance{way}"]
    y, taken = _orbits(op, _landscape(op, p, x, ctx, held=True).field, x.detach(), momenta, chances)
    land = _landscape(op, p, x, ctx)
    if torch.is_grad_enabled():
        y = _followed(op, land.field, x, momenta, taken)
    return y, _added(land, x, y, taken.any(1), ctx)


def _orbits(op: Hmc, field: Field, x: Tensor, momenta: Tensor, chances: Tensor) -> Result:
    """Where all orbits together end, and which of them were taken, (batch, steps)."""
    mass, step = x.new_ones(()), torch.full_like(x, op.step_size)
    here, every = look(field, x), []
    for i in range(op.steps):
        p = momenta[:, i]
        there, end = leapfrog(field, here, p, step, mass, op.leapfrog)
        gained = hamiltonian(there, end, mass) - hamiltonian(here, p, mass)
        taken = chances[:, i].log() < -gained
        rows = by_row(taken, x)
        here = State(
            torch.where(rows, there.x, here.x),
            torch.where(taken, there.value, here.value),
            torch.where(rows, there.slope, here.slope),
        )
        every.append(taken)
    return here.x, torch.stack(every, 1)


def _followed(op: Hmc, field: Field, x: Tensor, momenta: Tensor, taken: Tensor) -> Tensor:
    """The end of the taken orbits, with gradients: along the others no time passes."""
    here, mass = look(field, x), x.new_ones(())
    for i in range(op.steps):
        step = op.step_size * by_row(taken[:, i].to(x.dtype), x)
        here, _ = leapfrog(field, here, momenta[:, i], step, mass, op.leapfrog)
    return here.x


TWINS: Final[dict[type[Any], StepTwin]] = {
    op: StepTwin(partial(function, way=""), partial(function, way="_back"), plan=_plan, loop="bounded")
    for op, function in ((Metropolis, _metropolis), (Hmc, _hmc))
}
