"""Masks of couplings.

They speak of flat coordinates, row-major; `checkerboard` and `channels` choose them by rows, columns and channels. The
random one ranks coordinates by the uniform draws of Python's Mersenne Twister, whose sequence for a seed is the same on
every machine and version.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import product
from random import Random
from typing import ClassVar, Final

from pydantic import Field, field_validator

from dgmspec.core.diagnostics import Refusal
from dgmspec.core.masking import AbstractMask
from dgmspec.core.types import Shape

LARGEST: Final = 2**20
"""Most coordinates of an event that is divided by a mask or an order (an image of 3 × 512 × 512 has fewer)."""


def shuffled(size: int, seed: int) -> tuple[int, ...]:
    """The numbers 0..size-1 in an order drawn from `seed`: sorted by one uniform draw each."""
    draws = Random(seed)
    keys = [draws.random() for _ in range(size)]
    return tuple(sorted(range(size), key=keys.__getitem__))


def require_divisible(size: int) -> None:
    """Refuse events whose coordinates are too many to be listed one by one."""
    if size > LARGEST:
        raise Refusal("DGM446", f"an event of {size:,} coordinates is too large to be divided; at most {LARGEST:,} are")


@lru_cache(maxsize=16)
def parts(mask: AbstractMask, shape: Shape) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The flat indices that a mask leaves untouched, and the others, both ascending."""
    require_divisible(math.prod(shape))
    kept = mask.untouched(shape)
    inside = frozenset(kept)
    return kept, tuple(i for i in range(math.prod(shape)) if i not in inside)


def image_shape(shape: Shape, part: tuple[int, ...]) -> Shape:
    """The shape in which an image net meets a part of an event [c, h, w]: whole channels are an image of these alone,
    any other part is the event with zeros elsewhere."""
    area = math.prod(shape[1:])
    starts = part[::area]
    whole = all(start % area == 0 for start in starts) and part == tuple(s + i for s in starts for i in range(area))
    return (len(starts), *shape[1:]) if whole and part else shape


class Half(AbstractMask):
    """The first ⌊d/2⌋ of d coordinates are untouched."""

    name: ClassVar[str] = "half"
    examples: ClassVar[tuple[str, ...]] = ("half",)

    def untouched(self, shape: Shape) -> tuple[int, ...]:
        return tuple(range(math.prod(shape) // 2))


class Alternate(AbstractMask):
    """Coordinates i with i + k even are untouched: ``alternate(0)`` keeps 0, 2, 4, …, ``alternate(1)`` the others."""

    name: ClassVar[str] = "alternate"
    examples: ClassVar[tuple[str, ...]] = ("alternate(0)", "alternate(k = 1)")

    k: int = Field(0, description="parity: the first untouched coordinate is k mod 2")

    def untouched(self, shape: Shape) -> tuple[int, ...]:
        return tuple(range(self.k % 2, math.prod(shape), 2))


class RandomMask(AbstractMask):
    """⌊d/2⌋ of d coordinates, drawn from `seed`, are untouched."""

    name: ClassVar[str] = "random"
    examples: ClassVar[tuple[str, ...]] = ("random(3)", "random(seed = 0)")

    seed: int = Field(0, ge=0, description="which draw")

    def untouched(self, shape: Shape) -> tuple[int, ...]:
        size = math.prod(shape)
        return tuple(sorted(shuffled(size, self.seed)[: size // 2]))


class Indices(AbstractMask):
    """The listed flat coordinates, counted from 0, are untouched."""

    name: ClassVar[str] = "indices"
    examples: ClassVar[tuple[str, ...]] = ("indices([0])", "indices(at = [1])")

    at: tuple[int, ...] = Field(description="the untouched coordinates, each once")

    @field_validator("at")
    @classmethod
    def _distinct(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) < len(value) or min(value, default=0) < 0:
            raise ValueError("coordinates are listed once each and counted from 0")
        return value

    def untouched(self, shape: Shape) -> tuple[int, ...]:
        size = math.prod(shape)
        beyond = [i for i in self.at if i >= size]
        if beyond:
            raise Refusal(
                "DGM304",
                f"the mask names coordinate {beyond[0]}, but the event's {size} coordinates are 0 to {size - 1}",
                argument="mask",
            )
        return tuple(sorted(self.at))


class Checkerboard(AbstractMask):
    """Pixels whose row and column add up, with k, to an even number are untouched, in every channel.

    Events [h, w] or [c, h, w]. Reference: Dinh, Sohl-Dickstein and Bengio 2017, "Density estimation using Real NVP",
    section 3.4.
    """

    name: ClassVar[str] = "checkerboard"
    examples: ClassVar[tuple[str, ...]] = ("checkerboard(0)", "checkerboard(k = 1)")

    k: int = Field(0, description="parity: with 0 the first pixel is untouched, with 1 its neighbours are")

    def untouched(self, shape: Shape) -> tuple[int, ...]:
        if len(shape) not in (2, 3):
            raise Refusal(
                "DGM448",
                "`checkerboard` divides the pixels of an image [h, w] or [c, h, w], and the event has the shape "
                f"[{', '.join(map(str, shape))}]",
                argument="mask",
                help=("write `alternate(k)`, which divides the coordinates of a vector",),
            )
        require_divisible(math.prod(shape))
        height, width = shape[-2:]
        flat = enumerate(product(range(math.prod(shape[:-2])), range(height), range(width)))
        return tuple(i for i, (_, row, column) in flat if (row + column + self.k) % 2 == 0)


class Channels(AbstractMask):
    """Half of the channels (the first dimension) is untouched: the first ⌊c/2⌋ where k is even, else the others."""

    name: ClassVar[str] = "channels"
    examples: ClassVar[tuple[str, ...]] = ("channels(0)", "channels(k = 1)")

    k: int = Field(0, description="parity: which half is untouched, the first where it is even")

    def untouched(self, shape: Shape) -> tuple[int, ...]:
        size = math.prod(shape)
        middle = (shape[0] // 2 if shape else 0) * math.prod(shape[1:])
        return tuple(range(middle, size)) if self.k % 2 else tuple(range(middle))
