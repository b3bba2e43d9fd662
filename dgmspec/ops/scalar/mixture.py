"""Mixtures of logistic distribution functions, read on the line (`sigmoid_mixture`) or as they are."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar, Literal

from pydantic import Field

from dgmspec.core.diagnostics import Refusal
from dgmspec.core.parameters import Init
from dgmspec.core.scalars import AbstractScalar
from dgmspec.core.types import REAL, UNIT, Support
from dgmspec.ops.scalar.domain import AbstractOnLine, require_line, require_within

MAX_LOG_SLOPE = 5.0
"""Bound of a component's log-slope, approached smoothly."""


class AbstractMixtureMap(AbstractScalar, ABC):
    """``F(x) = Σ_j w_j σ(a_j x + b_j + o_j)``: w a softmax, ``a = exp(5 tanh(r / 5))``, and o fixed numbers from -1 to
    1 that tell the components apart where all raw parameters are zero."""

    inverts: ClassVar[Literal["closed form", "iterative"]] = "iterative"

    k: int = Field(8, ge=1, le=512, description="number of components")

    def raw(self, support: Support) -> tuple[Init, ...]:
        return (Init(),) * (3 * self.k)


class SigmoidMixture(AbstractOnLine, AbstractMixtureMap):
    """``y = logit(Σ_j w_j σ(a_j x + b_j + o_j))``, the deep sigmoidal flow: a mixture's distribution function on ℝ.

    Shapes: raw (3k, *x): the weights w (a softmax), the log-slopes (``a = exp(5 tanh(r / 5))``) and the shifts b; o
    runs evenly from -1 to 1. Domain: ℝ onto ℝ; beyond the components the map is nearly linear. Zero raw is close to the
    identity rather than equal to it, since equal components would stay equal in training.
    Log-derivative: ``log Σ w a σ(z) σ(-z) - log F - log(1 - F)``, log-sum-exps that neither overflow nor cancel.
    Cost: O(k) a coordinate; the inverse is iterative, in a bracket known from the components.
    Caveat: the inverse is solved to rounding in a fixed number of steps.
    Reference: Huang, Krueger, Lacoste and Courville 2018, "Neural autoregressive flows", eq. 8.
    """

    name: ClassVar[str] = "sigmoid_mixture"
    examples: ClassVar[tuple[str, ...]] = ("sigmoid_mixture(4)", "sigmoid_mixture(k = 3)")


class LogisticMixtureCdf(AbstractMixtureMap):
    """``y = Σ_j w_j σ(a_j x + b_j + o_j)``: the distribution function of a mixture of logistics.

    Shapes: raw (3k, *x), those of `sigmoid_mixture`. Domain: ℝ onto (0, 1), so that it stands before a `logit` and an
    `affine` step, or before a prior on (0, 1). Zero raw is close to `sigmoid`. A coupling, as in Flow++, takes
    `sigmoid_mixture`, which is this and then `logit`.
    Log-derivative: ``log Σ w a σ(z) σ(-z)``.
    Cost: O(k) a coordinate; the inverse is iterative, in a bracket known from the components.
    Caveat: far out float32 cannot tell y from 0 or 1; the inverse takes such an end for its nearest interior neighbour.
    Reference: Ho, Chen, Srinivas, Duan and Abbeel 2019, "Flow++", section 3.2.
    """

    name: ClassVar[str] = "logistic_mixture_cdf"
    examples: ClassVar[tuple[str, ...]] = (
        "logistic_mixture_cdf(4)",
        "logistic_mixture_cdf(k = 3)",
    )

    def image(self, support: Support) -> Support:
        require_line(self.name, support)
        return UNIT

    def preimage(self, support: Support) -> Support:
        require_within(f"inverse {self.name}", UNIT, support)
        if support != UNIT:
            raise Refusal(
                "DGM440",
                f"`inverse {self.name}` takes {support.describe()} to an interval that depends on its parameters",
                help=("let all of (0, 1) reach it",),
            )
        return REAL
