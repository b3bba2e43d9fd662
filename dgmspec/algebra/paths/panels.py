"""The panels of a time on which moments are series: halved towards the start, and cut in two where one does not do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Final, TypeVar

from dgmspec.core.diagnostics import Refusal

__all__ = ["halved", "walked"]

P = TypeVar("P")

_CUTS: Final = 14


def halved(span: float, times: int) -> list[tuple[float, float]]:
    """[2^-k span, 2^(1-k) span], rising, from k = `times` on."""
    return list(pairwise(span * 2.0**-k for k in range(times, -1, -1)))


def walked(
    panels: Iterable[tuple[float, float]],
    passed: Callable[[float, float], P | None],
    refused: Callable[[float], Refusal],
) -> list[P]:
    """What `passed` gives for one panel after the other; where that is None, the panel is cut in two, at most 14 times.

    `refused` is what is raised of the start of a panel that is cut no more.
    """
    found: list[P] = []
    todo = [(low, high, 0) for low, high in panels][::-1]
    while todo:
        low, high, cuts = todo.pop()
        panel = passed(low, high)
        if panel is not None:
            found.append(panel)
        elif cuts == _CUTS:
            raise refused(low)
        else:
            middle = (low + high) / 2
            todo += [(middle, high, cuts + 1), (low, middle, cuts + 1)]
    return found
