"""Steps of images [c, h, w]: `squeeze` and `haar` trade height and width for channels, `conv1x1` mixes channels."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from dgmspec.core.dependency import bit_indices
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.jacobian import EXACT_UP_TO, Dependency, Fact, Jacobian, Structure, row_bits
from dgmspec.core.parameters import ParamSpec
from dgmspec.core.steps import AbstractStep, Cost, Direction, Facts
from dgmspec.core.types import Shape, Type
from dgmspec.ops.linear import AbstractLinearForm
from dgmspec.ops.structure import need_real

_FREE = Cost("0", Direction("free"), Direction("free"))
_PRODUCT = Direction(passes=0)
_MIXED = "is no interval in each coordinate: they are mixed"


def squeezed(step: str, x: Type, factor: int) -> Shape:
    """[c, h, w] -> [c·k², h/k, w/k]; refused where the sides are no multiples of k."""
    channels, height, width = _image(step, x)
    if height % factor or width % factor:
        raise Refusal(
            "DGM342",
            f"`{step}` divides height and width by {factor}, and {x} is {height} × {width}",
            help=(f"begin with an image whose sides {factor} divides once for every `{step}`",),
        )
    return channels * factor**2, height // factor, width // factor


def unsqueezed(step: str, y: Type, factor: int) -> Shape:
    """[c, h, w] -> [c/k², h·k, w·k]; refused where the channels are no multiple of k²."""
    channels, height, width = _image(f"inverse {step}", y)
    if channels % factor**2:
        raise Refusal(
            "DGM342",
            f"`inverse {step}` spreads {factor**2} channels over the pixels, and {y} has {channels}",
            help=(f"use it where the channels are a multiple of {factor**2}, as they are behind a `{step}`",),
        )
    return channels // factor**2, height * factor, width * factor


def _image(step: str, x: Type) -> tuple[int, int, int]:
    if len(x.shape) != 3:
        raise Refusal(
            "DGM304",
            f"`{step}` takes an image [c, h, w], and {x} is none",
            help=("give it that shape first: `reshape([1, 8, 8])`",),
        )
    channels, height, width = x.shape
    return channels, height, width


class Squeeze(AbstractStep):
    """Each k × k block of pixels becomes k² channels.

    Formula: ``y[c k² + k i + j, h, w] = x[c, k h + i, k w + j]``.
    Shapes: [c, h, w] -> [c k², h / k, w / k].
    Domain: any support, kept as it is.
    Log-determinant: 0 at no cost.
    Caveat: the channels of one pixel block stand together, so that half of the channels of one squeezed grey image are
    every other row of it.
    Reference: Dinh, Sohl-Dickstein and Bengio, Density estimation using Real NVP, ICLR 2017, section 3.6.
    """

    name: ClassVar[str] = "squeeze"
    examples: ClassVar[tuple[str, ...]] = ("squeeze", "squeeze(4)", "squeeze(factor = 2)")

    factor: Annotated[int, Field(ge=2, strict=True)] = 2

    def infer_type(self, x: Type, c: Type | None) -> Type:
        return x.with_shape(squeezed(self.name, x, self.factor))

    def infer_input(self, y: Type, c: Type | None) -> Type:
        return y.with_shape(unsqueezed(self.name, y, self.factor))

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        yes = Fact.YES
        if x.size > EXACT_UP_TO:
            return Jacobian(Structure.PERMUTATION, None, yes, yes, yes)
        channels, height, width = squeezed(self.name, x, self.factor)
        k, area = self.factor, x.shape[1] * x.shape[2]
        source = [
            channel // k**2 * area + (k * row + channel // k % k) * x.shape[2] + k * column + channel % k
            for channel in range(channels)
            for row in range(height)
            for column in range(width)
        ]
        return Jacobian.permutation(tuple(source))

    def cost(self, x: Type, c: Type | None) -> Cost:
        return _FREE


class Haar(AbstractStep):
    """One level of the orthogonal Haar wavelet: each 2 × 2 block becomes its mean, two slopes and a twist.

    Formula: for a block ``a b / c d`` the channels ``(a+b+c+d)/2, (a-b+c-d)/2, (a+b-c-d)/2, (a-b-c+d)/2``.
    Shapes: [c, h, w] -> [4 c, h / 2, w / 2]; band by band, so that the first c channels are the image at half its size
    (times 2), and `split` after it sends off details.
    Domain: real -> real, onto.
    Log-determinant: 0 at no cost: the map is orthogonal.
    Reference: Haar 1910; in flows Ardizzone et al., Guided image generation with conditional invertible neural
    networks, 2019, section 3.3.
    """

    name: ClassVar[str] = "haar"
    examples: ClassVar[tuple[str, ...]] = ("haar",)

    def infer_type(self, x: Type, c: Type | None) -> Type:
        need_real(self.name, x, _MIXED)
        return x.with_shape(squeezed(self.name, x, 2))

    def infer_input(self, y: Type, c: Type | None) -> Type:
        need_real(f"inverse {self.name}", y, _MIXED)
        return y.with_shape(unsqueezed(self.name, y, 2))

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        yes = Fact.YES
        if x.size > EXACT_UP_TO:
            return Jacobian(Structure.DENSE, None, yes, yes, yes)
        channels, height, width = x.shape
        blocks = [
            row_bits(channel * height * width + (row + i) * width + column + j for i in (0, 1) for j in (0, 1))
            for channel in range(channels)
            for row in range(0, height, 2)
            for column in range(0, width, 2)
        ]
        return Jacobian(Structure.DENSE, Dependency(tuple(blocks * 4), x.size), yes, yes, yes)

    def cost(self, x: Type, c: Type | None) -> Cost:
        return Cost("0", _PRODUCT, _PRODUCT)


class Conv1x1(AbstractStep):
    """One learned invertible c × c matrix for the channels of every pixel.

    Formula: ``y[:, p] = W x[:, p]`` at each place p, W by its form as in `linear`: `plu`, `qr`, `dense`, ….
    Shapes: [c, …] with at least one more dimension, kept.
    Domain: real -> real, onto.
    Log-determinant: the number of places times log|det W|, constant in x; O(c) once a batch, O(c³) for `dense`.
    Caveat: the inverse multiplies by W⁻¹, which is computed once a call.
    Reference: Kingma and Dhariwal, Glow, NeurIPS 2018, section 3.2.
    """

    name: ClassVar[str] = "conv1x1"
    examples: ClassVar[tuple[str, ...]] = ("conv1x1(plu)", "conv1x1(qr)", "conv1x1(form = dense)")

    form: AbstractLinearForm

    def infer_type(self, x: Type, c: Type | None) -> Type:
        need_real(self.name, x)
        if len(x.shape) < 2:
            raise Refusal(
                "DGM304",
                f"`conv1x1` mixes the channels of an event [c, h, w], and {x} has no places beside its channels",
                help=("write `linear(…)`, which takes a vector",),
            )
        return x

    def infer_input(self, y: Type, c: Type | None) -> Type:
        return self.infer_type(y, c)

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        channels, places = x.shape[0], x.size // x.shape[0]
        own = self.form.form_jacobian(channels)
        rank = None if own.rank is None else own.rank * places
        exact = None
        if x.size <= EXACT_UP_TO and own.dependency is not None:
            rows = [[j * places for j in bit_indices(row)] for row in own.dependency.rows]
            exact = Dependency(tuple(row_bits(j + p for j in row) for row in rows for p in range(places)), x.size)
        return Jacobian(own.named, exact, own.constant, own.unit_det, own.orthogonal, rank)

    def cost(self, x: Type, c: Type | None) -> Cost:
        return Cost(self.form.log_det.replace("d", "c"), _PRODUCT, _PRODUCT)

    def parameters(self, x: Type, c: Type | None) -> tuple[ParamSpec, ...]:
        return self.form.form_parameters(x.shape[0])

    def facts(self, x: Type, c: Type | None) -> Facts:
        return Facts(assumed=tuple(reason.replace("linear", self.name) for reason in self.form.assumed))
