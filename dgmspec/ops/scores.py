"""Losses of energies and scores without an arrow: contrastive divergence, and the Fisher divergence to a known law."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from dgmspec.core.diagnostics import Refusal
from dgmspec.core.losses import AbstractScoreLoss
from dgmspec.core.parameters import Draw, Init, ParamSpec
from dgmspec.core.types import REAL, Type
from dgmspec.ops.langevin import Count, Positive

__all__ = ["BUFFER", "PLACE", "Cd", "Fisher", "require_line"]

Weight = Annotated[float, Field(ge=0, strict=True, allow_inf_nan=False)]
Chance = Annotated[float, Field(ge=0, le=1, strict=True)]

BUFFER, PLACE = "buffer", "place"
"""What persistent chains keep: where they are, and whose turn is next."""


def require_line(name: str, event: Type, why: str) -> None:
    """Refuse a variable that does not live on all of ℝ."""
    if event.support != REAL:
        raise Refusal(
            "DGM753",
            f"`{name}` {why}, and the variable lives on {event.support.describe()}",
            help=("declare it `real`, of data that are taken onto ℝ before",),
        )


class Cd(AbstractScoreLoss):
    """Contrastive divergence of an energy E, p(x) ∝ exp(-E(x)): E(x) - E(y) over data x and the ends y of `steps` steps
    of a chain, through which no gradient passes, + `magnitude` · (E(x)² + E(y)²), which keeps energies near 0.

    Chains start at the data (Hinton 2002) and step as `langevin(step_size)` or `mala(step_size)` do. With
    ``persistent = true`` they go on from step to step of training (Tieleman 2008): `buffer` of them are kept with the
    model, take turns, and start again at draws of N(0, start²) with the chance `reinit` (Du and Mordatch 2019).

    Biased: the gradient is that of -log p only where y has the law of the model. Chains of k steps from the data do not
    reach it (their gradient is that of no function at all), persistent ones lag behind it; and the term's value says
    nothing about the fit.
    """

    name: ClassVar[str] = "cd"
    examples: ClassVar[tuple[str, ...]] = (
        "cd(10)",
        "cd(steps = 5, step_size = 0.05, method = mala, magnitude = 0.1)",
        "cd(10, persistent = true, buffer = 5_000, reinit = 0.05, start = 2)",
    )
    by_density: ClassVar[bool] = True
    measures: ClassVar[bool] = False
    biased: ClassVar[str] = "the chains have not reached the model's law"

    steps: Count = Field(description="steps of each chain")
    step_size: Positive = Field(0.01, description="η, the variance of a step's noise")
    method: Literal["langevin", "mala"] = Field("langevin", description="whether every step is taken, or by its chance")
    persistent: Annotated[bool, Field(strict=True)] = Field(False, description="whether chains go on where they were")
    buffer: Annotated[int, Field(ge=1, le=10_000_000, strict=True)] = Field(10_000, description="chains that are kept")
    reinit: Chance = Field(0.05, description="chance that a kept chain starts again")
    start: Positive = Field(1.0, description="standard deviation of the draws that kept chains start at")
    magnitude: Weight = Field(0.0, description="what multiplies the squares of the energies")

    @model_validator(mode="after")
    def _belongs(self) -> Cd:
        """The settings of kept chains say something where chains are kept."""
        fields = type(self).model_fields  # a text that says everything says what they are by default, too
        stray = [n for n in ("buffer", "reinit", "start") if getattr(self, n) != fields[n].default]
        if stray and not self.persistent:
            raise ValueError(f"`{stray[0]}` is a setting of kept chains: write `persistent = true`, or leave it out")
        return self

    def check_score(self, event: Type) -> None:
        require_line(self.name, event, "moves chains with normal noise")

    def score_draws(self, event: Type) -> tuple[Draw, ...]:
        draws = [Draw("noise", (self.steps, *event.shape), "normal")]
        if self.method == "mala":
            draws.append(Draw("chance", (self.steps,)))
        if self.persistent:
            draws += [Draw("fresh", event.shape, "normal"), Draw("again", ())]
        return tuple(draws)

    def kept(self, event: Type) -> tuple[ParamSpec, ...]:
        if not self.persistent:
            return ()
        start = Init("normal", self.start)
        return (
            ParamSpec(BUFFER, (self.buffer, *event.shape), start, trainable=False),
            ParamSpec(PLACE, (), trainable=False),
        )

    def most_rows(self) -> int | None:
        return self.buffer if self.persistent else None


class Fisher(AbstractScoreLoss):
    """The Fisher divergence to a known law: ½ E over data of ‖s(x) - ∇ log p(x)‖², s the model's score and log p the
    formula of ``observe x : T ~ exp(e)``, whose constant it does not need.

    The score is that of a flow to a prior, or a net, ``learn score(x) = NET``. Hyvärinen 2005, equation 2.
    """

    name: ClassVar[str] = "fisher"
    examples: ClassVar[tuple[str, ...]] = ("fisher",)
    against_target: ClassVar[bool] = True

    def score_draws(self, event: Type) -> tuple[Draw, ...]:
        return ()
