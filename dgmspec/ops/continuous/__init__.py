"""Continuous dynamics: the velocity of an `ode` arrow, its solver, its trace, and the step that the arrow becomes."""

from dgmspec.ops.continuous.ode import Ode
from dgmspec.ops.continuous.solvers import AbstractAdaptive, AbstractFixed, AbstractSolver
from dgmspec.ops.continuous.traces import AbstractTrace, Exact, Hutchinson
from dgmspec.ops.continuous.velocity import Gradient, Seen, Velocity

__all__ = [
    "AbstractAdaptive",
    "AbstractFixed",
    "AbstractSolver",
    "AbstractTrace",
    "Exact",
    "Gradient",
    "Hutchinson",
    "Ode",
    "Seen",
    "Velocity",
]
