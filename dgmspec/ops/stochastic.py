"""Stochastic steps: `dequantize`, which turns whole numbers into real ones by a draw."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar, Literal

from dgmspec.core.diagnostics import Refusal
from dgmspec.core.jacobian import Jacobian
from dgmspec.core.op import AbstractOp, AbstractStep, Cost, Direction, Draw
from dgmspec.core.types import SupportKind, Type, integers, interval


class AbstractDequantizer(AbstractOp, ABC):
    """The law of what is added to a whole number."""

    role: ClassVar[str] = "dequantizer"


class Uniform(AbstractDequantizer):
    """``u ~ U(0, 1)``, independent of x and of the other coordinates."""

    name: ClassVar[str] = "uniform"
    examples: ClassVar[tuple[str, ...]] = ("uniform",)


class Dequantize(AbstractStep):
    """Whole numbers made continuous: each is spread over the unit interval above it.

    Formula: ``y = x + u``, u ~ U(0, 1) per coordinate; inverse ``x = floor(y)``, an end moved by rounding put back.
    Shapes: any, kept as it is.
    Domain: integer(a..b) -> interval(a, b + 1), onto.
    Log-determinant: 0; ``E_u log p(x + u)`` is a lower bound of ``log P(x) = log ∫ p(x + u) du`` (Jensen).
    Caveat: u keeps off 0 and 1 by a rounding error of b + 1, so that floor returns x and y is never an end point.
    Reference: Theis, van den Oord and Bethge, A note on the evaluation of generative models, ICLR 2016, section 3.1.
    """

    name: ClassVar[str] = "dequantize"
    examples: ClassVar[tuple[str, ...]] = ("dequantize(uniform)", "dequantize(law = uniform)")
    density: ClassVar[Literal["exact", "estimate", "lower bound"]] = "lower bound"

    law: AbstractDequantizer

    def infer_type(self, x: Type, c: Type | None) -> Type:
        if x.support.kind is not SupportKind.INTEGER:
            labels = x.support.kind is SupportKind.CATEGORY
            remedy = "declare the variable as `integer(a..b)` if its labels are ordered" if labels else "drop the step"
            raise Refusal("DGM341", f"`dequantize` takes whole numbers, and {x} has none", help=(remedy,))
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
        return Jacobian.identity(x.size)

    def cost(self, x: Type, c: Type | None) -> Cost:
        return Cost("0", Direction(passes=0), Direction(passes=0))

    def draws(self, x: Type) -> tuple[Draw, ...]:
        return (Draw("u", x.shape),)
