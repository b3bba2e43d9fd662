"""The box that monotonic splines live in, and the rational-quadratic spline."""

from __future__ import annotations

import math
from abc import ABC
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from pydantic import Field

from dgmspec.core.parameters import Init
from dgmspec.core.scalars import AbstractScalar
from dgmspec.core.types import Support
from dgmspec.ops.scalar.domain import require_interval

MIN_BIN: Final = 1e-3
"""Smallest width and height of a bin, as a share of the whole box."""
MIN_SLOPE: Final = 1e-3
"""Smallest derivative at a knot."""


@dataclass(frozen=True)
class Box:
    """Where the spline lives: [low, high] is mapped onto itself; outside it the map is the identity.

    An end with a tail meets the identity with slope 1; at an end of the support the slope is free.
    """

    low: float
    high: float
    low_tail: bool
    high_tail: bool
    periodic: bool = False
    """Whether both ends are one point, with one slope (the circle)."""

    @property
    def free_ends(self) -> int:
        """How many ends have a slope of their own."""
        return 1 if self.periodic else (not self.low_tail) + (not self.high_tail)


class AbstractSpline(AbstractScalar, ABC):
    """A monotonic spline: the support onto itself. On ℝ the box is (-bound, bound) and the map outside is the identity;
    an interval (a, b) is the box, without tails and `bound` unused; a half-line has one of each."""

    on_circle: ClassVar[bool] = False
    """Whether there is a form of it on the circle."""

    bins: int = Field(8, ge=2, le=512, description="number of bins K")
    bound: float = Field(3.0, gt=0, allow_inf_nan=False, description="half-width of the box where the support is ℝ")

    def image(self, support: Support) -> Support:
        if not (self.on_circle and support.circular):
            require_interval(self.name, support)
        return support

    def preimage(self, support: Support) -> Support:
        if not (self.on_circle and support.circular):
            require_interval(f"inverse {self.name}", support)
        return support

    def box(self, support: Support) -> Box:
        """The part of `support` that is not the identity."""
        if support.circular:
            return Box(support.low, support.high, low_tail=False, high_tail=False, periodic=True)
        low_tail, high_tail = math.isinf(support.low), math.isinf(support.high)
        low = -self.bound if low_tail else support.low
        high = self.bound if high_tail else support.high
        if low_tail and not high_tail:
            low = high - 2 * self.bound
        if high_tail and not low_tail:
            high = low + 2 * self.bound
        return Box(low, high, low_tail, high_tail)


class Rqs(AbstractSpline):
    """Monotonic rational-quadratic spline on K bins. With θ = (x - x_k) / w_k, s = h_k / w_k and knot slopes δ,

    ``y = y_k + h_k (s θ² + δ_k θ(1-θ)) / (s + (δ_{k+1} + δ_k - 2s) θ(1-θ))``.

    Shapes: raw (P, *x): K bin widths and K bin heights (a softmax each, at least 0.001 of the box; no widths where the
    knots are uniform), then the slopes at the knots (softplus, at least 0.001, 1 at zero). Zero raw is the identity.
    Domain: the support onto itself. ℝ: the box is (-bound, bound), the tails are the identity, P = 3K - 1. An interval
    (a, b) is the box, without tails, `bound` unused and both end slopes free, P = 3K + 1. A half-line has one of each.
    On the circle the ends share one slope, and a learned rotation follows, so that -π does not stay put; P = 3K + 1.
    Log-derivative: ``log(s² (δ_{k+1} θ² + 2s θ(1-θ) + δ_k (1-θ)²) / (s + (δ_{k+1} + δ_k - 2s) θ(1-θ))²)``.
    Cost: O(K) comparisons a coordinate each way; the inverse solves a quadratic.
    Caveat: narrow steep bins lose digits in float32; the inverse is polished there by a Newton step, to within twice
    the least |f(x) - y| that a float32 x attains.
    Reference: Durkan, Bekasov, Murray and Papamakarios 2019, "Neural spline flows", eq. 4 to 8; on the
    circle Rezende, Papamakarios, Racanière et al. 2020, "Normalizing flows on tori and spheres", section 2.1.2.
    """

    name: ClassVar[str] = "rqs"
    examples: ClassVar[tuple[str, ...]] = ("rqs", "rqs(4)", "rqs(bins = 5, bound = 2)", "rqs(6, knots = uniform)")

    on_circle: ClassVar[bool] = True

    knots: Literal["learned", "uniform"] = Field(
        "learned", description="whether the bins' widths are parameters or all equal (integers on (0, K))"
    )

    def raw(self, support: Support) -> tuple[Init, ...]:
        box = self.box(support)
        count = self.bins - 1 + box.free_ends + box.periodic
        return (Init(),) * ((2 if self.knots == "learned" else 1) * self.bins + count)
