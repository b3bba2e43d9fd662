"""The abstract sampler: a way to draw that is not the model's own direction."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar

from dgmspec.core.diagnostics import Refusal
from dgmspec.core.op import AbstractOp
from dgmspec.core.steps import AbstractStep

MOST_STEPS = 1_000_000
"""Steps that a sampler may be asked for."""


class AbstractSampler(AbstractOp, ABC):
    """A way to draw from a model other than its own direction: along a step, or by the density of a variable."""

    role: ClassVar[str] = "sampler"
    by_density: ClassVar[bool] = False
    """Whether it follows the slope of a log-density, which may be known up to a constant only."""
    compares: ClassVar[bool] = False
    """Whether it compares densities, so that a score alone will not do."""

    def fits(self, step: AbstractStep) -> bool:
        """Whether the sampler runs along this step."""
        return False

    def refusal(self, step: AbstractStep) -> Refusal | None:
        """What is wrong with its arguments along a step that it fits."""
        return None
