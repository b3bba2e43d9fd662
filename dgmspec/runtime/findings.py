"""What a numeric check says: one claim, whether it held, and by how much."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

import torch
from torch import Tensor

from dgmspec.core.address import Address
from dgmspec.core.types import Support

__all__ = ["STATISTICAL", "TOLERANCE", "Claim", "Finding", "Outcome", "distance", "outcomes", "outside"]

TOLERANCE = 1e-6

Claim = Literal[
    "inverse",
    "log-determinant",
    "dependency",
    "constant",
    "unit determinant",
    "orthogonal",
    "type",
    "support",
    "samples",
    "normalisation",
    "sampler",
    "Fokker-Planck",
    "simulation",
    "prior support",
    "density label",
    "solver",
    "kernel",
    "balance",
]

STATISTICAL: Final = frozenset(("sampler", "simulation", "balance"))
"""The claims whose error is a number of standard errors."""


@dataclass(frozen=True)
class Finding:
    """One claim of one step, chain or model: its worst error, None where it was not tried for the `reason` given."""

    address: Address
    step: str
    claim: Claim
    error: float | None
    tolerance: float = TOLERANCE
    reason: str = "the event is too large for a full Jacobian"

    @property
    def holds(self) -> bool:
        """Whether the claim held; one that was not tried counts as not refuted."""
        return self.error is None or self.error <= self.tolerance

    @property
    def status(self) -> Literal["checked", "violated", "not tried"]:
        """What became of the claim, in a word or two."""
        if self.error is None:
            return "not tried"
        return "checked" if self.holds else "violated"

    def __str__(self) -> str:
        if self.error is None:
            return f"not tried  {self.step}: {self.claim} ({self.reason})"
        word = "checked  " if self.holds else "VIOLATED "
        return f"{word}  {self.step}: {self.claim}, error {self.error:.1e}"

    def data(self) -> dict[str, Any]:
        """The finding for JSON."""
        why = {"reason": self.reason} if self.error is None else {"error": self.error, "tolerance": self.tolerance}
        return {"address": self.address, "of": self.step, "claim": self.claim, "status": self.status, **why}


@dataclass(frozen=True)
class Outcome:
    """What came of one claim, over all that it was made of."""

    claim: Claim
    findings: tuple[Finding, ...]

    @property
    def tried(self) -> list[Finding]:
        """Those that were tried."""
        return [finding for finding in self.findings if finding.error is not None]

    @property
    def broken(self) -> list[Finding]:
        """Those that did not hold."""
        return [finding for finding in self.tried if not finding.holds]

    @property
    def status(self) -> Literal["checked", "VIOLATED", "not tried"]:
        """Whether the claim held wherever it was tried."""
        return "not tried" if not self.tried else "VIOLATED" if self.broken else "checked"

    @property
    def worst(self) -> Finding:
        """The largest error beside what is allowed, of a claim that was tried."""
        return max(self.broken or self.tried, key=lambda finding: (finding.error or 0.0) / finding.tolerance)

    @property
    def times(self) -> str:
        """How often it was tried: ``3``, or ``3 of 5``."""
        tried, count = len(self.tried), len(self.findings)
        return str(tried) if tried == count else f"{tried} of {count}"

    @property
    def unit(self) -> str:
        """What its errors are counted in, to be written behind them."""
        return " standard errors" if self.claim in STATISTICAL else ""


def outcomes(findings: Iterable[Finding]) -> list[Outcome]:
    """What came of each claim, in the order of their first findings."""
    groups: dict[Claim, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.claim, []).append(finding)
    return [Outcome(claim, tuple(group)) for claim, group in groups.items()]


def distance(found: Tensor, expected: Tensor) -> float:
    """The largest error, relative above one in size; a value that is no number is infinitely wrong."""
    if not expected.numel():
        return 0.0
    error = ((found - expected).abs() / expected.abs().clamp(min=1)).max()
    return float(error) if bool(torch.isfinite(error)) else math.inf


def outside(value: Tensor, support: Support) -> float:
    """How far the farthest coordinate is from a support; its ends, where rounding may put a value, count as inside."""
    beyond = torch.maximum(support.low - value, value - support.high).clamp(min=0)
    if support.discrete:
        beyond = torch.maximum(beyond, (value - value.round()).abs())
    worst = beyond.max() if beyond.numel() else beyond.new_zeros(())
    return float(worst) if bool(torch.isfinite(value).all()) else math.inf
