"""`masked_conv`: convolutions whose kernels follow a scan of the image, the net of autoregressive steps on images."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from dgmspec.core.dependency import bit_indices
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.masking import AbstractOrder, Precedence, Scan, ScanMask
from dgmspec.core.nets import NetUse
from dgmspec.core.parameters import ParamSpec
from dgmspec.core.types import Shape
from dgmspec.ops.nets import weights
from dgmspec.ops.nets.convolutional import Odd, odd, read_image, require_one_a_layer
from dgmspec.ops.nets.layered import Activation, Link, Widths
from dgmspec.ops.nets.masked import AbstractOrdered

Bits = dict[int, list[int]]
"""For each group of channels, what each pixel can depend on, as bits of the event's coordinates."""


class MaskedConv(AbstractOrdered):
    """Masked convolutions (PixelCNN): ``masked_conv(32, 32, 32, kernel = [7, 3, 3, 1])``.

    The hidden channels are dealt to the channels of the event in turn. A tap is free where it comes before the pixel
    and channel in the scan; the middle tap of the same channel is masked in the first layer (type A) and free in the
    others (type B). With ``order = raster`` the scan goes pixel by pixel, the channels of a pixel in turn; with
    ``natural`` and ``reverse`` channel by channel. The inverse finds all pixels of a diagonal at once: the value in row
    r and column j waits for those at most h columns to the right in each row above, h the reach of the widest kernel,
    so (w + (h + 1) · (height - 1)) passes find a channel. A context image of the event's height and width is read
    whole, all else conditions by FiLM. In the velocity of an `ode` the order is `order`, over the image read first.
    Caveat: a stack of small kernels has a blind spot, a wedge above and to the right; ``check --explain`` counts it.
    Reference: van den Oord, Kalchbrenner and Kavukcuoglu 2016, "Pixel recurrent neural networks", sections 3.4 and 3.5.
    """

    name: ClassVar[str] = "masked_conv"
    examples: ClassVar[tuple[str, ...]] = (
        "masked_conv(4)",
        "masked_conv(4, 4, kernel = [5, 3, 1], activation = relu)",
        "masked_conv(4, 4, residual = true, dropout = 0.1)",
    )
    reads: ClassVar[Literal["vector", "image", "sequence"]] = "image"

    channels: Annotated[Widths, Field(min_length=1)] = Field(description="channels of each hidden layer")
    kernel: Odd | tuple[Odd, ...] = Field(
        3, description="side of the kernels: one for all hidden layers, whose last is 1 × 1, or one a layer"
    )
    activation: Activation = Field("silu", description="what comes between two layers")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of activations dropped while training")
    residual: bool = Field(False, description="whether each hidden layer is added to the next")
    order: AbstractOrder | None = Field(None, description="the order in a velocity, `natural` where left out")

    @field_validator("kernel")
    @classmethod
    def _centred(cls, value: int | tuple[int, ...]) -> int | tuple[int, ...]:
        return odd(value)

    @model_validator(mode="after")
    def _fits(self) -> MaskedConv:
        require_one_a_layer(self.kernel, len(self.channels) + 1)
        if self.kernels()[0] < 3:
            raise ValueError("the first kernel is 3 wide or wider: its middle tap is masked")
        if self.residual and len(set(self.channels)) > 1:
            raise ValueError("residual layers have equal channels")
        return self

    # ---- the chain, as the twin of `conv` reads it ------------------------------------------------------------------

    def widths(self) -> tuple[int, ...]:
        """The channels of the hidden layers."""
        return self.channels

    def kernels(self) -> tuple[int, ...]:
        """The kernel of every layer, the output layer's last."""
        return self.kernel if isinstance(self.kernel, tuple) else (*(self.kernel,) * len(self.channels), 1)

    def links(self) -> tuple[Link, ...]:
        """The layers after the first."""
        last = len(self.channels) - 1
        return tuple(Link(str(i + 1), skip=i if self.residual and i < last else None) for i in range(last + 1))

    def conditioned(self) -> tuple[int, ...]:
        """Conditions act on every hidden layer."""
        return tuple(range(len(self.channels)))

    def normed(self) -> bool:
        """Normalisation would mix pixels that must stay apart."""
        return False

    # ---- the masked reading -----------------------------------------------------------------------------------------

    @property
    def unmasked(self) -> str:
        return "conv"

    def masked_parameters(self, use: NetUse, order: Precedence) -> tuple[ParamSpec, ...]:
        scan, (planes, height, width) = self.scan(use.output, order), use.output
        read, conditions = read_image(self, use)
        count = len(order.ranks) // (height * width)
        event = tuple(range(count))
        groups = [
            event * (use.inputs[0][0] // count) + (-1,) * (read - use.inputs[0][0]),
            *(channel_groups(size, count) for size in self.channels),
            event * (planes // count),
        ]
        found: list[ParamSpec] = []
        for i, (name, side) in enumerate(
            zip(("0", *(link.name for link in self.links())), self.kernels(), strict=True)
        ):
            mask = ScanMask(groups[i + 1], groups[i], side, scan.by, strict=i == 0)
            shape = (len(mask.rows), len(mask.columns), side, side)
            found += weights.affine(name, shape, use.zero and i == len(self.channels), mask)
        return (*found, *weights.film(self.channels, conditions))

    def scan(self, shape: Shape, order: Precedence) -> Scan:
        """The order as kernels can follow it over an event; refused where they cannot."""
        if len(shape) != 3:
            raise Refusal(
                "DGM447",
                "`masked_conv` takes an event that is an image [c, h, w], and this one is none",
                argument="net",
                help=("write `made`, which reads a flat vector", "or declare one channel: `[1, h, w]` for `[h, w]`"),
            )
        if order.scan is None:
            raise Refusal(
                "DGM469",
                "kernels are the same at every pixel, so `masked_conv` follows an order that is",
                argument="order",
                help=("write `raster`, `natural` or `reverse`, or `made` as the net",),
            )
        return order.scan

    def seen(self, shape: Shape, order: Precedence, context: bool) -> tuple[int, ...]:
        scan, (count, height, width) = self.scan(shape, order), shape
        size = height * width
        bits: Bits = {g: [1 << g * size + i for i in range(size)] for g in range(count)}
        groups = [*(channel_groups(units, count) for units in self.channels), tuple(range(count))]
        for i, (present, side) in enumerate(zip(groups, self.kernels(), strict=True)):
            mask = ScanMask((), (), side, scan.by, strict=i == 0)
            bits = {to: _convolved(bits, mask, to, height, width) for to in sorted(set(present))}
        found = [row for g in range(count) for row in bits[g]]
        if not scan.backwards:
            return tuple(found)
        return tuple(sum(1 << len(found) - 1 - j for j in bit_indices(row)) for row in reversed(found))

    def levels(self, shape: Shape, order: Precedence) -> tuple[int, ...]:
        scan, (count, height, width) = self.scan(shape, order), shape
        lean, passes = self.diagonals(height, width)
        found = [
            (column + lean * row) * count + g if scan.by == "pixels" else g * passes + column + lean * row
            for g in range(count)
            for row in range(height)
            for column in range(width)
        ]
        return tuple(reversed(found)) if scan.backwards else tuple(found)

    def diagonals(self, height: int, width: int) -> tuple[int, int]:
        """By how many diagonals a pixel stands after the one above it, and how many diagonals an image has."""
        lean = min(max(self.kernels()) // 2 + 1, width)
        return lean, width + lean * (height - 1)


def channel_groups(channels: int, count: int) -> tuple[int, ...]:
    """To which of the event's channels each hidden channel belongs, ascending."""
    return tuple(j * count // channels for j in range(channels))


def _convolved(bits: Bits, mask: ScanMask, to: int, height: int, width: int) -> list[int]:
    """What each pixel of the group `to` can depend on behind a masked layer."""
    reach = range(-(mask.side // 2), mask.side // 2 + 1)
    taps = [(g, i, j) for g in bits for i in reach for j in reach if mask.free(g, to, i, j)]
    found = []
    for row in range(height):
        for column in range(width):
            union = 0
            for g, i, j in taps:
                if 0 <= row + i < height and 0 <= column + j < width:
                    union |= bits[g][(row + i) * width + column + j]
            found.append(union)
    return found
