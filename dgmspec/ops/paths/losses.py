"""Losses that match scores along a noising path, in nats, summed over an event and averaged over rows and times."""

from __future__ import annotations

import math
from abc import ABC
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from dgmspec.algebra.evaluate import evaluate
from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.algebra.paths.gaussian import AbstractPath, GaussianPath
from dgmspec.algebra.rewrite import free_names
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.losses import AbstractArrowLoss, AbstractScoreLoss
from dgmspec.core.parameters import Draw
from dgmspec.core.steps import AbstractStep
from dgmspec.core.types import Type
from dgmspec.ops.paths.joint import JointSde
from dgmspec.ops.paths.learned import AbstractLearnedPath
from dgmspec.ops.paths.noising import AbstractNoising
from dgmspec.ops.paths.settings import Importance, LogNormal
from dgmspec.ops.paths.unsolved import Unsolved
from dgmspec.ops.scores import require_line

__all__ = ["ALONG", "AbstractPathLoss", "Dsm", "Ism", "Ssm", "fall", "require_noise"]

ALONG = ("alpha", "sigma", "snr")
"""What a weight may read beside the time."""

Positive = Annotated[float, Field(gt=0, strict=True, allow_inf_nan=False)]


class AbstractPathLoss(AbstractArrowLoss, ABC):
    """A loss that needs a noising arrow with something learned; `mixes` where its coordinates may mix."""

    mixes: ClassVar[bool] = False

    of_kernel: ClassVar[bool] = True
    """Whether it needs the kernel of x_t given x_0."""

    def fits(self, step: AbstractStep) -> bool:
        return isinstance(step, AbstractLearnedPath)

    def term_draws(self, step: AbstractStep, event: Type) -> tuple[Draw, ...]:
        assert isinstance(step, AbstractLearnedPath)
        noised = step.simulation_draws(event) if isinstance(step, Unsolved) else (Draw("noise", event.shape, "normal"),)
        return (Draw("time", ()), *noised, *step.term_draws())

    def check(self, step: AbstractStep, event: Type) -> None:
        assert isinstance(step, AbstractLearnedPath)
        if isinstance(step, Unsolved):
            self._check_unsolved(step)
        if step.learn is None:
            raise Refusal(
                "DGM651",
                f"`{self.name}` trains what is learned along this `{step.name}`, and nothing is",
                help=(f"write `learn noise({step.state}, {step.time}) = mlp(64, 64)` in its braces",),
            )
        if step.law_parameters() and not self.of_density:
            raise Refusal(
                "DGM671",
                f"`{self.name}` compares predictions along a path that is fixed, and this one reads "
                f"`{step.law_parameters()[0].name}`, which is learned",
                help=("write `vlb` or `nll`, which say how good the path itself is, or make the number a param",),
            )
        if isinstance(step, JointSde) and not self.mixes:
            raise Refusal(
                "DGM673",
                f"`{self.name}` is stated for a score of every coordinate, and along a joint state that of the noised "
                "ones is learned",
                help=("write `loss = dsm`",),
            )

    def factor(self, path: AbstractPath, t: float) -> float:
        """What multiplies ½‖ε̂ - ε‖² at a time, of the first curve: for drawing times by it."""
        return 1.0

    def _check_unsolved(self, step: Unsolved) -> None:
        """What is said without a kernel: nothing of x_0, and of the time no more than that it is uniform."""
        if self.of_kernel:
            raise Refusal(
                "DGM647",
                f"`{self.name}` compares with the score of x_{step.time} given x_0, and this law, which is not affine "
                f"in `{step.state}` or whose noise reads it, has no kernel with a formula",
                help=("write `ism`, or `ssm` for events of many coordinates: both take the score at simulated states",),
            )
        if isinstance(step.drawn_times, (Importance, LogNormal)):
            raise Refusal(
                "DGM652",
                f"`times = {step.drawn_times.name}` is read off the kernel, and this law, which is not affine, has "
                "none with a formula",
                help=("write `times = stratified`",),
            )


class Dsm(AbstractPathLoss, AbstractScoreLoss):
    """Denoising score matching: ½ E w(t) ‖s(x_t, t) - ∇ log q(x_t | x_0)‖², the squared *score* error weighted.

    The target is -ε/σ, so with ``weight = simple`` (w = σ²) it is ½‖ε̂ - ε‖², the loss of DDPM; ``likelihood`` is
    w = g², with which the loss bounds the negative log-likelihood; ``snr`` weighs the squared error of clean data by
    max(SNR, 1), ``min_snr`` by min(SNR, `gamma`). A formula reads the time and the path's ``alpha``, ``sigma`` and
    ``snr``. The average over times is that of `times` in the arrow's braces.

    Of an energy or a score without an arrow, ``dsm(sigma = 0.1)``: ½ E ‖σ s(x + σ ε) + ε‖², which the score of the data
    with that much noise makes least.

    Vincent 2011, "A connection between score matching and denoising autoencoders"; Ho, Jain and Abbeel 2020; Song,
    Durkan, Murray and Ermon 2021; Salimans and Ho 2022; Hang et al. 2023 (min-SNR).
    """

    name: ClassVar[str] = "dsm"
    mixes: ClassVar[bool] = True
    examples: ClassVar[tuple[str, ...]] = (
        "dsm",
        "dsm(weight = likelihood)",
        "dsm(weight = min_snr, gamma = 5)",
        "dsm(sigma = 0.1)",
    )

    weight: Literal["simple", "likelihood", "snr", "min_snr"] | AbstractExpr = Field(
        "simple", description="what multiplies the squared score error, by name or as a formula"
    )
    gamma: Positive = Field(5.0, description="largest SNR that `min_snr` counts")
    sigma: Positive | None = Field(None, description="the noise, where no arrow says it")

    def check_score(self, event: Type) -> None:
        require_line(self.name, event, "adds normal noise")
        if self.sigma is None:
            what = "no arrow says how much noise `dsm` adds to the data"
        elif self.weight != "simple":
            what = "at one level of noise a `weight` is a mere factor"
        else:
            return
        raise Refusal("DGM754", what, help=("write `dsm(sigma = 0.1)`",))

    def score_draws(self, event: Type) -> tuple[Draw, ...]:
        return (Draw("noise", event.shape, "normal"),)

    def check(self, step: AbstractStep, event: Type) -> None:
        super().check(step, event)
        if self.sigma is not None:
            raise Refusal(
                "DGM754",
                f"the `{step.name}` says the noise at each time, so `sigma` says it twice",
                help=("leave `sigma` out",),
            )
        assert isinstance(step, AbstractNoising)
        path = step.path(event.shape)
        if isinstance(step, JointSde):
            self._check_joint(step)
        if self.weight == "likelihood" and path.discrete:
            raise Refusal(
                "DGM652",
                "`likelihood` weighs by g(t)², which a path with certain times only does not have",
                help=("write `vlb`, the bound of a `markov`, or another weight",),
            )
        if isinstance(self.weight, AbstractExpr):
            stray = [name for name in free_names(self.weight) if name not in (*ALONG, step.time)]
            if stray:
                raise Refusal(
                    "DGM652",
                    f"a weight reads the time `{step.time}` and the path's alpha, sigma and snr, not `{stray[0]}`",
                    help=(f"write it with `{step.time}`, such as `dsm(weight = sigma^2)`",),
                )
        if isinstance(step.drawn_times, (Importance, LogNormal)) and path.discrete:
            raise Refusal(
                "DGM652",
                f"`times = {step.drawn_times.name}` draws from an interval, and this path has certain times only",
                help=("write `times = stratified`",),
            )
        if self.weight == "likelihood":
            require_noise(path, step.start(event.shape), step.time)

    def _check_joint(self, step: JointSde) -> None:
        """Weights and times that matrices have."""
        if self.weight not in ("simple", "likelihood"):
            what, instead = "a `weight` that reads alpha, sigma or their ratio is", "`simple` or `likelihood`"
        elif isinstance(step.drawn_times, Importance):
            what, instead = "`times = importance` is", "`times = stratified`"
        else:
            return
        raise Refusal(
            "DGM673",
            f"{what} for paths with numbers for α and σ, and those of a joint state are matrices",
            help=(f"write {instead}",),
        )

    def factor(self, path: AbstractPath, t: float) -> float:
        assert isinstance(path, GaussianPath), "`importance` is refused along a joint state"
        curve = path.curves[0]
        alpha, sigma, snr = curve.alpha(t), curve.sigma(t), math.exp(min(curve.log_snr(t), 700.0))
        if self.weight == "simple":
            return 1.0
        if self.weight == "snr":
            return max(1.0, 1 / snr)
        if self.weight == "min_snr":
            return min(1.0, self.gamma / snr)
        if self.weight == "likelihood":
            return fall(path, t)
        found = evaluate(self.weight, {path.times.name: t, "alpha": alpha, "sigma": sigma, "snr": snr})
        return float(found) / sigma**2


class Ism(AbstractPathLoss, AbstractScoreLoss):
    """Implicit score matching: E w(t) [½ ‖s(x_t, t)‖² + tr ∂s/∂x] with w = σ², which differs from
    ``dsm(weight = simple)`` by a number that no net changes. The trace is exact, one derivative for each coordinate.

    Of an `sde` whose law is not affine, at simulated x_t: E [½ sᵀ W s + ∇·(W s)] with W = diag(σ_0² + (t - t_0) g_i²),
    σ_0 the `init_noise`, about the variance of the noise added, where √(t - t_0) is uniform.

    Of an energy or a score without an arrow: E [½ ‖s(x)‖² + tr ∂s/∂x]: the trace has a closed form where
    the score is an mlp of up to two hidden layers.

    Hyvärinen 2005, "Estimation of non-normalized statistical models by score matching".
    """

    name: ClassVar[str] = "ism"
    of_kernel: ClassVar[bool] = False
    examples: ClassVar[tuple[str, ...]] = ("ism",)

    def check_score(self, event: Type) -> None:
        require_line(self.name, event, "takes an integral by parts over all of ℝ")

    def score_draws(self, event: Type) -> tuple[Draw, ...]:
        return ()


class Ssm(AbstractPathLoss, AbstractScoreLoss):
    """Sliced score matching: `ism` with the trace estimated along `projections` random directions of ±1; without
    `variance_reduced` the square is estimated along them too, ½ (eᵀs)².

    Song, Garg, Shi and Ermon 2019, "Sliced score matching", equations 7 and 8.
    """

    name: ClassVar[str] = "ssm"
    of_kernel: ClassVar[bool] = False
    examples: ClassVar[tuple[str, ...]] = ("ssm", "ssm(projections = 4, variance_reduced = false)")

    projections: Annotated[int, Field(ge=1, le=4096, strict=True)] = Field(1, description="random directions a row")
    variance_reduced: Annotated[bool, Field(strict=True)] = Field(True, description="whether ½ ‖s‖² is taken whole")

    def check_score(self, event: Type) -> None:
        require_line(self.name, event, "takes an integral by parts over all of ℝ")

    def score_draws(self, event: Type) -> tuple[Draw, ...]:
        return (Draw("probe", (self.projections, event.size), "rademacher"),)

    def term_draws(self, step: AbstractStep, event: Type) -> tuple[Draw, ...]:
        return (*super().term_draws(step, event), *self.score_draws(event))


def require_noise(path: AbstractPath, start: float, time: str) -> None:
    """DGM653 where g²/σ² has no finite integral."""
    if not math.isfinite(path.log_snr(start)):
        raise Refusal(
            "DGM653",
            f"the weight g²/σ² has no finite integral from {time} = {start:g} on, where σ is 0",
            help=("set `t_eps = 1e-5` in the arrow's braces",),
        )


def fall(path: GaussianPath, t: float) -> float:
    """-dλ/dt of the first curve."""
    step = 1e-4 * max(t - path.low, 1e-12)
    curve = path.curves[0]
    return max(-(curve.log_snr(min(t + step, path.high)) - curve.log_snr(t - step)), 0.0) / (2 * step)
