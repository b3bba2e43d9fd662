"""A masked net run both ways: parameters of all coordinates in one pass, or coordinates level by level.

What bijectors and laws share that condition each coordinate on those before it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from dgmspec.core.masking import AbstractOrder
from dgmspec.core.nets import AbstractNet
from dgmspec.core.types import Type
from dgmspec.modules.nets import below, context_of, evaluate, features_of
from dgmspec.modules.registry import net_twin
from dgmspec.modules.twin import MaskedTwin, Parameters, Solve, StepContext
from dgmspec.ops.nets import AbstractMasked, context_shape, features


class Plan(NamedTuple):
    """What the net's twin works out; `turned` where the net follows a scan of the image turned upside down; how the net
    runs."""

    net: Any
    turned: bool
    reading: AbstractNet


def plan(net: AbstractNet, order: AbstractOrder, event: Type, given: Type | None) -> Plan:
    """What depends on no tensor."""
    precedence = order.precedence(event.shape)
    found = _twin(net).plan(net, event.shape, precedence, context_shape(given), features(event.support))
    turned = net.reads == "image" and precedence.scan is not None and precedence.scan.backwards
    assert isinstance(net, AbstractMasked), f"{net.name} has no autoregressive reading"
    return Plan(found, turned, net.reading)


def tables(net: AbstractNet, order: AbstractOrder, event: Type) -> dict[str, Tensor]:
    """The net's index tensors, under its own name."""
    found = _twin(net).tables(net, event.shape, order.precedence(event.shape))
    return {f"net/{name}": table for name, table in found.items()}


def planes(net: AbstractNet, p: Parameters, flat: Tensor, ctx: StepContext) -> Tensor:
    """The net's numbers for every coordinate of events (batch, d), as planes (P, batch, d)."""
    seen, own = flat.flip(1) if ctx.plan.turned else flat, below(p, "net")
    if net.reads == "sequence" and "order" in own:
        seen = seen.index_select(1, own["order"])
    image = seen.reshape(seen.shape[0], *ctx.event.shape) if net.reads == "image" else seen
    read = features_of(image, ctx.event.support, 1)
    if net.reads == "sequence":  # a token for each coordinate
        read = read.reshape(read.shape[0], read.shape[1] // ctx.event.size, ctx.event.size).mT
    out = evaluate(ctx.plan.reading, own, (read,), context_of(ctx, flat), ctx.training).flatten(1)
    found = out.reshape(out.shape[0], out.shape[1] // ctx.event.size, ctx.event.size).transpose(0, 1)
    if net.reads == "sequence" and "ranks" in own:
        found = found.index_select(2, own["ranks"])
    return found.flip(2) if ctx.plan.turned else found


def solved(net: AbstractNet, p: Parameters, y: Tensor, solve: Solve, ctx: StepContext) -> tuple[Tensor, Tensor]:
    """x (batch, d) and Σ log|∂x/∂y| from y (batch, d, …), level by level: see `MaskedTwin`."""

    def read(x: Tensor) -> Tensor:
        return features_of(x.unsqueeze(1), ctx.event.support, 1)

    y = y.flip(1) if ctx.plan.turned else y
    with torch.autocast(y.device.type, enabled=False):  # coordinate by coordinate, where errors would add up
        c = context_of(ctx, y)
        x, log_det = _twin(net).invert(ctx.plan.reading, below(p, "net"), y, c, solve, read, ctx.plan.net, ctx.training)
    return x.flip(1) if ctx.plan.turned else x, log_det


def _twin(net: AbstractNet) -> MaskedTwin:
    found = net_twin(net).masked
    assert found is not None, f"{net.name} says that it has an autoregressive reading"
    return found
