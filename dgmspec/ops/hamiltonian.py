"""Hamiltonian Monte Carlo: chains that follow the motion of a point on the landscape of -log p, each a sample.

Every chain is one of its own: its step size and its masses are found in its own warm-up, so that a sample depends on
the seed and its index alone.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from dgmspec.ops.langevin import AbstractChain, Count

__all__ = ["Hmc"]

Warmup = Annotated[int, Field(ge=0, strict=True)]
Share = Annotated[float, Field(gt=0, lt=1, strict=True)]


class Hmc(AbstractChain):
    """Momenta p ~ N(0, M), then `leapfrog` steps p += ε/2 ∇log p(x), x += ε M⁻¹ p, p += ε/2 ∇log p(x), whose end is
    taken with the chance min(1, exp(H - H')), H = -log p(x) + pᵀM⁻¹p / 2, else the chain stays.

    The leapfrog keeps volume and runs backwards exactly, so p is the stationary law for every ε. In `warmup` further
    steps before them, which leave nothing else behind, ε is moved towards a mean chance of `target` by dual averaging
    and the diagonal M⁻¹ becomes the variance of what the chain has seen, in windows of doubling length (ε alone, where
    there are less than 20); afterwards both stay. `step_size` is where ε starts, and ε itself where `warmup` is 0. Each
    step takes ε times a number uniform in (0.8, 1.2), so that no orbit closes.

    Neal 2011, "MCMC using Hamiltonian dynamics"; Hoffman and Gelman 2014, section 3.2, with their γ, t0 and κ.
    """

    name: ClassVar[str] = "hmc"
    examples: ClassVar[tuple[str, ...]] = (
        "hmc(steps = 100, step_size = 0.1)",
        "hmc(50, 0.2, leapfrog = 20, warmup = 200, target = 0.9, start = 2)",
    )
    compares: ClassVar[bool] = True

    leapfrog: Count = Field(10, description="leapfrog steps to each proposal")
    warmup: Warmup = Field(100, description="steps before, in which the step size and the masses are found")
    target: Share = Field(0.8, description="mean chance of a proposal that the warm-up aims at")
