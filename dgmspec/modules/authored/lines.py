"""Lines of a definition as torch: an update forwards, its inverse in closed form or by bracketed Newton steps.

A line is prepared once for the supports that reach it and found again by the definition's key, so that a compiled graph
reads a dictionary where it could not trace the algebra. A value rounded to an end of an open interval is taken for its
interior neighbour, as in the library's own maps; a value beyond an end gives NaN.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from dgmspec.core.types import Support
from dgmspec.modules.expressions import Prepared, Value, as_tensor, prepare
from dgmspec.modules.solve import solve
from dgmspec.ops.authored import Definition
from dgmspec.ops.authored.proofs import proved

__all__ = ["PreparedLine", "backward", "forward", "prepared"]

Env = Mapping[str, Value]


@dataclass(frozen=True)
class PreparedLine:
    """The closures of one update; each reads the variable and the other names from an environment."""

    variable: str
    domain: Support
    image: Support
    increasing: bool
    value: Prepared
    log_slope: Prepared
    inverse: Prepared | None


_PREPARED: dict[tuple[str, str, float, float], tuple[PreparedLine, ...]] = {}


def prepared(definition: Definition, support: Support) -> tuple[PreparedLine, ...]:
    """The lines of a definition whose parts all start on `support`."""
    key = (definition.key, support.kind.value, support.low, support.high)
    if key not in _PREPARED:
        updates = proved(definition, (support,) * len(definition.parts)).updates
        _PREPARED[key] = tuple(
            PreparedLine(
                update.variable,
                update.domain,
                update.image,
                update.increasing,
                prepare(update.forward),
                prepare(update.log_slope),
                None if update.inverse is None else prepare(update.inverse),
            )
            for update in updates
        )
    return _PREPARED[key]


def forward(line: PreparedLine, x: Tensor, env: Env) -> tuple[Tensor, Tensor]:
    """The new value, and log|∂new/∂old|, which broadcasts against it."""
    seen = {**env, line.variable: _inside(x, line.domain)}
    return as_tensor(line.value(seen, x), x), _slope(line, seen, x)


def backward(line: PreparedLine, y: Tensor, env: Env) -> tuple[Tensor, Tensor]:
    """The old value, and log|∂old/∂new|."""
    y = _inside(y, line.image)
    if line.inverse is None:
        return _solved(line, y, env)
    x = _interior(as_tensor(line.inverse({**env, line.variable: y}, y), y), line.domain)
    return x, -_slope(line, {**env, line.variable: x}, x)


def _slope(line: PreparedLine, env: Env, like: Tensor) -> Tensor:
    """log|derivative|, of the rank of `like`: a number an event stands before the coordinates."""
    slope = line.log_slope(env, like)
    if isinstance(slope, Tensor):
        missing = like.dim() - slope.dim()
        return slope.reshape(slope.shape[0], *(1,) * missing, *slope.shape[1:]) if missing else slope
    return like.new_full((1,) * like.dim(), slope).expand(1, *like.shape[1:])


def _solved(line: PreparedLine, y: Tensor, env: Env) -> tuple[Tensor, Tensor]:
    def function(x: Tensor) -> tuple[Tensor, Tensor]:
        seen = {**env, line.variable: x}
        value = as_tensor(line.value(seen, x), x)
        return value.expand_as(x), _slope(line, seen, x).expand_as(x)

    return solve(function, y, line.domain, increasing=line.increasing)


def _inside(x: Tensor, support: Support) -> Tensor:
    """A value at an end of the interval moved to its neighbour inside; one beyond an end is none."""
    low, high = _edges(x, support)
    if low is not None:
        x = torch.where(x == support.low, low, x)
        x = torch.where(x < support.low, math.nan, x)
    if high is not None:
        x = torch.where(x == support.high, high, x)
        x = torch.where(x > support.high, math.nan, x)
    return x


def _interior(x: Tensor, support: Support) -> Tensor:
    """A result that rounding took to an end, or past it, moved inside."""
    low, high = _edges(x, support)
    return x if low is None and high is None else x.clamp(low, high)


def _edges(x: Tensor, support: Support) -> tuple[float | None, float | None]:
    """The numbers next to the ends of an interval, inside it; None for an infinite end."""
    info = torch.finfo(x.dtype)
    low = None if math.isinf(support.low) else support.low + max(info.tiny, info.eps * abs(support.low))
    high = None if math.isinf(support.high) else support.high - max(info.tiny, info.eps / 2 * abs(support.high))
    return low, high
