"""In which shapes nets read coordinates and contexts."""

from __future__ import annotations

from dgmspec.core.types import Shape, Support, SupportKind, Type


def features(support: Support) -> int:
    """How many numbers a net reads of one coordinate: of an angle its cosine and its sine, of a label one for each."""
    if support.kind is SupportKind.CATEGORY:
        return int(support.high) + 1
    return 2 if support.circular else 1


def context_shape(c: Type | None) -> Shape | None:
    """The shape in which nets read a context: a number is a vector of one, a category one-hot and flat, angles are
    cosines, then sines."""
    if c is not None and c.support.circular:
        return (2 * c.size,)
    if c is None or c.support.kind is not SupportKind.CATEGORY:
        return None if c is None else c.shape or (1,)
    return (c.size * (int(c.support.high) + 1),)
