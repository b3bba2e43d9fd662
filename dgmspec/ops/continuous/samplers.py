"""Samplers along an `ode`."""

from __future__ import annotations

from typing import ClassVar

from dgmspec.core.samplers import AbstractSampler
from dgmspec.core.steps import AbstractStep
from dgmspec.ops.continuous.ode import Ode
from dgmspec.ops.continuous.solvers import AbstractSolver

__all__ = ["Solve"]


class Solve(AbstractSampler):
    """The model's own direction with its odes solved by another solver: fewer evaluations, or smaller errors."""

    name: ClassVar[str] = "solve"
    examples: ClassVar[tuple[str, ...]] = (
        "solve(euler(steps = 8))",
        "solve(solver = dopri5(rtol = 1e-6, atol = 1e-6))",
    )

    solver: AbstractSolver

    def fits(self, step: AbstractStep) -> bool:
        """Whether the step has a solver."""
        return isinstance(step, Ode)
