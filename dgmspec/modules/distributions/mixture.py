"""The twin of `mixture`, written with the twins of its components."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import torch
from torch import Tensor

from dgmspec.modules.distributions.values import Value, Values
from dgmspec.modules.registry import distribution_twin
from dgmspec.modules.twin import DistributionTwin, StepContext
from dgmspec.ops.distributions import Mixture


def _component(op: Mixture, index: int, p: Values, ctx: StepContext) -> tuple[Any, Values, StepContext]:
    """One component with what of the parameters and of the noise is its own."""
    prefix = f"components/{index}/"
    own = {name.removeprefix(prefix): value for name, value in p.items() if name.startswith(prefix)}
    noise = {name.removeprefix(prefix): value for name, value in ctx.noise.items() if name.startswith(prefix)}
    return op.components[index], own, replace(ctx, noise=noise)


def _normalised(weights: Tensor) -> Tensor:
    """The log of weights (batch, components) over their sum."""
    return torch.log_softmax(weights.clamp(min=torch.finfo(weights.dtype).tiny).log(), 1)


def _log_probabilities(op: Mixture, p: Values) -> Sequence[Value]:
    """The log of each component's chance: numbers, or (batch,) each where a formula gives the weights."""
    if "weights" in p:
        return _normalised(p["weights"]).unbind(1)
    return [math.log(probability) for probability in op.probabilities]


def _probabilities(op: Mixture, p: Values, rank: int) -> Sequence[Value]:
    """The chance of each component: numbers, or each (batch, 1, …) of that rank."""
    if "weights" in p:
        shares = _normalised(p["weights"]).exp()
        return shares.reshape(shares.shape[0], *[1] * (rank - 1), len(op.components)).unbind(-1)
    return op.probabilities


def _log_prob(op: Mixture, p: Values, x: Tensor, ctx: StepContext) -> Tensor:
    terms = []
    for index, log_probability in enumerate(_log_probabilities(op, p)):
        component, own, inner = _component(op, index, p, ctx)
        terms.append(distribution_twin(component).log_prob(component, own, x, inner) + log_probability)
    return torch.logsumexp(torch.stack(terms), 0)


def _draw(op: Mixture, p: Values, ctx: StepContext, batch: int) -> Tensor:
    u = ctx.noise["component"].reshape(-1, *[1] * len(ctx.event.shape))
    drawn: Tensor = torch.zeros(())
    below: Value = 0.0
    for index, probability in enumerate(_probabilities(op, p, u.dim())):
        component, own, inner = _component(op, index, p, ctx)
        one = distribution_twin(component).draw(component, own, inner, batch)
        drawn = torch.where(u >= below, one, drawn) if index else one
        below = below + probability
    return drawn


def _mean(op: Mixture, p: Values, ctx: StepContext, like: Tensor) -> Any:
    """Σ_i w_i E_i[x]."""
    means = []
    for index, probability in enumerate(_probabilities(op, p, like.dim())):
        component, own, inner = _component(op, index, p, ctx)
        mean = distribution_twin(component).mean
        assert mean is not None, f"`{component.name}` has no mean"
        means.append(probability * mean(component, own, inner, like))
    return sum(means)


TWINS: Final = {Mixture: DistributionTwin(_log_prob, _draw, _mean)}
