"""Solvers of ordinary differential equations: Runge-Kutta methods on fixed and adaptive steps, and their gradients."""

from dgmspec.modules.solvers.failure import REMEDIES, SolverError
from dgmspec.modules.solvers.integrate import (
    Adaptive,
    Fixed,
    Gradient,
    Solution,
    Solver,
    Trajectory,
    integrate,
    locate,
    trajectory,
)
from dgmspec.modules.solvers.steps import Field

__all__ = [
    "REMEDIES",
    "Adaptive",
    "Field",
    "Fixed",
    "Gradient",
    "Solution",
    "Solver",
    "SolverError",
    "Trajectory",
    "integrate",
    "locate",
    "trajectory",
]
