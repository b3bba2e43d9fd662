"""Twin of the author's scalar bijectors: the lines in turn on every coordinate, parameters read off raw planes."""

from __future__ import annotations

from torch import Tensor

from dgmspec.core.types import Support
from dgmspec.modules.authored.lines import backward, forward, prepared
from dgmspec.modules.initial import constrain
from dgmspec.modules.twin import ScalarTwin
from dgmspec.ops.authored import AuthoredScalar
from dgmspec.ops.authored.starts import unconstrained, usual


def authored_forward(op: AuthoredScalar, raw: Tensor, x: Tensor, support: Support) -> tuple[Tensor, Tensor]:
    env, total = _parameters(op, raw), None
    for line in prepared(op.definition, support):
        x, slope = forward(line, x, env)
        total = slope if total is None else total + slope
    assert total is not None, "a bijector has a line"
    return x, total


def authored_inverse(op: AuthoredScalar, raw: Tensor, y: Tensor, support: Support) -> tuple[Tensor, Tensor]:
    env, total = _parameters(op, raw), None
    for line in reversed(prepared(op.definition, support)):
        y, slope = backward(line, y, env)
        total = slope if total is None else total + slope
    assert total is not None, "a bijector has a line"
    return y, total


def _parameters(op: AuthoredScalar, raw: Tensor) -> dict[str, Tensor | float]:
    """Each parameter in its support; where the raw number is 0 it is at its usual start."""
    found: dict[str, Tensor | float] = {}
    for plane, own in enumerate(op.definition.parameters):
        offset = unconstrained(own.support, usual(own.support))
        found[own.name] = constrain(own.support, raw[plane] + offset if offset else raw[plane])
    return found


def _prepare(op: AuthoredScalar, support: Support) -> None:
    """Everything that a trace reads: the lines, and the facts that conditioners ask for."""
    prepared(op.definition, support)
    op.unit_slope()


TWINS = {AuthoredScalar: ScalarTwin(authored_forward, authored_inverse, loop="bounded", prepare=_prepare)}
