"""The integral of a positive network."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from pydantic import Field

from dgmspec.core.parameters import Init
from dgmspec.core.types import Support
from dgmspec.ops.scalar.domain import AbstractOnLine

FLOOR = 1e-3
"""Smallest value of the integrand."""


class Umnn(AbstractOnLine):
    """``y = b + ∫_0^x g(t) dt`` with a positive network of one hidden layer, whose weights are the raw parameters:

    ``g(t) = 0.001 + softplus(c + Σ_h v_h tanh(a_h t + d_h) / √H)``, which keeps its value beyond ±bound.

    Shapes: raw (3H + 2, *x): v, a, d of the H hidden units, then c and b. ``v = 4 tanh(r / 4)`` and a between 1 / bound
    and 4 / bound, so that g is smooth on the scale of the nodes; fixed parts of d spread the units over the box. Zero
    raw is the identity.
    Domain: ℝ onto ℝ, in straight lines beyond the box. Log-derivative: log g(x).
    Cost: O(H · nodes) a coordinate, by Clenshaw and Curtis; the inverse is iterative.
    Caveat: the integral is numeric; with raw parameters of standard deviation 10 its error was below 1e-9 of y with 24
    nodes, below 1e-7 with 16.
    Reference: Wehenkel and Louppe 2019, "Unconstrained monotonic neural networks", eq. 1 and section 3. There one
    integrand is shared by all coordinates and reads an embedding; here each coordinate's weights come from its
    conditioner, as its other parameters do.
    """

    name: ClassVar[str] = "umnn"
    examples: ClassVar[tuple[str, ...]] = ("umnn(3, nodes = 16)", "umnn(hidden = 3, nodes = 32, bound = 2)")
    inverts: ClassVar[Literal["closed form", "iterative"]] = "iterative"

    hidden: int = Field(8, ge=1, le=256, description="hidden units H of the integrand")
    nodes: int = Field(24, ge=4, le=512, multiple_of=2, description="intervals between the nodes of the quadrature")
    bound: float = Field(4.0, gt=0, allow_inf_nan=False, description="the integrand is constant beyond ±bound")

    def raw(self, support: Support) -> tuple[Init, ...]:
        return (Init(),) * (3 * self.hidden + 2)


Rule = tuple[tuple[float, ...], tuple[float, ...]]

_RULES: dict[int, Rule] = {}
"""Rules worked out so far: a plain dictionary, which a compiled graph can read."""


def clenshaw_curtis(intervals: int) -> Rule:
    """Nodes in [0, 1], ends included, and their weights, which are positive and sum to 1 (`intervals` even).

    Reference: Waldvogel 2006, "Fast construction of the Fejér and Clenshaw-Curtis quadrature rules", eq. 2.3.
    """
    if intervals not in _RULES:
        angles = [k * math.pi / intervals for k in range(intervals + 1)]
        nodes = tuple((1 - math.cos(angle)) / 2 for angle in angles)
        _RULES[intervals] = nodes, tuple(_weight(angle, intervals) for angle in angles)
    return _RULES[intervals]


def _weight(angle: float, n: int) -> float:
    total = 1.0
    for j in range(1, n // 2 + 1):
        total -= (1 if 2 * j == n else 2) / (4 * j * j - 1) * math.cos(2 * j * angle)
    return total / (2 * n if math.sin(angle) < 1e-9 else n)
