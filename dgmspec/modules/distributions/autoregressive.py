"""The twin of `autoregressive`: the law of each coordinate, its parameters from a masked net of those before it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from dgmspec.core.nets import AbstractNet
from dgmspec.core.types import Support, Type
from dgmspec.modules import autoregression
from dgmspec.modules.distributions.values import Values, into_domain
from dgmspec.modules.registry import distribution_twin
from dgmspec.modules.twin import DistributionTwin, StepContext
from dgmspec.ops.distributions import Autoregressive


def _tables(op: Autoregressive, event: Type, given: Type | None) -> dict[str, Tensor]:
    return autoregression.tables(op.net, op.order, event)


class _Plan(NamedTuple):
    """That of the net, and the law's parameters: name, how many numbers of a coordinate (None: one), domain."""

    net: Any
    turned: bool
    reading: AbstractNet
    heads: tuple[tuple[str, int | None, Support], ...]


def _plan(op: Autoregressive, event: Type, given: Type | None) -> _Plan:
    law = op.product()
    heads = tuple((name, law.width(name, event), law.domain_of(name)) for name in law.heads())
    return _Plan(*autoregression.plan(op.net, op.order, event, given), heads)


def _parameters(planes: Tensor, plan: _Plan) -> dict[str, Tensor]:
    """The parameters of the law for coordinates (batch, n) from the net's planes (P, batch, n): (batch, n), with the
    numbers of a coordinate last where it has several."""
    parts, found = torch.split(planes, [width or 1 for _, width, _ in plan.heads]), {}
    for (name, width, domain), part in zip(plan.heads, parts, strict=True):
        found[name] = into_domain(domain, part.squeeze(0) if width is None else part.movedim(0, -1))
    return found


def _log_prob(op: Autoregressive, p: Values, x: Tensor, ctx: StepContext) -> Tensor:
    flat, event = x.reshape(x.shape[0], ctx.event.size), Type(ctx.event.support, (ctx.event.size,))
    parameters = _parameters(autoregression.planes(op.net, p, flat, ctx), ctx.plan)
    return distribution_twin(op.law).log_prob(op.law, parameters, flat, StepContext(event))


def _draw(op: Autoregressive, p: Values, ctx: StepContext, batch: int) -> Tensor:
    names, twin = tuple(ctx.noise), distribution_twin(op.law)
    noise = torch.stack([draw.reshape(batch, ctx.event.size) for draw in ctx.noise.values()], -1)

    def solve(raw: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        """The coordinates (m, batch) from the numbers of the net (P, m, batch) and the noise (m, batch, n)."""
        event = Type(ctx.event.support, (given.shape[0],))
        own = {name: draw.mT for name, draw in zip(names, given.unbind(-1), strict=True)}
        planes = raw.expand(*raw.shape[:2], batch).mT
        x = twin.draw(op.law, _parameters(planes, ctx.plan), StepContext(event, noise=own), batch)
        return x.mT, x.new_zeros(())

    found, _ = autoregression.solved(op.net, p, noise, solve, ctx)
    return found.reshape(batch, *ctx.event.shape)


TWINS: Final = {Autoregressive: DistributionTwin(_log_prob, _draw, tables=_tables, plan=_plan)}
