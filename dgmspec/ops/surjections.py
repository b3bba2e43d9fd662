"""Steps that draw and are undone by forgetting: coordinates that are noise, and labels as the largest of numbers."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from dgmspec.core.diagnostics import Refusal
from dgmspec.core.jacobian import Jacobian, Structure
from dgmspec.core.nets import AbstractNet
from dgmspec.core.parameters import Draw, ParamSpec
from dgmspec.core.scalars import AbstractScalar
from dgmspec.core.steps import AbstractStep, Cost, Direction
from dgmspec.core.types import REAL, Shape, SupportKind, Type
from dgmspec.ops.scalar import Affine
from dgmspec.ops.stochastic import FREE, drawn_parameters, require_line, require_onto_itself


class Augment(AbstractStep):
    """Coordinates that are noise, drawn behind the event, so that what follows has room to move it through.

    Formula: ``y = [x, e]`` along the first dimension, ``e = T(v; net(x, c))``, v ~ N(0, 1); without a net e = v. The
    inverse drops e.
    Shapes: [d, …] -> [d + k, …]; of an image, k further channels.
    Domain: real -> real.
    Log-determinant: ``-log q(e | x)``; ``E_e [log p(x, e) - log q(e | x)]`` is a lower bound of log p(x), tight where q
    is the law of e given x under p.
    Reference: Huang, Dinh and Courville 2020, "Augmented normalizing flows: bridging the gap between generative flows
    and latent variable models"; Chen, Lu, Chen, Zhu and Tian 2020, "VFlow".
    """

    name: ClassVar[str] = "augment"
    examples: ClassVar[tuple[str, ...]] = ("augment(1)", "augment(2, net = mlp(8))", "augment(2, conv(4), rqs(4))")
    density: ClassVar[Literal["exact", "estimate", "lower bound"]] = "lower bound"

    count: int = Field(ge=1, description="how many coordinates, or channels, are added")
    net: AbstractNet | None = Field(None, description="the net that shapes the noise, reading the event")
    scalar: AbstractScalar = Field(Affine(), description="the scalar bijector T of ℝ onto itself")

    def infer_type(self, x: Type, c: Type | None) -> Type:
        require_line(self.name, "draws", x)
        if not x.shape:
            raise Refusal("DGM304", f"`augment` lengthens a vector, and {x} is one number", help=(f"write {x}[1]",))
        if self.net is not None:
            require_onto_itself(self.name, self.scalar, REAL)
        return x.with_shape((x.shape[0] + self.count, *x.shape[1:]))

    def infer_input(self, y: Type, c: Type | None) -> Type:
        require_line(f"inverse {self.name}", "draws", y)
        if not y.shape or y.shape[0] <= self.count:
            raise Refusal(
                "DGM304",
                f"`inverse augment` drops {self.count} of the first dimension, and {y} has no more",
                help=("drop fewer",),
            )
        return y.with_shape((y.shape[0] - self.count, *y.shape[1:]))

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        return Jacobian(Structure.UNKNOWN)

    def cost(self, x: Type, c: Type | None) -> Cost:
        return Cost("O(d)", FREE if self.net is None else Direction(), FREE)

    def parameters(self, x: Type, c: Type | None) -> tuple[ParamSpec, ...]:
        if self.net is None:
            return ()
        return drawn_parameters(self.net, self.scalar, REAL, x.shape, self.added(x), c)

    def draws(self, x: Type) -> tuple[Draw, ...]:
        return (Draw("e", self.added(x), "normal"),)

    def added(self, x: Type) -> Shape:
        """The shape of the noise."""
        return self.count, *x.shape[1:]


class Argmax(AbstractStep):
    """Labels made continuous: numbers of which the label's is the largest, or whose signs are its binary digits.

    Formula: u = T(v; net(x, c)), v ~ N(0, 1), without a net u = v. ``onehot``: ``y_x = u_x``, and
    ``y_j = u_x - softplus(u_x - u_j)`` for every other label j; the inverse is the argmax. ``binary``: y_b =
    ± softplus(u_b), positive where digit b of x is 1; the inverse reads the signs.
    Shapes: with n numbers a label, k or ⌈log₂ k⌉: [] -> [n]; [d] -> [d, n], a row for each label; [h, w] -> [n, h, w]
    and [c, h, w] -> [c n, h, w], channels.
    Domain: category(k) -> real. Where k is no power of 2, digits of no label are never drawn; undone, they stand for
    what they leave when divided by k.
    Log-determinant: ``-log q(y | x)``, that is ``log|∂y/∂v| - log p(v)``; ``E_y [log p(y) - log q(y | x)]`` is a lower
    bound of ``log P(x) = log ∫ p(y) dy`` over the y whose inverse is x.
    Caveat: a gap below a rounding error is held open at it, so that the inverse returns x.
    Reference: Hoogeboom, Nielsen, Jaini, Forré and Welling 2021, "Argmax flows and multinomial diffusion", sections 3.1
    and 3.2; Nielsen, Jaini, Hoogeboom, Winther and Welling 2020, "SurVAE flows".
    """

    name: ClassVar[str] = "argmax"
    examples: ClassVar[tuple[str, ...]] = ("argmax", "argmax(net = mlp(8))", "argmax(code = binary, scalar = rqs(4))")
    density: ClassVar[Literal["exact", "estimate", "lower bound"]] = "lower bound"
    forgets: ClassVar[bool] = True

    net: AbstractNet | None = Field(None, description="the net that shapes the draws, reading the labels' code")
    code: Literal["onehot", "binary"] = Field("onehot", description="one number for each label, or for each digit")
    scalar: AbstractScalar = Field(Affine(), description="the scalar bijector T of ℝ onto itself")

    def infer_type(self, x: Type, c: Type | None) -> Type:
        if x.support.kind is not SupportKind.CATEGORY or len(x.shape) > 3:
            whole = x.support.kind is SupportKind.INTEGER
            remedy = "write `dequantize(uniform)`, which keeps their order" if whole else "drop the step"
            raise Refusal("DGM347", f"`argmax` takes labels, and {x} has none", help=(remedy,))
        if self.net is not None:
            require_onto_itself(self.name, self.scalar, REAL)
        n, shape = self.numbers(x), x.shape
        if len(shape) < 2:
            return Type(REAL, (*shape, n), x.aside)
        return Type(REAL, (n, *shape) if len(shape) == 2 else (shape[0] * n, *shape[1:]), x.aside)

    def infer_input(self, y: Type, c: Type | None) -> Type:
        raise Refusal(
            "DGM347",
            f"{y} does not say how many labels `argmax` made it of",
            help=("declare the variable at the flow's other end, `category(k)` and its shape",),
        )

    def numbers(self, x: Type) -> int:
        """How many numbers stand for a label."""
        labels = int(x.support.high) + 1
        return max((labels - 1).bit_length(), 1) if self.code == "binary" else labels

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        return Jacobian(Structure.UNKNOWN)

    def cost(self, x: Type, c: Type | None) -> Cost:
        return Cost("O(d)", FREE if self.net is None else Direction(), FREE)

    def parameters(self, x: Type, c: Type | None) -> tuple[ParamSpec, ...]:
        if self.net is None:
            return ()
        shape = self.infer_type(x, c).shape
        return drawn_parameters(self.net, self.scalar, REAL, shape, shape, c)

    def draws(self, x: Type) -> tuple[Draw, ...]:
        return (Draw("u", self.infer_type(x, None).shape, "normal"),)
