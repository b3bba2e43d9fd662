"""`resampled`: a law whose draws are proposed by another and kept by a learned chance."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.distributions import AbstractDistribution
from dgmspec.core.nets import AbstractNet, NetUse
from dgmspec.core.parameters import Draw, ParamSpec
from dgmspec.core.types import Support, Type
from dgmspec.ops.distributions.line import Normal
from dgmspec.ops.distributions.product import AbstractParametric


class Resampled(AbstractDistribution):
    """Learned accept and reject: x is proposed by π and kept with the chance ``a(x) = sigmoid(net(x))``, else another
    is proposed; the proposal number `truncate` = T is kept in any case.

    Formula: ``p(x) = π(x) ((1 - w) a(x) / Z + w)``, ``Z = E_π a``, ``w = (1 - Z)^(T - 1)``.
    Shapes: any that the net reads. The net starts at a = 1/2, where p = π.
    Support: that of π, the `base`, whose parameters are numbers.
    Sampling: T proposals at once, the first that is kept; not differentiable in the net.
    Caveat: Z is estimated by `draws` proposals, the same for all rows of a call: log p is an estimate with standard
    deviation ``√((1 - Z) / (Z draws))``, and too large by half its square on average.
    Reference: Bauer and Mnih 2019, "Resampled priors for variational autoencoders"; as the base of a flow, Stimper,
    Schölkopf and Hernández-Lobato 2022, "Resampling base distributions of normalizing flows".
    """

    name: ClassVar[str] = "resampled"
    examples: ClassVar[tuple[str, ...]] = (
        "resampled(mlp(8))",
        "resampled(net = mlp(8), base = normal(0, 2), truncate = 20, draws = 512)",
    )
    density: ClassVar[Literal["exact", "estimate", "none"]] = "estimate"
    has_mean: ClassVar[bool] = False
    pathwise: ClassVar[bool] = False

    net: AbstractNet = Field(description="the net whose sigmoid is the chance to keep a proposal")
    base: AbstractParametric = Field(Normal(), description="the law π that proposes")
    truncate: int = Field(100, ge=1, le=10_000, description="the proposal that is kept in any case")
    draws_: int = Field(4096, ge=16, alias="draws", description="proposals that estimate the share Z that is kept")

    @model_validator(mode="after")
    def _of_numbers(self) -> Self:
        if any(isinstance(value, AbstractExpr | AbstractNet) for value in self.base.parameters().values()):
            raise Refusal(
                "DGM474",
                f"`{self.base.name}` proposes for `resampled`, and its parameters are formulas or nets",
                argument="base",
                help=("give it numbers: the net shapes the law", "a flow behind it may shift and scale"),
            )
        return self

    def support(self, type_: Type) -> Support:
        return self.base.support(type_)

    def own_parameters(self, type_: Type, given: Type | None = None) -> tuple[ParamSpec, ...]:
        use = NetUse((type_.shape,), (1,), zero=True)
        return tuple(spec.under("net") for spec in self.net.net_parameters(use))

    def draws(self, type_: Type) -> tuple[Draw, ...]:
        proposed = (
            replace(draw, name=f"proposed/{draw.name}", shape=(self.truncate, *draw.shape))
            for draw in self.base.draws(type_)
        )
        return Draw("kept", (self.truncate,)), *proposed

    def density_draws(self, type_: Type) -> tuple[Draw, ...]:
        return tuple(
            replace(draw, name=f"base/{draw.name}", shape=(self.draws_, *draw.shape), shared=True)
            for draw in self.base.draws(type_)
        )
