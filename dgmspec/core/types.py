"""Types of events: a support and a shape.

A support is an open interval of the reals (``real``, ``positive``, ``unit``, ``interval(a, b)``), the circle of angles
(``circle``), a range of integers (``integer(a..b)``, ``binary``), labels (``category(k)``) or the probability simplex.
A shape is the event shape alone; batch dimensions are never part of a type. `UNKNOWN` stands for what could not be
inferred and silences what follows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, NamedTuple

Shape = tuple[int, ...]


class Unknown(Enum):
    """The type of a value about which nothing could be said."""

    UNKNOWN = "?"

    def __str__(self) -> str:
        return self.value


UNKNOWN: Final = Unknown.UNKNOWN


class SupportKind(Enum):
    """What sort of set a support is."""

    CONTINUOUS = "continuous"
    CIRCLE = "circle"
    INTEGER = "integer"
    CATEGORY = "category"
    SIMPLEX = "simplex"
    CHOLESKY = "cholesky"


@dataclass(frozen=True)
class Support:
    """One coordinate's set of values.

    CONTINUOUS is the open interval (low, high); CIRCLE the angles from -π to π, whose ends are one point; INTEGER the
    whole numbers low..high, both included; CATEGORY the labels 0..high; SIMPLEX ignores both bounds (it constrains a
    whole event), as does CHOLESKY: lower-triangular square matrices with a positive diagonal, learned parameters alone.
    """

    kind: SupportKind
    low: float = -math.inf
    high: float = math.inf

    def __str__(self) -> str:
        if self.kind in (SupportKind.SIMPLEX, SupportKind.CHOLESKY):
            return str(self.kind.value)
        if self.kind is SupportKind.CIRCLE:
            return "circle"
        if self.kind is SupportKind.CATEGORY:
            return f"category({int(self.high) + 1})"
        if self.kind is SupportKind.INTEGER:
            return "binary" if (self.low, self.high) == (0, 1) else f"integer({int(self.low)}..{int(self.high)})"
        named = {(-math.inf, math.inf): "real", (0.0, math.inf): "positive", (0.0, 1.0): "unit"}
        return named.get((self.low, self.high)) or f"interval({number(self.low)}, {number(self.high)})"

    @property
    def continuous(self) -> bool:
        """Whether densities with respect to Lebesgue measure live here."""
        return self.kind in (SupportKind.CONTINUOUS, SupportKind.CIRCLE)

    @property
    def discrete(self) -> bool:
        """Whether the values can be counted: whole numbers or labels."""
        return self.kind in (SupportKind.INTEGER, SupportKind.CATEGORY)

    @property
    def circular(self) -> bool:
        """Whether the values are angles."""
        return self.kind is SupportKind.CIRCLE

    def contains(self, other: Support) -> bool:
        """Whether every value of `other` is a value of this support (same kind)."""
        return self.kind is other.kind and self.low <= other.low and other.high <= self.high

    def describe(self) -> str:
        """The set in words: ``all of ℝ``, ``(0, 1)``, ``the integers 0..16``."""
        if self.kind is SupportKind.CONTINUOUS:
            if (self.low, self.high) == (-math.inf, math.inf):
                return "all of ℝ"
            return f"({number(self.low)}, {number(self.high)})".replace("inf", "∞")
        if self.circular:
            return "the circle"
        if self.kind is SupportKind.INTEGER:
            return f"the integers {int(self.low)}..{int(self.high)}"
        return str(self)


def number(value: float) -> str:
    """A bound as the language writes it: ``3`` rather than ``3.0``, ``inf``."""
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e16 else repr(value)


REAL: Final = Support(SupportKind.CONTINUOUS)
POSITIVE: Final = Support(SupportKind.CONTINUOUS, 0.0)
UNIT: Final = Support(SupportKind.CONTINUOUS, 0.0, 1.0)
CIRCLE: Final = Support(SupportKind.CIRCLE, -math.pi, math.pi)
BINARY: Final = Support(SupportKind.INTEGER, 0, 1)
SIMPLEX: Final = Support(SupportKind.SIMPLEX)
CHOLESKY: Final = Support(SupportKind.CHOLESKY)


def is_cholesky_factor(rows: Sequence[Sequence[float]]) -> bool:
    """Whether numbers make a square lower-triangular matrix with a positive diagonal."""
    square = all(len(row) == len(rows) for row in rows)
    return square and all(row[i] > 0 and not any(row[i + 1 :]) for i, row in enumerate(rows))


def interval(low: float, high: float) -> Support:
    """The open interval (low, high)."""
    return Support(SupportKind.CONTINUOUS, float(low), float(high))


def integers(low: int, high: int) -> Support:
    """The integers low..high, both ends included."""
    return Support(SupportKind.INTEGER, low, high)


def category(count: int) -> Support:
    """Labels 0..count-1 without order."""
    return Support(SupportKind.CATEGORY, 0, count - 1)


class Part(NamedTuple):
    """The image of a map and the wider support it is by design a part of: ``logit(alpha)`` gives (-L, L), within ℝ."""

    image: Support
    whole: Support


@dataclass(frozen=True)
class Type:
    """A support and an event shape; ``real[2]`` is ``Type(REAL, (2,))``, a scalar event has shape ``()``.

    `aside` holds the types of parts that a multi-scale flow has set aside on the way, in that order; `size` counts the
    event without them.
    """

    support: Support
    shape: Shape = ()
    aside: tuple[Type, ...] = ()

    def __str__(self) -> str:
        event = str(self.support) + (f"[{', '.join(map(str, self.shape))}]" if self.shape else "")
        return event + (f" ({self.whole - self.size:,} set aside)" if self.aside else "")

    @property
    def size(self) -> int:
        """How many coordinates the event has."""
        return math.prod(self.shape)

    @property
    def whole(self) -> int:
        """How many coordinates the event has together with what is set aside."""
        return self.size + sum(part.size for part in self.aside)

    def with_support(self, support: Support) -> Type:
        """The same shape over another support."""
        return replace(self, support=support)

    def with_shape(self, shape: Shape) -> Type:
        """The same support in another shape."""
        return replace(self, shape=shape)

    def passed_by(self, other: Type) -> tuple[Type, ...]:
        """The parts set aside that a step between values of these two types does not touch."""
        return self.aside[: min(len(self.aside), len(other.aside))]


MaybeType = Type | Unknown
