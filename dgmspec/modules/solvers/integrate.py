"""Solving an ordinary differential equation: its end, its gradients, its states at given times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from dgmspec.algebra.tableaux import TABLEAUX, Tableau
from dgmspec.modules.solvers.adaptive import search
from dgmspec.modules.solvers.control import Tolerance
from dgmspec.modules.solvers.dense import between, on_the_way
from dgmspec.modules.solvers.failure import SolverError
from dgmspec.modules.solvers.gradients import continuous_adjoint, recomputed
from dgmspec.modules.solvers.steps import Field, Number, Problem, State, Values, even
from dgmspec.modules.twin import flat_rows

__all__ = ["Adaptive", "Fixed", "Gradient", "Solution", "Solver", "Trajectory", "integrate", "locate", "trajectory"]

Gradient = Literal["direct", "adjoint", "checkpoint"]


@dataclass(frozen=True)
class Fixed:
    """`steps` equal steps of any method."""

    method: str
    steps: int

    @property
    def tableau(self) -> Tableau:
        return TABLEAUX[self.method]

    def refined(self) -> Fixed:
        """The solver that a likelihood is checked with: twice the steps."""
        return replace(self, steps=2 * self.steps)


@dataclass(frozen=True)
class Adaptive:
    """Steps of a method that estimates its error, chosen row by row."""

    method: str
    rtol: float = 1e-5
    atol: float = 1e-5
    max_steps: int = 10_000

    @property
    def tableau(self) -> Tableau:
        return TABLEAUX[self.method]

    def tolerance(self, rates: int) -> Tolerance:
        """What the steps keep to: of the rates, the first is controlled."""
        return Tolerance(self.rtol, self.atol, self.max_steps, controlled=min(rates, 1))

    def refined(self) -> Adaptive:
        """The solver that a likelihood is checked with: a tenth of the tolerance."""
        return replace(self, rtol=self.rtol / 10, atol=self.atol / 10)


Solver = Fixed | Adaptive


class Solution(NamedTuple):
    """y at the end, the integrals of the rates from t0 to t1, (batch,) each, and how often the field was called."""

    y: Tensor
    integrals: tuple[Tensor, ...]
    evaluations: int


class Trajectory(NamedTuple):
    """The same at several times, (times, batch, …)."""

    y: Tensor
    integrals: tuple[Tensor, ...]
    evaluations: int


def integrate(
    field: Field,
    y: Tensor,
    t0: Number,
    t1: Number,
    p: Values,
    solver: Solver,
    gradient: Gradient = "direct",
    *,
    rates: int = 1,
    seminorm: bool = True,
) -> Solution:
    """Solve ``dy/dt = f`` from y at t0 to t1, which may be earlier, and integrate the field's `rates` along the way.

    Fixed steps with ``direct`` are straight-line code. An adaptive solve finds its steps without gradients and, where
    gradients are wanted, walks them again. ``checkpoint`` keeps states between steps only and does the steps again on
    the way back. ``adjoint`` does the same on fixed steps, whose gradients it so meets to rounding; for an adaptive
    solver it solves the adjoint equation backwards, all rows in one step, with the parameters' integrals in its
    error norm unless `seminorm` leaves them out.
    """
    problem, state = Problem(field, p, solver.tableau, t0, t1), _started(y, rates)
    if not isinstance(t0, Tensor) and not isinstance(t1, Tensor) and t0 == t1:
        return Solution(y, state[1:], 0)
    wanted = torch.is_grad_enabled() and any(v.requires_grad for v in (y, *p.values(), t0, t1) if isinstance(v, Tensor))
    if isinstance(solver, Fixed):
        grid, evaluations = even(solver.steps), solver.steps * solver.tableau.stages
    else:
        keep = solver.tolerance(rates)
        found = search(_numbered(problem), y, keep)
        grid, evaluations = found.grid, found.evaluations
        if not wanted:
            return Solution(found.state[0], found.state[1:], evaluations)
        if gradient == "adjoint":
            keep = replace(keep, together=True, controlled=0 if seminorm else len(p))
            state = continuous_adjoint(problem, y, found.state, keep)
            return Solution(state[0], state[1:], evaluations)
        evaluations += len(grid) * solver.tableau.stages
    if gradient == "direct" or not wanted:
        state = problem.end(state, grid)
    else:
        state = recomputed(problem, state, grid)
    return Solution(state[0], state[1:], evaluations)


def trajectory(
    field: Field, y: Tensor, times: Sequence[float], p: Values, solver: Solver, *, rates: int = 1
) -> Trajectory:
    """The solution at `times`, which rise or fall; y is given at the first.

    Fixed steps divide the whole span; a time between two of them costs one more, shorter step. An adaptive solver
    chooses its steps as without these times and interpolates to order 4 (3 for heun and bosh3).
    """
    rises = {(b > a) - (b < a) for a, b in pairwise(times)}
    if rises not in ({1}, {-1}):
        raise ValueError("the times of a trajectory are at least two, and rise or fall")
    ends, span = (times[0], times[-1]), times[-1] - times[0]
    problem, state = Problem(field, p, solver.tableau, *ends), _started(y, rates)
    places = [(t - ends[0]) / span for t in times[1:]]
    if isinstance(solver, Fixed):
        found, steps = on_the_way(problem, state, even(solver.steps), places)
        evaluations = steps * solver.tableau.stages
    else:
        chosen = search(problem, y, solver.tolerance(rates))
        found = between(problem, state, chosen.grid, places)
        evaluations = chosen.evaluations + len(chosen.grid) * (solver.tableau.stages + 1)
    at, *integrals = (torch.stack(values) for values in zip(state, *found, strict=True))
    return Trajectory(at, tuple(integrals), evaluations)


@torch.no_grad()
def locate(
    field: Field, y: Tensor, t0: float, t1: float, p: Values, solver: Fixed, *, rates: int = 1
) -> SolverError | None:
    """Where a solve on fixed steps, which does not look at its numbers, first stopped being finite."""
    problem, grid = Problem(field, p, solver.tableau, t0, t1), even(solver.steps)
    for (place, size), (state, _) in zip(grid, problem.walk(_started(y, rates), grid), strict=True):
        lost = ~torch.stack([flat_rows(v).isfinite().all(1) for v in state]).all(0)
        if lost.any():
            t = float(problem.at(place + size, y))
            return SolverError("nonfinite", "the state stops being finite", t, int(lost.to(torch.uint8).argmax()))
    return None


def _numbered(problem: Problem) -> Problem:
    """The same with ends that are numbers."""
    t0, t1 = problem.ends()
    return replace(problem, t0=t0, t1=t1)


def _started(y: Tensor, rates: int) -> State:
    return (y, *(y.new_zeros(y.shape[:1]) for _ in range(rates)))
