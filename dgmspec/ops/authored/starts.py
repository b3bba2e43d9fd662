"""Where what a bijector learns starts: constants inside their support, nets at zero where a line feels them there."""

from __future__ import annotations

import math
from functools import lru_cache

from dgmspec.algebra.evaluate import evaluate
from dgmspec.algebra.rewrite import free_names
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.parameters import Init
from dgmspec.core.types import Shape, Support
from dgmspec.ops.authored.definition import Definition, Line, OwnConstant, OwnNet, coordinatewise

__all__ = ["felt", "start", "unconstrained", "usual"]


def start(constant: OwnConstant, shape: Shape) -> Init:
    """Where the unconstrained numbers of a learned constant start."""
    support, initial = constant.support, constant.initial
    if initial is None and math.isinf(support.low) and math.isinf(support.high):
        return Init("normal", 0.1) if shape else Init()
    if isinstance(initial, tuple):
        return Init("values", data=tuple(unconstrained(support, value) for value in initial))
    return Init("constant", unconstrained(support, usual(support) if initial is None else initial))


def usual(support: Support) -> float:
    """Where a constant starts of which nothing is said: 0, 1 beyond a bound, the middle of an interval."""
    low, high = support.low, support.high
    if math.isinf(low):
        return 0.0 if math.isinf(high) else high - 1.0
    return low + 1.0 if math.isinf(high) else (low + high) / 2


def unconstrained(support: Support, value: float) -> float:
    """The number that a softplus beyond one bound, or a scaled sigmoid between two, takes to `value`."""
    low, high = support.low, support.high
    if math.isinf(low) and math.isinf(high):
        return value
    if math.isinf(low) or math.isinf(high):
        distance = value - low if math.isinf(high) else high - value
        return distance + math.log(-math.expm1(-distance))
    share = (value - low) / (high - low)
    return math.log(share) - math.log1p(-share)


@lru_cache(maxsize=1024)
def felt(definition: Definition, net: OwnNet) -> bool:
    """Whether some line changes with a net's values at first order around zero, the other nets being zero.

    Where none does (``exp(-s(a)^2)``, or the product of two nets), a net that starts at zero would never leave it.
    """
    symbols = frozenset(r.symbol for r in definition.readings if r.net == net.name)
    pairs = [(line, name) for line in definition.lines for name in free_names(line.value) if name in symbols]
    return not pairs or any(not coordinatewise(line.value) or _slope(definition, line, name) for line, name in pairs)


def _slope(definition: Definition, line: Line, symbol: str) -> bool:
    """Whether a central difference in `symbol` at zero is none, at two points of everything else."""
    step = 1e-3
    for point in (0.37, 0.71):
        values = dict.fromkeys(definition.parts, point)
        values |= {c.name: point * usual(c.support) or point for c in definition.constants}
        values |= {r.symbol: 0.0 for r in definition.readings}
        try:
            high, low = (evaluate(line.value, {**values, symbol: sign * step}) for sign in (1, -1))
        except Refusal:
            continue
        if abs(high - low) > 1e-6 * step:
            return True
    return False
