"""`mixture`: one of several distributions, chosen anew for each event."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar, Self

from pydantic import model_validator

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.algebra.shapes import show_shape
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.op import Variadic
from dgmspec.core.parameters import Draw
from dgmspec.core.types import POSITIVE, Shape, Support, Type, number
from dgmspec.ops.distributions.product import AbstractParametric, Matrix, ParameterValue, Vector


class Mixture(AbstractParametric):
    """A mixture of whole events: one component is chosen for the event, and all its coordinates come from that one.

    Formula: ``p(x) = Σ_i w_i p_i(x)``, p_i the component's density of the whole event, w the weights over their sum.
    Shapes: any; on real[2], ``mixture(normal(-2, 1), normal(2, 1))`` has two modes, at (-2, -2) and (2, 2), not four.
    Support: that of the components, one for all.
    Sampling: a component by a uniform draw, then that component's own draw; not differentiable in the choice.
    Caveat: the weights are relative (``[1, 3]`` means 1/4 and 3/4) and equal where none are given. A formula for them,
    such as a learned ``simplex[2]``, is positive, with one entry a component; an entry too small for a float counts as
    the smallest.
    Reference: McLachlan and Peel, Finite Mixture Models, 2000.
    """

    name: ClassVar[str] = "mixture"
    examples: ClassVar[tuple[str, ...]] = (
        "mixture(normal(-2, 1), normal(2, 1))",
        "mixture(normal(-2, 0.5), student_t(4, 2, 1), weights = [1, 3])",
    )

    pathwise: ClassVar[bool] = False

    components: Annotated[tuple[AbstractParametric, ...], Variadic()] = ()
    weights: Vector | AbstractExpr | None = None

    @model_validator(mode="after")
    def _weighted(self) -> Self:
        weights, count = self.weights, len(self.components)
        if count == 0:
            raise Refusal(
                "DGM472", "`mixture` needs at least one component", help=("write `mixture(normal(0, 1), …)`",)
            )
        if isinstance(weights, tuple) and (len(weights) != count or min(weights) / max(weights) <= 1e-300):
            parts = f"{count} component{'s' * (count > 1)}"
            raise Refusal(
                "DGM472",
                f"`weights` must be {count} positive number{'s' * (count > 1)} for {parts}, "
                f"got [{', '.join(map(number, weights))}]",
                argument="weights",
                help=("give each component one positive weight; they are divided by their sum",),
            )
        return self

    @property
    def probabilities(self) -> tuple[float, ...]:
        """The chance of each component, where the weights are numbers."""
        assert not isinstance(self.weights, AbstractExpr), "the twin reads a formula's value from its arguments"
        weights = self.weights or (1.0,) * len(self.components)
        shares = [weight / max(weights) for weight in weights]
        return tuple(share / sum(shares) for share in shares)

    def parameters(self) -> dict[str, ParameterValue | Matrix]:
        own: dict[str, ParameterValue | Matrix] = {} if self.weights is None else {"weights": self.weights}
        return own | {
            f"components/{i}/{name}": value
            for i, component in enumerate(self.components)
            for name, value in component.parameters().items()
        }

    def domain_of(self, parameter: str) -> Support:
        if parameter == "weights":
            return POSITIVE
        component, name = self._part(parameter)
        return component.domain_of(name)

    def choices(self) -> tuple[str, ...]:
        inner = (f"components/{i}/{name}" for i, own in enumerate(self.components) for name in own.choices())
        return "weights", *inner

    def heads(self) -> tuple[str, ...]:
        return ()

    def width(self, parameter: str, type_: Type) -> int | None:
        component, name = self._part(parameter)
        return component.width(name, type_)

    def shape_of(self, parameter: str, type_: Type) -> Shape:
        if parameter == "weights":
            return (len(self.components),)
        component, name = self._part(parameter)
        return component.shape_of(name, type_)

    def check_formula(self, parameter: str, shape: Shape) -> None:
        count = len(self.components)
        if parameter != "weights":
            component, name = self._part(parameter)
            component.check_formula(name, shape)
        elif shape != (count,):
            raise Refusal(
                "DGM472",
                f"`weights` has the shape [{count}], one entry for each component, and this has {show_shape(shape)}",
                argument="weights",
                help=(f"declare it so: `learn w : simplex[{count}]`",),
            )

    def _part(self, parameter: str) -> tuple[AbstractParametric, str]:
        """The component that a parameter belongs to, and its name there."""
        _, index, name = parameter.split("/", 2)
        return self.components[int(index)], name

    def support(self, type_: Type) -> Support:
        supports = [component.support(type_) for component in self.components]
        if len(set(supports)) > 1:
            raise Refusal(
                "DGM473",
                f"the components of a mixture live on one support, these live on {_listed(supports)}",
                help=("choose components of the same support",),
            )
        return supports[0]

    def draws(self, type_: Type) -> tuple[Draw, ...]:
        inner = (
            Draw(f"components/{i}/{draw.name}", draw.shape, draw.law, draw.parameter)
            for i, component in enumerate(self.components)
            for draw in component.draws(type_)
        )
        return Draw("component", ()), *inner


def _listed(supports: Iterable[Support]) -> str:
    """Distinct supports in words."""
    return " and ".join(dict.fromkeys(support.describe() for support in supports))
