"""How the trace of a velocity's Jacobian is had: exactly, or estimated without bias from random directions."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar, Literal

from pydantic import Field

from dgmspec.core.op import AbstractOp
from dgmspec.core.parameters import Draw
from dgmspec.core.types import Type

Probes = Literal["rademacher", "gaussian", "orthogonal"]


class AbstractTrace(AbstractOp, ABC):
    """A way to tr ∂f/∂y."""

    role: ClassVar[str] = "trace"


class Exact(AbstractTrace):
    """The trace itself: by formula where there is one, else by one derivative for each coordinate."""

    name: ClassVar[str] = "exact"
    examples: ClassVar[tuple[str, ...]] = ("exact",)


class Hutchinson(AbstractTrace):
    """``tr J ≈ mean of eᵀ J e`` over random directions e with E e eᵀ = I, the same throughout a solve.

    The variance of one is 2 (‖S‖² - Σ S_ii²) for Rademacher directions and 2 ‖S‖² for Gaussian ones, S = (J + Jᵀ)/2.
    ``orthogonal`` takes directions at right angles to one another, of length √d: less variance from several, and none
    from d.
    Reference: Hutchinson 1990, "A stochastic estimator of the trace of the influence matrix for Laplacian smoothing
    splines"; Grathwohl et al. 2019, "FFJORD".
    """

    name: ClassVar[str] = "hutchinson"
    examples: ClassVar[tuple[str, ...]] = (
        "hutchinson",
        "hutchinson(gaussian, samples = 2)",
        "hutchinson(probes = orthogonal, samples = 3)",
    )

    probes: Probes = Field("rademacher", description="the law of the directions")
    samples: int = Field(1, ge=1, le=4096, description="how many directions")

    def draw(self, x: Type) -> Draw:
        """The directions for one event."""
        law: Literal["rademacher", "normal"] = "rademacher" if self.probes == "rademacher" else "normal"
        return Draw("probe", (self.samples, x.size), law)
