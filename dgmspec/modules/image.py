"""Twins of the steps of images."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from dgmspec.core.types import Type
from dgmspec.modules.linear import FORMS, plu_tables, widened
from dgmspec.modules.twin import Parameters, StepContext, StepTwin
from dgmspec.ops.image import Conv1x1, Haar, Squeeze

Result = tuple[Tensor, Tensor]


def _squeeze_forward(op: Squeeze, p: Parameters, x: Tensor, ctx: StepContext) -> Result:
    size, (c, h, w) = op.factor, x.shape[1:]
    blocks = x.reshape(x.shape[0], c, h // size, size, w // size, size).permute(0, 1, 3, 5, 2, 4)
    return blocks.reshape(x.shape[0], c * size**2, h // size, w // size), x.new_zeros(())


def _squeeze_inverse(op: Squeeze, p: Parameters, y: Tensor, ctx: StepContext) -> Result:
    return _spread(y, op.factor), y.new_zeros(())


def _spread(y: Tensor, size: int) -> Tensor:
    """Each size² channels as the pixels of a block."""
    c, h, w = y.shape[1:]
    blocks = y.reshape(y.shape[0], c // size**2, size, size, h, w).permute(0, 1, 4, 2, 5, 3)
    return blocks.reshape(y.shape[0], c // size**2, h * size, w * size)


def _hadamard(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mean, slopes and twist of the four; the same again gives the four back."""
    left, right, fall, rise = (a + c) / 2, (b + d) / 2, (a - c) / 2, (b - d) / 2
    return left + right, left - right, fall + rise, fall - rise


def _haar_forward(op: Haar, p: Parameters, x: Tensor, ctx: StepContext) -> Result:
    corners = (x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1))
    return torch.cat(_hadamard(*corners), 1), x.new_zeros(())


def _haar_inverse(op: Haar, p: Parameters, y: Tensor, ctx: StepContext) -> Result:
    corners = _hadamard(*torch.tensor_split(y, 4, 1))
    return _spread(torch.stack(corners, 2).flatten(1, 2), 2), y.new_zeros(())


def _conv1x1_tables(op: Conv1x1, event: Type, given: Type | None) -> dict[str, Tensor]:
    return plu_tables(op.form, event.shape[0])


def _conv1x1(op: Conv1x1, p: Parameters, x: Tensor, ctx: StepContext, inverse: bool) -> Result:
    """W x at every place, with W (or its inverse) as what the form makes of the unit vectors."""
    form, x = FORMS[type(op.form)], widened(x, p)
    channels, places = ctx.event.shape[0], ctx.event.size // ctx.event.shape[0]
    with torch.autocast(x.device.type, enabled=False):
        unit = torch.eye(channels, dtype=x.dtype, device=x.device)
        matrix = (form.solve if inverse else form.multiply)(op.form, p, unit).mT
        log_det = form.log_det(p, unit) * places
        return torch.matmul(matrix, x.flatten(2)).reshape(x.shape), -log_det if inverse else log_det


def _conv1x1_forward(op: Conv1x1, p: Parameters, x: Tensor, ctx: StepContext) -> Result:
    return _conv1x1(op, p, x, ctx, inverse=False)


def _conv1x1_inverse(op: Conv1x1, p: Parameters, y: Tensor, ctx: StepContext) -> Result:
    return _conv1x1(op, p, y, ctx, inverse=True)


TWINS: Final = {
    Squeeze: StepTwin(_squeeze_forward, _squeeze_inverse),
    Haar: StepTwin(_haar_forward, _haar_inverse),
    Conv1x1: StepTwin(_conv1x1_forward, _conv1x1_inverse, _conv1x1_tables),
}
