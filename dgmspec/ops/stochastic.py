"""Stochastic steps: draws that make a flow's event continuous or larger, and what they add to the log-density.

A draw v of known density is taken to ``T(v; net(x, c))`` by a scalar bijector whose parameters a net reads off the
event. What the step adds is ``log|∂y/∂v| - log p(v)``, minus the log-density of what was drawn, so that the density
behind it, on average over the draws, is a lower bound of the event's own. Undone, the step adds the log-density of what
is dropped: data at that end have the density of what remains times that of the draw.
"""

from __future__ import annotations

from abc import ABC
from typing import ClassVar, Literal

from pydantic import Field

from dgmspec.core.diagnostics import Refusal
from dgmspec.core.jacobian import Fact, Jacobian, Structure
from dgmspec.core.nets import AbstractNet, NetUse
from dgmspec.core.op import AbstractOp
from dgmspec.core.parameters import Draw, ParamSpec
from dgmspec.core.scalars import AbstractScalar
from dgmspec.core.steps import AbstractStep, Cost, Direction
from dgmspec.core.types import REAL, UNIT, Shape, Support, SupportKind, Type, integers, interval
from dgmspec.ops.nets import context_shape
from dgmspec.ops.nets.planes import plane_output
from dgmspec.ops.scalar import Rqs
from dgmspec.ops.structure import need_real

FREE = Direction(passes=0)


def drawn_parameters(
    net: AbstractNet, scalar: AbstractScalar, support: Support, read: Shape, drawn: Shape, c: Type | None
) -> tuple[ParamSpec, ...]:
    """The parameters of a net from an event of shape `read` to those of `scalar` for every number that is drawn; its
    last layer starts at zero, so that the draws are first taken as they are."""
    use = NetUse((read,), plane_output(net, len(scalar.raw(support)), drawn), context_shape(c), zero=True)
    return tuple(spec.under("net") for spec in net.net_parameters(use))


def require_onto_itself(name: str, scalar: AbstractScalar, support: Support) -> None:
    """Refuse a scalar bijector that a net cannot shape, or that takes the draws elsewhere."""
    if not scalar.raw(support):
        raise Refusal(
            "DGM441",
            f"`{scalar.name}` has no parameters for the net of `{name}` to give",
            argument="scalar",
            help=("leave `scalar = …` out",),
        )
    image = scalar.image(support)
    if image != support:
        raise Refusal(
            "DGM440",
            f"`{name}` draws from {support.describe()}, and `{scalar.name}` takes that to {image.describe()}",
            argument="scalar",
            help=("use a scalar bijector that maps the support onto itself, such as `rqs`",),
        )


def require_line(step: str, does: str, x: Type) -> None:
    """Refuse an event beside which a draw on the line would live on another support."""
    if x.support.continuous and not x.support.circular and x.support != REAL:
        raise Refusal(
            "DGM303",
            f"`{step}` {does} on all of ℝ, and {x} lives on {x.support.describe()}",
            help=("map the event onto ℝ first: `logit` on a bounded interval, `inverse exp` on the positive numbers",),
        )
    need_real(step, x)


class AbstractDequantizer(AbstractOp, ABC):
    """The law of what is added to a whole number."""

    role: ClassVar[str] = "dequantizer"


class Uniform(AbstractDequantizer):
    """``u ~ U(0, 1)``, independent of x and of the other coordinates."""

    name: ClassVar[str] = "uniform"
    examples: ClassVar[tuple[str, ...]] = ("uniform",)


class Variational(AbstractDequantizer):
    """``u_i = T(v_i; net(x, c)_i)``, v ~ U(0, 1): a learned law of u given the whole event x, independent between
    coordinates; uniform at the start. The net reads x brought to (-1, 1).

    Reference: Ho, Chen, Srinivas, Duan and Abbeel 2019, "Flow++: Improving flow-based generative models with
    variational dequantization and architecture design", section 3.1.
    """

    name: ClassVar[str] = "variational"
    examples: ClassVar[tuple[str, ...]] = ("variational(mlp(8))", "variational(conv(4), scalar = bernstein(4))")

    net: AbstractNet = Field(description="the net that reads the whole numbers")
    scalar: AbstractScalar = Field(Rqs(), description="the scalar bijector T of (0, 1) onto itself")


class Dequantize(AbstractStep):
    """Whole numbers made continuous: each is spread over the unit interval above it.

    Formula: ``y = x + u``, u ~ q(u | x); inverse ``x = floor(y)``, an end moved by rounding put back.
    Shapes: any, kept as it is.
    Domain: integer(a..b) -> interval(a, b + 1), onto.
    Log-determinant: ``-log q(u | x)``, 0 where u is uniform; ``E_u [log p(x + u) - log q(u | x)]`` is a lower bound of
    ``log P(x) = log ∫ p(x + u) du`` (Jensen), tight where q is the law of u given x under p.
    Caveat: u keeps off 0 and 1 by a rounding error of b + 1, so that floor returns x and y is never an end point.
    Reference: Theis, van den Oord and Bethge, A note on the evaluation of generative models, ICLR 2016, section 3.1.
    """

    name: ClassVar[str] = "dequantize"
    examples: ClassVar[tuple[str, ...]] = (
        "dequantize(uniform)",
        "dequantize(law = uniform)",
        "dequantize(variational(mlp(8)))",
    )
    density: ClassVar[Literal["exact", "estimate", "lower bound"]] = "lower bound"

    law: AbstractDequantizer

    def infer_type(self, x: Type, c: Type | None) -> Type:
        if x.support.kind is not SupportKind.INTEGER:
            labels = x.support.kind is SupportKind.CATEGORY
            remedy = "write `argmax`, which takes labels to real numbers" if labels else "drop the step"
            raise Refusal("DGM341", f"`dequantize` takes whole numbers, and {x} has none", help=(remedy,))
        if isinstance(self.law, Variational):
            require_onto_itself(self.law.name, self.law.scalar, UNIT)
        return x.with_support(interval(x.support.low, x.support.high + 1))

    def infer_input(self, y: Type, c: Type | None) -> Type:
        low, high = y.support.low, y.support.high
        whole = y.support.continuous and low.is_integer() and high.is_integer()
        if not whole:
            raise Refusal(
                "DGM341",
                f"`inverse dequantize` takes an interval between whole numbers down to them, and {y} is none",
                help=("map the event onto such an interval first, for instance onto (0, 1) by `sigmoid`",),
            )
        return y.with_support(integers(int(low), int(high) - 1))

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        if isinstance(self.law, Variational):
            return Jacobian.of(Structure.DENSE, x.size, constant=Fact.NO, unit_det=Fact.NO, orthogonal=Fact.NO)
        return Jacobian.identity(x.size)

    def cost(self, x: Type, c: Type | None) -> Cost:
        return Cost("O(d)", Direction(), FREE) if isinstance(self.law, Variational) else Cost("0", FREE, FREE)

    def parameters(self, x: Type, c: Type | None) -> tuple[ParamSpec, ...]:
        law = self.law
        if not isinstance(law, Variational):
            return ()
        return tuple(spec.under("law") for spec in drawn_parameters(law.net, law.scalar, UNIT, x.shape, x.shape, c))

    def draws(self, x: Type) -> tuple[Draw, ...]:
        return (Draw("u", x.shape),)
