"""Monotonic splines that are polynomials in each bin: linear, quadratic, cubic."""

from __future__ import annotations

from typing import ClassVar, Literal

from dgmspec.core.parameters import Init
from dgmspec.core.types import Support
from dgmspec.ops.scalar.spline import AbstractSpline


class LinearSpline(AbstractSpline):
    """Piecewise linear on K bins of equal width: ``y = y_k + h_k (x - x_k) / w``.

    Shapes: raw (K, *x): the bins' heights (a softmax, at least 0.001 of the box). Zero raw is the identity.
    Domain: the support onto itself, as `rqs`. Log-derivative: ``log(h_k / w)``, with a jump at every knot.
    Cost: O(K) comparisons a coordinate each way.
    Caveat: the density jumps at the knots, and at the box's ends where there are tails.
    Reference: Müller, McWilliams, Rousselle, Gross and Novák 2019, "Neural importance sampling", section 4.1.
    """

    name: ClassVar[str] = "linear_spline"
    examples: ClassVar[tuple[str, ...]] = ("linear_spline(4)", "linear_spline(bins = 6, bound = 2)")

    def raw(self, support: Support) -> tuple[Init, ...]:
        return (Init(),) * self.bins


class QuadraticSpline(AbstractSpline):
    """Piecewise quadratic on K bins, the integral of a piecewise linear slope with knot values v. With
    ``θ = (x - x_k) / w_k``, ``y = y_k + w_k (v_k θ + (v_{k+1} - v_k) θ² / 2)``.

    Shapes: raw (P, *x): K widths (a softmax, at least 0.001 of the box), then the slopes v at the knots (softplus,
    scaled so that y reaches the end of the box, at least 0.001; 1 at an end with a tail). Zero raw is the identity.
    Domain: the support onto itself, as `rqs`; P = 2K - 1 on ℝ, 2K + 1 on an interval, 2K on a half-line.
    Log-derivative: ``log(v_k + (v_{k+1} - v_k) θ)``, continuous.
    Cost: O(K) comparisons a coordinate each way; the inverse solves a quadratic.
    Caveat: in float32 the inverse is polished by a Newton step.
    Reference: Müller, McWilliams, Rousselle, Gross and Novák 2019, "Neural importance sampling", section 4.2.
    """

    name: ClassVar[str] = "quadratic_spline"
    examples: ClassVar[tuple[str, ...]] = (
        "quadratic_spline(4)",
        "quadratic_spline(bins = 6, bound = 2)",
    )

    def raw(self, support: Support) -> tuple[Init, ...]:
        return (Init(),) * (2 * self.bins - 1 + self.box(support).free_ends)


class CubicSpline(AbstractSpline):
    """Piecewise cubic on K bins: the Hermite cubic of the knots with Steffen's monotone slopes, ``d_k = min(2 s_{k-1},
    2 s_k, p_k)``, s the chords' slopes and p_k the slope at x_k of the parabola through three knots.

    Shapes: raw (P, *x): K widths and K heights (a softmax each, at least 0.001 of the box), then a share of the largest
    monotone slope 3s at each free end. Zero raw is the identity.
    Domain: the support onto itself, as `rqs`; P = 2K on ℝ, 2K + 2 on an interval, 2K + 1 on a half-line. An end with a
    tail has slope 1, or 3s where its bin is flatter than a third: there the density jumps.
    Log-derivative: ``log(d_k + 2 (3s - 2 d_k - d_{k+1}) θ + 3 (d_k + d_{k+1} - 2s) θ²)``.
    Cost: O(K) comparisons a coordinate each way; the inverse is iterative within the bin.
    Caveat: the inverse is a bracketed Newton iteration; the trigonometric root loses all digits in float32.
    Reference: Durkan, Bekasov, Murray and Papamakarios 2019, "Cubic-spline flows"; Steffen 1990, "A simple method for
    monotonic interpolation in one dimension", eq. 11.
    """

    name: ClassVar[str] = "cubic_spline"
    examples: ClassVar[tuple[str, ...]] = ("cubic_spline(4)", "cubic_spline(bins = 6, bound = 2)")
    inverts: ClassVar[Literal["closed form", "iterative"]] = "iterative"

    def raw(self, support: Support) -> tuple[Init, ...]:
        return (Init(),) * (2 * self.bins + self.box(support).free_ends)
