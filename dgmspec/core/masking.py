"""What comes before what: masks and orders of an event's coordinates, and the fixed zeros of weights that follow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

from dgmspec.core.dependency import bit_indices
from dgmspec.core.op import AbstractOp
from dgmspec.core.types import Shape


@dataclass(frozen=True)
class Scan:
    """An order of an image [c, h, w] that is the same seen from every pixel.

    ``pixels``: row by row, the channels of a pixel in turn. ``channels``: channel by channel, each row by row.
    `backwards`: from the last pixel of the last channel back, which is the forward scan of the flipped image.
    """

    by: Literal["pixels", "channels"]
    backwards: bool = False


@dataclass(frozen=True)
class Precedence:
    """Which coordinates come before which.

    `ranks[i]` is the position of coordinate i in one order that respects it. `parents[i]` holds the bits of the
    coordinates that i is conditioned on; without parents it is conditioned on all of lower rank. `scan` is the order as
    a convolution can follow it, where it can.
    """

    ranks: tuple[int, ...]
    parents: tuple[int, ...] | None = None
    scan: Scan | None = None

    @cached_property
    def levels(self) -> tuple[int, ...]:
        """The pass in which each coordinate can be found when those before it are known: one more than the latest
        of its parents', ascending with the rank."""
        if self.parents is None:
            return self.ranks
        found = [0] * len(self.ranks)
        for i in sorted(range(len(self.ranks)), key=self.ranks.__getitem__):
            found[i] = max((found[j] + 1 for j in bit_indices(self.parents[i])), default=0)
        return tuple(found)

    @cached_property
    def before(self) -> tuple[int, ...]:
        """What each coordinate is conditioned on, as bits."""
        if self.parents is not None:
            return self.parents
        found, placed = [0] * len(self.ranks), 0
        for i in sorted(range(len(self.ranks)), key=self.ranks.__getitem__):
            found[i] = placed
            placed |= 1 << i
        return tuple(found)

    @property
    def depth(self) -> int:
        """How many passes find every coordinate."""
        return max(self.levels) + 1


class AbstractMask(AbstractOp, ABC):
    """Which coordinates a coupling leaves untouched."""

    role: ClassVar[str] = "mask"

    @abstractmethod
    def untouched(self, shape: Shape) -> tuple[int, ...]:
        """The flat indices of part one (untouched, read by the net), ascending."""


class AbstractOrder(AbstractOp, ABC):
    """In which order an autoregressive step conditions its coordinates."""

    role: ClassVar[str] = "order"

    @abstractmethod
    def precedence(self, shape: Shape) -> Precedence:
        """Which flat coordinates of an event come before which; `Refusal` where the order cannot be that event's."""


@dataclass(frozen=True)
class DegreeMask:
    """A fixed zero pattern of a weight: entry (i, j) is free iff rows[i] ≥ columns[j] (> when `strict`).

    The masked entries are stored as zeros and their gradient is masked, so no pass multiplies by the mask.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    strict: bool = False


@dataclass(frozen=True)
class SubsetMask:
    """Likewise where rows and columns are sets, held as bits: entry (i, j) is free iff columns[j] ⊆ rows[i]."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]


@dataclass(frozen=True)
class ScanMask:
    """Likewise of kernels (out, in, side, side) along a scan: the tap from channel group columns[j] at some pixel to
    group rows[i] at the middle one is free iff it comes before it in the scan, or is it (not when `strict`). Columns of
    group -1 stand before everything.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    side: int
    by: Literal["pixels", "channels"]
    strict: bool = False

    def free(self, group: int, to: int, row: int, column: int) -> bool:
        """Whether the tap from `group`, so many rows and columns away, to the group `to` is free."""
        if group < 0:
            return True
        key = (row, column, group) if self.by == "pixels" else (group, row, column)
        own = (0, 0, to) if self.by == "pixels" else (to, 0, 0)
        return key < own or (key == own and not self.strict)


WeightMask = DegreeMask | SubsetMask | ScanMask
