"""`autoregressive`: the law of an event as a product over its coordinates, each given those before it."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from dgmspec.core.diagnostics import Refusal
from dgmspec.core.distributions import AbstractDistribution
from dgmspec.core.masking import AbstractOrder
from dgmspec.core.nets import AbstractNet
from dgmspec.core.parameters import Draw, ParamSpec
from dgmspec.core.types import Support, Type
from dgmspec.ops.distributions.product import AbstractProduct
from dgmspec.ops.masks import require_divisible
from dgmspec.ops.nets import AbstractMasked, masked_net, masked_use
from dgmspec.ops.orders import Natural


class Autoregressive(AbstractDistribution):
    """``p(x) = Π_i D(x_i; net(x_j before i, c))``: a masked net gives the parameters of each coordinate's law.

    Formula: the product of the coordinates' laws; of a label the net reads one number for each, of a whole number its
    place between -1 and 1, of an angle cosine and sine.
    Shapes: any, `masked_conv` images [c, h, w]. One value after the bar conditions the net.
    Support: that of the law.
    Sampling: coordinate after coordinate, or level after level of the order; each pass works out only the units of the
    net that have become determined: the arithmetic of about one pass of the net. log p is one pass.
    Caveat: the net starts at zero, where all coordinates are independent.
    Reference: Germain, Gregor, Murray and Larochelle 2015, "MADE: Masked autoencoder for distribution estimation"; van
    den Oord, Kalchbrenner and Kavukcuoglu 2016, "Pixel recurrent neural networks".
    """

    name: ClassVar[str] = "autoregressive"
    examples: ClassVar[tuple[str, ...]] = (
        "autoregressive(normal, net = made(16))",
        "autoregressive(law = bernoulli, order = random(1), net = made(16, 16))",
        "autoregressive(discretized_logistic(components = 2), net = mlp(16))",
        "autoregressive(categorical, net = resmlp(16))",
        "autoregressive(normal, net = transformer(8, depth = 1))",
    )
    conditioned: ClassVar[bool] = True
    has_mean: ClassVar[bool] = False

    law: AbstractDistribution = Field(description="the law of one coordinate, whose parameters the net gives")
    order: AbstractOrder = Field(Natural(), description="in which order coordinates are conditioned")
    net: AbstractNet = Field(
        description="made, masked_conv on images, or an mlp, resmlp or transformer that is read as its masked version"
    )

    @property
    def pathwise(self) -> bool:  # type: ignore[override]  # as the law is
        return self.law.pathwise

    def choices(self) -> tuple[str, ...]:
        return () if self.pathwise else ("net",)

    def support(self, type_: Type) -> Support:
        found = self.product().support(type_)
        require_divisible(type_.size)
        if type_.size == 1:
            raise Refusal(
                "DGM443",
                "an event of one coordinate has none before it to condition on",
                help=(f"write the law alone: `{self.law.name}(…)`",),
            )
        return found

    def draws(self, type_: Type) -> tuple[Draw, ...]:
        return self.product().draws(type_)

    def own_parameters(self, type_: Type, given: Type | None = None) -> tuple[ParamSpec, ...]:
        use = masked_use(self.net, type_, sum(self.widths(type_)), given)
        specs = self.masked().masked_parameters(use, self.order.precedence(type_.shape))
        return tuple(spec.under("net") for spec in specs)

    def masked(self) -> AbstractMasked:
        """The net, as one that can be masked."""
        return masked_net(self.net)

    def widths(self, type_: Type) -> tuple[int, ...]:
        """How many numbers of the net each parameter of a coordinate takes, in the order of the law's heads."""
        law = self.product()
        return tuple(law.width(name, type_) or 1 for name in law.heads())

    def product(self) -> AbstractProduct:
        """The law, as one of independent coordinates whose parameters are left to the net."""
        law = self.law
        if not isinstance(law, AbstractProduct):
            raise Refusal(
                "DGM477",
                f"the law of a coordinate has parameters by name, and `{law.name}` has none that a net could give",
                argument="law",
                help=("write `normal`, `bernoulli`, `categorical` or `discretized_logistic(components = 5)`",),
            )
        defaults = {name: field.default for name, field in type(law).model_fields.items()}
        given = [name for name in law.domains if name not in law.kept() and getattr(law, name) != defaults[name]]
        given += [name for name in law.kept() if isinstance(getattr(law, name), tuple)]
        if given:
            raise Refusal(
                "DGM477",
                f"the net gives the parameters of `{law.name}`, and `{given[0]}` is given as well",
                argument="law",
                help=(f"write `{law.name}` without `{given[0]}`",),
            )
        return law
