"""How many parameters a model has, counted as its parts are met, and the most it may have."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from dgmspec.core.address import Address
from dgmspec.core.parameters import ParamSpec
from dgmspec.graph.findings import Findings

__all__ = ["Budget"]

MAX_PARAMETERS = 10**9


@dataclass
class Budget:
    """The parameters counted so far."""

    findings: Findings
    parameters: int = 0

    @property
    def exceeded(self) -> bool:
        """Whether the model is too large, which has been reported then."""
        return self.parameters > MAX_PARAMETERS

    def spend(self, specs: Iterable[ParamSpec], at: Address) -> None:
        """Count parameters; the place with whose parameters the model has more than 10^9 is reported."""
        before, own = self.parameters, sum(math.prod(spec.shape) for spec in specs)
        self.parameters += own
        if before <= MAX_PARAMETERS < self.parameters:
            self.findings.report(
                "DGM307",
                f"with this the model has {self.parameters:,} parameters, beyond 10^9",
                at,
                label="too large",
                help=("make its network narrower",),
            )
