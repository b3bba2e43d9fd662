"""Strong orders of schemes: errors at the end of paths of one Brownian motion, whatever the number of steps."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from dgmspec.core.types import REAL, Shape, Type
from dgmspec.modules.paths.process import STEPS, process_of
from dgmspec.ops import find
from dgmspec.ops.paths.process import AbstractProcess

__all__ = ["FINE", "end", "increments", "order", "scheme_of"]

FINE: Final = 512
PATHS: Final = 1000


def increments(steps: int, shape: Shape = (), seed: int = 0) -> tuple[Tensor, Tensor]:
    """(ΔW, ΔZ) of PATHS Brownian motions of a shape on [0, 1] in `steps` steps, the same motions for any number."""
    z = torch.randn(2, FINE, PATHS, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    h = 1 / FINE
    dw = h**0.5 * z[0]
    dz = dw / 2 + (h / 12) ** 0.5 * z[1]
    parts, each = dw.reshape(steps, -1, PATHS, *shape), dz.reshape(steps, -1, PATHS, *shape)
    before = parts.cumsum(1) - parts
    return parts.sum(1), (each + before).mean(1)


def end(op: AbstractProcess, scheme: Any, steps: int, start: float | tuple[float, ...] = 1.0) -> Tensor:
    """Ends of the paths by a scheme of the library in `steps` steps."""
    first = torch.tensor(start, dtype=torch.float64)
    event = Type(REAL, tuple(first.shape))
    op = op.model_copy(update={"settings": op.settings.model_copy(update={"solver": scheme})})
    law, step = process_of(op, event), STEPS[type(scheme)]
    x, h = first.expand(PATHS, *event.shape), 1 / steps
    dw, dz = increments(steps, event.shape)
    for i in range(steps):
        x = step(law, x, i * h, h, dw[i], dz[i])
    return x


def order(
    op: AbstractProcess,
    scheme: Any,
    exact: Tensor,
    start: float | tuple[float, ...] = 1.0,
    counts: tuple[int, ...] = (8, 16, 32, 64),
) -> float:
    """The slope of log E|error| by log h."""
    errors = [float((end(op, scheme, n, start) - exact).abs().mean()) for n in counts]
    return float(-np.polyfit(np.log(counts), np.log(errors), 1)[0])


def scheme_of(name: str) -> Any:
    """The scheme of a name."""
    found = find("scheme", name)
    assert found is not None
    return found()
