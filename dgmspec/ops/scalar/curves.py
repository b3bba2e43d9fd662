"""Elementary curves: `elu`, `softsign`, `arcsinh`, `power`, and `sinh_arcsinh` with parameters."""

from __future__ import annotations

import math
from typing import ClassVar

from pydantic import Field, field_validator

from dgmspec.core.parameters import Init
from dgmspec.core.scalars import AbstractScalar
from dgmspec.core.types import POSITIVE, Support, interval
from dgmspec.ops.scalar.domain import AbstractOnLine, image_interval, require_within
from dgmspec.ops.scalar.fixed import AbstractIncreasing


class Elu(AbstractIncreasing):
    """``y = x`` for x ≥ 0, ``exp(x) - 1`` below: the exponential linear unit.

    Shapes: no raw parameters. Domain: ℝ onto (-1, ∞). Log-derivative: min(x, 0).
    Caveat: below x = -17 float32 cannot tell y from -1; the inverse takes that end for its nearest interior neighbour.
    Reference: Clevert, Unterthiner and Hochreiter 2016, "Fast and accurate deep network learning by ELUs", eq. 17.
    """

    name: ClassVar[str] = "elu"
    examples: ClassVar[tuple[str, ...]] = ("elu",)
    reach: ClassVar[Support] = interval(-1, math.inf)

    def at(self, x: float) -> float:
        return x if x >= 0 else math.expm1(x)

    def back(self, y: float) -> float:
        if y >= 0:
            return y
        return math.log1p(y) if y > -1 else -math.inf


class Softsign(AbstractIncreasing):
    """``y = x / (1 + |x|)``.

    Shapes: no raw parameters. Domain: ℝ onto (-1, 1). Log-derivative: ``-2 log(1 + |x|)``.
    Caveat: its tails are those of a Cauchy law; beyond |x| = 10^7 float32 cannot tell y from ±1, and the inverse takes
    such an end for its nearest interior neighbour.
    """

    name: ClassVar[str] = "softsign"
    examples: ClassVar[tuple[str, ...]] = ("softsign",)
    reach: ClassVar[Support] = interval(-1, 1)

    def at(self, x: float) -> float:
        return math.copysign(1, x) if math.isinf(x) else x / (1 + abs(x))

    def back(self, y: float) -> float:
        return math.copysign(math.inf, y) if abs(y) == 1 else y / (1 - abs(y))


class Arcsinh(AbstractIncreasing):
    """``y = log(x + √(x² + 1))``: linear at 0, logarithmic on both sides far out.

    Shapes: no raw parameters. Domain: ℝ onto ℝ. Log-derivative: ``-½ log(1 + x²)``.
    Caveat: the inverse is sinh, which overflows in float32 beyond |y| = 89.
    """

    name: ClassVar[str] = "arcsinh"
    examples: ClassVar[tuple[str, ...]] = ("arcsinh",)

    def at(self, x: float) -> float:
        return math.asinh(x)

    def back(self, y: float) -> float:
        return math.sinh(y) if abs(y) < 710 else math.copysign(math.inf, y)


class Power(AbstractScalar):
    """``y = x^p`` for positive x.

    Shapes: no raw parameters. Domain: (0, ∞) onto (0, ∞), (a, b) onto the interval between a^p and b^p; a negative p
    reverses the order. Log-derivative: ``log|p| + (p - 1) log x``.
    Caveat: not on ℝ, where the derivative at 0 would be 0 or infinite. An x rounded to 0 is taken for the smallest
    positive number.
    """

    name: ClassVar[str] = "power"
    examples: ClassVar[tuple[str, ...]] = ("power(2)", "power(p = 0.5)", "power(-1)")

    p: float = Field(allow_inf_nan=False, description="the exponent, not 0")

    @field_validator("p")
    @classmethod
    def _not_zero(cls, value: float) -> float:
        if value == 0:
            raise ValueError("an exponent of 0 has no inverse")
        return value

    def raw(self, support: Support) -> tuple[Init, ...]:
        return ()

    def image(self, support: Support) -> Support:
        return self._between("power", support, self.p)

    def preimage(self, support: Support) -> Support:
        return self._between("inverse power", support, 1 / self.p)

    def constant_slope(self) -> bool:
        return self.p == 1

    def unit_slope(self) -> bool:
        return self.p == 1

    def _between(self, name: str, support: Support, exponent: float) -> Support:
        require_within(name, POSITIVE, support)
        return image_interval(name, support, *sorted(_power(end, exponent) for end in (support.low, support.high)))


MAX_SKEW = 10.0
"""Bound of b, approached smoothly."""


class SinhArcsinh(AbstractOnLine):
    """``y = sinh(a arcsinh(x) + b)``: b skews, a < 1 draws the tails in, a > 1 draws them out.

    Shapes: raw (2, *x): r and t with ``a = exp(c tanh(r / c))``, ``b = 10 tanh(t / 10)``. Domain: ℝ onto ℝ; zero raw is
    the identity.
    Log-derivative: ``log a + log cosh(a arcsinh(x) + b) - ½ log(1 + x²)``.
    Caveat: y grows as x^a and the inverse as y^(1/a): beyond the default `clamp` float32 overflows far out.
    Reference: Jones and Pewsey 2009, "Sinh-arcsinh distributions", eq. 1.
    """

    name: ClassVar[str] = "sinh_arcsinh"
    examples: ClassVar[tuple[str, ...]] = ("sinh_arcsinh", "sinh_arcsinh(clamp = 0.5)")

    clamp: float = Field(1.0, gt=0, allow_inf_nan=False, description="bound c of log a, approached smoothly")

    def raw(self, support: Support) -> tuple[Init, ...]:
        return (Init(), Init())


def _power(x: float, exponent: float) -> float:
    """x^exponent on [0, ∞], with its limits at both ends."""
    if x == 0 or math.isinf(x):
        return math.inf if (x == 0) == (exponent < 0) else 0.0
    try:
        return math.pow(x, exponent)
    except OverflowError:
        return math.inf
