"""Convolutional nets from images to an image of the same height and width.

``z_0 = W_0 * h + b_0`` on the images h that the net reads, joined along channels; then ``z_i = z_skip +
W_i * a(n(z_{i-1})) + b_i`` with the activation a and the normalisation n, the last z being the output. Products are
convolutions with odd square kernels, zeros beyond the border. Parameters of layer i are ``i/weight`` (channels out ×
in × k × k) and ``i/bias``, both drawn from U(-1/√n, 1/√n) for n = in · k² inputs.

All else that the net reads (vectors, numbers, labels as one-hot, images of another size, a time) conditions it by FiLM
(see `weights`), applied before the activation of the conditioned layers.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from dgmspec.core.diagnostics import Refusal
from dgmspec.core.nets import AbstractEmbedding, AbstractNet, NetUse
from dgmspec.core.parameters import ParamSpec
from dgmspec.core.types import Shape
from dgmspec.ops.nets import weights
from dgmspec.ops.nets.layered import Activation, Link, Width, Widths

Odd = Annotated[int, Field(ge=1, le=31)]


class AbstractConvolutional(AbstractNet, ABC):
    """A chain of convolutions; what differs is the widths, the kernels, the skips and which layers are conditioned."""

    reads: ClassVar[Literal["vector", "image"]] = "image"

    @abstractmethod
    def widths(self) -> tuple[int, ...]:
        """The channels of the hidden z, in order."""

    @abstractmethod
    def kernels(self) -> tuple[int, ...]:
        """The kernel of every layer, the output layer's last."""

    @abstractmethod
    def links(self) -> tuple[Link, ...]:
        """The layers after the first, the output layer last."""

    @abstractmethod
    def conditioned(self) -> tuple[int, ...]:
        """Which hidden z the conditions act on."""

    @abstractmethod
    def normed(self) -> bool:
        """Whether each hidden z is normalised over its channels and pixels before the activation."""

    def net_parameters(self, use: NetUse) -> tuple[ParamSpec, ...]:
        use, own = self.embedded(use)
        read, conditions = read_image(self, use)
        sizes = (read, *self.widths(), use.output[0])
        found = list(own)
        for i, (name, kernel) in enumerate(zip(self.names(), self.kernels(), strict=True)):
            last = i == len(sizes) - 2
            found += weights.affine(name, (sizes[i + 1], sizes[i], kernel, kernel), zero=use.zero and last)
            if self.normed() and not last:
                found += weights.norm(name, sizes[i + 1])
        found += weights.film([self.widths()[i] for i in self.conditioned()], conditions)
        return tuple(found)

    def names(self) -> tuple[str, ...]:
        """The prefixes of all layers' parameters."""
        return ("0", *(link.name for link in self.links()))


class Conv(AbstractConvolutional):
    """Convolutions with the given numbers of channels, an activation after each: ``conv(64, 64, kernel = [3, 1, 3])``.

    `kernel` is one odd side for all layers or one a layer, the output layer included. Glow's coupling net is
    ``conv(512, 512, kernel = [3, 1, 3], activation = relu)``.
    """

    name: ClassVar[str] = "conv"
    examples: ClassVar[tuple[str, ...]] = (
        "conv(4)",
        "conv(4, 6, kernel = [3, 1, 3], activation = tanh)",
        "conv(4, kernel = 1, norm = layer, dropout = 0.1)",
    )

    channels: Annotated[Widths, Field(min_length=1)] = Field(description="channels of each hidden layer")
    kernel: Odd | tuple[Odd, ...] = Field(3, description="side of the kernels: one for all, or one a layer")
    activation: Activation = Field("silu", description="what comes between two layers")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of activations dropped while training")
    norm: Literal["none", "layer"] = Field("none", description="layer normalisation before each activation")
    time: AbstractEmbedding | None = Field(None, description="features of a time, which is else read as a number")

    @field_validator("kernel")
    @classmethod
    def _centred(cls, value: int | tuple[int, ...]) -> int | tuple[int, ...]:
        return odd(value)

    @model_validator(mode="after")
    def _one_a_layer(self) -> Conv:
        require_one_a_layer(self.kernel, len(self.channels) + 1)
        return self

    def widths(self) -> tuple[int, ...]:
        return self.channels

    def kernels(self) -> tuple[int, ...]:
        return self.kernel if isinstance(self.kernel, tuple) else (self.kernel,) * (len(self.channels) + 1)

    def links(self) -> tuple[Link, ...]:
        return tuple(Link(str(i + 1)) for i in range(len(self.channels)))

    def conditioned(self) -> tuple[int, ...]:
        return tuple(range(len(self.channels)))

    def normed(self) -> bool:
        return self.norm == "layer"

    def time_embedding(self) -> AbstractEmbedding | None:
        return self.time


class ResNet(AbstractConvolutional):
    """Residual net: a convolution, then per block ``z ← z + W″ * a(n(W′ * a(n(z))))``, then ``W * a(n(z))`` with a 1×1
    kernel. Conditions act inside the blocks, between their two convolutions.

    Reference: He, Zhang, Ren and Sun 2016, "Identity mappings in deep residual networks" (activation first).
    """

    name: ClassVar[str] = "resnet"
    examples: ClassVar[tuple[str, ...]] = (
        "resnet(4)",
        "resnet(4, blocks = 1, kernel = 1, activation = relu, norm = layer)",
        "resnet(channels = 4, blocks = 3, dropout = 0.1)",
    )

    channels: Width = Field(description="channels of every hidden layer")
    blocks: Width = Field(2, description="number of residual blocks, two convolutions each")
    kernel: Odd = Field(3, description="side of the kernels, but for the output layer's")
    activation: Activation = Field("silu", description="what comes before each layer but the first")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of activations dropped inside blocks while training")
    norm: Literal["none", "layer"] = Field("none", description="layer normalisation before each activation")
    time: AbstractEmbedding | None = Field(None, description="features of a time, which is else read as a number")

    @field_validator("kernel")
    @classmethod
    def _centred(cls, value: int) -> int | tuple[int, ...]:
        return odd(value)

    def widths(self) -> tuple[int, ...]:
        return (self.channels,) * (2 * self.blocks + 1)

    def kernels(self) -> tuple[int, ...]:
        return (self.kernel,) * (2 * self.blocks + 1) + (1,)

    def links(self) -> tuple[Link, ...]:
        found: list[Link] = []
        for block in range(self.blocks):
            at = 2 * block + 1
            found += [Link(str(at), dropout=False), Link(str(at + 1), skip=2 * block)]
        return (*found, Link(str(2 * self.blocks + 1), dropout=False))

    def conditioned(self) -> tuple[int, ...]:
        return tuple(range(1, 2 * self.blocks, 2))

    def normed(self) -> bool:
        return self.norm == "layer"

    def time_embedding(self) -> AbstractEmbedding | None:
        return self.time


def require_one_a_layer(kernel: int | tuple[int, ...], layers: int) -> None:
    """A list of kernels has one for every layer."""
    if isinstance(kernel, tuple) and len(kernel) != layers:
        fitting = [*kernel[: layers - 1], *[3] * (layers - 1 - len(kernel)), 1]
        wanted = f"{layers} numbers, such as `kernel = {fitting}`"
        raise ValueError(f"a list of kernels has one a layer, the output layer included: {wanted}")


def read_image(net: AbstractNet, use: NetUse) -> tuple[int, int]:
    """How many channels a net of images reads, and how many numbers condition it; refused where there is no image."""
    shapes = (*use.inputs, *(() if use.context is None else (use.context,)))
    images, others = images_and_conditions(shapes)
    sides = shapes[images[0]][1:] if images else None
    if sides is None or len(use.output) != 3 or use.output[1:] != sides:
        read = ", ".join(map(_written, shapes)) or "nothing"
        help_ = "use `mlp` or `resmlp`, which read and give flat vectors"
        if sides and not use.output:
            image = f"real[1, {sides[0]}, {sides[1]}]"
            help_ = f"let it give an image and sum that: `net f(x) : {image} = {net.name}(…)`, then `sum(f(x))`"
        elif sides:
            image = f"real[8, {sides[0]}, {sides[1]}]"
            help_ = f"let it give an image that an `mlp` reads: `net f(x) : {image} = {net.name}(…)`, then `q(f(x))`"
        elif len(use.output) == 3:
            image = f"real[8, {use.output[1]}, {use.output[2]}]"
            help_ = f"let an `mlp` give an image that it reads: `net f(z) : {image} = mlp(64)`, then `q(f(z))`"
        raise Refusal(
            "DGM447",
            f"`{net.name}` takes images [c, h, w] to an image of the same height and width, and is asked for "
            f"{_written(use.output)} from {read}",
            argument="net",
            help=(help_,),
        )
    return sum(shapes[i][0] for i in images), use.time + sum(math.prod(shapes[i]) for i in others)


def images_and_conditions(shapes: Sequence[Shape]) -> tuple[list[int], list[int]]:
    """Which of the values that a net reads are images of one height and width (those of the first), and which not."""
    sides = next((shape[1:] for shape in shapes if len(shape) == 3), None)
    images = [i for i, shape in enumerate(shapes) if len(shape) == 3 and shape[1:] == sides]
    return images, [i for i in range(len(shapes)) if i not in images]


def odd(kernel: int | tuple[int, ...]) -> int | tuple[int, ...]:
    """The kernel, refused where it has no middle."""
    if any(k % 2 == 0 for k in (kernel if isinstance(kernel, tuple) else (kernel,))):
        raise ValueError("a kernel has an odd side, so that it has a middle")
    return kernel


def _written(shape: Shape) -> str:
    return f"[{', '.join(map(str, shape))}]" if shape else "a number"
