"""Distributions of labels and whole numbers: `bernoulli`, `categorical`, counts, `discretized_logistic`.

Their draws jump, so no gradient passes through one.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from typing import ClassVar, Self

from pydantic import Field, model_validator

from dgmspec.core.diagnostics import Refusal
from dgmspec.core.parameters import Draw
from dgmspec.core.types import BINARY, POSITIVE, REAL, UNIT, Support, SupportKind, Type, category, integers
from dgmspec.ops.distributions.product import AbstractProduct, ParameterValue

LEVELS = integers(0, 255)
"""The range of whole numbers that a message names where a variable has none."""


def counts_up_to(declared: Support) -> Support:
    """The counts from 0 to the last number of a range."""
    return integers(0, int(declared.high)) if declared.kind is SupportKind.INTEGER and declared.high > 0 else LEVELS


def require_one(law: str, probs: ParameterValue | None, logits: ParameterValue | None) -> None:
    """Refuse a law that is given its probabilities and their logits."""
    if probs is not None and logits is not None:
        help_ = (f"write `{law}(logits = …)`",)
        raise Refusal("DGM476", f"`{law}` takes `probs` or `logits`, and is given both", help=help_)


class AbstractByLogits(AbstractProduct, ABC):
    """Laws given by `probs` or by `logits`, at most one of the two; a net gives `logits`."""

    closed_divergence: ClassVar[bool] = True
    pathwise: ClassVar[bool] = False

    probs: ParameterValue | None = None
    logits: ParameterValue | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        require_one(self.name, self.probs, self.logits)
        return self

    def heads(self) -> tuple[str, ...]:
        return ("logits",)


class Bernoulli(AbstractByLogits):
    """The law of a coin: 1 with probability σ(logits).

    Formula: ``p(x) = σ(l)^x σ(-l)^(1 - x)``, l the `logits`, or logit of `probs`; at most one of the two is given,
    and without either both outcomes are as likely.
    Shapes: any; ``bernoulli(mlp(400))`` is a net for the logits.
    Support: binary.
    Sampling: 1 where u < σ(l), u ~ U(0, 1).
    Caveat: no gradient passes through a draw.
    Reference: Johnson, Kemp and Kotz, Univariate Discrete Distributions, section 3.2.
    """

    name: ClassVar[str] = "bernoulli"
    examples: ClassVar[tuple[str, ...]] = ("bernoulli(0.3)", "bernoulli(logits = [0, -1])", "bernoulli(probs = 0.5)")
    domains: ClassVar[Mapping[str, Support]] = {"probs": UNIT, "logits": REAL}

    def values(self, declared: Support) -> Support:
        return BINARY


class Categorical(AbstractByLogits):
    """A label with a probability for each, independently in each coordinate.

    Formula: ``p(x = k) = exp(l_k) / Σ_j exp(l_j)``, l the `logits`; or `probs` over their sum. At most one is given;
    without either all labels are as likely.
    Shapes: any; both parameters have a dimension of their own at the end, one entry a label.
    Support: category(K), K that of the variable.
    Sampling: by the cumulative probabilities and one uniform draw.
    Caveat: `probs` are relative; ``categorical(1)`` gives all labels the same. No gradient passes through a draw.
    Reference: Johnson, Kemp and Kotz, Univariate Discrete Distributions, section 11.
    """

    name: ClassVar[str] = "categorical"
    examples: ClassVar[tuple[str, ...]] = (
        "categorical([0.2, 0.3, 0.5])",
        "categorical(1)",
        "categorical(logits = [0, 1, -1])",
    )
    domains: ClassVar[Mapping[str, Support]] = {"probs": POSITIVE, "logits": REAL}

    def width(self, parameter: str, type_: Type) -> int | None:
        return int(self.values(type_.support).high) + 1

    def values(self, declared: Support) -> Support:
        if declared.kind is SupportKind.CATEGORY:
            return declared
        given = self.probs if isinstance(self.probs, tuple) else self.logits
        return category(len(given) if isinstance(given, tuple) else 2)


class BetaBinomial(AbstractProduct):
    """The number of successes in n trials whose common chance is itself drawn from a beta law; n is the range's length.

    Formula: ``p(a + k) = C(n, k) B(k + α, n - k + β) / B(α, β)`` on a..a + n, α = `concentration1`, β =
    `concentration0`.
    Shapes: any.
    Support: integer(a..b), that of the variable.
    Sampling: by the cumulative probabilities and one uniform draw.
    Caveat: unlike `beta`'s, both concentrations may be formulas or nets. No gradient passes through a draw.
    Reference: Johnson, Kemp and Kotz, Univariate Discrete Distributions, section 6.2.2.
    """

    name: ClassVar[str] = "beta_binomial"
    examples: ClassVar[tuple[str, ...]] = (
        "beta_binomial(2, 3)",
        "beta_binomial(concentration1 = [0.5, 4], concentration0 = 1)",
    )
    domains: ClassVar[Mapping[str, Support]] = {"concentration1": POSITIVE, "concentration0": POSITIVE}
    pathwise: ClassVar[bool] = False

    concentration1: ParameterValue = 1.0
    concentration0: ParameterValue = 1.0

    def values(self, declared: Support) -> Support:
        return declared if declared.kind is SupportKind.INTEGER else LEVELS


class Poisson(AbstractProduct):
    """The Poisson law of a count, given that the count is in the range of its variable.

    Formula: ``p(k) ∝ rate^k / k!`` on 0..b.
    Shapes: any.
    Support: integer(0..b), b that of the variable.
    Sampling: by the cumulative probabilities and one uniform draw.
    Caveat: Poisson's own law where b is far above the rate; what it has beyond b is divided among 0..b. Costs O(b) a
    coordinate. No gradient passes through a draw.
    Reference: Johnson, Kemp and Kotz, Univariate Discrete Distributions, sections 4.2 and 4.10.
    """

    name: ClassVar[str] = "poisson"
    examples: ClassVar[tuple[str, ...]] = ("poisson(3)", "poisson(rate = [0.5, 4])")
    domains: ClassVar[Mapping[str, Support]] = {"rate": POSITIVE}
    pathwise: ClassVar[bool] = False

    rate: ParameterValue = 1.0

    def values(self, declared: Support) -> Support:
        return counts_up_to(declared)


class NegativeBinomial(AbstractProduct):
    """The number of successes before `total_count` failures, given that it is in the range of its variable.

    Formula: ``p(k) ∝ Γ(k + r) / k! · σ(l)^k`` on 0..b, r = `total_count`, any positive number, and l the `logits` of a
    success, or logit of `probs`. Over all k the mean is r exp(l), the variance that times 1 + exp(l).
    Shapes: any.
    Support: integer(0..b), b that of the variable.
    Sampling: by the cumulative probabilities and one uniform draw.
    Caveat: what the law has beyond b is divided among 0..b. Costs O(b) a coordinate. No gradient passes through a draw.
    Reference: Johnson, Kemp and Kotz, Univariate Discrete Distributions, section 5.1; of counts of genes, Lopez et al.
    2018, "Deep generative modeling for single-cell transcriptomics", with mean μ as ``logits = log(μ) - log(r)``.
    """

    name: ClassVar[str] = "negative_binomial"
    examples: ClassVar[tuple[str, ...]] = ("negative_binomial(3, 0.4)", "negative_binomial(2, logits = [0, -1])")
    domains: ClassVar[Mapping[str, Support]] = {"total_count": POSITIVE, "probs": UNIT, "logits": REAL}
    pathwise: ClassVar[bool] = False

    total_count: ParameterValue = 1.0
    probs: ParameterValue | None = None
    logits: ParameterValue | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        require_one(self.name, self.probs, self.logits)
        return self

    def heads(self) -> tuple[str, ...]:
        return ("total_count", "logits")

    def values(self, declared: Support) -> Support:
        return counts_up_to(declared)


class DiscretizedLogistic(AbstractProduct):
    """The mass of a logistic law, or of a mixture of `components`, in the cell of each whole number.

    Formula: ``p(x) = Σ_i w_i (F_i(t + h) - F_i(t - h))`` with t the value on the range mapped to (-1, 1), h half a cell
    there, F_i the logistic distribution function with `loc` and `scale`; the first and the last cell take the tails.
    The weights w are the softmax of `logits`.
    Shapes: any; with several components all three have a dimension of their own at the end, one entry a component.
    Support: integer(a..b), that of the variable.
    Sampling: a component, its logistic draw, the nearest value of the range.
    Caveat: locations and scales are on the (-1, 1) scale, whatever the range. No gradient passes through a draw.
    Reference: Salimans, Karpathy, Chen and Kingma 2017, "PixelCNN++", section 2.1.
    """

    name: ClassVar[str] = "discretized_logistic"
    examples: ClassVar[tuple[str, ...]] = (
        "discretized_logistic(0, 0.5)",
        "discretized_logistic(loc = [-0.5, 0.5], scale = 0.1, logits = [0, 1], components = 2)",
    )
    domains: ClassVar[Mapping[str, Support]] = {"loc": REAL, "scale": POSITIVE, "logits": REAL}
    pathwise: ClassVar[bool] = False

    loc: ParameterValue = 0.0
    scale: ParameterValue = 1.0
    logits: ParameterValue = 0.0
    components: int = Field(1, ge=1, le=100, description="how many logistic laws are mixed, in each coordinate")

    @model_validator(mode="after")
    def _mixed(self) -> Self:
        if self.components == 1 and self.logits != 0.0:
            raise Refusal(
                "DGM472",
                "`logits` are the weights of several components, and this law has one",
                argument="logits",
                help=("say how many: `components = 5`",),
            )
        return self

    def heads(self) -> tuple[str, ...]:
        return ("loc", "scale") if self.components == 1 else ("loc", "scale", "logits")

    def parameters(self) -> dict[str, ParameterValue]:
        return {name: value for name, value in super().parameters().items() if name in self.heads()}

    def width(self, parameter: str, type_: Type) -> int | None:
        return None if self.components == 1 else self.components

    def values(self, declared: Support) -> Support:
        return declared if declared.kind is SupportKind.INTEGER else LEVELS

    def draws(self, type_: Type) -> tuple[Draw, ...]:
        choice = (Draw("component", type_.shape, "uniform"),) if self.components > 1 else ()
        return (*choice, Draw("noise", type_.shape, "uniform"))
