"""Distributions of positive numbers by their logarithm or as magnitudes: `log_normal`, `half_normal`, `half_cauchy`."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from typing import ClassVar

from dgmspec.core.types import POSITIVE, REAL, Support
from dgmspec.ops.distributions.product import AbstractProduct, Noise, ParameterValue


class LogNormal(AbstractProduct):
    """The law of a number whose logarithm is normal.

    Formula: ``p(x) = exp(-(log x - loc)² / (2 scale²)) / (x scale √(2π))`` for x > 0, else 0.
    Shapes: any.
    Support: positive.
    Sampling: ``exp(loc + scale · ε)``, ε standard normal; differentiable in both parameters.
    Caveat: `loc` and `scale` are those of log x: the median is exp(loc), the mean exp(loc + scale² / 2).
    Reference: Johnson, Kotz and Balakrishnan, Continuous Univariate Distributions 1, chapter 14.
    """

    name: ClassVar[str] = "log_normal"
    examples: ClassVar[tuple[str, ...]] = ("log_normal(0, 1)", "log_normal", "log_normal(loc = [1, -1], scale = 0.5)")
    domains: ClassVar[Mapping[str, Support]] = {"loc": REAL, "scale": POSITIVE}
    closed_divergence: ClassVar[bool] = True
    noise: ClassVar[Noise] = "normal"

    loc: ParameterValue = 0.0
    scale: ParameterValue = 1.0

    def values(self, declared: Support) -> Support:
        return POSITIVE


class AbstractHalf(AbstractProduct, ABC):
    """The magnitude of a law that is symmetric about 0, stretched by `scale`."""

    domains: ClassVar[Mapping[str, Support]] = {"scale": POSITIVE}

    scale: ParameterValue = 1.0

    def values(self, declared: Support) -> Support:
        return POSITIVE


class HalfNormal(AbstractHalf):
    """The law of the magnitude of a normal number.

    Formula: ``p(x) = √(2/π) exp(-x² / (2 scale²)) / scale`` for x ≥ 0, else 0.
    Shapes: any.
    Support: positive.
    Sampling: ``scale · |ε|``, ε standard normal; differentiable in `scale`.
    Caveat: `scale` is the deviation of the normal number, not of its magnitude.
    Reference: Johnson, Kotz and Balakrishnan, Continuous Univariate Distributions 1, section 13.10.
    """

    name: ClassVar[str] = "half_normal"
    examples: ClassVar[tuple[str, ...]] = ("half_normal(1)", "half_normal(scale = [0.5, 2])")
    closed_divergence: ClassVar[bool] = True
    noise: ClassVar[Noise] = "normal"


class HalfCauchy(AbstractHalf):
    """The law of the magnitude of a Cauchy number, a prior of scales with a heavy tail.

    Formula: ``p(x) = 2 / (π scale (1 + (x / scale)²))`` for x ≥ 0, else 0.
    Shapes: any.
    Support: positive.
    Sampling: ``scale · tan(π u / 2)``, u ~ U(0, 1) kept off 0 and 1 by a rounding error; differentiable in `scale`.
    Caveat: no mean; where one is asked for, it is the median, `scale`.
    Reference: Gelman 2006, "Prior distributions for variance parameters in hierarchical models".
    """

    name: ClassVar[str] = "half_cauchy"
    examples: ClassVar[tuple[str, ...]] = ("half_cauchy(5)", "half_cauchy(scale = [0.5, 2])")
