"""The search for a grid of steps on which every row keeps its tolerance.

It runs without gradients; whoever wants them walks the grid again, so that none leaks through the choice of the steps.
Rows are independent: each has its own place, step size, error norm and controller, and a row that has arrived stands
still until the last one has. So a row's result does not depend on its batch mates: not by a bit in batches of one size,
and in others as far as the velocity's matrix products round a row alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dgmspec.modules.solvers.control import Tolerance, error_norm, first_size, next_size
from dgmspec.modules.solvers.failure import SolverError
from dgmspec.modules.solvers.steps import Grid, Problem, State, moved
from dgmspec.modules.twin import by_row

__all__ = ["Found", "search"]


@dataclass(frozen=True)
class Found:
    """The state at the end, the grid that led there, and how often the field was called."""

    state: State
    grid: Grid
    evaluations: int


@torch.no_grad()
def search(problem: Problem, y: Tensor, keep: Tolerance) -> Found:
    """Integrate y from one end to the other, which are floats. One host sync a step."""
    tableau, taken = problem.tableau, list[tuple[Tensor, Tensor]]()
    wide = torch.float32 if y.device.type == "mps" else torch.float64
    place = torch.zeros(1 if keep.together else y.shape[0], dtype=wide, device=y.device)
    slope = problem.slope(place, y)
    nothing = tuple(torch.zeros_like(value) for value in slope)
    state: State = (y, *nothing[1:])
    size = _start(problem, state, slope, place, keep)
    last, grew, floor = torch.ones_like(place), torch.ones_like(place, dtype=torch.bool), _resolution(problem, y)
    for count in range(1, keep.max_steps + 1):
        rest = 1 - place
        size = torch.where(1.01 * size >= rest, rest, size)
        h, slopes = problem.length(size, y), problem.stages(state[0], place, size, slope)
        after = moved(state, h, tableau.b, slopes)
        following = problem.slope(place + size, after[0])
        norms = error_norm(moved(nothing, h, tableau.error, [*slopes, following]), state, after, following, keep)
        worst = keep.worst(norms).to(wide)
        accepted = worst <= 1
        taken.append((place, torch.where(accepted, size, 0.0)))
        place = torch.where(accepted, torch.where(size == rest, 1.0, place + size), place)
        state, slope = _where(accepted, after, state), _where(accepted, following, slope)
        size = next_size(size, worst, last, grew, tableau.embedded + 1)
        last, grew = torch.where(accepted, worst, last), accepted
        stuck = (size < floor) & ~accepted & (place < 1)
        left, lost = torch.stack(((place < 1).any(), stuck.any())).tolist()
        if lost:
            raise _lost(problem, state, place, stuck, norms)
        if not left:
            return Found(state, _accepted(taken), 2 + count * tableau.stages)
    row = int((norms if keep.together else -place).argmax())
    raise SolverError("steps", f"{keep.max_steps} steps end", _time(problem, place, row), row)


def _start(problem: Problem, state: State, slope: State, place: Tensor, keep: Tolerance) -> Tensor:
    """The sizes of the first steps, from how the slope changes along a short step of Euler's method."""
    t0, t1 = problem.ends()
    span, nothing = abs(t1 - t0), tuple(torch.zeros_like(value) for value in state)
    value, steep = (keep.worst(keep.norm(v, state, nothing)) for v in (state, slope))
    near = torch.where((value < 1e-5) | (steep < 1e-5), 1e-6, 0.01 * value / steep).clamp(max=span)
    there = moved(state, problem.length(near / span, state[0]), (1.0,), (slope,))
    second = problem.slope(place + near / span, there[0])
    change = tuple(b - a for a, b in zip(slope, second, strict=True))
    bend = keep.worst(keep.norm(change, state, nothing))
    chosen = first_size(value, steep, bend, near, problem.tableau.embedded + 1)
    return (chosen.nan_to_num(nan=0.0, posinf=0.0).clamp(max=span) / span).to(place.dtype)


def _resolution(problem: Problem, like: Tensor) -> float:
    """The smallest step that moves the time in the precision of y."""
    t0, t1 = problem.ends()
    return float(torch.finfo(like.dtype).eps * max(abs(t0), abs(t1)) / abs(t1 - t0))


def _where(chosen: Tensor, new: State, old: State) -> State:
    return tuple(torch.where(by_row(chosen, b), a, b) for a, b in zip(new, old, strict=True))


def _accepted(taken: list[tuple[Tensor, Tensor]]) -> Grid:
    """Each row's own accepted steps, moved to the front; rows with fewer than the others stand still at the end."""
    places, sizes = (torch.stack(values) for values in zip(*taken, strict=True))
    order = torch.where(sizes > 0, places, 2.0).sort(dim=0)
    counts = (sizes > 0).sum(0)
    count = int(counts.max()) if len(counts) else 0
    places, sizes = order.values[:count].clamp(max=1.0), sizes.gather(0, order.indices[:count])
    return list(zip(places.unbind(), sizes.unbind(), strict=True))


def _time(problem: Problem, place: Tensor, row: int) -> float:
    return float(problem.at(float(place[row if len(place) > 1 else 0]), place))


def _lost(problem: Problem, state: State, place: Tensor, stuck: Tensor, norms: Tensor) -> SolverError:
    """The error of steps that shrank to nothing, at the row that is worst off."""
    row = int(torch.where(stuck.expand_as(norms), norms, -1.0).argmax())
    t, length = _time(problem, place, row), float(state[0][row].norm())
    if norms[row].isfinite():
        return SolverError("step", f"the step size underflows, with |y| = {length:.3g},", t, row)
    return SolverError("nonfinite", f"the state stops being finite, after |y| = {length:.3g},", t, row)
