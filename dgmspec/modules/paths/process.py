"""The law of a process as functions of tensors, and one step of each scheme, over times that may differ from row to
row. A joint state is one vector."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import torch
from torch import Tensor

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.algebra.paths.parts import Parts, listed
from dgmspec.core.types import Type
from dgmspec.modules.expressions import as_tensor, prepare
from dgmspec.ops.paths.process import AbstractProcess
from dgmspec.ops.paths.schemes import AbstractScheme, EulerMaruyama, Heun, Milstein, Srk

__all__ = ["STEPS", "Field", "Process", "Time", "advance", "environment", "field_of", "process_of"]

NOTHING: Final[Mapping[str, Any]] = {}

Time = float | Tensor
"""One time for all rows, or one a row that broadcasts against events, (batch, 1, …)."""
Field = Callable[..., Tensor]
"""(x (batch, *event), t: Time) -> a value of the shape of x; of a formula that reads more, by name, that as a third."""


@dataclass(frozen=True)
class Process:
    """dx = drift dt + spread dW in Itô's calculus; `slope` is ∂g_i/∂x_i, None where it is 0 or nobody asks for it."""

    drift: Field
    spread: Field
    slope: Field | None = None
    mixed: bool = False
    """Whether `spread` is a matrix, (batch, d, d), of noises that coordinates share."""

    def kick(self, spread: Tensor, noise: Tensor) -> Tensor:
        """What noise (batch, *event) adds: g_i z_i, or G z."""
        return (spread * noise.unsqueeze(1)).sum(2) if self.mixed else spread * noise

    def half_square(self, x: Tensor, t: Time) -> Tensor | float:
        """g_i ∂g_i/∂x_i / 2: what Stratonovich's drift lacks to Itô's."""
        return 0.0 if self.slope is None else 0.5 * self.spread(x, t) * self.slope(x, t)


def environment(x: Tensor, t: Time, parts: Parts, time: str) -> dict[str, Any]:
    """The time and the parts of the state by name."""
    env: dict[str, Any] = {time: t.reshape(-1) if isinstance(t, Tensor) else t}
    if len(parts) == 1:
        return env | {parts[0][0]: x}
    pieces = torch.split(x, [prod(shape) for _, shape in parts], 1)
    return env | {name: own.reshape(x.shape[0], *shape) for (name, shape), own in zip(parts, pieces, strict=True)}


def field_of(formula: AbstractExpr, parts: Parts, time: str) -> Field:
    """A formula of the state and the time; of a joint state a list of one for each part, end to end in the event."""
    runs = [prepare(item) for item in listed(formula, parts, "law")]

    def values(x: Tensor, t: Time, beside: Mapping[str, Any] = NOTHING) -> Tensor:
        env = {**beside, **environment(x, t, parts, time)}
        if len(parts) == 1:
            return _expanded(runs[0](env, x), x)
        found = [_expanded(run(env, x), env[name]) for run, (name, _) in zip(runs, parts, strict=True)]
        return torch.cat([value.reshape(x.shape[0], -1) for value in found], 1)

    return values


def _expanded(value: Tensor | float, x: Tensor) -> Tensor:
    """A value of a formula with the shape of x, (batch, *event)."""
    found = as_tensor(value, x)
    missing = x.dim() - found.dim() if found.dim() else 0
    return found.reshape(*found.shape[:1], *(1,) * missing, *found.shape[1:]).expand_as(x)


def process_of(op: AbstractProcess, event: Type, sloped: bool = False) -> Process:
    """The law of a step as functions of tensors, which are given what else its formulas read; `sloped` where others
    than its scheme ask for ∂g_i/∂x_i."""

    def field(formula: AbstractExpr) -> Field:
        return field_of(formula, op.parts_of(event.shape), op.time)

    drift = field(op.drift)
    if op.shares_noise(event.shape):
        matrix = prepare(op.diffusion)
        return Process(drift, lambda x, t, b=NOTHING: as_tensor(matrix({**b, op.time: t}, x), x), mixed=True)
    spread = field(op.diffusion)
    sloped = sloped or isinstance(op.scheme(event.shape), (Heun, Milstein))
    if not op.reads_state or not (op.stratonovich or sloped):
        return Process(drift, spread)
    slope = field(op.slope(event.shape).formula)
    if not op.stratonovich:
        return Process(drift, spread, slope)
    return Process(lambda x, t, b=NOTHING: drift(x, t, b) + 0.5 * spread(x, t, b) * slope(x, t, b), spread, slope)


# ---- one step -------------------------------------------------------------------------------------------------------


def _euler_maruyama(law: Process, x: Tensor, t: Time, h: Time, dw: Tensor, dz: Tensor) -> Tensor:
    return x + h * law.drift(x, t) + law.kick(law.spread(x, t), dw)


def _milstein(law: Process, x: Tensor, t: Time, h: Time, dw: Tensor, dz: Tensor) -> Tensor:
    return _euler_maruyama(law, x, t, h, dw, dz) + law.half_square(x, t) * (dw**2 - h)


def _heun(law: Process, x: Tensor, t: Time, h: Time, dw: Tensor, dz: Tensor) -> Tensor:
    first, spread = law.drift(x, t) - law.half_square(x, t), law.spread(x, t)
    y = x + h * first + law.kick(spread, dw)
    second = law.drift(y, t + h) - law.half_square(y, t + h)
    return x + h / 2 * (first + second) + law.kick((spread + law.spread(y, t + h)) / 2, dw)


def _srk(law: Process, x: Tensor, t: Time, h: Time, dw: Tensor, dz: Tensor) -> Tensor:
    first, before, after = law.drift(x, t), law.spread(x, t), law.spread(x, t + h)
    y = x + 0.75 * h * first + 1.5 * law.kick(after, dz)
    moved = x + h / 3 * (first + 2 * law.drift(y, t + 0.75 * h))
    return moved + law.kick(after, dw - dz) + law.kick(before, dz)


Step = Callable[[Process, Tensor, Any, Any, Tensor, Tensor], Tensor]
"""(law, x, t, h, ΔW, ΔZ) -> x at t + h; only `srk` looks at ΔZ."""

STEPS: Final[dict[type[AbstractScheme], Step]] = {
    EulerMaruyama: _euler_maruyama,
    Milstein: _milstein,
    Heun: _heun,
    Srk: _srk,
}


def advance(scheme: AbstractScheme, law: Process, x: Tensor, t: Time, h: Time, noise: Tensor) -> Tensor:
    """x at t + h from x at t, by standard normal numbers (batch, [noises,] *event)."""
    first, second = (noise[:, 0], noise[:, 1]) if scheme.noises == 2 else (noise, noise)
    dw = h**0.5 * first
    # ΔZ given ΔW is N(ΔW / 2, h / 12).
    return STEPS[type(scheme)](law, x, t, h, dw, dw / 2 + (h / 12) ** 0.5 * second)
