"""Schemes that simulate dx = f(x, t) dt + g(x, t) dW step by step, each coordinate driven by noise of its own, or all
by a matrix g(t) that does not read the state.

A scheme of strong order p errs by O(h^p) along each path, h being the step: compared with the exact path of the same
Brownian motion. ΔW = √h z is its increment over a step, and ΔZ = ∫ (W_s - W_t) ds over the step divided by h.
"""

from __future__ import annotations

from abc import ABC
from typing import ClassVar

from pydantic import Field

from dgmspec.core.op import AbstractOp
from dgmspec.ops.continuous.solvers import MAX_STEPS

__all__ = ["AbstractScheme", "EulerMaruyama", "Exact", "Heun", "Milstein", "Srk"]


class AbstractScheme(AbstractOp, ABC):
    """Equal steps from the start of the time to its end."""

    role: ClassVar[str] = "scheme"
    noises: ClassVar[int] = 1
    """Standard normal numbers that a step takes for each coordinate."""
    additive: ClassVar[bool] = False
    """Whether the diffusion has to be a function of the time alone."""
    separate: ClassVar[bool] = False
    """Whether each coordinate of the diffusion has to read its own coordinate of the state alone."""
    sloped: ClassVar[bool] = False
    """Whether the scheme itself reads ∂g_i/∂x_i."""

    steps: int = Field(500, ge=1, le=MAX_STEPS, description="how many equal steps")


class EulerMaruyama(AbstractScheme):
    """x + f h + g ΔW, in Itô's calculus.

    Strong order 1/2, and 1 where the diffusion does not read the state. Maruyama 1955; Kloeden and Platen 1992, 10.2.
    """

    name: ClassVar[str] = "euler_maruyama"
    examples: ClassVar[tuple[str, ...]] = ("euler_maruyama(steps = 1_000)",)


class Heun(AbstractScheme):
    """The mean of drift and diffusion over both ends of a step, the far end by Euler's rule with the same ΔW.

    It solves Stratonovich's equation: for an Itô one the drift is corrected to f_i - g_i ∂g_i/∂x_i / 2, the derivative
    taken from the formula. Strong order 1 where each coordinate of the diffusion reads its own coordinate of the state
    alone. Rümelin 1982; Kloeden and Platen 1992, 15.5.
    """

    name: ClassVar[str] = "heun"
    examples: ClassVar[tuple[str, ...]] = ("heun(steps = 200)",)
    separate: ClassVar[bool] = True


class Milstein(AbstractScheme):
    """x + f h + g ΔW + g_i ∂g_i/∂x_i (ΔW² - h) / 2, in Itô's calculus, the derivative taken from the formula.

    Strong order 1, where each coordinate of the diffusion reads its own coordinate of the state alone. Milstein 1974;
    Kloeden and Platen 1992, 10.3.
    """

    name: ClassVar[str] = "milstein"
    examples: ClassVar[tuple[str, ...]] = ("milstein(steps = 500)",)
    separate: ClassVar[bool] = True
    sloped: ClassVar[bool] = True


class Srk(AbstractScheme):
    """The stochastic Runge-Kutta scheme SRA1, two evaluations of the drift a step and two normal numbers a coordinate:

    y = x + 3/4 f(x, t) h + 3/2 g(t + h) ΔZ,
    x + (f(x, t) + 2 f(y, t + 3/4 h)) h / 3 + g(t + h) (ΔW - ΔZ) + g(t) ΔZ.

    Strong order 3/2, for a diffusion that is a function of the time alone. Rößler 2010, "Runge-Kutta methods for the
    strong approximation of solutions of stochastic differential equations", table 6.3.
    """

    name: ClassVar[str] = "srk"
    examples: ClassVar[tuple[str, ...]] = ("srk(steps = 100)",)
    noises: ClassVar[int] = 2
    additive: ClassVar[bool] = True


class Exact(AbstractScheme):
    """Draws from the law of the state given the last step's, N(α x + m, σ²) or N(Φ x + m, L Lᵀ) where coordinates mix,
    derived from an affine drift: right for steps of any length, so one is enough for the end."""

    name: ClassVar[str] = "exact"
    examples: ClassVar[tuple[str, ...]] = ("exact", "exact(steps = 100)")

    steps: int = Field(1, ge=1, le=MAX_STEPS, description="how many equal steps")
