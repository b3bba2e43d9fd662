"""Events beside which parts are set aside: a tuple (event, *parts), or packed into one flat tensor, the parts first."""

from __future__ import annotations

from itertools import accumulate

import torch
from torch import Tensor

from dgmspec.core.types import Type
from dgmspec.modules.twin import flat_rows

__all__ = ["Parts", "packed", "unpacked"]

Parts = Tensor | tuple[Tensor, ...]
"""(batch, *event), with the parts set aside behind it in a tuple where there are any."""


def packed(value: Parts) -> Tensor:
    """What was set aside, in order, then the event: (batch, numbers); an event without parts as it is."""
    if isinstance(value, Tensor):
        return value
    event, *aside = value
    return torch.cat([flat_rows(part) for part in (*aside, event)], 1)


def unpacked(flat: Tensor, type_: Type) -> Parts:
    """The inverse of `packed` for a value of this type."""
    if not type_.aside:
        return flat.reshape(flat.shape[0], *type_.shape)
    types = (*type_.aside, Type(type_.support, type_.shape))
    ends = accumulate(t.size for t in types)
    parts = [flat[:, end - t.size : end].reshape(flat.shape[0], *t.shape) for t, end in zip(types, ends, strict=True)]
    return (parts[-1], *parts[:-1])
