"""Distributions on a part of the line: `uniform`, `exponential`, `gamma`, `beta`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

from pydantic import model_validator

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.nets import AbstractNet
from dgmspec.core.parameters import Draw
from dgmspec.core.types import CIRCLE, POSITIVE, REAL, UNIT, Support, Type, interval, number
from dgmspec.ops.distributions.product import AbstractProduct, Finite, Noise, ParameterValue, gamma_draws


class Uniform(AbstractProduct):
    """The uniform law on an interval.

    Formula: ``p(x) = 1 / (high - low)`` for low ≤ x ≤ high, else 0.
    Shapes: any; both bounds are numbers, since they decide the support.
    Support: interval(low, high); ``uniform(-pi, pi)`` is also that of the circle.
    Sampling: ``low + (high - low) · u``, u ~ U(0, 1) kept off 0 and 1 by a rounding error.
    Caveat: the density jumps to 0 at both ends, so no gradient leads back inside.
    Reference: Johnson, Kotz and Balakrishnan, Continuous Univariate Distributions 2, chapter 26.
    """

    name: ClassVar[str] = "uniform"
    examples: ClassVar[tuple[str, ...]] = ("uniform(0, 1)", "uniform(low = -1, high = 3)")
    domains: ClassVar[Mapping[str, Support]] = {"low": REAL, "high": REAL}
    fixed: ClassVar[tuple[str, ...]] = ("low", "high")

    low: Finite | AbstractExpr | AbstractNet
    high: Finite | AbstractExpr | AbstractNet

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        low, high = self.bounds
        if low >= high:
            raise Refusal(
                "DGM471",
                f"`uniform` needs low < high, got low = {number(low)} and high = {number(high)}",
                argument="high",
                help=(
                    f"write `uniform({number(high)}, {number(low)})`" if low > high else "give it a longer interval",
                ),
            )
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        """Both bounds, which are constants."""
        assert isinstance(self.low, float) and isinstance(self.high, float)
        return self.low, self.high

    def support(self, type_: Type) -> Support:
        circle = type_.support.circular and self.bounds == (CIRCLE.low, CIRCLE.high)
        return CIRCLE if circle else super().support(type_)

    def values(self, declared: Support) -> Support:
        return interval(*self.bounds)


class Exponential(AbstractProduct):
    """The exponential law.

    Formula: ``p(x) = rate exp(-rate x)`` for x ≥ 0, else 0.
    Shapes: any.
    Support: positive.
    Sampling: ``e / rate``, e standard exponential.
    Caveat: none.
    Reference: Johnson, Kotz and Balakrishnan, Continuous Univariate Distributions 1, chapter 19.
    """

    name: ClassVar[str] = "exponential"
    examples: ClassVar[tuple[str, ...]] = ("exponential(1)", "exponential(rate = [0.5, 2])")
    domains: ClassVar[Mapping[str, Support]] = {"rate": POSITIVE}
    closed_divergence: ClassVar[bool] = True
    noise: ClassVar[Noise] = "exponential"

    rate: ParameterValue = 1.0

    def values(self, declared: Support) -> Support:
        return POSITIVE


class Gamma(AbstractProduct):
    """The gamma law.

    Formula: ``p(x) = rate^k x^(k - 1) exp(-rate x) / Γ(k)`` for x > 0 with k = `concentration`, else 0.
    Shapes: any.
    Support: positive.
    Sampling: ``g / rate``, g standard gamma of that concentration, by rejection; differentiable in both parameters.
    Caveat: the density has a pole at 0 for k < 1; draws that underflow stand at the smallest positive number.
    Reference: Johnson, Kotz and Balakrishnan, Continuous Univariate Distributions 1, chapter 17.
    """

    name: ClassVar[str] = "gamma"
    examples: ClassVar[tuple[str, ...]] = ("gamma(2, 1)", "gamma(concentration = [0.5, 3], rate = 2)")
    domains: ClassVar[Mapping[str, Support]] = {"concentration": POSITIVE, "rate": POSITIVE}
    closed_divergence: ClassVar[bool] = True

    concentration: ParameterValue = 1.0
    rate: ParameterValue = 1.0

    def values(self, declared: Support) -> Support:
        return POSITIVE

    def draws(self, type_: Type) -> tuple[Draw, ...]:
        return gamma_draws("noise", self.concentration, type_.shape)


class Beta(AbstractProduct):
    """The beta law.

    Formula: ``p(x) = x^(a - 1) (1 - x)^(b - 1) / B(a, b)`` on (0, 1), a = `concentration1`, b = `concentration0`.
    Shapes: any.
    Support: unit.
    Sampling: ``g₁ / (g₁ + g₀)``, g₁ and g₀ standard gamma of concentrations a and b, kept off 0 and 1; differentiable
    in both.
    Caveat: poles at 0 for a < 1 and at 1 for b < 1; values near 1 keep the absolute accuracy of the number format only.
    Reference: Johnson, Kotz and Balakrishnan, Continuous Univariate Distributions 2, chapter 25.
    """

    name: ClassVar[str] = "beta"
    examples: ClassVar[tuple[str, ...]] = ("beta(2, 3)", "beta(concentration1 = [0.5, 2], concentration0 = 1)")
    domains: ClassVar[Mapping[str, Support]] = {"concentration1": POSITIVE, "concentration0": POSITIVE}
    closed_divergence: ClassVar[bool] = True

    concentration1: ParameterValue = 1.0
    concentration0: ParameterValue = 1.0

    def values(self, declared: Support) -> Support:
        return UNIT

    def draws(self, type_: Type) -> tuple[Draw, ...]:
        one = gamma_draws("one", self.concentration1, type_.shape)
        return *one, *gamma_draws("zero", self.concentration0, type_.shape)
