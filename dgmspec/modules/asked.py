"""Operations that callers of a model hand over: the operation itself, or its call ``lang.ddim(steps = 50)``."""

from __future__ import annotations

from typing import Any

from dgmspec.algebra.nodes import AbstractOperand
from dgmspec.core.diagnostics import SpecError
from dgmspec.core.op import AbstractOp
from dgmspec.core.samplers import AbstractSampler
from dgmspec.graph.arguments import Caller
from dgmspec.graph.findings import Findings, Reported
from dgmspec.ops.continuous import AbstractSolver

__all__ = ["asked_sampler", "asked_solver"]


def asked_sampler(method: Any) -> AbstractSampler:
    """A sampler from what callers write; TypeError for what is none, `SpecError` for a call that is wrong."""
    op = method if isinstance(method, AbstractSampler) else _built("sampler", method, "ddim(steps = 50)")
    assert isinstance(op, AbstractSampler)
    return op


def asked_solver(method: Any) -> AbstractSolver:
    """A solver of an `ode`, likewise."""
    op = method if isinstance(method, AbstractSolver) else _built("solver", method, "dopri5(rtol = 1e-8)")
    assert isinstance(op, AbstractSolver)
    return op


def _built(role: str, method: Any, example: str) -> AbstractOp:
    if not isinstance(method, AbstractOperand):
        raise TypeError(f"a {role} is a call such as dgmspec.lang.{example}, not {method!r}")
    findings = Findings()
    try:
        return Caller(findings).operation(role, method.as_expr(), "method")
    except Reported:
        raise SpecError(findings.found) from None
