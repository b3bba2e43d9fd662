"""Torch twin of an `sde` that is run forwards: the schemes, step by step, and the way back of normal laws.

`advance` and `process_of` serve every process that is simulated, over times that may differ from row to row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import torch
from torch import Tensor

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.core.types import Type
from dgmspec.modules.expressions import as_tensor, prepare
from dgmspec.modules.twin import EXACT, Parameters, StepContext, StepTwin
from dgmspec.ops.paths.process import AbstractProcess
from dgmspec.ops.paths.schemes import AbstractScheme, EulerMaruyama, Exact, Heun, Milstein, Srk
from dgmspec.ops.paths.simulation import Simulation

__all__ = ["STEPS", "TWINS", "Process", "Time", "advance", "process_of", "states"]

Time = float | Tensor
"""One time for all rows, or one a row that broadcasts against events, (batch, 1, …)."""
Field = Callable[[Tensor, Any], Tensor]
"""(x (batch, *event), t: Time) -> a value of the shape of x."""


@dataclass(frozen=True)
class Process:
    """dx = drift dt + spread dW in Itô's calculus; `slope` is ∂g_i/∂x_i, None where it is 0 or nobody asks for it."""

    drift: Field
    spread: Field
    slope: Field | None = None

    def half_square(self, x: Tensor, t: Time) -> Tensor | float:
        """g_i ∂g_i/∂x_i / 2: what Stratonovich's drift lacks to Itô's."""
        return 0.0 if self.slope is None else 0.5 * self.spread(x, t) * self.slope(x, t)


def process_of(op: AbstractProcess, event: Type, sloped: bool = False) -> Process:
    """The law of a step as functions of tensors, `sloped` where others than its scheme ask for ∂g_i/∂x_i."""

    def field(formula: AbstractExpr) -> Field:
        run = prepare(formula)

        def values(x: Tensor, t: Time) -> Tensor:
            found = as_tensor(run({op.state: x, op.time: t.reshape(-1) if isinstance(t, Tensor) else t}, x), x)
            missing = x.dim() - found.dim() if found.dim() else 0
            return found.reshape(*found.shape[:1], *(1,) * missing, *found.shape[1:]).expand_as(x)

        return values

    drift, spread = field(op.drift), field(op.diffusion)
    sloped = sloped or isinstance(op.scheme(event.shape), (Heun, Milstein))
    if not op.reads_state or not (op.stratonovich or sloped):
        return Process(drift, spread)
    slope = field(op.slope(event.shape).formula)
    if not op.stratonovich:
        return Process(drift, spread, slope)
    return Process(lambda x, t: drift(x, t) + 0.5 * spread(x, t) * slope(x, t), spread, slope)


# ---- one step -------------------------------------------------------------------------------------------------------


def _euler_maruyama(law: Process, x: Tensor, t: Time, h: Time, dw: Tensor, dz: Tensor) -> Tensor:
    return x + h * law.drift(x, t) + law.spread(x, t) * dw


def _milstein(law: Process, x: Tensor, t: Time, h: Time, dw: Tensor, dz: Tensor) -> Tensor:
    return _euler_maruyama(law, x, t, h, dw, dz) + law.half_square(x, t) * (dw**2 - h)


def _heun(law: Process, x: Tensor, t: Time, h: Time, dw: Tensor, dz: Tensor) -> Tensor:
    first, spread = law.drift(x, t) - law.half_square(x, t), law.spread(x, t)
    y = x + h * first + spread * dw
    second = law.drift(y, t + h) - law.half_square(y, t + h)
    return x + h / 2 * (first + second) + (spread + law.spread(y, t + h)) / 2 * dw


def _srk(law: Process, x: Tensor, t: Time, h: Time, dw: Tensor, dz: Tensor) -> Tensor:
    first, before, after = law.drift(x, t), law.spread(x, t), law.spread(x, t + h)
    y = x + 0.75 * h * first + 1.5 * after * dz
    return x + h / 3 * (first + 2 * law.drift(y, t + 0.75 * h)) + after * (dw - dz) + before * dz


Step = Callable[[Process, Tensor, Any, Any, Tensor, Tensor], Tensor]
"""(law, x, t, h, ΔW, ΔZ) -> x at t + h; only `srk` looks at ΔZ."""

STEPS: Final[dict[type[AbstractScheme], Step]] = {
    EulerMaruyama: _euler_maruyama,
    Milstein: _milstein,
    Heun: _heun,
    Srk: _srk,
}


# ---- all steps ------------------------------------------------------------------------------------------------------


def states(op: Simulation, p: Parameters, x: Tensor, ctx: StepContext) -> Iterator[tuple[float, Tensor]]:
    """(t, x_t) after each step, up to the end; the draws are those of the whole time wherever the end is."""
    scheme, noise = op.scheme(ctx.event.shape), ctx.noise["path"]
    grid = grid_of(op, scheme.steps)
    if isinstance(scheme, Exact):
        moves = p[_at(op, "moves")].to(x.dtype)
        for i, t in enumerate(grid[1:]):
            alpha, mean, sigma = (_shaped(row, x) for row in moves[i])
            x = alpha * x + mean + sigma * noise[:, i]
            yield t, x
        return
    for i, (t, after) in enumerate(pairwise(grid)):
        x = advance(scheme, ctx.plan, x, t, after - t, noise[:, i])
        yield after, x


def advance(scheme: AbstractScheme, law: Process, x: Tensor, t: Time, h: Time, noise: Tensor) -> Tensor:
    """x at t + h from x at t, by standard normal numbers (batch, [noises,] *event)."""
    first, second = (noise[:, 0], noise[:, 1]) if scheme.noises == 2 else (noise, noise)
    dw = h**0.5 * first
    # ΔZ given ΔW is N(ΔW / 2, h / 12).
    return STEPS[type(scheme)](law, x, t, h, dw, dw / 2 + (h / 12) ** 0.5 * second)


def grid_of(op: Simulation, steps: int) -> list[float]:
    """The times from the start to the end, in steps of the whole time divided by `steps`, the last one shorter."""
    h = (op.high - op.low) / steps
    inner = [op.low + i * h for i in range(steps)]
    return [*(t for t in inner if t < op.end), op.end] if op.end > op.low else [op.low]


def _forward(op: Simulation, p: Parameters, x: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    """The state at the end; no log-determinant belongs to a draw."""
    for _, state in states(op, p, x, ctx):
        x = state
    return x, x.new_zeros(())


def _inverse(op: Simulation, p: Parameters, y: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    """Against the probability flow of normal laws: a shift and a scale, whose density at the start is that at the
    end."""
    ends = p[_at(op, "ends")]
    first, last, scale = (_shaped(row, y) for row in ends)
    x, each = (y.double() - last) * scale + first, ends[2].log()
    return x.to(y.dtype), (each.sum() * (ctx.event.size // len(each))).to(y.dtype)


def _at(op: Simulation, name: str) -> str:
    """The name of a table, which depends on the time of the end."""
    return f"{name}@{op.end:.17g}{EXACT}".replace(".", ",")


def _tables(op: Simulation, event: Type, given: Type | None) -> dict[str, Tensor]:
    """The transitions of the exact scheme, (steps, 3, 1 or d), and (m_0, m_T, s_0/s_T) of normal laws."""
    found: dict[str, Tensor] = {}
    scheme, marginal = op.scheme(event.shape), op.marginal(event.shape)
    if isinstance(scheme, Exact):
        path = op.gaussian(event.shape)
        assert path is not None
        grid = grid_of(op, scheme.steps)
        rows = [[c.between(s, t) for c in path.curves] for s, t in pairwise(grid)]
        found[_at(op, "moves")] = (
            torch.tensor(rows, dtype=torch.float64).reshape(-1, len(path.curves), 3).transpose(1, 2)
        )
    if marginal is not None and op.start is not None:
        first, last = (torch.tensor(item, dtype=torch.float64) for item in (op.start[0], marginal[0]))
        scale = torch.tensor(op.start[1], dtype=torch.float64) / torch.tensor(marginal[1], dtype=torch.float64)
        count = max(map(len, (first, last, scale)))
        found[_at(op, "ends")] = torch.stack([item.expand(count) for item in (first, last, scale)])
    return found


def _shaped(row: Tensor, x: Tensor) -> Tensor:
    """One number for all coordinates, or one for each of a vector, against rows of events."""
    return row.reshape(1) if len(row) == 1 else row.unsqueeze(0)


def _plan(op: Simulation, event: Type, given: Type | None) -> Process:
    return process_of(op, event)


TWINS: dict[Any, StepTwin] = {Simulation: StepTwin(_forward, _inverse, tables=_tables, plan=_plan, loop="bounded")}
