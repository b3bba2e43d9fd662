"""`vamp`: a prior that is the mean of the posteriors at learned pseudo-inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from dgmspec.core.diagnostics import Refusal
from dgmspec.core.distributions import AbstractDistribution
from dgmspec.core.nets import AbstractNet, NetUse
from dgmspec.core.parameters import Draw, Init, ParamSpec
from dgmspec.core.types import Shape, Support, Type
from dgmspec.ops.distributions.product import AbstractParametric, Matrix, ParameterValue

_WHERE = (
    "write `latent z : real[8] ~ vamp(100)` for a latent variable with `infer z | x ~ …`, x the one observed variable",
)


class Vamp(AbstractDistribution):
    """A prior that is the mean of the posteriors at k learned pseudo-inputs.

    Formula: ``p(z) = 1/k Σ_i q(z | u_i)``, q the variable's own `infer`, u_i learned and of the type of its data.
    Shapes: those of the posterior.
    Support: that of the posterior.
    Sampling: a pseudo-input by a uniform draw, then a draw of the posterior there.
    Caveat: each log-density takes k of the posterior's, whose nets run once on the k pseudo-inputs; the divergence from
    it is by draws.
    Reference: Tomczak and Welling 2018, "VAE with a VampPrior".
    """

    name: ClassVar[str] = "vamp"
    examples: ClassVar[tuple[str, ...]] = ("vamp(4)", "vamp(k = 100)")
    of_posterior: ClassVar[bool] = True

    k: Annotated[int, Field(ge=1, strict=True)] = Field(description="how many pseudo-inputs")

    def joined(self, posterior: AbstractDistribution, data: Type) -> tuple[AbstractDistribution, AbstractNet] | None:
        if not isinstance(posterior, AbstractParametric) or posterior.relaxes:
            return None
        return PosteriorMean(k=self.k, of=posterior), PseudoInputs(k=self.k, like=data)

    def support(self, type_: Type) -> Support:
        message = "`vamp` is the prior of a latent variable, made of its posterior, and here is none"
        raise Refusal("DGM734", message, help=_WHERE)

    def draws(self, type_: Type) -> tuple[Draw, ...]:
        return ()


class PosteriorMean(AbstractParametric):
    """`vamp` with the law that it is a mean of; its parameters hold the values at all pseudo-inputs, (k, *event)."""

    name: ClassVar[str] = "vamp"
    written: ClassVar[bool] = False
    pathwise: ClassVar[bool] = False

    k: int
    of: AbstractParametric

    def parameters(self) -> Mapping[str, ParameterValue | Matrix]:
        return {f"of/{name}": value for name, value in self.of.parameters().items()}

    def domain_of(self, parameter: str) -> Support:
        return self.of.domain_of(parameter.removeprefix("of/"))

    def choices(self) -> tuple[str, ...]:
        return tuple(f"of/{name}" for name in self.of.choices())

    def heads(self) -> tuple[str, ...]:
        return tuple(f"of/{name}" for name in self.of.heads())

    def width(self, parameter: str, type_: Type) -> int | None:
        return self.of.width(parameter.removeprefix("of/"), type_)

    def shape_of(self, parameter: str, type_: Type) -> Shape:
        return self.of.shape_of(parameter.removeprefix("of/"), type_)

    def check_formula(self, parameter: str, shape: Shape) -> None:
        self.of.check_formula(parameter.removeprefix("of/"), shape)

    def support(self, type_: Type) -> Support:
        return self.of.support(type_)

    def draws(self, type_: Type) -> tuple[Draw, ...]:
        return Draw("component", ()), *self.of.draws(type_)


class PseudoInputs(AbstractNet):
    """k learned values of a type: what stands for data in a prior made of a posterior."""

    name: ClassVar[str] = "pseudo_inputs"
    written: ClassVar[bool] = False

    k: int
    like: Type

    def net_parameters(self, use: NetUse) -> tuple[ParamSpec, ...]:
        return (ParamSpec("inputs", (self.k, *self.like.shape), Init("normal", 1.0)),)
