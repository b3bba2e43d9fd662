"""Samplers along a noising path: the reverse process and the probability flow, in certain steps.

All start from the prior at the end of time, fall along a grid of times to the earliest one, and end with the clean data
predicted there. A sample depends on the seed and its index alone: no step size looks at the rest of a batch.
"""

from __future__ import annotations

from abc import ABC
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from dgmspec.core.diagnostics import Refusal
from dgmspec.core.samplers import MOST_STEPS, AbstractSampler
from dgmspec.core.steps import AbstractStep
from dgmspec.ops.paths.joint import JointSde
from dgmspec.ops.paths.noising import AbstractNoising
from dgmspec.ops.paths.unsolved import Unsolved

__all__ = ["AbstractPathSampler", "Ancestral", "AnnealedLangevin", "Ddim", "PfOde", "ReverseSde"]

Count = Annotated[int, Field(ge=1, le=MOST_STEPS, strict=True)]
Steps = Annotated[int, Field(ge=0, le=MOST_STEPS, strict=True)]
Share = Annotated[float, Field(ge=0, le=1, strict=True)]
Positive = Annotated[float, Field(gt=0, strict=True, allow_inf_nan=False)]
Spacing = Literal["uniform", "quadratic", "log_snr", "karras"]

_SPACING = "how the times are spaced: in t, in t², in log-SNR, or in (σ/α)^(1/7)"


class AbstractPathSampler(AbstractSampler, ABC):
    """A sampler that needs a noising arrow with something learned; `discrete` where certain times will do."""

    discrete: ClassVar[bool] = True
    continuous: ClassVar[bool] = True
    mixed: ClassVar[bool] = False
    """Whether it runs along paths whose coordinates mix."""
    thins: ClassVar[bool] = False
    """Whether `steps` says how many of a path's certain times it stops at."""

    def refusal(self, step: AbstractStep) -> Refusal | None:
        """More steps than the path has times, or a rule that needs the kernel where there is none."""
        if isinstance(step, Unsolved):
            return self.without_kernel(step)
        steps, count = getattr(self, "steps", None), step.count if isinstance(step, AbstractNoising) else None
        if not self.thins or steps is None or count is None or steps <= count:
            return None
        return Refusal(
            "DGM715",
            f"`{self.name}` takes {steps:,} steps, and the path has {count:,} times to stop at",
            help=(f"write `steps = {count}` or fewer",),
        )

    def without_kernel(self, step: Unsolved) -> Refusal | None:
        """What the sampler needs of a kernel that has no formula."""
        return Refusal(
            "DGM715",
            f"`{self.name}` moves by the kernel of x_{step.time} given x_0, and this law, which is not affine, has "
            "none with a formula",
            help=("write `reverse_sde(steps = 500)` or `pf_ode(steps = 50, solver = heun)`",),
        )

    def fits(self, step: AbstractStep) -> bool:
        """Whether the sampler runs along this step."""
        if isinstance(step, Unsolved):
            return True
        if isinstance(step, JointSde) and not self.mixed:
            return False
        return isinstance(step, AbstractNoising) and (self.discrete if step.discrete else self.continuous)


def _mixed(what: str, instead: str) -> Refusal:
    return Refusal(
        "DGM673",
        f"{what} is for paths with numbers for α and σ, and those of a joint state are matrices",
        help=(f"write {instead}",),
    )


def _needs_kernel(sampler: str, name: str, value: object, known: tuple[object, ...]) -> Refusal | None:
    """An argument whose value is none of those that work without a kernel."""
    if value in known:
        return None
    return Refusal(
        "DGM715",
        f"`{name} = {value}` of `{sampler}` is worked out from the kernel's α and σ, and this law, which is not "
        "affine, has none with a formula",
        name,
        help=(f"write `{name} = {known[-1]}`",),
    )


class ReverseSde(AbstractPathSampler):
    """The process run backwards: dx = (f - g² s) dt + g dW from the end of time, s the learned score.

    ``euler_maruyama`` takes f and s as they are at the start of a step, ``heun`` the mean of both ends, ``exponential``
    solves the linear part exactly. After each step, `corrector` Langevin steps of size 2 (snr · σ)² at the new time.

    Anderson 1982; Song et al. 2021, algorithms 1 to 3; ``exponential`` is SDE-DPM-Solver-1, Lu et al. 2022.
    """

    name: ClassVar[str] = "reverse_sde"
    examples: ClassVar[tuple[str, ...]] = (
        "reverse_sde(steps = 500)",
        "reverse_sde(200, solver = exponential, spacing = log_snr, corrector = 1, snr = 0.1)",
    )
    discrete: ClassVar[bool] = False
    mixed: ClassVar[bool] = True

    steps: Count = Field(500, description="steps from the noise to the data")
    solver: Literal["euler_maruyama", "heun", "exponential"] = Field("euler_maruyama", description="rule of a step")
    spacing: Spacing = Field("uniform", description=_SPACING)
    corrector: Steps = Field(0, description="Langevin steps after each step")
    snr: Positive = Field(0.16, description="size of a corrector's step beside the noise")

    def refusal(self, step: AbstractStep) -> Refusal | None:
        if not isinstance(step, JointSde):
            return super().refusal(step)
        if self.solver == "exponential":
            return _mixed("`solver = exponential`", "`solver = heun`")
        return _mixed("a corrector", "`corrector = 0`") if self.corrector else None

    def without_kernel(self, step: Unsolved) -> Refusal | None:
        return (
            _needs_kernel(self.name, "solver", self.solver, ("euler_maruyama",))
            or _needs_kernel(self.name, "spacing", self.spacing, ("quadratic", "uniform"))
            or _needs_kernel(self.name, "corrector", self.corrector, (0,))
        )


class PfOde(AbstractPathSampler):
    """The probability flow, dx = (f - g² s / 2) dt: the same laws at every time, and no noise but the start's.

    ``heun`` (second order, two evaluations a step) and ``euler`` run in t; ``dpm_solver`` is DPM-Solver++ 2M on the
    predicted data in log-SNR, ``deis`` the third-order multistep rule on the predicted noise in σ/α: both evaluate the
    net once a step and know the linear part exactly.

    Song et al. 2021; Karras et al. 2022, algorithm 1; Lu et al. 2022, "DPM-Solver++"; Zhang and Chen 2023 (ρAB).
    """

    name: ClassVar[str] = "pf_ode"
    examples: ClassVar[tuple[str, ...]] = ("pf_ode(steps = 50)", "pf_ode(20, solver = dpm_solver, spacing = log_snr)")
    discrete: ClassVar[bool] = False
    mixed: ClassVar[bool] = True

    steps: Count = Field(50, description="steps from the noise to the data")
    solver: Literal["euler", "heun", "dpm_solver", "deis"] = Field("heun", description="rule of a step")
    spacing: Spacing | None = Field(None, description=f"{_SPACING}; `log_snr`, or `quadratic` without a kernel")

    def refusal(self, step: AbstractStep) -> Refusal | None:
        if not isinstance(step, JointSde):
            return super().refusal(step)
        known = self.solver in ("euler", "heun")
        return None if known else _mixed(f"`solver = {self.solver}`", "`solver = heun`")

    def without_kernel(self, step: Unsolved) -> Refusal | None:
        return _needs_kernel(self.name, "solver", self.solver, ("euler", "heun")) or _needs_kernel(
            self.name, "spacing", self.spacing, (None, "uniform", "quadratic")
        )


class Ancestral(AbstractPathSampler):
    """x_s drawn from q(x_s | x_t, x̂_0) with the predicted clean data, step by step; along any Gaussian path. A `markov`
    with ``variance = forward`` draws with the deviation of q(x_t | x_s) instead.

    Ho, Jain and Abbeel 2020, algorithm 2, for a chain whose every step is taken. As there, the last step gives the
    predicted clean data without noise, while the law that `vlb` bounds ends with the draw of p(x | x_1): of few, coarse
    steps the samples are narrower than that law.
    """

    name: ClassVar[str] = "ancestral"
    examples: ClassVar[tuple[str, ...]] = ("ancestral", "ancestral(steps = 250, spacing = log_snr)")

    thins: ClassVar[bool] = True

    steps: Count | None = Field(None, description="steps; all of a chain's or ladder's, 500 of an interval")
    spacing: Spacing = Field("uniform", description=_SPACING)


class Ddim(AbstractPathSampler):
    """x_s = α_s x̂_0 + m_s + √(σ_s² - τ²) ε̂ + τ z with τ = eta times the deviation of q(x_s | x_t, x_0).

    ``eta = 0`` draws nothing on the way and is Euler's rule on the probability flow of (x - m)/α in σ/α; ``eta = 1`` is
    `ancestral`. Song, Meng and Ermon 2021, equation 12, for any Gaussian path.
    """

    name: ClassVar[str] = "ddim"
    examples: ClassVar[tuple[str, ...]] = ("ddim(steps = 50)", "ddim(50, eta = 0.5, spacing = quadratic)")

    thins: ClassVar[bool] = True

    steps: Count = Field(50, description="steps from the noise to the data")
    eta: Share = Field(0.0, description="share of the noise of `ancestral`")
    spacing: Spacing = Field("uniform", description=_SPACING)


class AnnealedLangevin(AbstractPathSampler):
    """Langevin steps at each level of noise, from the highest down: x ← x + η/2 · s(x, σ) + √η z with
    η = step_size · σ² / σ_min², `steps` of them at each of the levels (20 levels, even in log-SNR, of an interval).

    Song and Ermon 2019, algorithm 1.
    """

    name: ClassVar[str] = "annealed_langevin"
    examples: ClassVar[tuple[str, ...]] = ("annealed_langevin(steps = 100, step_size = 2e-5)",)

    steps: Count = Field(100, description="steps at each level")
    step_size: Positive = Field(2e-5, description="η at the lowest level")
    levels: Count = Field(20, description="levels of a path in continuous time")
