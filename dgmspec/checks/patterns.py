"""Dependency matrices as small pictures: rows are outputs, columns inputs, a filled cell a possible dependency."""

from __future__ import annotations

from typing import Final

from dgmspec.core.dependency import Dependency
from dgmspec.core.markup import Html, tag
from dgmspec.core.png import bits_uri

__all__ = ["pattern"]

COLOUR: Final = (63, 118, 181)
"""A blue that is seen on white and on black."""

SIDE: Final = 88
"""Pixels along a picture of few coordinates, twice what it is shown at."""

_GAP_FROM: Final = 6
"""Pixels a cell must have to be set apart from its neighbours."""


def pattern(dependency: Dependency | None, what: str) -> Html:
    """The picture of a matrix, with `what` it is of as its description; a dash where the matrix is not computed."""
    if dependency is None:
        return tag("span", "–", title="not computed for so many coordinates", class_="dgm-soft")
    ones = sum(row.bit_count() for row in dependency.rows)
    said = f"{what}: {ones:,} of {len(dependency.rows) * dependency.columns:,} dependencies possible"
    fine = " dgm-fine" if len(dependency.rows) > SIDE // 2 else ""
    return tag("img", src=bits_uri(_pixels(dependency), COLOUR), alt=said, title=said, class_=f"dgm-pattern{fine}")


def _pixels(dependency: Dependency) -> list[bytes]:
    """One byte a pixel; the cells of a small matrix are large, with a gap between them."""
    scale = max(1, SIDE // max(len(dependency.rows), dependency.columns, 1))
    filled = scale - (2 if scale >= 2 * _GAP_FROM else 1 if scale >= _GAP_FROM else 0)
    on, off = b"\x01" * filled + b"\x00" * (scale - filled), b"\x00" * scale
    rows: list[bytes] = []
    for row in dependency.rows:
        line = b"".join(on if row >> j & 1 else off for j in range(dependency.columns))
        rows += [line] * filled + [b"\x00" * len(line)] * (scale - filled)
    return rows
