"""Torch twins of the conditioners. All three apply a scalar bijector to coordinates with planes of raw parameters.

A net gives (batch, P·n) numbers, parameter k of coordinate i in column k·n + i; its planes (P, batch, n) are a view.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from dgmspec.core.scalars import AbstractScalar
from dgmspec.core.types import Type
from dgmspec.modules import autoregression
from dgmspec.modules.nets import below, context_of, evaluate, features_of
from dgmspec.modules.registry import scalar_twin
from dgmspec.modules.twin import Parameters, StepContext, StepTwin
from dgmspec.ops.conditioners import Autoregressive, Coupling, Elementwise
from dgmspec.ops.masks import image_shape

Result = tuple[Tensor, Tensor]


def _planes(out: Tensor, size: int) -> Tensor:
    """The output of a net as planes (P, batch, size)."""
    return out.reshape(out.shape[0], out.shape[1] // size, size).transpose(0, 1)


def _flat(x: Tensor, event: Type) -> Tensor:
    return x if len(event.shape) == 1 else x.reshape(x.shape[0], event.size)


def _mapped(op: AbstractScalar, raw: Tensor, x: Tensor, ctx: StepContext, inverse: bool) -> Result:
    twin, support = scalar_twin(op), ctx.event.support
    return twin.solve(op, raw, x, support, ctx.counted) if inverse else twin.forward(op, raw, x, support)


def _total(op: AbstractScalar, ladj: Tensor, x: Tensor, ctx: StepContext) -> Tensor:
    """The sum over the coordinates (batch, n) -> (batch,), however the term broadcast; 0 where it is none's concern."""
    if op.unit_slope() or not ctx.counted:
        return x.new_zeros(())
    return (ladj if ladj.shape == x.shape else ladj.expand_as(x)).sum(1)


# ---- elementwise ----------------------------------------------------------------------------------------------------


def _elementwise_tables(op: Elementwise, event: Type, given: Type | None) -> dict[str, Tensor]:
    planes = op.scalar.fixed(event.size)
    if not planes:
        return {}
    return {"planes": torch.tensor(planes, dtype=torch.float64).reshape(len(planes), *event.shape)}


def _elementwise(op: Elementwise, p: Parameters, x: Tensor, ctx: StepContext, inverse: bool) -> Result:
    event = ctx.event
    flat = _flat(x, event)
    constants = p["raw"] if "raw" in p else p.get("planes")
    if constants is not None:
        raw = constants.to(x.dtype).reshape(constants.shape[0], 1, event.size)
    elif p:
        c = context_of(ctx, x)
        raw = _planes(evaluate(op.net, below(p, "net"), (flat[:, :0],), c, ctx.training), event.size)
    else:
        raw = flat[:0]
    y, ladj = _mapped(op.scalar, raw, flat, ctx, inverse)
    constant = op.scalar.constant_slope() and (constants is not None or not p)
    return y.reshape(x.shape), ladj[:1].sum() if constant else _total(op.scalar, ladj, flat, ctx)


def elementwise_forward(op: Elementwise, p: Parameters, x: Tensor, ctx: StepContext) -> Result:
    return _elementwise(op, p, x, ctx, inverse=False)


def elementwise_inverse(op: Elementwise, p: Parameters, y: Tensor, ctx: StepContext) -> Result:
    return _elementwise(op, p, y, ctx, inverse=True)


# ---- coupling -------------------------------------------------------------------------------------------------------


def _coupling_tables(op: Coupling, event: Type, given: Type | None) -> dict[str, Tensor]:
    """Index tensors of both parts and of their merging; only the untouched one where a part is the event's head.

    An image net that meets the whole event reads it times ``read``, 1 at part A and 0 elsewhere.
    """
    kept, moved = op.parts(event.shape)
    indices = torch.tensor(kept, dtype=torch.long)
    if kept == tuple(range(len(kept))):
        found = {"head": indices}
    elif moved == tuple(range(len(moved))):
        found = {"tail": indices}
    else:
        both = torch.tensor(kept + moved, dtype=torch.long)
        found = {"kept": indices, "moved": both[len(kept) :].clone(), "merge": both.argsort()}
    if op.by_image(event.shape) and kept and image_shape(event.shape, kept) == event.shape:
        found["read"] = torch.zeros(event.size, dtype=torch.float64).index_fill(0, indices, 1.0).reshape(event.shape)
    return found


def _split(p: Parameters, x: Tensor) -> tuple[Tensor, Tensor]:
    """Part A and part B of (…, n)."""
    if "head" in p:
        count = p["head"].shape[0]
        return x[..., :count], x[..., count:]
    if "tail" in p:
        count = x.shape[-1] - p["tail"].shape[0]
        return x[..., count:], x[..., :count]
    return x.index_select(-1, p["kept"]), x.index_select(-1, p["moved"])


def _merge(p: Parameters, kept: Tensor, moved: Tensor) -> Tensor:
    if "tail" in p:
        return torch.cat((moved, kept), 1)
    both = torch.cat((kept, moved), 1)
    return both if "head" in p else both.index_select(1, p["merge"])


def _raw(op: Coupling, p: Parameters, x: Tensor, kept: Tensor, count: int, ctx: StepContext) -> Tensor:
    """The planes (P, batch, count) that the net gives for part B, from part A as it reads it."""
    if not op.by_image(ctx.event.shape):
        return _raw_of_vector(op, p, kept, x, count, ctx)
    own, c = below(p, "net"), context_of(ctx, x)
    shape = ctx.event.shape[1:]
    image = x * p["read"] if "read" in p else kept.reshape(kept.shape[0], kept.shape[1] // math.prod(shape), *shape)
    found = evaluate(op.net, own, (image,) if kept.shape[1] else (), c, ctx.training).flatten(1)
    if "read" not in p:
        return _planes(found, count)
    planes = _planes(found, ctx.event.size)
    return planes.index_select(2, p["moved"]) if "moved" in p else _split(p, planes)[1]


def _raw_of_vector(op: Coupling, p: Parameters, kept: Tensor, x: Tensor, count: int, ctx: StepContext) -> Tensor:
    """Likewise from part A as numbers side by side; `x` has the rows and the precision of the result."""
    read = features_of(kept, ctx.event.support, 1)
    return _planes(evaluate(op.net, below(p, "net"), (read,), context_of(ctx, x), ctx.training), count)


def _coupling(op: Coupling, p: Parameters, x: Tensor, ctx: StepContext, inverse: bool) -> Result:
    kept, moved = _split(p, _flat(x, ctx.event))
    raw = _raw(op, p, x, kept, moved.shape[1], ctx)
    y, log_det = _transformed(op, raw, moved, ctx, inverse)
    return _merge(p, kept, y).reshape(x.shape), log_det


def coupling_part(op: Coupling, p: Parameters, kept: Tensor, moved: Tensor, ctx: StepContext, inverse: bool) -> Result:
    """A coupling on its two parts side by side, (batch, n) each, as `StepTwin.part` has it."""
    raw = _raw_of_vector(op, p, kept, moved, moved.shape[1], ctx)
    return _transformed(op, raw, moved, ctx, inverse)


def _transformed(op: Coupling, raw: Tensor, moved: Tensor, ctx: StepContext, inverse: bool) -> Result:
    y, ladj = _mapped(op.scalar, raw, moved, ctx, inverse)
    return y, _total(op.scalar, ladj, moved, ctx)


def coupling_forward(op: Coupling, p: Parameters, x: Tensor, ctx: StepContext) -> Result:
    return _coupling(op, p, x, ctx, inverse=False)


def coupling_inverse(op: Coupling, p: Parameters, y: Tensor, ctx: StepContext) -> Result:
    return _coupling(op, p, y, ctx, inverse=True)


# ---- autoregressive -------------------------------------------------------------------------------------------------


def _autoregressive_tables(op: Autoregressive, event: Type, given: Type | None) -> dict[str, Tensor]:
    return autoregression.tables(op.net, op.order, event)


def _autoregressive_plan(op: Autoregressive, event: Type, given: Type | None) -> autoregression.Plan:
    return autoregression.plan(op.net, op.order, event, given)


def autoregressive_forward(op: Autoregressive, p: Parameters, x: Tensor, ctx: StepContext) -> Result:
    flat = _flat(x, ctx.event)
    raw = autoregression.planes(op.net, p, flat, ctx)
    y, ladj = scalar_twin(op.scalar).forward(op.scalar, raw, flat, ctx.event.support)
    return y.reshape(x.shape), _total(op.scalar, ladj, flat, ctx)


def autoregressive_inverse(op: Autoregressive, p: Parameters, y: Tensor, ctx: StepContext) -> Result:
    twin, support = scalar_twin(op.scalar), ctx.event.support

    def solve(raw: Tensor, value: Tensor) -> Result:
        return twin.solve(op.scalar, raw, value, support, ctx.counted)

    x, ladj = autoregression.solved(op.net, p, _flat(y, ctx.event), solve, ctx)
    return x.reshape(y.shape), y.new_zeros(()) if op.scalar.unit_slope() else ladj


TWINS: dict[type[Any], StepTwin] = {
    Elementwise: StepTwin(elementwise_forward, elementwise_inverse, _elementwise_tables),
    Coupling: StepTwin(coupling_forward, coupling_inverse, _coupling_tables, part=coupling_part),
    Autoregressive: StepTwin(
        autoregressive_forward,
        autoregressive_inverse,
        _autoregressive_tables,
        loop="bounded",
        plan=_autoregressive_plan,
    ),
}
