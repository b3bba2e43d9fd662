"""The probability flow of a noising arrow solved over √t, in which what grows like 1/√t towards the data moves evenly.

With t = low + span · u² the solver runs over u from √((t_0 - low)/span), t_0 the earliest time in use, to 1. Where
that is the start itself, σ may rise from it as a root of the time, where dσ/dt · dt/du is ∞ · 0: nothing is read nearer
to u = 0 than `_NEAREST`. What the field reads beside the state stands in one dictionary, so that gradients reach it:
parameters, the context, probes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from dgmspec.modules.continuous.ode import solver_of
from dgmspec.modules.solvers import Field, SolverError, integrate
from dgmspec.modules.traces import estimate, exact_trace, probes
from dgmspec.modules.twin import Parameters, StepContext
from dgmspec.ops.continuous import Hutchinson
from dgmspec.ops.paths.learned import AbstractLearnedPath
from dgmspec.ops.paths.settings import Flow

__all__ = ["Rooted"]

_PROBES, _CONTEXT = "probes", "context"
_NEAREST = 1e-6


@dataclass(frozen=True)
class Rooted:
    """One solve of an arrow's flow between its earliest time in use and its end."""

    ctx: StepContext
    how: Flow
    low: float
    span: float
    early: float
    """u at the earliest time in use."""

    @staticmethod
    def of(op: AbstractLearnedPath, ctx: StepContext, low: float, high: float) -> Rooted:
        """That of an arrow whose times are [low, high]."""
        assert op.likelihood is not None, f"{op.name} has no probability flow"
        early = math.sqrt((op.start(ctx.event.shape) - low) / (high - low))
        return Rooted(ctx, op.likelihood, low, high - low, early)

    def ends(self, along: bool) -> tuple[float, float]:
        """u where the solve begins and ends."""
        return (self.early, 1.0) if along else (1.0, self.early)

    def known(self, p: Parameters) -> dict[str, Tensor]:
        """What the field reads beside the state."""
        found = dict(p)
        if self.ctx.given is not None:
            found[_CONTEXT] = self.ctx.given
        if (drawn := self._hutchinson()) is not None:
            found[_PROBES] = probes(drawn.probes, self.ctx.noise["probe"])
        return found

    def given(self, p: Mapping[str, Tensor]) -> Tensor | None:
        """The context among what the field reads."""
        return p.get(_CONTEXT)

    def time(self, u: float | Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """t and dt/du, one for all rows or one a row, float64."""
        flat = u.reshape(-1) if isinstance(u, Tensor) else torch.full((1,), u, dtype=torch.float64, device=x.device)
        wide = flat.double().clamp(min=_NEAREST)
        return self.low + self.span * wide**2, 2 * self.span * wide

    def traced(self, g: Callable[[Tensor], Tensor], x: Tensor, p: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """g(x), and the trace of ∂g/∂x, (batch,), where anybody reads it: exact, or estimated along the probes."""
        if not self.ctx.counted:
            return (g(x),)
        return exact_trace(g, x) if self._hutchinson() is None else estimate(g, x, p[_PROBES])[:2]

    def solved(self, field: Field, x: Tensor, known: dict[str, Tensor], along: bool) -> tuple[Tensor, Tensor]:
        """The end of a field ``(u, x, known) -> (dx/du, trace)``, and the integral of its trace, (batch,) or 0."""
        try:
            found = integrate(
                field, x, *self.ends(along), known, solver_of(self.how.solver), rates=int(self.ctx.counted)
            )
        except SolverError as error:
            raise error.at(self.ctx.address) from error
        return found.y, found.integrals[0] if self.ctx.counted else x.new_zeros(())

    def _hutchinson(self) -> Hutchinson | None:
        """How the trace is estimated, if it is, and is read at all."""
        trace = self.how.trace_of(self.ctx.event)
        return trace if self.ctx.counted and isinstance(trace, Hutchinson) else None
