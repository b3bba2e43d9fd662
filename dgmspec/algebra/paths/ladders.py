"""Ladders of noise levels."""

from __future__ import annotations

import math
from typing import Any, Final

from dgmspec.core.diagnostics import Refusal

LADDERS: Final = ("geometric", "linear")
MOST_LEVELS: Final = 100_000
"""How many levels a ladder has and steps a chain: each is a row of a table."""


def ladder(name: str, first: Any, last: Any, count: Any) -> tuple[float, ...]:
    """`count` levels from `first` to `last`, both among them, in equal ratios or in equal steps."""
    whole = isinstance(count, int) and 2 <= count <= MOST_LEVELS
    if not whole or not all(isinstance(v, (int, float)) and v > 0 and math.isfinite(v) for v in (first, last)):
        written = f"{name}({', '.join(map(str, (first, last, count)))})"
        message = f"`{name}` takes the first level, the last and a count of two or more, and this is `{written}`"
        counted_first = isinstance(first, int) and isinstance(count, float)
        levels = f"{last}, {count}, {first}" if counted_first else "10, 0.01, 20"
        raise Refusal("DGM642", message, help=(f"write `{name}({levels})`",))
    shares = [i / (count - 1) for i in range(count)]
    if name == "linear":
        return tuple(first + share * (last - first) for share in shares)
    return tuple(math.exp((1 - share) * math.log(first) + share * math.log(last)) for share in shares)
