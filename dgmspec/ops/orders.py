"""Orders of autoregressive steps: which coordinates of an event come before which.

They speak of flat coordinates, row-major. The random one ranks them as the random mask does.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Final

from pydantic import Field, field_validator

from dgmspec.core.dependency import bit_indices
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.masking import AbstractOrder, Precedence, Scan
from dgmspec.core.types import Shape
from dgmspec.ops.masks import shuffled

LARGEST_GRAPH: Final = 4096
"""Most coordinates of an event ordered by a graph: the sets of parents are held bit by bit."""

Coordinate = Annotated[int, Field(ge=0)]
Edge = tuple[Coordinate, Coordinate]


class Natural(AbstractOrder):
    """Coordinate i is produced at position i; of an image, channel by channel and each row by row."""

    name: ClassVar[str] = "natural"
    examples: ClassVar[tuple[str, ...]] = ("natural",)

    def precedence(self, shape: Shape) -> Precedence:
        return Precedence(tuple(range(math.prod(shape))), scan=Scan("channels"))


class Reverse(AbstractOrder):
    """The last coordinate is produced first."""

    name: ClassVar[str] = "reverse"
    examples: ClassVar[tuple[str, ...]] = ("reverse",)

    def precedence(self, shape: Shape) -> Precedence:
        return Precedence(tuple(reversed(range(math.prod(shape)))), scan=Scan("channels", backwards=True))


class RandomOrder(AbstractOrder):
    """An order drawn from `seed`."""

    name: ClassVar[str] = "random"
    examples: ClassVar[tuple[str, ...]] = ("random(1)", "random(seed = 2)")

    seed: int = Field(0, ge=0, description="which draw")

    def precedence(self, shape: Shape) -> Precedence:
        return Precedence(shuffled(math.prod(shape), self.seed))


class Raster(AbstractOrder):
    """Pixel by pixel, row by row, the channels of a pixel in turn; for odd k from the last pixel back to the first.

    Events [c, h, w]. Reference: van den Oord, Kalchbrenner and Kavukcuoglu 2016, "Pixel recurrent neural networks",
    section 2.
    """

    name: ClassVar[str] = "raster"
    examples: ClassVar[tuple[str, ...]] = ("raster", "raster(k = 1)")

    k: int = Field(0, description="parity: forward where it is even, backward where it is odd")

    def precedence(self, shape: Shape) -> Precedence:
        if len(shape) != 3:
            raise Refusal(
                "DGM468",
                "`raster` goes through the pixels of an image [c, h, w], and the event has the shape "
                f"[{', '.join(map(str, shape))}]",
                argument="order",
                help=("write `natural`, the order of a vector's coordinates",),
            )
        channels, pixels = shape[0], shape[1] * shape[2]
        ranks = [pixel * channels + channel for channel in range(channels) for pixel in range(pixels)]
        return Precedence(tuple(ranks[::-1] if self.k % 2 else ranks), scan=Scan("pixels", self.k % 2 == 1))


class Dag(AbstractOrder):
    """A graph of the author's own: an edge ``[a, b]`` says that coordinate b is conditioned on coordinate a.

    A coordinate is conditioned on its parents alone, one without parents on nothing (but the context). The inverse
    takes as many passes as the longest path has coordinates; each finds a whole level of the graph at once.
    Reference: Wehenkel and Louppe 2021, "Graphical normalizing flows", section 3.
    """

    name: ClassVar[str] = "dag"
    examples: ClassVar[tuple[str, ...]] = ("dag([[0, 1], [0, 2]])", "dag(edges = [[2, 0], [2, 1], [0, 1]])")

    edges: Annotated[tuple[Edge, ...], Field(min_length=1)] = Field(description="pairs [parent, child] of coordinates")

    @field_validator("edges")
    @classmethod
    def _distinct(cls, value: tuple[Edge, ...]) -> tuple[Edge, ...]:
        if len(set(value)) < len(value):
            raise ValueError("an edge is listed once")
        return value

    def precedence(self, shape: Shape) -> Precedence:
        size = math.prod(shape)
        if size > LARGEST_GRAPH:
            raise Refusal(
                "DGM446",
                f"an event of {size:,} coordinates is too large for a graph, which takes {LARGEST_GRAPH:,}",
                argument="order",
            )
        beyond = [i for edge in self.edges for i in edge if i >= size]
        if beyond:
            raise Refusal(
                "DGM304",
                f"the graph names coordinate {beyond[0]}, but the event's {size} coordinates are 0 to {size - 1}",
                argument="order",
            )
        parents = [0] * size
        for parent, child in self.edges:
            parents[child] |= 1 << parent
        return Precedence(_ranks(parents), tuple(parents))


def _ranks(parents: list[int]) -> tuple[int, ...]:
    """Positions level by level, the coordinates of a level ascending; refused where the edges close a cycle."""
    ranks, placed, left = [0] * len(parents), 0, list(range(len(parents)))
    count = 0
    while left:
        ready = [i for i in left if not parents[i] & ~placed]
        if not ready:
            raise _cyclic(parents, left)
        for i in ready:
            ranks[i], count = count, count + 1
            placed |= 1 << i
        left = [i for i in left if not placed >> i & 1]
    return tuple(ranks)


def _cyclic(parents: list[int], left: list[int]) -> Refusal:
    """Among coordinates that all wait for one another, a walk from child to parent that comes back to itself."""
    walk = [left[0]]
    waiting = sum(1 << i for i in left)
    while walk.count(walk[-1]) < 2:
        walk.append(next(bit_indices(parents[walk[-1]] & waiting)))
    cycle = walk[walk.index(walk[-1]) :]
    shown = " → ".join(map(str, reversed(cycle[-12:]))) + (" → …" if len(cycle) > 12 else "")
    return Refusal(
        "DGM466",
        f"the edges {shown} close a cycle",
        argument="order",
        help=("leave out one of these edges, or turn it round",),
    )
