"""One Runge-Kutta step, and the walk along a given grid of steps.

A state is (y, *integrals): y is (batch, *event), and beside it run the integrals of rates that depend on t and y but
are never fed back, so that inner stages do not touch them.

Places are fractions of the interval, 0 at its start and 1 at its end whichever way time runs. A step of a `Grid` is its
place and its size: floats, or one number a row, (batch,), where every row goes its own way. A row whose step has size 0
stands still.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from dgmspec.algebra.tableaux import Tableau
from dgmspec.modules.twin import by_row

__all__ = ["Field", "Grid", "Number", "Problem", "State", "Values", "even", "moved"]

Number = float | Tensor
Values = Mapping[str, Tensor]
State = tuple[Tensor, ...]
"""(y, *integrals), or the slopes of these: (dy/dt, *rates)."""
Field = Callable[[Number, Tensor, Values], State]
"""(t, y, p) -> (dy/dt, *rates); t is a float or a tensor, (1,) or (batch,)."""
Grid = Sequence[tuple[Number, Number]]


@dataclass(frozen=True)
class Problem:
    """A field, the tensors it reads, and a method on the interval from t0 to t1, in either direction; the ends are
    tensors of one number each where their gradients are wanted."""

    field: Field
    p: Values
    tableau: Tableau
    t0: Number
    t1: Number

    def at(self, place: Number, like: Tensor) -> Number:
        """The time at a place, exact at both ends; a tensor has the precision of `like`."""
        t = (1 - place) * self.t0 + place * self.t1
        return t.to(like.dtype).reshape(-1) if isinstance(t, Tensor) else t

    def length(self, size: Number, like: Tensor) -> Number:
        """The signed time that a step of that size lasts."""
        h = size * (self.t1 - self.t0)
        return h.to(like.dtype).reshape(-1) if isinstance(h, Tensor) else h

    def ends(self) -> tuple[float, float]:
        """The interval as numbers."""
        t0, t1 = (float(t.detach() if isinstance(t, Tensor) else t) for t in (self.t0, self.t1))
        return t0, t1

    def slope(self, place: Number, y: Tensor) -> State:
        """dy/dt and the rates."""
        return self.field(self.at(place, y), y, self.p)

    def stages(self, y: Tensor, place: Number, size: Number, first: State) -> list[State]:
        """The slopes at all stages of a step, the first of them given."""
        h, slopes = self.length(size, y), [first]
        for c, row in zip(self.tableau.c[1:], self.tableau.a, strict=True):
            slopes.append(self.slope(place + c * size, _combined(y, h, row, [slope[0] for slope in slopes])))
        return slopes

    def walk(self, state: State, grid: Grid) -> Iterator[tuple[State, list[State]]]:
        """After each step the state, and the slopes at the step's stages. Straight-line code without host sync."""
        for place, size in grid:
            y = state[0]
            slopes = self.stages(y, place, size, self.slope(place, y))
            state = moved(state, self.length(size, y), self.tableau.b, slopes)
            yield state, slopes

    def end(self, state: State, grid: Grid) -> State:
        """The state after the last step; none before it is kept."""
        for after, _ in self.walk(state, grid):
            state = after
        return state


def moved(state: State, h: Number, weights: Sequence[float], slopes: Sequence[State]) -> State:
    """state + h Σ weight · slope; a tensor h holds one number a row, or one for all."""
    return tuple(
        _combined(value, h, weights, terms) for value, terms in zip(state, zip(*slopes, strict=True), strict=True)
    )


def even(steps: int) -> Grid:
    """Equal steps; the last ends at 1 exactly."""
    places = [k / steps for k in range(steps + 1)]
    return [(place, following - place) for place, following in pairwise(places)]


def _combined(base: Tensor, h: Number, weights: Sequence[float], terms: Sequence[Tensor]) -> Tensor:
    pairs = [(weight, term) for weight, term in zip(weights, terms, strict=True) if weight]
    if not isinstance(h, Tensor):
        for weight, term in pairs:
            base = torch.add(base, term, alpha=h * weight)
        return base
    (weight, term), *rest = pairs
    total = weight * term
    for weight, term in rest:
        total = torch.add(total, term, alpha=weight)
    return torch.addcmul(base, by_row(h, base), total)
