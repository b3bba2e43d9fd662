"""Solvers of ordinary differential equations: Runge-Kutta methods with fixed steps, or with steps that follow an error.

A method of order p errs by O(h^p) over a fixed time, h being the step. Fixed steps cost the same whatever the velocity
and compile to one graph; adaptive ones take what the tolerance asks for, row by row.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Self

from pydantic import Field

from dgmspec.algebra.tableaux import TABLEAUX, Tableau
from dgmspec.core.op import AbstractOp

MAX_STEPS = 10_000


class AbstractSolver(AbstractOp, ABC):
    """A Runge-Kutta method."""

    role: ClassVar[str] = "solver"

    @property
    def tableau(self) -> Tableau:
        """Its coefficients, order and stages."""
        return TABLEAUX[self.name]

    @abstractmethod
    def refined(self) -> Self:
        """The same method at twice the steps or a tenth of the tolerance: what a likelihood is held against."""

    @abstractmethod
    def evaluations(self) -> int | None:
        """How often one solve evaluates the velocity; None where that depends on it."""

    @abstractmethod
    def promise(self) -> str:
        """What a solve is taken to be, and is held against a finer one."""


class AbstractFixed(AbstractSolver, ABC):
    """Equal steps from start to end."""

    steps: int = Field(20, ge=1, le=MAX_STEPS, description="how many equal steps")

    def refined(self) -> Self:
        return self.model_copy(update={"steps": min(2 * self.steps, MAX_STEPS)})

    def evaluations(self) -> int:
        return self.steps * self.tableau.stages

    def promise(self) -> str:
        return f"{self.steps} step{'s' * (self.steps > 1)} of {self.name}, against twice as many at every validation"


class AbstractAdaptive(AbstractSolver, ABC):
    """Steps chosen so that each row's estimated error stays below ``atol + rtol |y|``."""

    rtol: float = Field(1e-5, gt=0, le=0.1, description="tolerance relative to the state's size")
    atol: float = Field(1e-5, gt=0, le=0.1, description="absolute tolerance")
    max_steps: int = Field(MAX_STEPS, ge=1, le=10**6, description="steps after which a solve is given up")

    def refined(self) -> Self:
        return self.model_copy(update={"rtol": self.rtol / 10, "atol": self.atol / 10})

    def evaluations(self) -> None:
        return None

    def promise(self) -> str:
        return f"{self.name} to rtol {self.rtol:g}, atol {self.atol:g}, against a tenth of it at every validation"


class Euler(AbstractFixed):
    """Euler's method, order 1: ``y ← y + h f(y, t)``, a residual layer."""

    name: ClassVar[str] = "euler"
    examples: ClassVar[tuple[str, ...]] = ("euler(steps = 4)",)


class Midpoint(AbstractFixed):
    """The midpoint method, order 2."""

    name: ClassVar[str] = "midpoint"
    examples: ClassVar[tuple[str, ...]] = ("midpoint(steps = 4)",)


class Heun(AbstractFixed):
    """Heun's method (the explicit trapezoidal rule), order 2."""

    name: ClassVar[str] = "heun"
    examples: ClassVar[tuple[str, ...]] = ("heun(steps = 4)",)


class Rk4(AbstractFixed):
    """The classical Runge-Kutta method, order 4."""

    name: ClassVar[str] = "rk4"
    examples: ClassVar[tuple[str, ...]] = ("rk4(steps = 4)",)


class Bosh3(AbstractAdaptive):
    """Bogacki and Shampine's pair of orders 3 and 2. Reference: Applied Mathematics Letters 2, 1989."""

    name: ClassVar[str] = "bosh3"
    examples: ClassVar[tuple[str, ...]] = ("bosh3(rtol = 1e-4, atol = 1e-4)",)


class Dopri5(AbstractAdaptive):
    """Dormand and Prince's pair of orders 5 and 4. Reference: J. of Computational and Applied Mathematics 6, 1980."""

    name: ClassVar[str] = "dopri5"
    examples: ClassVar[tuple[str, ...]] = ("dopri5(rtol = 1e-5, atol = 1e-5)", "dopri5(max_steps = 1000)")


class Tsit5(AbstractAdaptive):
    """Tsitouras' pair of orders 5 and 4. Reference: Computers and Mathematics with Applications 62, 2011."""

    name: ClassVar[str] = "tsit5"
    examples: ClassVar[tuple[str, ...]] = ("tsit5(rtol = 1e-5)",)


class Dopri8(AbstractAdaptive):
    """Prince and Dormand's pair of orders 8 and 7. Reference: J. of Computational and Applied Mathematics 7, 1981."""

    name: ClassVar[str] = "dopri8"
    examples: ClassVar[tuple[str, ...]] = ("dopri8(rtol = 1e-8, atol = 1e-8)",)
