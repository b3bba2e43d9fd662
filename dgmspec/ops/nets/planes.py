"""Several numbers for every coordinate of an event, as the value of one net."""

from __future__ import annotations

import math

from dgmspec.core.nets import AbstractNet
from dgmspec.core.types import Shape


def plane_output(net: AbstractNet, planes: int, shape: Shape) -> Shape:
    """The shape that `net` is asked for: so many channels for each of an image's, numbers for each of a row's, or all
    of them in one vector."""
    if net.reads == "image" and len(shape) == 3:
        return planes * shape[0], *shape[1:]
    if net.reads == "sequence" and len(shape) == 2:
        return shape[0], planes * shape[1]
    return (planes * math.prod(shape),)
