"""The kernel of every chain and ladder, as the model computes it, against its law as the author wrote it.

The law is read at the states 0 and 1, which tells an affine mean's two coefficients without deriving anything. The
first steps of a `markov` are then multiplied out, the kernels of a `perturb` at levels compared as they stand. Paths in
continuous time are tried by their Fokker-Planck equation instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor

from dgmspec.algebra.evaluate import evaluate
from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.types import Type
from dgmspec.graph.graph import StepNode
from dgmspec.modules.compiled import CompiledModel
from dgmspec.modules.journeys import denoiser_of
from dgmspec.ops.paths.arrows import Perturb
from dgmspec.ops.paths.chain import Markov
from dgmspec.ops.paths.noising import AbstractNoising
from dgmspec.runtime.findings import Finding

__all__ = ["check_kernels"]

STEPS: Final = 200
"""Of a longer chain only so many are multiplied out."""
SHARES: Final = (0.1, 0.4, 0.7, 1.0)
TOLERANCE: Final = 1e-8


class Kernel(NamedTuple):
    """x_t = alpha x_0 + mean + sigma z, float64, for all coordinates or one by one."""

    alpha: Tensor
    mean: Tensor
    sigma: Tensor


def check_kernels(model: CompiledModel) -> Iterator[Finding]:
    """One finding for each noising arrow that has certain times only."""
    for node in model.graph.steps.values():
        event = model.graph.type_of(node.source)
        if isinstance(node.op, (Markov, Perturb)) and node.op.discrete and isinstance(event, Type):
            yield _check(model, node, node.op, event)


def _check(model: CompiledModel, node: StepNode, op: Markov | Perturb, event: Type) -> Finding:
    label = f"{node.address} ({op.name})"
    net = denoiser_of(node, model.graph, model.values())
    assert isinstance(net.op, (Markov, Perturb))
    op = net.op  # with its learned numbers as they are now
    try:
        step = _law(op, event)
    except Refusal as refusal:
        return Finding(node.address, label, "kernel", None, TOLERANCE, refusal.message)
    levels = op.path(event.shape).levels[:STEPS]
    expected = _multiplied(step, levels) if isinstance(op, Markov) else [step(t) for t in levels]
    chosen = sorted({math.ceil(share * len(levels)) - 1 for share in SHARES})
    times = torch.tensor([levels[i] for i in chosen], dtype=torch.float64)
    found = net.at(times, torch.float64)
    error = 0.0
    for row, i in enumerate(chosen):
        for value, other in zip((found.alpha, found.mean, found.sigma), expected[i], strict=True):
            distance = (value[row].flatten() - other).abs() / other.abs().clamp(min=1e-3)
            error = max(error, float(distance.max()))
    return Finding(node.address, label, "kernel", error if math.isfinite(error) else math.inf, TOLERANCE)


def _law(op: Markov | Perturb, event: Type) -> Callable[[float], Kernel]:
    """The author's law at a time; `Refusal` where it has no value."""
    ends: tuple[object, object] = (0.0, 1.0)
    if len(event.shape) == 1:  # it may read its coordinates one by one
        ends = ((0.0,) * event.size, (1.0,) * event.size)

    def at(t: float) -> Kernel:
        low, high = (_value(op.loc, op, t, x) for x in ends)
        return Kernel(high - low, low, _value(op.scale, op, t, ends[0]))

    at(op.high)
    return at


def _value(formula: AbstractExpr, op: AbstractNoising, t: float, x: object) -> Tensor:
    return torch.tensor(evaluate(formula, {op.state: x, op.time: t}), dtype=torch.float64).reshape(-1)


def _multiplied(step: Callable[[float], Kernel], times: Sequence[float]) -> list[Kernel]:
    """The kernels of a chain given x_0 from those of its steps."""
    zero = torch.zeros(1, dtype=torch.float64)
    found = [Kernel(zero + 1, zero, zero)]
    for t in times:
        before, (alpha, shift, sigma) = found[-1], step(t)
        variance = (alpha * before.sigma) ** 2 + sigma**2
        found.append(Kernel(alpha * before.alpha, alpha * before.mean + shift, variance.sqrt()))
    return found[1:]
