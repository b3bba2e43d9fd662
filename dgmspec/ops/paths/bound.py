"""The variational bound along a noising path, in nats, summed over an event and averaged over rows and times."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from dgmspec.algebra.paths.gaussian import AbstractPath, GaussianPath
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.steps import AbstractStep
from dgmspec.core.types import Type
from dgmspec.ops.paths.chain import Markov
from dgmspec.ops.paths.losses import AbstractPathLoss, fall, require_noise
from dgmspec.ops.paths.noising import AbstractNoising
from dgmspec.ops.paths.settings import LogNormal

__all__ = ["Vlb"]


class Vlb(AbstractPathLoss):
    """The variational bound on the log-density.

    Of an `sde` or a `perturb` in continuous time: KL(q(x_T | x_0) ‖ p(x_T)) + ½ (T - t_0) g²/σ² ‖ε̂ - ε‖² - log p(x_0 |
    x_{t_0}), a time for each row, with the declared prior and p(x_0 | x_{t_0}) = N((x_{t_0} - m)/α, σ²/α²) at the
    earliest time. It depends on the path through its ends alone, but for the variance of the estimate, and trains the
    numbers that its law learns. Kingma, Salimans, Poole and Ho 2021, "Variational diffusion models", equations 11 to
    17.

    Of a `markov`, E[L_T + Σ L_{t-1} + L_0], one t a row, counted T times.

    L_{t-1} = KL(q(x_{t-1} | x_t, x_0) ‖ p(x_{t-1} | x_t)) and L_0 = -log p(x_0 | x_1), of whole numbers the mass of
    their cell, where p(x_{t-1} | x_t) has the mean of q with the predicted clean data and the `variance` of the arrow's
    braces (at t = 1 the forward one, or a learned one between it and the posterior's at t = 2);
    L_T = KL(q(x_T | x_0) ‖ p(x_T)) with the declared prior, or N(m_T, σ_T²) where that is no normal law of numbers.

    With ``trains = variance`` no gradient passes to the means: ``dsm + 0.001 * vlb(trains = variance)`` learns the mean
    by the simple loss and the variance by the bound.

    Ho, Jain and Abbeel 2020, equations 5 and 13; Nichol and Dhariwal 2021, "Improved denoising diffusion probabilistic
    models", equations 15 and 16.
    """

    name: ClassVar[str] = "vlb"
    of_density: ClassVar[bool] = True
    examples: ClassVar[tuple[str, ...]] = ("vlb", "vlb(trains = variance)")

    trains: Literal["all", "variance"] = Field("all", description="what its gradient reaches")

    def check(self, step: AbstractStep, event: Type) -> None:
        super().check(step, event)
        assert isinstance(step, AbstractNoising)
        if not isinstance(step, Markov):
            self._check_continuous(step, event)
        if step.learned and step.end is None:
            raise Refusal(
                "DGM671",
                "`vlb` compares the end of a path with a normal prior of numbers, and this path is learned",
                help=("write `~ normal(0, 1)` at its end, or `loss = nll`",),
            )
        if self.trains == "variance" and not (isinstance(step, Markov) and step.settings.variance == "learned"):
            raise Refusal(
                "DGM670",
                f"`vlb(trains = variance)` trains the variance of the reverse steps, which is {_words(step)}",
                help=("write `variance = learned` in the braces, or `vlb`",),
            )

    def _check_continuous(self, step: AbstractNoising, event: Type) -> None:
        """Continuous time, drawn for its integral, from a time on at which there is noise."""
        if step.discrete:
            raise Refusal(
                "DGM652",
                f"`vlb` is the bound of a chain or of continuous time, and this `{step.name}` has levels alone",
                help=("write `dsm`",),
            )
        if isinstance(step.drawn_times, LogNormal):
            raise Refusal(
                "DGM652",
                "`vlb` is an integral over the time, and `times = log_normal` weighs it otherwise",
                help=("write `times = importance`, whose mean is that of `uniform`",),
            )
        require_noise(step.path(event.shape), step.start(event.shape), step.time)

    def factor(self, path: AbstractPath, t: float) -> float:
        assert isinstance(path, GaussianPath), "a joint state is refused"
        return fall(path, t)


def _words(step: AbstractNoising) -> str:
    if not isinstance(step, Markov):
        return "that of a process, given"
    return {"posterior": "the posterior's"}.get(step.settings.variance, f"the {step.settings.variance} one")
