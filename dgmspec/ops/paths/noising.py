"""What noising arrows share as steps: a Gaussian path from the data to the noise, and a net that predicts along it.

Nothing here is written by authors as a step. Each class holds the author's law as closed formulas; `path` derives the
`GaussianPath` for the event at hand once, and every refusal names the part at fault (``drift``, ``scale``, ``learn``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from dgmspec.algebra.paths.gaussian import AbstractPath
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.distributions import AbstractDistribution
from dgmspec.core.parameters import Draw
from dgmspec.core.steps import Facts
from dgmspec.core.types import Shape, Type
from dgmspec.ops.paths.learned import AbstractLearnedPath
from dgmspec.ops.paths.numbers import AbstractNumbered, Schedule
from dgmspec.ops.paths.settings import AbstractPrecondition, Edm

__all__ = ["AbstractNoising", "Gap", "scale_of"]

_MISMATCH = 0.01
"""Nats per dimension of prior mismatch from which on it is worth a warning."""
_MUCH = 0.1
_LONGER = "let the path run longer or with more noise: data are left in x_T"


@dataclass(frozen=True)
class Gap:
    """The law at the end of a path beside the prior there: nats per dimension between the two (None where the prior is
    no normal law), the law as it is written, of which coordinate, and the signal that is left beside the noise."""

    nats: float | None
    end: str
    where: str
    left: float


class AbstractNoising(AbstractNumbered, AbstractLearnedPath, ABC):
    """An arrow from data to noise along a Gaussian path: x_t given x_0 is normal, with a mean that is affine in x_0."""

    keeps: ClassVar[bool] = True

    end: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    """Mean and standard deviation of the prior at the end, one number each or one a coordinate; None where it is no
    normal law of numbers."""

    @abstractmethod
    def schedule(self, shape: Shape) -> tuple[Schedule, ...]:
        """The law as formulas of what is learned, defined whatever its values, one for all coordinates or one for each;
        none where nothing is learned."""

    @abstractmethod
    def path(self, shape: Shape) -> AbstractPath:
        """The law of x_t given x_0 for events of `shape`; `Refusal` where it has no formula."""

    @abstractmethod
    def _gap(self, x: Type, prior: AbstractDistribution) -> Gap | None:
        """How far the path ends from the prior; None where nothing is known of either."""

    def law_at(self) -> str:
        """The part of the braces that says how the mean moves."""
        return "loc"

    @property
    def scaled(self) -> AbstractPrecondition | None:
        """How the net's input and value are scaled."""
        return self.settings.precondition

    def draws(self, x: Type) -> tuple[Draw, ...]:
        if self.bounded:
            return (Draw("chain", (len(self.path(x.shape).levels), *x.shape), "normal"),)
        return super().draws(x)

    def facts(self, x: Type, c: Type | None) -> Facts:
        how = self.likelihood
        if how is None or self.learn is None:
            return Facts()
        proved = f"kernel of x at {self.time} derived from the law; {self.time} runs from {self.start(x.shape):.3g}"
        return Facts(checked=(f"probability flow by {how.solver.promise()}",), proved=(proved,))

    def start(self, shape: Shape) -> float:
        """The earliest time that losses, samplers and likelihoods use."""
        return self.path(shape).low

    # ---- as a step --------------------------------------------------------------------------------------------------

    def _check(self, x: Type, c: Type | None) -> None:
        self.check_start(x)
        self._check_law(x)
        self.parameters(x, c)

    def _check_law(self, x: Type) -> None:
        """Refuse a law that is no path for these events, or has not what is learned."""
        self.path(x.shape)

    def doubts(self, x: Type, prior: AbstractDistribution) -> Refusal | None:
        """The declared prior beside the law of x_T, for data whose coordinates have a mean square of 1."""
        try:
            found = self._gap(x, prior)
        except Refusal:
            return None
        if found is None or (found.nats is not None and found.nats < _MISMATCH):
            return None
        said = "is not normal" if found.nats is None else f"is {found.nats:.2g} nats per dimension away"
        end = f"write `~ {found.end}`" if found.left < _MUCH else _LONGER
        return Refusal(
            "DGM648",
            f"the path ends at {found.end}{found.where}, and the prior there {said}",
            label="not where the path ends",
            notes=("for data whose coordinates have a mean square of 1; samples start from the prior",),
            help=(end,),
        )


def scale_of(op: AbstractNoising) -> float | None:
    """The standard deviation of the data that a preconditioned net is told; None without preconditioning."""
    return op.scaled.data_std if isinstance(op.scaled, Edm) else None
