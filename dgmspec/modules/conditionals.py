"""Instructions of distributions prepared for running: densities, draws, means, divergences, heads of nets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from dgmspec.core.distributions import AbstractDistribution
from dgmspec.core.types import Type
from dgmspec.modules.distributions.values import into_domain
from dgmspec.modules.registry import distribution_twin, resolve_held
from dgmspec.modules.sums import Run
from dgmspec.modules.twin import StepContext, rows_of
from dgmspec.ops.distributions import AbstractParametric
from dgmspec.program.program import Instruction

__all__ = ["commitment", "distribution", "divergence", "embed", "heads", "update_law"]

Parameters = Mapping[str, Tensor]


def distribution(line: Instruction) -> Run:
    """``log_prob``, ``draw`` or ``mean_of``; what the law owns itself comes as the instruction's own parameters."""
    op, event, noise = line.op, line.type, line.noise
    assert isinstance(op, AbstractDistribution) and event is not None
    twin, given = distribution_twin(op), line.input_types[0] if line.context else None
    resolve_held(op)
    features = twin.features
    evaluated, plan = _evaluated(op, line.names, event), twin.plan(op, event, given)
    first, count = int(line.context), int(line.context) + len(line.names)

    def seen(training: bool, values: Sequence[Any], rows: int) -> StepContext:
        c = values[0].expand(rows, *values[0].shape[1:]) if line.context else None
        return StepContext(event, given, c, dict(zip(noise, values[count:], strict=True)), training, plan=plan)

    def log_prob(training: bool, p: Parameters, x: Tensor, *values: Any) -> Tensor:
        if line.detached:
            p = {name: value.detach() for name, value in p.items()}
        return twin.log_prob(op, {**p, **evaluated(values[first:count])}, x, seen(training, values, x.shape[0]))

    def draw(training: bool, p: Parameters, *values: Any) -> Any:
        rows, given = values[count].shape[0], {**p, **evaluated(values[first:count])}
        context = seen(training, values, rows)
        drawn = twin.draw(op, given, context, rows)
        drawn = drawn.detach() if line.detached else drawn
        return (drawn, features(op, given, context, drawn)) if features is not None else drawn

    def mean(training: bool, p: Parameters, rows: Tensor, *values: Any) -> Tensor:
        assert twin.mean is not None, f"`{op.name}` has no mean"
        like = rows.new_zeros(rows.shape[0], *event.shape)
        context = seen(training, values, rows.shape[0])
        found: Tensor = like + twin.mean(op, {**p, **evaluated(values[first:count])}, context, like)
        return found

    return {"log_prob": log_prob, "draw": draw, "mean_of": mean}[line.target]


def embed(line: Instruction) -> Run:
    """What nets read of labels."""
    op, event = line.op, line.type
    assert isinstance(op, AbstractDistribution) and event is not None
    function, context = distribution_twin(op).embed, StepContext(event)
    assert function is not None, f"{op.name} says that it relaxes"
    return lambda training, p, labels: function(op, p, labels, context)


def commitment(line: Instruction) -> Run:
    """The squared distance of a law's vectors from their codes."""
    op, event = line.op, line.type
    assert isinstance(op, AbstractDistribution) and event is not None
    function, context, evaluated = (
        distribution_twin(op).commitment,
        StepContext(event),
        _evaluated(op, line.names, event),
    )
    assert function is not None, f"{op.name} says that it has codes"

    def run(training: bool, p: Parameters, rows: Tensor, *values: Any) -> Tensor:
        like = rows.new_zeros(rows.shape[0], *event.shape)
        return function(op, {**p, **evaluated(values)}, context, like)

    return run


def update_law(line: Instruction) -> Run:
    """New values of a law's own parameters, while training."""
    op, event = line.op, line.type
    assert isinstance(op, AbstractDistribution) and event is not None
    function, context = distribution_twin(op).update, StepContext(event)
    evaluated = _evaluated(op, line.names, event)
    assert function is not None, f"{op.name} says that it updates"

    @torch.no_grad()
    def update(p: Parameters, rows: Tensor, values: Any) -> None:
        like = rows.new_zeros(rows.shape[0], *event.shape)
        for name, value in function(op, {**p, **evaluated(values)}, context, like).items():
            p[name].copy_(value)

    def run(training: bool, p: Parameters, rows: Tensor, *values: Any) -> tuple[()]:
        if training:
            update(p, rows, values)
        return ()

    return run


def divergence(line: Instruction) -> Run:
    """KL(op ‖ second), (batch,); the parameters are named ``q/…`` and ``p/…``."""
    q, p_op, event = line.op, line.second, line.type
    assert isinstance(q, AbstractDistribution) and p_op is not None and event is not None
    function, context = distribution_twin(q).divergence, StepContext(event)
    assert function is not None, f"`{q.name}` says that it has a divergence"
    names = [name.partition("/") for name in line.names]
    first = [i for i, (side, _, _) in enumerate(names) if side == "q"]
    second = [i for i, (side, _, _) in enumerate(names) if side == "p"]
    of_q = _evaluated(q, tuple(names[i][2] for i in first), event)
    of_p = _evaluated(p_op, tuple(names[i][2] for i in second), event)

    def run(training: bool, p: Parameters, rows: Tensor, *values: Any) -> Tensor:
        ours, theirs = of_q([values[i] for i in first]), of_p([values[i] for i in second])
        batch = rows_of((rows, *(value for value in values if isinstance(value, Tensor))))
        like = rows.new_zeros(batch, *event.shape)
        return function(q, ours, p_op, theirs, context, like)

    return run


def _evaluated(op: AbstractDistribution, named: tuple[str, ...], event: Type) -> Any:
    """(values) -> parameters by name, each of the rank that it has for the event."""
    ranks = {n: len(op.shape_of(n, event)) if isinstance(op, AbstractParametric) else len(event.shape) for n in named}

    def evaluated(values: Any) -> dict[str, Tensor | float]:
        return {name: _ranked(value, ranks[name]) for name, value in zip(named, values, strict=True)}

    return evaluated


def _ranked(value: Tensor | float, rank: int) -> Tensor | float:
    """A parameter (batch, *event) with ones before an event of lower rank than its own shape's."""
    if not isinstance(value, Tensor) or value.dim() == rank + 1:
        return value
    return value.reshape(value.shape[0], *(1,) * (rank + 1 - value.dim()), *value.shape[1:])


def heads(line: Instruction) -> Run:
    """The numbers of a net (batch, …) divided among parameters, each mapped to its domain.

    They are planes of the event, one after the other; a parameter with several numbers a coordinate takes as many.
    """
    op, event, names = line.op, line.type, line.heads
    assert isinstance(op, AbstractParametric) and event is not None
    widths = [op.width(name, event) for name in names]
    counts = [1 if width is None else width for width in widths]
    domains = [op.domain_of(name) for name in names]

    def run(training: bool, p: Parameters, flat: Tensor) -> Any:
        planes = flat.reshape(flat.shape[0], sum(counts), *event.shape)
        parts = torch.split(planes, counts, 1)
        shaped = [
            part.squeeze(1) if width is None else part.movedim(1, -1) for part, width in zip(parts, widths, strict=True)
        ]
        found = tuple(into_domain(domain, part) for domain, part in zip(domains, shaped, strict=True))
        return found if len(found) > 1 else found[0]

    return run
