"""Scalar bijectors without parameters; each stands as a step by itself."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

from pydantic import Field

from dgmspec.core.diagnostics import Refusal
from dgmspec.core.parameters import Init
from dgmspec.core.scalars import AbstractScalar
from dgmspec.core.types import POSITIVE, REAL, UNIT, Part, Support, interval
from dgmspec.ops.scalar.domain import image_interval, require_interval, require_within


class AbstractIncreasing(AbstractScalar, ABC):
    """An increasing map of ℝ onto `reach`, known at single points (ends at infinity included)."""

    reach: ClassVar[Support] = REAL

    @abstractmethod
    def at(self, x: float) -> float:
        """The value at x, in [-inf, inf]."""

    @abstractmethod
    def back(self, y: float) -> float:
        """The point with value y, for y in the closure of `reach`."""

    def raw(self, support: Support) -> tuple[Init, ...]:
        return ()

    def image(self, support: Support) -> Support:
        require_interval(self.name, support)
        return image_interval(self.name, support, self.at(support.low), self.at(support.high))

    def preimage(self, support: Support) -> Support:
        require_within(f"inverse {self.name}", self.reach, support)
        return image_interval(f"inverse {self.name}", support, self.back(support.low), self.back(support.high))


class Exp(AbstractIncreasing):
    """``y = exp(x)``.

    Shapes: no raw parameters. Domain: ℝ onto (0, ∞), (a, b) onto (e^a, e^b). Log-derivative: x.
    Caveat: y overflows in float32 beyond x = 88.7; the log-derivative does not.
    """

    name: ClassVar[str] = "exp"
    examples: ClassVar[tuple[str, ...]] = ("exp",)
    reach: ClassVar[Support] = POSITIVE

    def at(self, x: float) -> float:
        return _exp(x)

    def back(self, y: float) -> float:
        return math.log(y) if y > 0 else -math.inf


class Softplus(AbstractIncreasing):
    """``y = log(1 + exp(x))``.

    Shapes: no raw parameters. Domain: ℝ onto (0, ∞). Log-derivative: ``-softplus(-x)``.
    Caveat: the inverse is ``y + log(1 - exp(-y))``, accurate for small and for large y.
    """

    name: ClassVar[str] = "softplus"
    examples: ClassVar[tuple[str, ...]] = ("softplus",)
    reach: ClassVar[Support] = POSITIVE

    def at(self, x: float) -> float:
        return x if x > 40 else math.log1p(_exp(x))

    def back(self, y: float) -> float:
        if y <= 0:
            return -math.inf
        return y + math.log(-math.expm1(-y))


class Sigmoid(AbstractIncreasing):
    """``y = 1 / (1 + exp(-x))``.

    Shapes: no raw parameters. Domain: ℝ onto (0, 1). Log-derivative: ``x - 2 softplus(x)``.
    Caveat: beyond |x| = 17 float32 cannot tell y from 0 or 1; the inverse takes such an end for its nearest interior
    neighbour, so it stays finite.
    """

    name: ClassVar[str] = "sigmoid"
    examples: ClassVar[tuple[str, ...]] = ("sigmoid",)
    reach: ClassVar[Support] = UNIT

    def at(self, x: float) -> float:
        return _sigmoid(x)

    def back(self, y: float) -> float:
        return _logit(y)


class Tanh(AbstractIncreasing):
    """``y = tanh(x)``.

    Shapes: no raw parameters. Domain: ℝ onto (-1, 1). Log-derivative: ``2 (log 2 - x - softplus(-2x))``.
    Caveat: beyond |x| = 9 float32 cannot tell y from ±1; the inverse takes such an end for its interior neighbour.
    """

    name: ClassVar[str] = "tanh"
    examples: ClassVar[tuple[str, ...]] = ("tanh",)
    reach: ClassVar[Support] = interval(-1, 1)

    def at(self, x: float) -> float:
        return math.tanh(x)

    def back(self, y: float) -> float:
        return math.atanh(y) if abs(y) < 1 else math.copysign(math.inf, y)


class LeakyRelu(AbstractIncreasing):
    """``y = x`` for x ≥ 0, ``slope x`` below.

    Shapes: no raw parameters. Domain: ℝ onto ℝ. Log-derivative: 0 or log(slope), with a jump at 0.
    Caveat: not differentiable at 0; the derivative from the right is used there.
    """

    name: ClassVar[str] = "leaky_relu"
    examples: ClassVar[tuple[str, ...]] = ("leaky_relu(0.1)", "leaky_relu(slope = 3)", "leaky_relu")

    slope: float = Field(0.01, gt=0, allow_inf_nan=False, description="the slope below 0")

    def at(self, x: float) -> float:
        return x if x >= 0 else self.slope * x

    def back(self, y: float) -> float:
        return y if y >= 0 else y / self.slope

    def constant_slope(self) -> bool:
        return self.slope == 1

    def unit_slope(self) -> bool:
        return self.slope == 1


class Logit(AbstractScalar):
    """``y = log(u / (1 - u))`` with ``u = α + (1 - 2α) (x - a) / (b - a)`` on the interval (a, b) that reaches it.

    Shapes: no raw parameters. Domain: (a, b) onto ℝ for α = 0, else onto (-L, L) with L = logit(1 - α), which makes
    the density a lower bound under a wider prior. Log-derivative: ``log((1 - 2α) / (b - a)) - log u - log(1 - u)``.
    Caveat: for α = 0 an x rounded to an end of the interval is taken for its nearest interior neighbour. As an inverse,
    where no interval is at hand, it gives (0, 1).
    Reference: Dinh, Sohl-Dickstein and Bengio 2017, section 4.1 (α = 0.05 on pixels).
    """

    name: ClassVar[str] = "logit"
    examples: ClassVar[tuple[str, ...]] = ("logit", "logit(0.05)", "logit(alpha = 1e-6)")

    alpha: float = Field(0.0, ge=0, lt=0.5, description="how far the rescaled interval stays from 0 and 1")

    def raw(self, support: Support) -> tuple[Init, ...]:
        return ()

    def part(self) -> Part | None:
        return Part(self._reach(), REAL) if self.alpha else None

    def image(self, support: Support) -> Support:
        require_interval(self.name, support)
        if not (math.isfinite(support.low) and math.isfinite(support.high)):
            raise Refusal(
                "DGM303",
                f"`logit` is defined on a bounded interval, and what reaches it lives on {support.describe()}",
                help=("put `sigmoid` before it, or drop both where the variable is already real",)
                if support == REAL
                else ("`inverse exp` maps (0, ∞) onto all of ℝ",),
            )
        return self._reach()

    def preimage(self, support: Support) -> Support:
        require_interval(f"inverse {self.name}", support)
        if support != self._reach():
            require_within(f"inverse {self.name}", self._reach(), support)
            raise Refusal(
                "DGM303",
                f"`inverse logit` takes all of {self._reach().describe()}, and what reaches it is {support.describe()}",
                help=("`sigmoid` takes any part of the line",),
            )
        return UNIT

    def _reach(self) -> Support:
        return interval(_logit(self.alpha), -_logit(self.alpha))


def _exp(x: float) -> float:
    """exp(x), inf where that overflows."""
    return math.exp(x) if x < 709 else math.inf


def _sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)) without overflow."""
    return 1 / (1 + _exp(-x)) if x >= 0 else _exp(x) / (1 + _exp(x))


def _logit(y: float) -> float:
    """log(y / (1 - y)), infinite at 0 and 1."""
    if y in (0, 1):
        return math.copysign(math.inf, y - 0.5)
    return math.log(y) - math.log1p(-y)
