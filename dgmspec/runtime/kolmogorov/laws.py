"""The author's equation as functions of points and times, and of arrays; and where nothing is tried of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.algebra.paths.parts import Parts, shares_noise
from dgmspec.core.types import Shape, Type
from dgmspec.modules.expressions import as_tensor, prepare
from dgmspec.modules.paths import coefficients
from dgmspec.modules.paths.process import field_of
from dgmspec.modules.registry import step_twin
from dgmspec.modules.twin import StepContext
from dgmspec.ops.paths.arrows import Sde
from dgmspec.ops.paths.joint import JointSde
from dgmspec.ops.paths.noising import AbstractNoising
from dgmspec.ops.paths.process import AbstractProcess
from dgmspec.ops.paths.simulation import Simulation
from dgmspec.runtime.kolmogorov.residual import Law

__all__ = ["at_once", "function_of", "law_of", "law_under", "on_arrays", "untried"]

Array = NDArray[np.float64]


def law_of(op: Any, shape: Shape) -> Law:
    """The author's drift and diffusion; of a written kernel the process that it belongs to."""
    if isinstance(op, (Sde, JointSde, AbstractProcess)):
        parts = ((op.state, shape),) if isinstance(op, Sde) else op.parts_of(shape)
        drift = function_of(op.drift, parts, op.time, shape)
        if shares_noise(op.diffusion, parts, {op.time: ()}):
            matrix = prepare(op.diffusion)
            return Law(drift, lambda x, t: as_tensor(matrix({op.time: t}, x), x), mixed=True)
        return Law(drift, function_of(op.diffusion, parts, op.time, shape))
    plan = coefficients.plan(op.path(shape), len(shape), op.start(shape))

    def rates(x: Tensor, t: Tensor) -> list[Tensor]:
        found = coefficients.rates(plan, t, torch.float64)
        return [value.reshape(len(t), -1).expand_as(x) for value in found]

    return Law(lambda x, t: (found := rates(x, t))[0] * x + found[1], lambda x, t: rates(x, t)[2].sqrt())


def law_under(op: Simulation, event: Type, p: Mapping[str, Tensor]) -> Law:
    """The same of a law that applies nets, under these parameters of theirs."""
    plan, like = step_twin(op).plan(op, event, None), torch.zeros(1, *event.shape, dtype=torch.float64)
    own = {name: value.detach().double() for name, value in p.items()}
    process = plan.under(own, StepContext(event, plan=plan), like)

    def function(field: Callable[..., Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda x, t: field(x.reshape(len(x), *event.shape), t).reshape(x.shape)

    return Law(function(process.drift), function(process.spread))


def untried(op: AbstractNoising | AbstractProcess, event: Type, context: bool = False) -> str:
    """Why nothing is tried of a process, which may have a context; empty where it is."""
    if event.size > 2:
        return f"{event} has more than two coordinates"
    if isinstance(op, Simulation) and op.externals():
        return "its law applies a network of the user's own"
    if isinstance(op, Simulation) and (op.applied.seen or (op.applied.in_place and context)):
        return "its law reads a context"
    if isinstance(op, AbstractNoising) or (isinstance(op, Simulation) and op.known and op.start is not None):
        return ""
    if op.shares_noise(event.shape):
        return "its coordinates share noises, and no law is derived"
    silent = op.silent(event.shape)
    return f"noise reaches `{silent[0]}` by the drift alone, which cells blur, and no law is derived" if silent else ""


def function_of(formula: AbstractExpr, parts: Parts, time: str, shape: Shape) -> Callable[[Tensor, Tensor], Tensor]:
    """A formula as a function of x (n, d) and t (n,)."""
    run = field_of(formula, parts, time)
    return lambda x, t: run(x.reshape(len(x), *shape), t).reshape(x.shape)


def at_once(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, float], Tensor]:
    """All points at one time."""
    return lambda x, t: function(x, torch.full((len(x),), t, dtype=torch.float64))


def on_arrays(function: Callable[[Tensor, float], Tensor]) -> Callable[[Array, float], Array]:
    """The same on arrays."""
    return lambda x, t: function(torch.from_numpy(x), t).numpy()
