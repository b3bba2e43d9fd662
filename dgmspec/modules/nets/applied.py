"""The value of a net inside a formula, from what it is applied to."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from dgmspec.core.types import Shape
from dgmspec.modules.initial import constrain
from dgmspec.modules.nets.reading import evaluate
from dgmspec.modules.twin import Parameters, rows_of
from dgmspec.ops.authored import OwnNet

__all__ = ["net_value"]


def net_value(
    net: OwnNet,
    own: Parameters,
    inputs: Sequence[Tensor],
    like: Tensor,
    shape: Shape,
    context: Tensor | None = None,
    training: bool = False,
    time: Tensor | None = None,
) -> Tensor:
    """(batch, *shape) in the net's support, from inputs (batch or 1, …) beside a context and a time."""
    rows = rows_of(v for v in (*inputs, context, time) if v is not None)
    read = [v.expand(rows, *v.shape[1:]) for v in inputs] or [like.new_zeros(rows, 0)]
    out = evaluate(net.op, own, read, context, training, time)
    return constrain(net.support, out.reshape(out.shape[0], *shape))
