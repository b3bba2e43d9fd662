"""A step or a chain of steps put to the test: its parameters fixed, points before it, and what it declares.

Every law is a function from a `Trial` to findings: the inverse undoes the map, from either side; the log-determinant is
that of autograd's Jacobian; the Jacobian's zeros, constancy, determinant and orthogonality are as declared; what comes
out has the inferred type and lies in the inferred support.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor
from torch.autograd.functional import jacobian

from dgmspec.core.address import Address
from dgmspec.core.jacobian import Fact, Jacobian
from dgmspec.core.steps import AbstractStep
from dgmspec.core.types import Type
from dgmspec.modules.parts import Parts, packed, unpacked
from dgmspec.modules.registry import step_twin
from dgmspec.modules.twin import Modules, StepContext
from dgmspec.runtime.findings import TOLERANCE, Claim, Finding, distance, outside

__all__ = ["LARGEST", "Part", "Trial", "quick", "thorough"]

LARGEST = 256
"""Events above this many coordinates skip the claims that need a full Jacobian."""

ROUNDING = 1e4 * torch.finfo(torch.float64).eps
LOOSEST = 1e-3
"""An inverse may err by rounding times the Jacobian's inverse, but never by more than this."""


@dataclass(frozen=True)
class Part:
    """One operation with its parameters and tables; `inverse` where the map runs it backwards.

    `event` is the type before the operation as written, `noise` its per-sample draws, `modules` the user's own
    networks by address.
    """

    op: AbstractStep
    parameters: Mapping[str, Tensor]
    inverse: bool
    event: Type
    given: Type | None
    noise: Mapping[str, Tensor] = field(default_factory=dict)
    modules: Modules = field(default_factory=dict)

    def __call__(self, value: Parts, c: Tensor | None, along: bool) -> tuple[Parts, Tensor]:
        """The value behind the operation and log|det|, in the map's direction or against it."""
        twin, passed = step_twin(self.op), 1 + len(self.event.passed_by(self.op.infer_type(self.event, self.given)))
        run = twin.inverse if self.inverse == along else twin.forward
        event, *aside = (value,) if isinstance(value, Tensor) else value
        own: Parts = (event, *aside[passed - 1 :]) if len(aside) >= passed else event
        plan = twin.plan(self.op, self.event, self.given)
        context = StepContext(self.event, self.given, c, self.noise, plan=plan, modules=self.modules)
        found, log_det = run(self.op, self.parameters, own, context)
        made: list[Tensor]
        event, *made = (found,) if isinstance(found, Tensor) else found
        parts = (event, *aside[: passed - 1], *made)
        return parts if len(parts) > 1 else event, log_det


@dataclass(frozen=True)
class Trial:
    """A map from `before` to `after` with points `x` (and contexts `c`) before it and `far` points behind it."""

    address: Address
    label: str
    parts: tuple[Part, ...]
    before: Type
    after: Type
    facts: Jacobian
    x: Tensor
    c: Tensor | None
    far: Tensor

    def forward(self, x: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """Through all parts: (y, log|det ∂y/∂x|)."""
        return self._through(self.parts, unpacked(x, self.before), c, True)

    def inverse(self, y: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """Back through all parts: (x, log|det ∂x/∂y|)."""
        return self._through(self.parts[::-1], unpacked(y, self.after), c, False)

    def _through(self, parts: tuple[Part, ...], value: Parts, c: Tensor | None, along: bool) -> tuple[Tensor, Tensor]:
        total: Tensor | float = 0.0
        for part in parts:
            value, log_det = part(value, c, along)
            total = total + log_det
        result = packed(value)
        return result, result.new_zeros(len(result)) + total

    @property
    def stochastic(self) -> bool:
        """Whether a part draws: the map has then no Jacobian, and many values behind it stand for one before."""
        return any(part.op.stochastic(part.event) for part in self.parts)

    @cached_property
    def reached(self) -> tuple[Tensor, Tensor]:
        """The points behind the map, and their log-determinants."""
        return self.forward(self.x, self.c)

    @cached_property
    def jacobians(self) -> Tensor | None:
        """∂y/∂x at every point, (points, d, d), or None where there is none or it is too large."""
        if self.stochastic or self.before.whole > LARGEST or self.after.whole != self.before.whole:
            return None
        return torch.stack([self.jacobian(row, row) for row in range(len(self.x))])

    def jacobian(self, row: int, given: int) -> Tensor:
        """∂y/∂x at the point `row` under the context `given`, (d, d)."""
        c = None if self.c is None else self.c[given : given + 1]
        found = jacobian(lambda v: self.forward(v[None], c)[0][0], self.x[row])  # type: ignore[no-untyped-call]
        assert isinstance(found, Tensor)
        return found.reshape(self.before.whole, self.before.whole)

    def finding(self, claim: Claim, error: float | None, tolerance: float = TOLERANCE) -> Finding:
        """A finding about this map."""
        return Finding(self.address, self.label, claim, error, tolerance)


def quick(trial: Trial) -> Iterator[Finding]:
    """The inverse, the log-determinant and the pattern of the Jacobian."""
    yield _inverse(trial)
    yield from _log_determinant(trial)
    yield from _dependency(trial)


def thorough(trial: Trial) -> Iterator[Finding]:
    """All laws."""
    y, _ = trial.reached
    wrong_shape = tuple(y.shape[1:]) != ((trial.after.whole,) if trial.after.aside else trial.after.shape)
    yield trial.finding("type", float("inf") if wrong_shape else 0.0)
    if wrong_shape:
        return  # events of another shape compare with nothing
    yield from quick(trial)
    yield from _flags(trial)
    yield _support(trial)


# ---- laws -----------------------------------------------------------------------------------------------------------


def _inverse(trial: Trial) -> Finding:
    """x -> y -> x, log-determinants cancelling; and y -> x -> y where y stands for one x alone."""
    y, log_det = trial.reached
    back, back_log_det = trial.inverse(y, trial.c)
    error = max(distance(back, trial.x), distance(log_det, -back_log_det))
    if not trial.stochastic:
        again = trial.forward(trial.inverse(trial.far, trial.c)[0], trial.c)[0]
        error = max(error, distance(again, trial.far))
    return trial.finding("inverse", error, _rounding(trial, y))


def _rounding(trial: Trial, y: Tensor) -> float:
    """How far the way back may be off: rounding of y, magnified by the inverse Jacobian."""
    if trial.jacobians is None or not bool(torch.isfinite(trial.jacobians).all()):
        return TOLERANCE
    smallest = float(torch.linalg.svdvals(trial.jacobians).min())
    magnified = ROUNDING * (1 + float(y.abs().max())) / max(smallest, 1e-300)
    return min(max(TOLERANCE, magnified), LOOSEST)


def _log_determinant(trial: Trial) -> Iterator[Finding]:
    if trial.stochastic:
        return
    if trial.jacobians is None:
        yield trial.finding("log-determinant", None)
        return
    real = torch.linalg.slogdet(trial.jacobians).logabsdet
    yield trial.finding("log-determinant", distance(trial.reached[1], real))


def _dependency(trial: Trial) -> Iterator[Finding]:
    declared = trial.facts.dependency
    if trial.stochastic or (declared is None and trial.before.whole <= LARGEST):
        return
    if trial.jacobians is None or declared is None:
        yield trial.finding("dependency", None)
        return
    size = trial.before.whole
    allowed = torch.tensor([[bool(row >> j & 1) for j in range(size)] for row in declared.rows])
    beyond = trial.jacobians.abs().amax(0)[~allowed]
    yield trial.finding("dependency", distance(beyond, torch.zeros_like(beyond)))


def _flags(trial: Trial) -> Iterator[Finding]:
    """What is claimed of the Jacobian as a whole: constant in x, |det| = 1, orthogonal."""
    claims: list[tuple[Claim, Fact]] = [
        ("constant", trial.facts.constant),
        ("unit determinant", trial.facts.unit_det),
        ("orthogonal", trial.facts.orthogonal),
    ]
    for claim, fact in claims:
        if fact is Fact.YES and not trial.stochastic:
            matrices = trial.jacobians
            yield trial.finding(claim, None if matrices is None else _error(claim, trial, matrices))


def _error(claim: Claim, trial: Trial, matrices: Tensor) -> float:
    if claim == "constant":
        # Constant in x, under one context: other points are tried with the context of the first.
        same = matrices if trial.c is None else torch.stack([trial.jacobian(i, 0) for i in range(len(trial.x))])
        return distance(same, same[:1].expand_as(same))
    if claim == "unit determinant":
        found = torch.linalg.slogdet(matrices).logabsdet
        return distance(found, torch.zeros_like(found))
    product = matrices @ matrices.mT
    return distance(product, torch.eye(trial.before.whole, dtype=product.dtype).expand_as(product))


def _support(trial: Trial) -> Finding:
    """What comes out lies in the support behind the map, and every point there comes from the support before it."""
    error = outside(trial.reached[0], trial.after.support)
    return trial.finding("support", max(error, outside(trial.inverse(trial.far, trial.c)[0], trial.before.support)))
