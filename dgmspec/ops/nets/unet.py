"""The U-Net: from an image down to coarser ones and up again, the fine ones handed across."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from dgmspec.core.diagnostics import Refusal
from dgmspec.core.nets import AbstractEmbedding, AbstractNet, NetUse
from dgmspec.core.parameters import ParamSpec
from dgmspec.ops.nets import weights
from dgmspec.ops.nets.convolutional import read_image
from dgmspec.ops.nets.fourier import Fourier
from dgmspec.ops.nets.layered import Activation, Width, Widths


@dataclass(frozen=True)
class Block:
    """A residual block from `read` channels to `width`; `takes` what was kept on the way down, joined to what it reads;
    `keeps` its result for the way up; attention follows it where it `attends`."""

    name: str
    read: int
    width: int
    takes: bool = False
    keeps: bool = False
    attends: bool = False


@dataclass(frozen=True)
class Resize:
    """A convolution that halves height and width, or one after doubling them; the halved image is kept."""

    name: str
    width: int
    up: bool

    @property
    def keeps(self) -> bool:
        """Whether the result is kept for the way up."""
        return not self.up


class Unet(AbstractNet):
    """``unet(64, 128, 256, attention = [8])``: one width a level, each level half as high and wide as the one above.

    Down: a convolution, then on each level residual blocks; up: one block more on each level, which read besides what
    the way down kept at that place. A block is ``z ← W z + W″ * a(φ(n(W′ * a(n(z)))))`` with group normalisation n and
    FiLM φ by all that is no image (`weights`), first taken through two layers: time, labels, vectors. Self-attention
    over pixels follows each block on levels of the stated heights. ``W″`` and the attention's last map start at zero,
    so that every block starts as a linear map.
    Shapes: [c, h, w] to an image of the same sides, which are even on every level but the last.
    Parameters: ``in``, ``down/i/j``, ``down/i/resize``, ``middle/0``, ``middle/1``, ``up/i/j``, ``up/i/resize``,
    ``out``, with ``condition/0``, ``condition/1`` and ``film`` where something conditions it.
    Reference: Ronneberger, Fischer and Brox 2015, "U-Net: Convolutional networks for biomedical image segmentation";
    Ho, Jain and Abbeel 2020, "Denoising diffusion probabilistic models", appendix B; Dhariwal and Nichol 2021,
    "Diffusion models beat GANs on image synthesis", section 3 (the conditioned normalisation).
    """

    name: ClassVar[str] = "unet"
    reads: ClassVar[Literal["vector", "image", "sequence"]] = "image"
    timed: ClassVar[bool] = True
    examples: ClassVar[tuple[str, ...]] = (
        "unet(4, 8, attention = [2], blocks = 1, heads = 2, groups = 2, activation = gelu, dropout = 0.1)",
    )

    channels: Annotated[Widths, Field(min_length=1)] = Field(description="channels of each level, the finest first")
    attention: tuple[int, ...] = Field((), description="heights of the levels whose pixels attend to one another")
    time: AbstractEmbedding | None = Field(Fourier(features=64), description="features of a time, where one is read")
    blocks: Width = Field(2, description="residual blocks of each level on the way down; one more on the way up")
    heads: Width = Field(1, description="heads of the attention")
    groups: Width = Field(8, description="groups of the normalisation, as far as they divide the channels")
    activation: Activation = Field("silu", description="what comes before each convolution but the first")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of activations dropped inside blocks while training")

    def time_embedding(self) -> AbstractEmbedding | None:
        return self.time

    def net_parameters(self, use: NetUse) -> tuple[ParamSpec, ...]:
        use, own = self.embedded(use)
        read, conditions = read_image(self, use)
        height, first, width = use.output[1], self.channels[0], 4 * self.channels[0]
        self._require(use.output[1:])
        found = [*own, *weights.affine("in", (first, read, 3, 3))]
        for part in self.plan(height):
            found += self._block(part) if isinstance(part, Block) else _resize(part)
        found += weights.norm("out/norm", first)
        found += weights.affine("out", (use.output[0], first, 3, 3), zero=use.zero)
        if conditions:
            found += weights.affine("condition/0", (width, conditions))
            found += weights.affine("condition/1", (width, width))
            found += weights.film(self.conditioned(height), width)
        return tuple(found)

    def plan(self, height: int) -> tuple[Block | Resize, ...]:
        """Everything between the first convolution and the last, in the order it runs."""
        return (*self._down(height), *self._up(height))

    def conditioned(self, height: int) -> list[int]:
        """The channels of every block, in order."""
        return [part.width for part in self.plan(height) if isinstance(part, Block)]

    def group(self, width: int) -> int:
        """How many groups channels are normalised in."""
        return math.gcd(self.groups, width)

    def _down(self, height: int) -> Iterator[Block | Resize]:
        before, last = self.channels[0], len(self.channels) - 1
        for i, width in enumerate(self.channels):
            attends = height >> i in self.attention
            for j in range(self.blocks):
                yield Block(f"down/{i}/{j}", before, width, keeps=True, attends=attends)
                before = width
            if i < last:
                yield Resize(f"down/{i}/resize", width, up=False)
        yield Block("middle/0", before, before, attends=height >> last in self.attention)
        yield Block("middle/1", before, before)

    def _up(self, height: int) -> Iterator[Block | Resize]:
        """What a level's blocks take is what its way down kept, last first: its blocks', then what it began with."""
        before = self.channels[-1]
        for i in reversed(range(len(self.channels))):
            width = self.channels[i]
            began = self.channels[max(i - 1, 0)]
            for j, kept in enumerate([width] * self.blocks + [began]):
                yield Block(f"up/{i}/{j}", before + kept, width, takes=True, attends=height >> i in self.attention)
                before = width
            if i:
                yield Resize(f"up/{i}/resize", width, up=True)

    def _block(self, block: Block) -> Iterator[ParamSpec]:
        name, read, width = block.name, block.read, block.width
        yield from weights.norm(f"{name}/0/norm", read)
        yield from weights.affine(f"{name}/0", (width, read, 3, 3))
        yield from weights.norm(f"{name}/1/norm", width)
        yield from weights.affine(f"{name}/1", (width, width, 3, 3), zero=True)
        if read != width:
            yield from weights.affine(f"{name}/skip", (width, read, 1, 1))
        if block.attends:
            yield from weights.norm(f"{name}/attention/norm", width)
            yield from weights.affine(f"{name}/attention/qkv", (3 * width, width))
            yield from weights.affine(f"{name}/attention/out", (width, width), zero=True)

    def _require(self, sides: tuple[int, ...]) -> None:
        """Refuse sides that cannot be halved, heights that no level has, heads that do not divide the channels."""
        heights = [sides[0] >> i for i in range(len(self.channels))]
        for i in range(len(self.channels) - 1):
            here = [side >> i for side in sides]
            if any(side % 2 for side in here):
                raise Refusal(
                    "DGM346",
                    f"`unet` halves the sides of its image {len(self.channels) - 1} times, and level {i + 1} is "
                    f"{here[0]} × {here[1]}",
                    argument="net",
                    help=(f"write {i + 1} width{'s' * (i > 0)}, one a level", "or give the image even sides"),
                )
        missing = [side for side in self.attention if side not in heights]
        if missing:
            raise Refusal(
                "DGM346",
                f"`unet` attends at the height {missing[0]}, and its levels have {', '.join(map(str, heights))}",
                argument="net",
                help=(f"write `attention = [{heights[-1]}]`",),
            )
        odd = [c for c, side in zip(self.channels, heights, strict=True) if side in self.attention and c % self.heads]
        if odd:
            raise Refusal(
                "DGM346",
                f"{self.heads} heads of attention do not divide {odd[0]} channels",
                argument="net",
                help=("make the channels of a level with attention a multiple of `heads`",),
            )


def _resize(part: Resize) -> tuple[ParamSpec, ...]:
    return weights.affine(part.name, (part.width, part.width, 3, 3))
