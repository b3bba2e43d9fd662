"""Loss terms about an `ode` arrow: what keeps its paths easy to solve, and how to learn it without solving it."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar, Literal

from pydantic import Field

from dgmspec.core.losses import AbstractArrowLoss, AbstractRateLoss
from dgmspec.core.parameters import Draw
from dgmspec.core.steps import AbstractStep
from dgmspec.core.types import Type
from dgmspec.ops.continuous.ode import Ode

__all__ = ["FlowMatching", "JacobianNorm", "Kinetic"]


class AbstractRegulariser(AbstractRateLoss, ABC):
    """A number integrated along the paths of an ode, in the solve that the density needs anyway."""

    def fits(self, step: AbstractStep) -> bool:
        return isinstance(step, Ode)

    def needs(self) -> str:
        return "add an `ode a -> b over t in 0..1 { velocity(y, t) = … }`"


class Kinetic(AbstractRegulariser):
    """``E ∫ ‖velocity‖² dt`` along the paths of data: straight paths at even speed have the least.

    Reference: Finlay, Jacobsen, Nurbekyan and Oberman 2020, "How to train your neural ODE"; Onken, Wu Fung, Li and
    Ruthotto 2021, "OT-Flow".
    """

    name: ClassVar[str] = "kinetic"
    examples: ClassVar[tuple[str, ...]] = ("kinetic",)
    rate: ClassVar[str] = "kinetic"


class JacobianNorm(AbstractRegulariser):
    """``E ∫ ‖∂velocity/∂y‖² dt`` (Frobenius): a small one lets solvers take long steps.

    Exact for an mlp of at most one hidden layer and for at most 4 coordinates, else estimated without bias by ‖eᵀJ‖²
    over random directions e. Reference: Finlay, Jacobsen, Nurbekyan and Oberman 2020, "How to train your neural ODE".
    """

    name: ClassVar[str] = "jacobian"
    examples: ClassVar[tuple[str, ...]] = ("jacobian",)
    rate: ClassVar[str] = "jacobian"


class FlowMatching(AbstractArrowLoss):
    """``E ‖velocity(y_s, t) - dy_s/dt‖²`` along paths drawn between data and noise: no equation is solved.

    s runs from 0 to 1 along the arrow as written and t with it, uniformly; y_0 is the value at the arrow's start, y_1
    that at its end, one of them the data's and the other a draw of the prior. With r the way from the data x to the
    noise z, ``y = α x + σ z``: ``linear`` has α = 1 - r, σ = r; ``cosine`` α = cos(π r / 2), σ = sin(π r / 2); ``vp``
    α = exp(-(0.1 r + 19.9 r² / 2) / 2), σ² = 1 - α², r from 0.001 on, since dσ/dr grows without bound before.
    `coupling` pairs data and noise ``independent``ly, or within a batch (of blocks of 512 rows) so that their squared
    distances are least (``minibatch_ot``), which makes paths straighter.
    Caveat: the field learned has the right marginals where the coupling's noise is the prior; the likelihood is the
    ode's own, by its solver.
    Reference: Lipman, Chen, Ben-Hamu, Nickel and Le 2023, "Flow matching for generative modeling"; Liu, Gong and Liu
    2023, "Flow straight and fast"; Tong et al. 2024, "Improving and generalizing flow-based generative models with
    minibatch optimal transport".
    """

    name: ClassVar[str] = "flow_matching"
    examples: ClassVar[tuple[str, ...]] = (
        "flow_matching",
        "flow_matching(cosine)",
        "flow_matching(path = vp, coupling = minibatch_ot)",
    )
    pairs: ClassVar[bool] = True

    path: Literal["linear", "cosine", "vp"] = Field("linear", description="how a path runs from data to noise")
    coupling: Literal["independent", "minibatch_ot"] = Field(
        "independent", description="which noise a datum is paired with"
    )

    def fits(self, step: AbstractStep) -> bool:
        return isinstance(step, Ode)

    def needs(self) -> str:
        return "add an `ode a -> b over t in 0..1 { velocity(y, t) = … }`"

    def check(self, step: AbstractStep, event: Type) -> None:
        pass

    def term_draws(self, step: AbstractStep, event: Type) -> tuple[Draw, ...]:
        return (Draw("time", ()),)
