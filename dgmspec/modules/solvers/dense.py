"""States between the steps of a grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from dgmspec.modules.solvers.steps import Grid, Problem, State, moved
from dgmspec.modules.twin import by_row

__all__ = ["between", "on_the_way"]

SAME: Final = 1e-12
"""Places closer than this are one."""


def on_the_way(problem: Problem, state: State, grid: Grid, places: Sequence[float]) -> tuple[list[State], int]:
    """The states at rising `places` of a grid that is the same for all rows, and the steps that they cost: a place
    inside a step gets one of its own, from where the step begins."""
    found: list[State] = []
    steps = 0
    for (start, size), (after, _) in zip(grid, problem.walk(state, grid), strict=True):
        steps += 1
        for place in places[len(found) :]:
            if place > start + size + SAME:
                break
            if place > start + size - SAME:
                found.append(after)
                continue
            ((inner, _),) = problem.walk(state, [(start, place - start)])
            found.append(inner)
            steps += 1
        state = after
    return found, steps


def between(problem: Problem, state: State, grid: Grid, places: Sequence[float]) -> list[State]:
    """The states at rising `places` of a grid with steps of their own for the rows, interpolated within them."""
    found = [state] * len(places)
    first = [float(torch.as_tensor(start).amin()) for start, _ in grid]
    last = [float(torch.as_tensor(start + size).amax()) for start, size in grid]
    walked = zip(grid, first, last, problem.walk(state, grid), strict=True)
    for (start, size), low, high, (after, slopes) in walked:
        assert isinstance(start, Tensor) and isinstance(size, Tensor)
        y = after[0]
        slopes, h = [*slopes, problem.slope(start + size, y)], problem.length(size, y)
        assert isinstance(h, Tensor)
        middle = moved(state, h, problem.tableau.middle, slopes)
        for i, place in enumerate(places):
            if low < place <= high:
                here = (start < place) & (place <= start + size)
                share = torch.where(here, (place - start) / size, 0.0).to(y.dtype)
                value = _quartic(share, h, state, after, middle, slopes[0], slopes[-1])
                found[i] = tuple(
                    torch.where(by_row(here, new), new, old) for new, old in zip(value, found[i], strict=True)
                )
        state = after
    return found


def _quartic(share: Tensor, h: Tensor, old: State, new: State, middle: State, first: State, last: State) -> State:
    """The polynomial of degree four through a step's ends, its middle and its slopes at both ends, `share` of it in."""
    found = []
    for y0, y1, ym, f0, f1 in zip(old, new, middle, first, last, strict=True):
        x, k = by_row(share, y0), by_row(h, y0)
        rise, half, f0, f1 = y1 - y0, ym - y0, k * f0, k * f1
        a = 2 * (f1 - f0) - 8 * rise + 16 * half
        b = 5 * f0 - 3 * f1 + 14 * rise - 32 * half
        c = f1 - 4 * f0 - 5 * rise + 16 * half
        found.append(torch.where(x == 1, y1, y0 + x * (f0 + x * (c + x * (b + x * a)))))
    return tuple(found)
