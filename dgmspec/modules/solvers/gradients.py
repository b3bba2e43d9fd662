"""Gradients of a solve without its graph: by doing its steps again, or by the adjoint equation.

Both give gradients to y, to the tensors in `p` and to the interval's ends where these are tensors; what the field
closes over gets none. Neither has second derivatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from dgmspec.modules.solvers.adaptive import search
from dgmspec.modules.solvers.control import Tolerance
from dgmspec.modules.solvers.failure import SolverError
from dgmspec.modules.solvers.steps import Grid, Problem, State, Values
from dgmspec.modules.twin import flat_rows

__all__ = ["continuous_adjoint", "recomputed"]


def recomputed(problem: Problem, state: State, grid: Grid) -> State:
    """The state at the end of the grid, with the gradients of its steps: each is done again on the way back, so that
    only what lies between the steps is kept."""
    solve, tensors = _closed(problem)
    found: State = _Recomputed.apply(solve, grid, len(state), *state, *tensors)  # type: ignore[no-untyped-call]
    return found


def continuous_adjoint(problem: Problem, y: Tensor, end: State, keep: Tolerance) -> State:
    """`end`, the state of a solve from y, with gradients by the adjoint equation, solved backwards to `keep`.

    With w the loss's gradient with respect to the integrals of the rates r, ``da/dt = -(a ∂f/∂y + w ∂r/∂y)`` from the
    gradient at the end, and θ receives ``∫ a ∂f/∂θ + w ∂r/∂θ dt``.
    References: Chen, Rubanova, Bettencourt and Duvenaud, Neural ordinary differential equations, 2018, algorithm 1;
    Kidger, Chen and Lyons, "Hey, that's not an ODE": faster ODE adjoints via seminorms, 2021 (`controlled` = 0).
    """
    solve, tensors = _closed(problem)
    found: State = _Adjoint.apply(solve, end, keep, y, *tensors)  # type: ignore[no-untyped-call]
    return found


@dataclass(frozen=True)
class _Closed:
    """A problem without the tensors it reads, which an autograd function takes one by one: those of `names`, then the
    ends that are tensors."""

    problem: Problem
    names: tuple[str, ...]

    def opened(self, tensors: Sequence[Tensor]) -> Problem:
        """The problem with these tensors."""
        count, times = len(self.names), iter(tensors[len(self.names) :])
        t0, t1 = (next(times) if isinstance(t, Tensor) else t for t in (self.problem.t0, self.problem.t1))
        return replace(self.problem, p=dict(zip(self.names, tensors[:count], strict=True)), t0=t0, t1=t1)


def _closed(problem: Problem) -> tuple[_Closed, list[Tensor]]:
    times = [t for t in (problem.t0, problem.t1) if isinstance(t, Tensor)]
    return _Closed(replace(problem, p={}), tuple(problem.p)), [*problem.p.values(), *times]


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, solve: _Closed, grid: Grid, width: int, *tensors: Tensor) -> State:
        state, others = tensors[:width], tensors[width:]
        states = [state, *(after for after, _ in solve.opened(others).walk(state, grid))]
        ctx.solve, ctx.grid, ctx.width, ctx.cast = solve, grid, width, _precision(state[0])
        ctx.save_for_backward(*(y for y, *_ in states[:-1]), *others)
        return states[-1]

    @staticmethod
    def backward(ctx: Any, *weights: Tensor) -> tuple[Any, ...]:
        _refuse_second_derivatives()
        count, (a, *rest) = len(ctx.grid), weights
        leaves = _leaves(ctx.saved_tensors[count:], ctx.needs_input_grad[3 + ctx.width :])
        wanted = [leaf for leaf in leaves if leaf.requires_grad]
        problem = ctx.solve.opened(leaves)
        sums: list[Tensor | None] = [None] * len(wanted)
        for start, step in zip(reversed(ctx.saved_tensors[:count]), reversed(ctx.grid), strict=True):
            with torch.enable_grad(), ctx.cast():
                y = start.detach().requires_grad_()
                state = (y, *(torch.zeros_like(weight) for weight in rest))
                ((after, _),) = problem.walk(state, [step])
            first, *others = _pulled(after, (a, *rest), (y, *wanted))
            assert first is not None, "a step starts from y"
            a, sums = first, [_sum(old, new) for old, new in zip(sums, others, strict=True)]
        return (None, None, None, a, *rest, *_spread(leaves, sums))


class _Adjoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, solve: _Closed, end: State, keep: Tolerance, y: Tensor, *tensors: Tensor) -> State:
        ctx.solve, ctx.keep, ctx.cast = solve, keep, _precision(y)
        ctx.save_for_backward(y, end[0], *tensors)
        return end

    @staticmethod
    def backward(ctx: Any, *weights: Tensor) -> tuple[Any, ...]:
        _refuse_second_derivatives()
        start, end, *tensors = ctx.saved_tensors
        leaves = _leaves(tensors, ctx.needs_input_grad[4:])
        problem = ctx.solve.opened(leaves)
        parameters = [leaf for leaf in problem.p.values() if leaf.requires_grad]
        # The equation is linear in the weights: at size 1, tolerances are relative to them, whatever the loss's unit.
        most = torch.stack([weight.abs().amax() for weight in weights]).amax()
        most = torch.where(most > 0, most, 1.0)
        last, *rest = (weight / most for weight in weights)

        def back(t: float | Tensor, both: Tensor, _: Values) -> State:
            y, a = (part.reshape(end.shape) for part in both.chunk(2, 1))
            with torch.enable_grad(), ctx.cast():
                y = y.detach().requires_grad_()
                slope = problem.field(t, y, problem.p)
            found = _pulled(slope, (a, *rest), (y, *parameters))
            down, *others = (
                torch.zeros_like(v) if g is None else -g for g, v in zip(found, (y, *parameters), strict=True)
            )
            return _beside(slope[0].detach(), down), *others

        t0, t1 = problem.ends()
        backwards = replace(problem, field=back, p={}, t0=t1, t1=t0)
        try:
            both, *sums = search(backwards, _beside(end, last), ctx.keep).state
        except SolverError as error:
            raise SolverError(
                error.reason, f"solving the adjoint equation backwards, {error.what}", error.t, error.row
            ) from None
        first = both.chunk(2, 1)[1].reshape(end.shape)
        for place, y, a, sign in ((0.0, start, first, -1), (1.0, end, last, 1)):
            t = problem.t1 if place else problem.t0
            if isinstance(t, Tensor) and t.requires_grad:
                slope = problem.slope(place, y)
                sums.append(sign * sum((w * v.detach()).sum() for w, v in zip((a, *rest), slope, strict=True)))
        return (None, None, None, most * first, *_spread(leaves, [most * value for value in sums]))


def _refuse_second_derivatives() -> None:
    if torch.is_grad_enabled():
        raise RuntimeError(
            "`gradient = adjoint` and `checkpoint` have no second derivatives: write `gradient = direct`"
        )


def _precision(like: Tensor) -> Any:
    """The precision that nets run in now, to be entered again when they run on the way back."""
    kind = like.device.type
    dtype, enabled = torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind)

    def enter() -> AbstractContextManager[None]:
        return torch.autocast(kind, dtype, enabled)

    return enter


def _leaves(tensors: Sequence[Tensor], wanted: Sequence[bool]) -> list[Tensor]:
    """The same values to differentiate at."""
    return [value.detach().requires_grad_(wants) for value, wants in zip(tensors, wanted, strict=True)]


def _pulled(outputs: State, weights: Sequence[Tensor], inputs: Sequence[Tensor]) -> list[Tensor | None]:
    """The gradients of Σ weight · output; None for what it does not depend on."""
    pairs = [(out, weight) for out, weight in zip(outputs, weights, strict=True) if out.requires_grad]
    if not pairs:
        return [None] * len(inputs)
    outs, cotangents = zip(*pairs, strict=True)
    return list(torch.autograd.grad(outs, inputs, cotangents, allow_unused=True))


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return a if b is None else b if a is None else a + b


def _spread(leaves: Sequence[Tensor], found: Sequence[Tensor | None]) -> list[Tensor | None]:
    """The gradients of those leaves that want one, None for the others."""
    rest = iter(found)
    gradients = [next(rest) if leaf.requires_grad else None for leaf in leaves]
    return [g if g is None else g.reshape(leaf.shape).to(leaf.dtype) for g, leaf in zip(gradients, leaves, strict=True)]


def _beside(a: Tensor, b: Tensor) -> Tensor:
    """Two states of equal shape as one, (batch, 2 size)."""
    return torch.cat((flat_rows(a), flat_rows(b)), 1)
