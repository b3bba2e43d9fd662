"""Distributions on the whole line: `normal`, `logistic`, `laplace`, `cauchy`, `student_t`."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from typing import ClassVar

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.core.nets import AbstractNet
from dgmspec.core.parameters import Draw
from dgmspec.core.types import POSITIVE, REAL, Support, Type
from dgmspec.ops.distributions.product import AbstractProduct, Noise, ParameterValue, gamma_draws


class AbstractLocationScale(AbstractProduct, ABC):
    """A law on ℝ that is moved by `loc` and stretched by `scale`."""

    domains: ClassVar[Mapping[str, Support]] = {"loc": REAL, "scale": POSITIVE}

    loc: ParameterValue = 0.0
    scale: ParameterValue = 1.0

    def values(self, declared: Support) -> Support:
        return REAL


class Normal(AbstractLocationScale):
    """The normal (Gaussian) law.

    Formula: ``p(x) = exp(-(x - loc)² / (2 scale²)) / (scale √(2π))``; `scale` is a standard deviation.
    Shapes: any.
    Support: real.
    Sampling: ``loc + scale · ε``, ε standard normal; differentiable in both parameters.
    Caveat: none.
    Reference: Johnson, Kotz and Balakrishnan, Continuous Univariate Distributions 1, chapter 13.
    """

    name: ClassVar[str] = "normal"
    examples: ClassVar[tuple[str, ...]] = ("normal(0, 1)", "normal", "normal(loc = [1, -1], scale = 2)")
    closed_divergence: ClassVar[bool] = True
    noise: ClassVar[Noise] = "normal"


class Logistic(AbstractLocationScale):
    """The logistic law, whose distribution function is the sigmoid.

    Formula: ``p(x) = σ(z) σ(-z) / scale``, ``z = (x - loc) / scale``.
    Shapes: any.
    Support: real.
    Sampling: ``loc + scale · logit(u)``, u ~ U(0, 1) kept off 0 and 1 by a rounding error.
    Caveat: the log-density is computed as two log-sigmoids, so that neither tail overflows.
    Reference: Johnson, Kotz and Balakrishnan, Continuous Univariate Distributions 2, chapter 23.
    """

    name: ClassVar[str] = "logistic"
    examples: ClassVar[tuple[str, ...]] = ("logistic(0, 1)", "logistic(loc = -1, scale = [0.5, 2])")


class Laplace(AbstractLocationScale):
    """The Laplace (double exponential) law.

    Formula: ``p(x) = exp(-|x - loc| / scale) / (2 scale)``.
    Shapes: any.
    Support: real.
    Sampling: ``loc + scale · (e₁ - e₂)``, e₁ and e₂ standard exponential.
    Caveat: the log-density has a kink at `loc`, where its gradient is taken as 0.
    Reference: Johnson, Kotz and Balakrishnan, Continuous Univariate Distributions 2, chapter 24.
    """

    name: ClassVar[str] = "laplace"
    examples: ClassVar[tuple[str, ...]] = ("laplace(0, 1)", "laplace(loc = [0, 2], scale = 0.5)")
    closed_divergence: ClassVar[bool] = True

    def draws(self, type_: Type) -> tuple[Draw, ...]:
        return Draw("above", type_.shape, "exponential"), Draw("below", type_.shape, "exponential")


class Cauchy(AbstractLocationScale):
    """The Cauchy law, Student's t of one degree of freedom.

    Formula: ``p(x) = 1 / (π scale (1 + z²))``, ``z = (x - loc) / scale``.
    Shapes: any.
    Support: real.
    Sampling: ``loc + scale · tan(π (u - 1/2))``, u ~ U(0, 1) kept off 0 and 1 by a rounding error.
    Caveat: no mean and no variance; where a mean is asked for, it is `loc`, the median.
    Reference: Johnson, Kotz and Balakrishnan, Continuous Univariate Distributions 1, chapter 16.
    """

    name: ClassVar[str] = "cauchy"
    examples: ClassVar[tuple[str, ...]] = ("cauchy(0, 2.5)", "cauchy(loc = [0, 1], scale = 0.5)")


class StudentT(AbstractProduct):
    """Student's t law with `df` degrees of freedom: normal in the middle, tails like ``|x|^-(df + 1)``.

    Formula: ``p(x) ∝ (1 + z² / df)^(-(df + 1) / 2) / scale``, ``z = (x - loc) / scale``.
    Shapes: any. A `df` in numbers stays as it is where one net gives the rest.
    Support: real.
    Sampling: ``loc + scale · ε √(df / (2 g))``, ε standard normal, g standard gamma of concentration df / 2.
    Caveat: no mean for df ≤ 1, no variance for df ≤ 2.
    Reference: Johnson, Kotz and Balakrishnan, Continuous Univariate Distributions 2, chapter 28.
    """

    name: ClassVar[str] = "student_t"
    examples: ClassVar[tuple[str, ...]] = ("student_t(4)", "student_t(df = [3, 5], loc = 1, scale = 2)")
    domains: ClassVar[Mapping[str, Support]] = {"df": POSITIVE, "loc": REAL, "scale": POSITIVE}

    df: ParameterValue
    loc: ParameterValue = 0.0
    scale: ParameterValue = 1.0

    def kept(self) -> tuple[str, ...]:
        return () if isinstance(self.df, AbstractExpr | AbstractNet) else ("df",)

    def values(self, declared: Support) -> Support:
        return REAL

    def draws(self, type_: Type) -> tuple[Draw, ...]:
        return Draw("noise", type_.shape, "normal"), *gamma_draws("gamma", self.df, type_.shape, 0.5)
