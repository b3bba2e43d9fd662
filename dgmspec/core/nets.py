"""The abstract nets and embeddings, and the use that decides their shapes."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from dgmspec.core.diagnostics import Refusal
from dgmspec.core.op import AbstractOp
from dgmspec.core.parameters import ParamSpec
from dgmspec.core.types import Shape


@dataclass(frozen=True)
class NetUse:
    """One use of a net, decided by whoever uses it: the event shapes of what it reads, in order, and of what it gives.

    `context`: the shape of the arrow's context, read beside the inputs. `zero`: the last layer starts at zero, so that
    what the net parameterises starts at the identity. `time`: how many numbers tell the time, none outside arrows in
    time. Who uses a net there says 1, a number from 0 to 1 over the arrow's range; to the layers it is what the net's
    embedding makes of it.
    """

    inputs: tuple[Shape, ...]
    output: Shape
    context: Shape | None = None
    zero: bool = False
    time: int = 0

    @property
    def read(self) -> int:
        """How many numbers the inputs hold together."""
        return sum(map(math.prod, self.inputs))

    @property
    def given(self) -> int:
        """How many numbers the context and the time hold."""
        return self.time + (0 if self.context is None else math.prod(self.context))

    @property
    def size(self) -> int:
        """How many numbers the net gives."""
        return math.prod(self.output)


class AbstractEmbedding(AbstractOp, ABC):
    """Features of the numbers that a net reads: of its time, or of its inputs."""

    role: ClassVar[str] = "embedding"

    @abstractmethod
    def size(self, read: int) -> int:
        """How many features `read` numbers become."""

    @abstractmethod
    def parameters(self, read: int) -> tuple[ParamSpec, ...]:
        """The parameters that embed `read` numbers, trained or not."""


class AbstractNet(AbstractOp, ABC):
    """A network from events (and a context, and a time) to an event of stated shape.

    One that reads a ``vector`` is given everything flattened and joined in order. One that reads an ``image`` is given
    the images [c, h, w] among its inputs and context joined along channels, one that reads a ``sequence`` its first
    input as rows [n, d]; all else that these read conditions them. A time is embedded first and joins the context.
    """

    role: ClassVar[str] = "net"
    reads: ClassVar[Literal["vector", "image", "sequence"]] = "vector"
    timed: ClassVar[bool] = False
    """Whether it is made for arrows in time, so that its `time` stands unread in other uses."""

    @abstractmethod
    def net_parameters(self, use: NetUse) -> tuple[ParamSpec, ...]:
        """The parameters for this use, names relative to the net's address; `Refusal` where it cannot serve it."""

    def time_embedding(self) -> AbstractEmbedding | None:
        """What is made of a time before the layers read it; None where they read the number."""
        return None

    def input_embedding(self) -> AbstractEmbedding | None:
        """Features of the inputs that the layers read beside them, if any."""
        return None

    def untimed(self) -> Refusal:
        """The refusal of a use without a time."""
        return Refusal(
            "DGM449",
            f"`{self.name}` says how it reads a time, and nothing here is one",
            argument="net",
            help=("leave `time = …` out; it serves the nets of arrows over time",),
        )

    def embedded(self, use: NetUse) -> tuple[NetUse, tuple[ParamSpec, ...]]:
        """The use as the layers meet it, and the parameters of the embeddings."""
        time, inputs, found = self.time_embedding(), self.input_embedding(), []
        if time is not None and use.time:
            found += [spec.under("time") for spec in time.parameters(use.time)]
            use = replace(use, time=time.size(use.time))
        elif time is not None and not self.timed:
            raise self.untimed()
        if inputs is not None and use.read:
            found += [spec.under("inputs") for spec in inputs.parameters(use.read)]
            use = replace(use, inputs=(*use.inputs, (inputs.size(use.read),)))
        return use, tuple(found)
