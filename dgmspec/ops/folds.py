"""Steps that take several events to one, exactly: magnitudes, sorted numbers, maxima. The way back draws among them.

Where y = f(x) for several x, ``p(x) = p(y) P(x | y)`` with a law of x among those that share y: what the step adds to
log p is the log-probability, or the density, of what it forgets. So the density of x integrates to one exactly where
that of y does over all that f reaches, and that image is the type behind the step. Undone (`inverse abs`), the step
draws on data's way to the prior, and the density becomes a lower bound, as behind any draw.
Reference: Nielsen, Jaini, Hoogeboom, Winther and Welling 2020, "SurVAE flows: surjections to bridge the gap between
VAEs and flows", its inference surjections.
"""

from __future__ import annotations

import math
from abc import ABC
from typing import Annotated, ClassVar

from pydantic import Field

from dgmspec.core.diagnostics import Refusal
from dgmspec.core.jacobian import Fact, Jacobian, Structure
from dgmspec.core.nets import AbstractNet, NetUse
from dgmspec.core.parameters import Draw, ParamSpec
from dgmspec.core.steps import AbstractStep, Cost
from dgmspec.core.types import Shape, Support, SupportKind, Type
from dgmspec.ops.nets import context_shape
from dgmspec.ops.nets.planes import plane_output
from dgmspec.ops.stochastic import FREE, require_line


class AbstractFold(AbstractStep, ABC):
    """A step whose way back draws."""

    folds: ClassVar[bool] = True


class Abs(AbstractFold):
    """The magnitude of each coordinate; the way back draws its sign.

    Formula: ``y = |x|``, and ``P(x_i > 0 | y) = sigmoid(net(y, c)_i)``, 1/2 without a net.
    Shapes: any, kept.
    Domain: real -> positive; interval(-b, b) -> interval(0, b).
    Log-determinant: ``Σ log P(sign of x_i | y)``, exact: -d log 2 without a net, else O(d) and a pass of the net.
    Caveat: 0 counts as positive, and its magnitude as the smallest normal number, so that a logarithm behind it is
    finite. The net starts at 1/2.
    Reference: Nielsen et al. 2020, "SurVAE flows", absolute value surjection.
    """

    name: ClassVar[str] = "abs"
    examples: ClassVar[tuple[str, ...]] = ("abs", "abs(net = mlp(8))")

    net: AbstractNet | None = Field(None, description="the net of the signs' log-odds, reading the magnitudes")

    @property
    def chooses(self) -> bool:
        return self.net is not None

    def infer_type(self, x: Type, c: Type | None) -> Type:
        low, high = x.support.low, x.support.high
        if x.support.kind is not SupportKind.CONTINUOUS or low != -high:
            raise _no_fold(self.name, "`real` or `interval(-b, b)` onto the numbers above 0", x)
        return x.with_support(Support(SupportKind.CONTINUOUS, 0.0, high))

    def infer_input(self, y: Type, c: Type | None) -> Type:
        low, high = y.support.low, y.support.high
        if y.support.kind is not SupportKind.CONTINUOUS or low != 0:
            raise _no_fold(f"inverse {self.name}", "`positive` or `interval(0, b)` to both signs", y)
        return y.with_support(Support(SupportKind.CONTINUOUS, -high, high))

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        return Jacobian.of(Structure.DIAGONAL, x.size, constant=Fact.NO, unit_det=Fact.NO, orthogonal=Fact.NO)

    def cost(self, x: Type, c: Type | None) -> Cost:
        return Cost("0", FREE, FREE) if self.net is None else Cost()

    def parameters(self, x: Type, c: Type | None) -> tuple[ParamSpec, ...]:
        return () if self.net is None else _net_parameters(self.net, 1, x.shape, c)

    def inverse_draws(self, x: Type) -> tuple[Draw, ...]:
        return (Draw("sign", x.shape),)


class Sort(AbstractFold):
    """A vector's numbers without their order: the least, and the logarithms of the gaps between the sorted ones.

    Formula: ``y_1 = x_(1)``, ``y_i = log(x_(i) - x_(i-1))`` for x_(1) ≤ … ≤ x_(d); the way back draws one of the d!
    orders, each as likely as the others.
    Shapes: ``[d]`` -> ``[d]``. Domain: real -> real, onto: sorted vectors fill a part of ℝᵈ, and the gaps open it to
    all of ℝᵈ, so that the density integrates to one under any prior behind it.
    Log-determinant: ``-log d! - Σ_{i>1} y_i``, exact; O(d log d).
    Caveat: the density is the same for every order of x: it fits data without an order. A gap below a rounding error
    counts as one.
    Reference: Nielsen et al. 2020, "SurVAE flows", sorting surjection; the gaps: Stan's transform of ordered vectors.
    """

    name: ClassVar[str] = "sort"
    examples: ClassVar[tuple[str, ...]] = ("sort",)

    def infer_type(self, x: Type, c: Type | None) -> Type:
        return self._vector(self.name, x)

    def infer_input(self, y: Type, c: Type | None) -> Type:
        return self._vector(f"inverse {self.name}", y)

    def _vector(self, step: str, x: Type) -> Type:
        require_line(step, "gives gaps", x)
        if len(x.shape) != 1:
            remedy = "put `flatten` before it" if x.shape else f"declare the event as {x}[1]"
            raise Refusal("DGM304", f"`{step}` takes a vector, and {x} is none", help=(remedy,))
        return x

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        return Jacobian.of(Structure.DENSE, x.size, constant=Fact.NO, unit_det=Fact.NO, orthogonal=Fact.NO)

    def cost(self, x: Type, c: Type | None) -> Cost:
        return Cost("O(d)", FREE, FREE)

    def inverse_draws(self, x: Type) -> tuple[Draw, ...]:
        return (Draw("order", x.shape),)


class MaxPool(AbstractFold):
    """The largest number of each window; the way back draws where it stood, and by how much the others fall short.

    Formula: ``y = max_j x_j`` over the K numbers of a window. Where it stood: ``P(j | y) = softmax(l)_j``. How far the
    others lie below it: ``y - x_j ~ exponential`` with mean exp(s_j), s_j within ±5, softly. The 2 K numbers l and s
    of each window are ``net(y, c)``, without a net learned ones, a set for each channel.
    Shapes: [c, h, w] -> [c, h / k, w / k], windows k × k; [d] -> [d / k], windows of k.
    Domain: real -> real.
    Log-determinant: ``Σ log P(j* | y) + Σ_{j ≠ j*} log p(y - x_j | y)``, exact; O(d).
    Caveat: l and s start at 0: every place is as likely, and the gaps have mean 1.
    Reference: Nielsen et al. 2020, "SurVAE flows", max pooling surjection.
    """

    name: ClassVar[str] = "max_pool"
    examples: ClassVar[tuple[str, ...]] = ("max_pool(2)", "max_pool(size = 2, net = conv(4))")

    size: Annotated[int, Field(ge=2, strict=True, description="side of the windows")]
    net: AbstractNet | None = Field(None, description="the net of the places' log-odds and the gaps' scales")

    @property
    def chooses(self) -> bool:
        return True

    def infer_type(self, x: Type, c: Type | None) -> Type:
        channels, sides = self._sides(self.name, x)
        if any(side % self.size for side in sides):
            raise Refusal(
                "DGM342",
                f"`{self.name}({self.size})` divides every side by {self.size}, and {x} does not divide",
                help=("crop or pad the data to a multiple of it",),
            )
        return x.with_shape((*channels, *(side // self.size for side in sides)))

    def infer_input(self, y: Type, c: Type | None) -> Type:
        channels, sides = self._sides(f"inverse {self.name}", y)
        return y.with_shape((*channels, *(side * self.size for side in sides)))

    def _sides(self, step: str, x: Type) -> tuple[Shape, Shape]:
        """The channels of an image, none of a vector, and what is divided into windows."""
        require_line(step, "draws gaps", x)
        if len(x.shape) not in (1, 3):
            raise Refusal(
                "DGM304",
                f"`{step}` takes an image [c, h, w] or a vector [d], and {x} is neither",
                help=("give it that shape first: `reshape([1, 8, 8])`",),
            )
        return x.shape[:-2], x.shape[-2:]

    def window(self, x: Type) -> int:
        """How many numbers K a window has."""
        return self.size ** (2 if len(x.shape) == 3 else 1)

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        return Jacobian(Structure.UNKNOWN)

    def cost(self, x: Type, c: Type | None) -> Cost:
        return Cost("O(d)", FREE, FREE) if self.net is None else Cost()

    def parameters(self, x: Type, c: Type | None) -> tuple[ParamSpec, ...]:
        if self.net is not None:
            return _net_parameters(self.net, 2 * self.window(x), self.infer_type(x, c).shape, c)
        return (ParamSpec("raw", (2 * self.window(x), *x.shape[:-2])),)

    def inverse_draws(self, x: Type) -> tuple[Draw, ...]:
        pooled = self.infer_type(x, None).shape
        return Draw("place", pooled), Draw("gap", (self.window(x), *pooled), "exponential")


def _net_parameters(net: AbstractNet, planes: int, shape: Shape, c: Type | None) -> tuple[ParamSpec, ...]:
    """The parameters of a net from an event of this shape to so many numbers for each of its own, starting at 0."""
    use = NetUse((shape,), plane_output(net, planes, shape), context_shape(c), zero=True)
    return tuple(spec.under("net") for spec in net.net_parameters(use))


def _no_fold(step: str, takes: str, x: Type) -> Refusal:
    if not x.support.continuous:
        remedy = "make the variable continuous first, as `dequantize(uniform)` does with whole numbers"
    elif math.isfinite(x.support.high) and x.support.low < 0:
        remedy = "move the interval first: `shift_scale` takes its middle to 0"
    else:
        remedy = "drop the step"
    return Refusal("DGM349", f"`{step}` takes {takes}, and {x} is no such set", help=(remedy,))
