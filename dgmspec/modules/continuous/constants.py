"""What the evaluations of a velocity read beside state and time, made once for a solve.

It is handed to every evaluation beside the parameters: so gradients reach it in each way of differentiating a solve.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from dgmspec.modules.continuous.ready import NetReading, Ready
from dgmspec.modules.expressions import as_tensor
from dgmspec.modules.initial import learned_value
from dgmspec.modules.nets import below, context_features
from dgmspec.modules.traces import norm_core, trace_core
from dgmspec.modules.twin import Parameters, StepContext, by_row, flat_rows
from dgmspec.ops.continuous import Seen
from dgmspec.ops.continuous.moving import closed
from dgmspec.ops.continuous.ode import NULL, Ode
from dgmspec.ops.continuous.placed import seen_shape

__all__ = [
    "CONTEXT",
    "END",
    "FREE",
    "NORM",
    "PROBES",
    "START",
    "Time",
    "Values",
    "constants",
    "ends_of",
    "learned_of",
    "seen_value",
    "weights_of",
]

Time = float | Tensor
Values = Mapping[str, Tensor]

CONTEXT, FREE, PROBES, NORM = "the context", "no context", "the probes", "core of the norm"
START, END = "when it starts", "when it ends"
"""Names that no text can give to anything."""


def constants(op: Ode, known: Ready, p: Parameters, ctx: StepContext, like: Tensor) -> dict[str, Tensor]:
    """Everything that evaluations read beside state and time: weights, those of the user's own networks too, learned
    numbers in their supports, the context, and what closed traces take from the weights."""
    found = dict(p) | learned_of(op, p)
    if ctx.given is not None and ctx.given_type is not None:
        found[CONTEXT] = context_features(ctx.given, ctx.given_type, like)
        if "drop" in ctx.noise and ctx.training:
            dropped = by_row(ctx.noise["drop"] < op.drop, found[CONTEXT])
            found[CONTEXT] = torch.where(dropped, p[NULL], found[CONTEXT])
        if op.guidance:
            found[FREE] = p[NULL].expand(like.shape[0], *p[NULL].shape)
        for seen in op.velocity.seen:
            found[seen.name] = seen_value(ctx.given, found[CONTEXT], seen)
    for used in (*known.readings, *(inner for g in known.gradients for inner in g.readings)):
        if used.names:
            parts = below(p, used.net.name)
            found |= _columns(used, parts)
            weights = weights_of(used, parts, found)
        if used.names and used.trace and closed(used.net.op):
            found[used.core] = trace_core(weights)
            if "jacobian" in op.rates and known.norm == "closed form":
                found[NORM] = norm_core(weights)
    for name, at in op.externals():
        found |= {f"{name}/{key}": value for key, value in ctx.modules[at].named_parameters()}
    if op.learned_times:
        start, end = ends_of(known, found, like)
        found[START], found[END] = (as_tensor(time, like).reshape(1) for time in (start, end))
    return found


def learned_of(op: Ode, p: Parameters) -> dict[str, Tensor]:
    """The learned numbers of a velocity in their supports, (1, …)."""
    return {own.name: learned_value(own.support, p[own.name]) for own in op.velocity.learned}


def ends_of(known: Ready, values: Values, like: Tensor) -> tuple[Time, Time]:
    """When the arrow starts and ends, learned numbers put in: floats, or one number each."""
    start, end = (time if isinstance(time, float) else time(values, like) for time in known.ends)
    return start, end


def seen_value(given: Tensor, features: Tensor, seen: Seen) -> Tensor:
    """A variable of the context as formulas meet it; `features` are what nets read of the context."""
    shape = seen_shape(seen.type)
    if seen.start is None:
        return given if seen.type.shape == shape else features
    flat = flat_rows(features)
    return flat[:, seen.start : seen.start + math.prod(shape)].reshape(flat.shape[0], *shape)


def _columns(used: NetReading, own: Parameters) -> dict[str, Tensor]:
    """The first layer's weight cut apart: the state's columns, and the others where there are any."""
    full, start = own["0/weight"], sum(used.sizes[: used.state])
    end = start + used.sizes[used.state or 0]
    found = {used.first: full[:, start:end].contiguous()}
    if end - start < full.shape[1]:
        found[used.others] = torch.cat((full[:, :start], full[:, end:]), 1)
    return found


def weights_of(used: NetReading, own: Parameters, p: Values) -> tuple[Tensor, ...]:
    """The weights of a layered net, of the first the state's columns alone."""
    return (p[used.first], *(own[f"{name}/weight"] for name in used.names[1:]))
