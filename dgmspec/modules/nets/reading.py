"""How a net is given what it reads: flattened and joined, or as images beside conditions (see `AbstractNet`)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dgmspec.core.nets import AbstractNet
from dgmspec.core.types import Shape, Support, SupportKind, Type
from dgmspec.modules.registry import embedding_twin, net_twin
from dgmspec.modules.twin import Parameters, StepContext, flat_rows, rows_of
from dgmspec.ops.nets import context_shape
from dgmspec.ops.nets.convolutional import images_and_conditions


def evaluate(
    net: AbstractNet,
    p: Parameters,
    inputs: Sequence[Tensor],
    c: Tensor | None,
    training: bool,
    time: Tensor | None = None,
) -> Tensor:
    """The net's value from inputs (batch, *event), a context (batch, *event of c) and a time from 0 to 1, one number or
    one a row: (batch, *output), flat from a net that does not read images."""
    apply = net_twin(net).apply
    also = [] if time is None else [_time_features(net, p, time, (*inputs, c))]
    if net.reads == "image":
        values = (*inputs, *(() if c is None else (c,)))
        images, others = images_and_conditions([v.shape[1:] for v in values])
        h = values[images[0]] if len(images) == 1 else torch.cat([values[i] for i in images], 1)
        return apply(net, p, h, _conditions([values[i] for i in others] + also), training)
    given = [] if c is None else [c]
    if net.reads == "sequence":
        rows = inputs[0] if inputs[0].dim() == 3 else inputs[0].unsqueeze(2)
        return apply(net, p, rows, _conditions([*inputs[1:], *given, *also]), training)
    h = _joined(inputs)
    features = net.input_embedding()
    if features is not None and h.shape[1]:
        h = torch.cat((h, embedding_twin(features).apply(features, below(p, "inputs"), h)), 1)
    return apply(net, p, h, _conditions([*given, *also]), training)


def _time_features(net: AbstractNet, p: Parameters, time: Tensor, beside: Sequence[Tensor | None]) -> Tensor:
    """A time as the net's layers read it, one row for each of what is read beside it."""
    rows = rows_of(value for value in beside if value is not None)
    t, embedding = time.reshape(-1, 1), net.time_embedding()
    if embedding is not None:
        t = embedding_twin(embedding).apply(embedding, below(p, "time"), t)
    return t.expand(rows, t.shape[1])


def _conditions(values: Sequence[Tensor]) -> Tensor | None:
    return _joined(values) if values else None


def _joined(values: Sequence[Tensor]) -> Tensor:
    """Values (batch, *event) flattened and joined: (batch, numbers)."""
    flat = [v if v.dim() == 2 else flat_rows(v) for v in values]
    return flat[0] if len(flat) == 1 else torch.cat(flat, 1)


def planes_of(net: AbstractNet, out: Tensor, planes: int, shape: Shape) -> Tensor:
    """The value of a net asked for ``plane_output(net, planes, shape)``: (planes, batch, *shape), a view."""
    if net.reads == "sequence" and len(shape) == 2:
        return out.reshape(out.shape[0], shape[0], planes, shape[1]).permute(2, 0, 1, 3)
    return out.reshape(out.shape[0], planes, *shape).movedim(1, 0)


def below(p: Parameters, prefix: str) -> dict[str, Tensor]:
    """The parameters of the argument `prefix`, under their own names."""
    start = f"{prefix}/"
    return {name[len(start) :]: value for name, value in p.items() if name.startswith(start)}


def features_of(x: Tensor, support: Support, dim: int) -> Tensor:
    """What a net reads of coordinates on `support` that lie along `dim`: of angles all cosines, then all sines; for
    each label in turn whether it is there; of whole numbers their places between -1 and 1."""
    if support.circular:
        return torch.cat((torch.cos(x), torch.sin(x)), dim)
    if support.kind is SupportKind.CATEGORY:
        return torch.cat([(x == label).to(x.dtype) for label in range(int(support.high) + 1)], dim)
    if support.kind is SupportKind.INTEGER:
        return (2 * (x - support.low) + 1) / (support.high - support.low + 1) - 1
    return x


def context_features(c: Tensor, type_: Type, like: Tensor) -> Tensor:
    """A context (batch, *event) as a net reads it, (batch, *context_shape) in the dtype of `like`."""
    if type_.support.kind is SupportKind.CATEGORY:
        labels = torch.arange(int(type_.support.high) + 1, device=c.device)
        c = c.unsqueeze(-1) == labels
    if type_.support.circular:
        c = features_of(flat_rows(c), type_.support, 1)
    shape = context_shape(type_)
    assert shape is not None
    return c.to(like.dtype).reshape(c.shape[0], *shape).expand(like.shape[0], *shape)


def context_of(ctx: StepContext, like: Tensor) -> Tensor | None:
    """The context of a step as nets read it, a row for each of `like`; None where there is none."""
    if ctx.given is None or ctx.given_type is None:
        return None
    return context_features(ctx.given, ctx.given_type, like)
