"""Nets from a flat vector (and a flat context) to a flat vector, and their masked, autoregressive reading.

All are chains of linear layers with an activation between them: ``z_0 = W_0 [x, c] + b_0``,
``z_i = z_skip + step (W_i a(z_{i-1}) + b_i)``, the last z being the output. Parameters of layer i are ``i/weight``
(outputs × inputs) and ``i/bias``, both drawn from U(-1/√n, 1/√n) for n inputs. A time stands behind the context, as a
number from 0 to 1 or as the features of ``time = fourier(16)``; with ``inputs = fourier(64)`` features of x stand
behind x. Dropout acts on activations while training and draws from torch's global generator, which the run seeds.

Their autoregressive reading has the same parameters with zeros in the weights (`masked`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field, model_validator

from dgmspec.core.diagnostics import Refusal
from dgmspec.core.masking import AbstractOrder, Precedence, WeightMask
from dgmspec.core.nets import AbstractEmbedding, NetUse
from dgmspec.core.op import Variadic
from dgmspec.core.parameters import Init, ParamSpec
from dgmspec.core.types import Shape
from dgmspec.ops.nets import weights
from dgmspec.ops.nets.masked import AbstractMasked, AbstractOrdered, prefixes_seen, weight_masks

Activation = Literal["silu", "relu", "gelu", "elu", "tanh", "softplus", "leaky_relu"]
Width = Annotated[int, Field(ge=1)]
Widths = Annotated[tuple[Width, ...], Variadic()]


class Link(NamedTuple):
    """A layer after the first: its parameters' prefix, which earlier z it is added to, whether dropout comes before."""

    name: str
    skip: int | None = None
    dropout: bool = True


class AbstractLayered(AbstractMasked, ABC):
    """A chain of linear layers; what differs is the widths, the names and the skips."""

    @abstractmethod
    def widths(self) -> tuple[int, ...]:
        """The widths of the hidden z, in order."""

    @abstractmethod
    def links(self) -> tuple[Link, ...]:
        """The layers after the first, the output layer last."""

    def normed(self) -> bool:
        """Whether each hidden z is normalised over its units before the activation."""
        return False

    def net_parameters(self, use: NetUse) -> tuple[ParamSpec, ...]:
        use, own = self.embedded(use)
        return (*own, *self._layers(use, None))

    def masked_parameters(self, use: NetUse, order: Precedence) -> tuple[ParamSpec, ...]:
        mixing = "layer normalisation mixes" if self.normed() else "features of the inputs mix"
        if self.normed() or self.input_embedding() is not None:
            raise Refusal(
                "DGM444",
                f"{mixing} what must stay apart, so the net cannot be read as an autoregressive one",
                argument="net",
                help=("drop `norm = layer`" if self.normed() else "drop `inputs = …`",),
            )
        use, own = self.embedded(use)
        return (*own, *self._layers(use, weight_masks(self.widths(), use, order)))

    def seen(self, shape: Shape, order: Precedence, context: bool) -> tuple[int, ...]:
        return prefixes_seen(self.widths(), order, context)

    def _layers(self, use: NetUse, masks: list[WeightMask] | None) -> tuple[ParamSpec, ...]:
        """Weights and biases of all layers, masked where masks are given; shared ones once."""
        sizes = (use.read + use.given, *self.widths(), use.size)
        names = ("0", *(link.name for link in self.links()))
        found: dict[str, ParamSpec] = {}
        for i, name in enumerate(names):
            own = weights.affine(name, (sizes[i + 1], sizes[i]), zero=use.zero and i == len(names) - 1)
            normed = weights.norm(name, sizes[i + 1]) if self.normed() and i < len(names) - 1 else ()
            for spec in (replace(own[0], mask=masks[i] if masks else None), *own[1:], *normed):
                found.setdefault(spec.name, spec)
        return tuple(found.values())


class Mlp(AbstractLayered):
    """Hidden layers of the given widths, an activation after each: ``mlp(64, 64)``; ``mlp()`` is an affine map.

    In an autoregressive step it is read as its masked version with the same widths. ``time = gated`` lets a time t act
    on hidden layers instead of joining the input, ``z = (W a + b) sigmoid(u t + v)``; ``concatsquash`` adds ``w t``.
    Reference: Grathwohl, Chen, Bettencourt, Sutskever and Duvenaud 2019, "FFJORD" (the layer "concatsquash").
    """

    name: ClassVar[str] = "mlp"
    examples: ClassVar[tuple[str, ...]] = (
        "mlp(8, 8)",
        "mlp(8, activation = tanh)",
        "mlp(8, 8, dropout = 0.1)",
        "mlp(8, 8, norm = layer, inputs = fourier(4))",
    )

    hidden: Widths = Field((), description="width of each hidden layer")
    activation: Activation = Field("silu", description="what comes between two layers")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of activations dropped while training")
    norm: Literal["none", "layer"] = Field("none", description="layer normalisation before each activation")
    time: AbstractEmbedding | Literal["gated", "concatsquash"] | None = Field(
        None, description="features of a time, which is else read as a number, or gates by it"
    )
    inputs: AbstractEmbedding | None = Field(None, description="features of the inputs, read beside them")

    @property
    def gates(self) -> tuple[str, ...]:
        """The parameters by which a time acts on each hidden layer: what multiplies t in the gate, what is added to
        it there, and what multiplies it in the shift."""
        if not isinstance(self.time, str):
            return ()
        return ("gate", "gate_bias", *(("gate_shift",) if self.time == "concatsquash" else ()))

    def net_parameters(self, use: NetUse) -> tuple[ParamSpec, ...]:
        if not self.gates:
            return super().net_parameters(use)
        if not use.time:
            raise self.untimed()
        layers = ((str(i), width) for i, width in enumerate(self.hidden))
        found = [
            ParamSpec(f"{layer}/{name}", (width,), Init() if name == "gate_bias" else Init("uniform", 1.0))
            for layer, width in layers
            for name in self.gates
        ]
        return (*super().net_parameters(replace(use, time=0)), *found)

    def masked_parameters(self, use: NetUse, order: Precedence) -> tuple[ParamSpec, ...]:
        if self.gates:
            raise self.untimed()
        return super().masked_parameters(use, order)

    def widths(self) -> tuple[int, ...]:
        return self.hidden

    def links(self) -> tuple[Link, ...]:
        return tuple(Link(str(i + 1)) for i in range(len(self.hidden)))

    def normed(self) -> bool:
        return self.norm == "layer"

    def time_embedding(self) -> AbstractEmbedding | None:
        return self.time if isinstance(self.time, AbstractEmbedding) else None

    def input_embedding(self) -> AbstractEmbedding | None:
        return self.inputs


class ResMlp(AbstractLayered):
    """Residual net: ``z_0 = W [x, c]``, then per block ``z ← z + step (W″ a(W′ a(z)))``, then ``W a(z)``.

    `tied` shares one block's parameters among all. In an autoregressive step it is read as its masked version.
    Reference: He, Zhang, Ren and Sun 2016, "Identity mappings in deep residual networks" (activation first).
    """

    name: ClassVar[str] = "resmlp"
    examples: ClassVar[tuple[str, ...]] = (
        "resmlp(8, 2)",
        "resmlp(8, blocks = 3, activation = relu, dropout = 0.1)",
        "resmlp(width = 8, blocks = 3, tied = true, step = 0.5)",
        "resmlp(8, 1, norm = layer, inputs = fourier(4, kind = random))",
    )

    width: Width = Field(description="width of every hidden layer")
    blocks: Width = Field(2, description="number of residual blocks, two layers each")
    activation: Activation = Field("silu", description="what comes before each layer but the first")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of activations dropped inside blocks while training")
    tied: bool = Field(False, description="whether all blocks share their parameters")
    step: float = Field(1.0, allow_inf_nan=False, description="factor of each block's output")
    norm: Literal["none", "layer"] = Field("none", description="layer normalisation before each activation")
    time: AbstractEmbedding | None = Field(None, description="features of a time, which is else read as a number")
    inputs: AbstractEmbedding | None = Field(None, description="features of the inputs, read beside them")

    def widths(self) -> tuple[int, ...]:
        return (self.width,) * (2 * self.blocks + 1)

    def links(self) -> tuple[Link, ...]:
        found: list[Link] = []
        for block in range(self.blocks):
            at = 1 if self.tied else 2 * block + 1
            found += [Link(str(at), dropout=False), Link(str(at + 1), skip=2 * block)]
        return (*found, Link(str(3 if self.tied else 2 * self.blocks + 1), dropout=False))

    def normed(self) -> bool:
        return self.norm == "layer"

    def time_embedding(self) -> AbstractEmbedding | None:
        return self.time

    def input_embedding(self) -> AbstractEmbedding | None:
        return self.inputs


class Made(AbstractOrdered, AbstractLayered):
    """Masked net: what it gives for a coordinate depends on the coordinates before it alone.

    In an `autoregressive` step or law the order is the step's; in the velocity of an `ode` it is `order`, over what the
    net reads first, so that ∂(number i)/∂(coordinate i) is 0. `residual` adds each hidden z to the next, which needs
    equal widths.
    Reference: Germain, Gregor, Murray and Larochelle 2015, "MADE: Masked autoencoder for distribution estimation".
    """

    name: ClassVar[str] = "made"
    examples: ClassVar[tuple[str, ...]] = (
        "made(16, 16)",
        "made(8, activation = relu, dropout = 0.1)",
        "made(8, 8, 8, residual = true)",
    )

    hidden: Widths = Field((), description="width of each hidden layer")
    activation: Activation = Field("silu", description="what comes between two layers")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of activations dropped while training")
    residual: bool = Field(False, description="whether each hidden layer is added to the next")
    order: AbstractOrder | None = Field(None, description="the order in a velocity, `natural` where left out")

    @model_validator(mode="after")
    def _equal(self) -> Made:
        if self.residual and len(set(self.hidden)) > 1:
            raise ValueError("residual layers have equal widths")
        return self

    def widths(self) -> tuple[int, ...]:
        return self.hidden

    def links(self) -> tuple[Link, ...]:
        last = len(self.hidden) - 1
        return tuple(Link(str(i + 1), skip=i if self.residual and i < last else None) for i in range(last + 1))

    @property
    def unmasked(self) -> str:
        return "mlp"
