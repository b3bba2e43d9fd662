"""The numeric self-check: what each step claims, tried on random points with random parameters in float64.

Three claims a step: the inverse undoes the map, the log-determinant is that of autograd's Jacobian, and the Jacobian's
zero pattern lies within the declared dependency. A claim that fails names the step, the claim and the worst error.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.autograd.functional import jacobian

from dgmspec.core.address import Address, seed_of
from dgmspec.core.op import AbstractStep, ParamSpec
from dgmspec.core.types import UNKNOWN, SupportKind, Type
from dgmspec.modules.compiled import CompiledModel
from dgmspec.modules.initial import mask_of
from dgmspec.modules.registry import step_twin
from dgmspec.modules.twin import StepContext

__all__ = ["Finding", "check_step", "draw_event", "self_check"]

POINTS = 4
TOLERANCE = 1e-6
LARGEST = 256
"""Events above this many coordinates skip the two claims that need a full Jacobian."""

Claim = Literal["inverse", "log-determinant", "dependency"]


@dataclass(frozen=True)
class Finding:
    """One claim of one step: whether it held, and by how much."""

    address: Address
    step: str
    claim: Claim
    error: float | None

    @property
    def holds(self) -> bool:
        """Whether the claim held; a claim that was too large to try counts as not refuted."""
        return self.error is None or self.error <= TOLERANCE

    def __str__(self) -> str:
        if self.error is None:
            return f"not tried  {self.step}: {self.claim} (the event is too large for a full Jacobian)"
        word = "checked  " if self.holds else "VIOLATED "
        return f"{word}  {self.step}: {self.claim}, error {self.error:.1e}"


def self_check(model: CompiledModel, seed: int = 0) -> list[Finding]:
    """Every claim of every step of a model, on a copy in float64 whose parameters are moved at random."""
    moved = copy.deepcopy(model).double()
    parameters = {name: p.detach() for name, p in moved.named_parameters()}
    found: list[Finding] = []
    for node in model.graph.steps.values():
        before = model.graph.type_of(node.target if node.inverse else node.source)
        given = model.graph.type_of(node.context) if node.context else None
        if before is UNKNOWN or given is UNKNOWN:
            continue
        prefix = node.address + "/"
        own = {name.removeprefix(prefix): p for name, p in parameters.items() if name.startswith(prefix)}
        found += check_step(node.op, own, before, given, node.address, seed)
    return found


def check_step(
    op: AbstractStep,
    parameters: Mapping[str, Tensor],
    before: Type,
    given: Type | None = None,
    address: Address = "",
    seed: int = 0,
) -> list[Finding]:
    """The three claims of one step from `before` on, with `parameters` moved away from where they are."""
    generator = torch.Generator().manual_seed(seed_of(seed, address, 1))
    twin = step_twin(op)
    tables = {n: t.double() if t.is_floating_point() else t for n, t in twin.tables(op, before, given).items()}
    p = {**tables, **{s.name: _moved(s, parameters[s.name], generator) for s in op.parameters(before, given)}}
    x = draw_event(before, POINTS, generator)
    c = None if given is None else draw_event(given, POINTS, generator)
    draws = {d.name: torch.rand(POINTS, *d.shape, generator=generator, dtype=torch.float64) for d in op.draws(before)}
    ctx = StepContext(before, given, c, draws)
    y, log_det = twin.forward(op, p, x, ctx)
    back, back_log_det = twin.inverse(op, p, y, ctx)
    step = f"{address or op.name} ({op.name})"
    error = max(_distance(back, x), _distance(log_det.expand(POINTS), -back_log_det.expand(POINTS)))
    findings = [Finding(address, step, "inverse", error)]
    if op.draws(before):
        return findings
    if before.size > LARGEST:
        return findings + [Finding(address, step, claim, None) for claim in ("log-determinant", "dependency")]
    jacobians = torch.stack([_jacobian(op, p, ctx, x, row) for row in range(POINTS)])
    real = torch.linalg.slogdet(jacobians).logabsdet
    findings.append(Finding(address, step, "log-determinant", _distance(log_det.expand(POINTS), real)))
    declared = op.jacobian(before, given).dependency
    if declared is not None:
        allowed = torch.tensor([[bool(row >> j & 1) for j in range(before.size)] for row in declared.rows])
        outside = jacobians.abs().amax(0)[~allowed]
        findings.append(Finding(address, step, "dependency", float(outside.max()) if outside.numel() else 0.0))
    return findings


def _jacobian(op: AbstractStep, p: Mapping[str, Tensor], ctx: StepContext, x: Tensor, row: int) -> Tensor:
    """∂y/∂x at one row, (d, d)."""
    given = None if ctx.given is None else ctx.given[row : row + 1]
    alone = StepContext(ctx.event, ctx.given_type, given)
    forward = step_twin(op).forward
    found = jacobian(lambda v: forward(op, p, v[None], alone)[0][0], x[row])  # type: ignore[no-untyped-call]
    assert isinstance(found, Tensor)
    return found.reshape(ctx.event.size, ctx.event.size)


def _moved(spec: ParamSpec, value: Tensor, generator: torch.Generator) -> Tensor:
    """The parameter plus noise inside its mask: N(0, 0.2²), for weights over the root of their inputs, so that a wide
    network's outputs stay of order one and no rounding error is taken for a violation."""
    inputs = value.shape[-1] if value.dim() > 1 else 1
    noise = 0.2 / math.sqrt(inputs) * torch.randn(value.shape, generator=generator, dtype=torch.float64)
    if spec.mask is not None:
        noise = noise.masked_fill(~mask_of(spec.mask), 0.0)
    return value.double() + noise


def draw_event(type_: Type, count: int, generator: torch.Generator) -> Tensor:
    """Points inside a support in float64, (count, *event)."""
    low, high = type_.support.low, type_.support.high
    if type_.support.kind is not SupportKind.CONTINUOUS:
        shape = (count, *type_.shape)
        return torch.randint(int(low), int(high) + 1, shape, generator=generator).double()
    normal = 1.5 * torch.randn(count, *type_.shape, generator=generator, dtype=torch.float64)
    if math.isinf(low) and math.isinf(high):
        return normal
    if math.isinf(high):
        return low + normal.exp()
    return high - normal.exp() if math.isinf(low) else low + (high - low) * torch.sigmoid(normal)


def _distance(found: Tensor, expected: Tensor) -> float:
    """The largest error, relative above one in size; a value that is no number is infinitely wrong."""
    error = ((found - expected).abs() / expected.abs().clamp(min=1)).max()
    return float(error) if bool(torch.isfinite(error)) else math.inf
