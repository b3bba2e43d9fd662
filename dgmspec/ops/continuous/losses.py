"""Loss terms about an `ode` arrow: what keeps its paths easy to solve, and how to learn it without solving it."""

from __future__ import annotations

from abc import ABC
from dataclasses import replace
from typing import ClassVar, Final, Literal

from pydantic import Field

from dgmspec.core.address import Address
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.losses import AbstractArrowLoss, AbstractRateLoss
from dgmspec.core.parameters import Draw, ParamSpec
from dgmspec.core.steps import AbstractStep
from dgmspec.core.types import Type
from dgmspec.ops.continuous.ode import Ode
from dgmspec.ops.continuous.solvers import AbstractSolver

__all__ = ["TEACHER", "FlowMatching", "JacobianNorm", "Kinetic", "Reflow"]

TEACHER: Final = "teacher"
"""Below this name stand the weights of a velocity as it was when training began."""


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


class AbstractMatching(AbstractArrowLoss, ABC):
    """A velocity fitted to paths between data and noise, without an equation being solved for its density."""

    pairs: ClassVar[bool] = True

    def fits(self, step: AbstractStep) -> bool:
        return isinstance(step, Ode)

    def needs(self) -> str:
        return "add an `ode a -> b over t in 0..1 { velocity(y, t) = … }`"

    def check(self, step: AbstractStep, event: Type) -> None:
        pass

    def term_draws(self, step: AbstractStep, event: Type) -> tuple[Draw, ...]:
        return (Draw("time", ()), Draw("drop", ())) if step.drops else (Draw("time", ()),)


class FlowMatching(AbstractMatching):
    """``E ‖velocity(y_s, t) - dy_s/dt‖²`` along paths drawn between data and noise: no equation is solved.

    s runs from 0 to 1 along the arrow as written and t with it, uniformly; y_0 is the value at the arrow's start, y_1
    that at its end, one of them the data's and the other a draw of the prior. With r the way from the data x to the
    noise z, ``y = α x + σ z``: ``linear`` has α = 1 - r, σ = r; ``cosine`` α = cos(π r / 2), σ = sin(π r / 2); ``vp``
    α = exp(-(0.1 r + 19.9 r² / 2) / 2), σ² = 1 - α², r from 0.001 on, since dσ/dr grows without bound before.
    `coupling` pairs data and noise ``independent``ly, or within a batch (of blocks of 512 rows) so that their squared
    distances are least (``minibatch_ot``), which makes paths straighter; rows with a context are paired among those of
    the same one, since noise that is chosen by the context too would no longer be the prior's given it.
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
    path: Literal["linear", "cosine", "vp"] = Field("linear", description="how a path runs from data to noise")
    coupling: Literal["independent", "minibatch_ot"] = Field(
        "independent", description="which noise a datum is paired with"
    )

    def unweighted(self) -> str:
        if self.coupling == "independent":
            return ""
        return "pairs rows with noise by the whole batch, so that weights of rows would be weights of the noise too"


class Reflow(AbstractMatching):
    """Rectification: ``E ‖velocity(y_s, t) - dy_s/dt‖²`` along straight lines between noise and where it was carried.

    The lines run from draws z of the prior to the data x̂ to which the velocity carried them when training began, the
    teacher, whose weights are held fixed: in place of independent pairs those of a flow. The new velocity has the same
    marginals as its teacher's and paths that are no longer and straighter, so that few steps of a solver do: the
    transport cost E ‖x̂ - z‖² of its pairs is at most the teacher's. Training begins with the weights of a run, by
    ``--init RUN``, that of `flow_matching` first. `solver` is what the teacher is solved by; left out, the arrow's own.
    Of the data only given variables are read.
    Caveat: what the teacher errs by is learned as well, so that every further round has the errors of all before.
    Reference: Liu, Gong and Liu 2023, "Flow straight and fast: learning to generate and transfer data with rectified
    flow".
    """

    name: ClassVar[str] = "reflow"
    examples: ClassVar[tuple[str, ...]] = ("reflow", "reflow(rk4(steps = 8))", "reflow(solver = dopri5)")

    solver: AbstractSolver | None = Field(None, description="what the teacher is solved by")

    def unweighted(self) -> str:
        return "learns from draws that its teacher carries, and no datum is among them"

    def check(self, step: AbstractStep, event: Type) -> None:
        for name, _ in step.externals():
            raise Refusal(
                "DGM611",
                f"the teacher of `reflow` has the weights that the velocity began with, and `{name}` is external: its "
                "weights are Python's",
                label="no copy of them",
                help=("train it by `flow_matching`, or write the net itself: `mlp(64, 64)`, say",),
            )

    def term_parameters(
        self, step: AbstractStep, at: Address, event: Type, given: Type | None
    ) -> tuple[ParamSpec, ...]:
        """The teacher's weights, which are those of the velocity under other names."""
        own = step.parameters(event, given)
        return tuple(replace(s.under(TEACHER), at="", trainable=False, copies=s.key(at)) for s in own)
