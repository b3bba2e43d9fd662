"""Samplers that need a log-density alone, up to a constant: chains along its slope, one a sample, with noise.

Each chain starts at a draw from N(0, start²) and keeps the value of its last step, so that samples are independent. How
many steps the law takes to be reached is the author's to know: modes far apart for the noise are left rarely. A
variable that lives on an interval is moved as the number of ℝ that `exp` or `sigmoid` take to it, its density with that
map's slope.
"""

from __future__ import annotations

from abc import ABC
from typing import Annotated, ClassVar

from pydantic import Field

from dgmspec.core.samplers import MOST_STEPS, AbstractSampler

__all__ = ["AbstractChain", "Count", "Langevin", "Mala", "Positive"]

Count = Annotated[int, Field(ge=1, le=MOST_STEPS, strict=True)]
Positive = Annotated[float, Field(gt=0, strict=True, allow_inf_nan=False)]


class AbstractChain(AbstractSampler, ABC):
    """Steps x ← x + η/2 ∇log p(x) + √η z of independent chains."""

    by_density: ClassVar[bool] = True

    steps: Count = Field(description="steps of each chain")
    step_size: Positive = Field(description="η, the variance of a step's noise")
    start: Positive = Field(1.0, description="standard deviation of the normal draws that chains start from")


class Langevin(AbstractChain):
    """x ← x + η/2 ∇log p(x) + √η z: Euler-Maruyama steps of dx = ½ ∇log p dt + dW, whose stationary law is p.

    Caveat: the steps' own stationary law is p only as η → 0; a normal law of variance 1 becomes one of 1 / (1 - η/4).
    `mala` has no such error. Roberts and Tweedie 1996.
    """

    name: ClassVar[str] = "langevin"
    examples: ClassVar[tuple[str, ...]] = ("langevin(steps = 1_000, step_size = 0.01)", "langevin(100, 0.1, start = 3)")


class Mala(AbstractChain):
    """`langevin` whose step to y is taken with the chance min(1, p(y) q(x|y) / (p(x) q(y|x))), q the normal law of a
    step, else the chain stays: its stationary law is p for every η.

    A share of about 0.57 of steps taken mixes fastest in many dimensions; η is then of the order d^(-1/3).

    Roberts and Tweedie 1996; Roberts and Rosenthal 1998.
    """

    name: ClassVar[str] = "mala"
    examples: ClassVar[tuple[str, ...]] = ("mala(steps = 500, step_size = 0.5)", "mala(100, 0.1, start = 3)")
    compares: ClassVar[bool] = True
