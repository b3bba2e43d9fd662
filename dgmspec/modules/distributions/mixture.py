"""The twin of `mixture`, written with the twins of its components."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Final

import torch
from torch import Tensor

from dgmspec.modules.distributions.values import Values
from dgmspec.modules.registry import distribution_twin
from dgmspec.modules.twin import DistributionTwin, StepContext
from dgmspec.ops.distributions import Mixture


def _component(op: Mixture, index: int, p: Values, ctx: StepContext) -> tuple[Any, Values, StepContext]:
    """One component with what of the parameters and of the noise is its own."""
    prefix = f"components/{index}/"
    own = {name.removeprefix(prefix): value for name, value in p.items() if name.startswith(prefix)}
    noise = {name.removeprefix(prefix): value for name, value in ctx.noise.items() if name.startswith(prefix)}
    return op.components[index], own, replace(ctx, noise=noise)


def _log_prob(op: Mixture, p: Values, x: Tensor, ctx: StepContext) -> Tensor:
    terms = []
    for index, probability in enumerate(op.probabilities):
        component, own, inner = _component(op, index, p, ctx)
        terms.append(distribution_twin(component).log_prob(component, own, x, inner) + math.log(probability))
    return torch.logsumexp(torch.stack(terms), 0)


def _draw(op: Mixture, p: Values, ctx: StepContext, batch: int) -> Tensor:
    u = ctx.noise["component"].reshape(-1, *[1] * len(ctx.event.shape))
    drawn, below = torch.zeros(()), 0.0
    for index, probability in enumerate(op.probabilities):
        component, own, inner = _component(op, index, p, ctx)
        one = distribution_twin(component).draw(component, own, inner, batch)
        drawn = torch.where(u >= below, one, drawn) if index else one
        below += probability
    return drawn


def _mean(op: Mixture, p: Values, ctx: StepContext, like: Tensor) -> Any:
    """Σ_i w_i E_i[x]."""
    means = []
    for index, probability in enumerate(op.probabilities):
        component, own, inner = _component(op, index, p, ctx)
        mean = distribution_twin(component).mean
        assert mean is not None, f"`{component.name}` has no mean"
        means.append(probability * mean(component, own, inner, like))
    return sum(means)


TWINS: Final = {Mixture: DistributionTwin(_log_prob, _draw, _mean)}
