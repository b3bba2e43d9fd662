"""Monotone polynomials: in Bernstein form on a box, and as the integral of a sum of squares on ℝ."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from pydantic import Field

from dgmspec.core.parameters import Init
from dgmspec.core.scalars import AbstractScalar
from dgmspec.core.types import REAL, Support
from dgmspec.ops.scalar.domain import AbstractOnLine, require_interval
from dgmspec.ops.scalar.spline import Box

FLOOR = 1e-3
"""Smallest slope of a sum of squares."""
MAX_DEGREE = 8
"""Highest degree of the squared polynomials."""


class Bernstein(AbstractScalar):
    """``y = Σ_k c_k C(M, k) u^k (1 - u)^(M - k)``, ``u = (x - a) / (b - a)`` in a box (a, b), increasing c; outside the
    box y goes on in a straight line.

    Shapes: raw (P, *x): the M increments of c (softplus, at least 0.001, times (b - a) / M), and c_0 - a on ℝ. On an
    interval, which is the box, the increments are a softmax instead. Zero raw is the identity.
    Domain: ℝ onto ℝ with the box (-bound, bound), P = M + 1; an interval or a half-line onto itself, P = M.
    Log-derivative: the logarithm of ``M / (b - a) Σ_k (c_{k+1} - c_k) C(M - 1, k) u^k (1 - u)^(M - 1 - k)``.
    Cost: O(M) a coordinate; the inverse is iterative, within the box.
    Caveat: a polynomial of degree M changes over about 1 / √M of the box, no faster.
    Reference: Sick, Hothorn and Dürr 2021, "Deep transformation models", eq. 4; Ramasinghe et al. 2021, "Robust
    normalizing flows using Bernstein-type polynomials".
    """

    name: ClassVar[str] = "bernstein"
    examples: ClassVar[tuple[str, ...]] = ("bernstein(5)", "bernstein(degree = 3, bound = 2)")
    inverts: ClassVar[Literal["closed form", "iterative"]] = "iterative"

    degree: int = Field(8, ge=1, le=64, description="degree M of the polynomial")
    bound: float = Field(3.0, gt=0, allow_inf_nan=False, description="half-width of the box where the support is ℝ")

    def raw(self, support: Support) -> tuple[Init, ...]:
        return (Init(),) * (self.degree + (support == REAL))

    def image(self, support: Support) -> Support:
        require_interval(self.name, support)
        return support

    def preimage(self, support: Support) -> Support:
        require_interval(f"inverse {self.name}", support)
        return support

    def box(self, support: Support) -> Box:
        """Where the map is the polynomial; it is a straight line beyond an end with a tail."""
        low_tail, high_tail = math.isinf(support.low), math.isinf(support.high)
        low = -self.bound if low_tail else support.low
        high = self.bound if high_tail else support.high
        return Box(
            high - 2 * self.bound if low_tail and not high_tail else low,
            low + 2 * self.bound if high_tail and not low_tail else high,
            low_tail,
            high_tail,
        )


class Sos(AbstractOnLine):
    """``y = c + ∫_0^x (0.001 + Σ_j (Σ_l a_{jl} t^l)²) dt``: a polynomial of degree 2r + 1, increasing by construction.

    Shapes: raw (terms (degree + 1) + 1, *x): the coefficients a of the polynomials, then c. The constant coefficients
    have fixed parts in the ratio 1 : 2 : … whose squares sum to 0.999. Zero raw is the identity.
    Domain: ℝ onto ℝ. Log-derivative: the logarithm of the integrand at x.
    Cost: O(terms · degree²) a coordinate; the integral is exact (Gauss and Legendre); the inverse is iterative.
    Caveat: y grows as x^(2r+1), so degrees beyond 3 overflow float32 for inputs that earlier steps leave large.
    Reference: Jaini, Selby and Yu 2019, "Sum-of-squares polynomial flow", eq. 9.
    """

    name: ClassVar[str] = "sos"
    examples: ClassVar[tuple[str, ...]] = ("sos(3)", "sos(degree = 2, terms = 3)")
    inverts: ClassVar[Literal["closed form", "iterative"]] = "iterative"

    degree: int = Field(2, ge=1, le=MAX_DEGREE, description="degree r of the squared polynomials")
    terms: int = Field(2, ge=1, le=64, description="number of squares")

    def raw(self, support: Support) -> tuple[Init, ...]:
        return (Init(),) * (self.terms * (self.degree + 1) + 1)
