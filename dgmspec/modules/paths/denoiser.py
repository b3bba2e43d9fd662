"""What the net of a noising arrow predicts, as noise, clean data, score, velocity or v.

With y = x_t - m(t): y = α x_0 + σ ε, so any of the five gives the others exactly:
ε = p;  ε = (y - α x_0) / σ;  ε = -σ s;  ε = α v + σ y (where α² + σ² = 1). A velocity u = α' x_0 + m' + σ' ε, that of
the probability flow, gives with y two equations for x_0 and ε of determinant α σ' - σ α' = σ α (log σ/α)' > 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dgmspec.algebra.paths.gaussian import GaussianPath
from dgmspec.core.types import SupportKind, Type
from dgmspec.modules.nets import below, context_features, evaluate, features_of, planes_of
from dgmspec.modules.paths.coefficients import At, Plan, Rates, Slopes, at, plan, rates, slopes, tables
from dgmspec.modules.twin import Parameters
from dgmspec.ops.paths.arrows import Perturb
from dgmspec.ops.paths.noising import AbstractNoising, scale_of

__all__ = ["Denoiser", "Predicted", "plan_of", "seen", "step_plan", "step_tables"]


class Predicted(NamedTuple):
    """What is known of x_t at one time a row: the path there, the noise and the clean data; and where the variance of a
    reverse step lies, 0 at the posterior's and 1 at the forward one's logarithm, if that is learned."""

    at: At
    noise: Tensor
    clean: Tensor
    between: Tensor | None = None

    @property
    def score(self) -> Tensor:
        """∇ log p(x_t) = -ε / σ."""
        return -self.noise / self.at.sigma


@dataclass(frozen=True)
class Denoiser:
    """A noising arrow with its parameters and its context: reads (x_t, t), one time a row."""

    op: AbstractNoising
    p: Parameters
    event: Type
    plan: Plan
    given: Tensor | None = None
    given_type: Type | None = None
    training: bool = False
    dropped: Tensor | None = None
    """The rows (batch,) whose context the net does not see."""

    @property
    def path(self) -> GaussianPath:
        """The derived path."""
        return self.plan.path

    def at(self, t: Tensor, dtype: torch.dtype) -> At:
        """The path at times (batch,)."""
        return at(self.plan, self.p, t, dtype)

    def rates(self, t: Tensor, dtype: torch.dtype) -> Rates:
        """The process at times (batch,)."""
        return rates(self.plan, t, dtype, self.p)

    def slopes(self, t: Tensor, here: At) -> Slopes:
        """How fast the path changes at times (batch,)."""
        return slopes(self.plan, here, t, here.sigma.dtype, self.p)

    def data(self, x: Tensor) -> Tensor:
        """Data as the path has them: reals as they are, whole numbers in the middles of their cells in (-1, 1)."""
        return features_of(x, self.event.support, 1)

    def values(self, clean: Tensor) -> Tensor:
        """The data that clean values of the path stand for: the whole numbers in whose cells they lie."""
        support = self.event.support
        if support.kind is not SupportKind.INTEGER:
            return clean
        cell = torch.floor((clean + 1) / 2 * (support.high - support.low + 1))
        return (support.low + cell).clamp(support.low, support.high)

    def __call__(self, x: Tensor, t: Tensor, here: At | None = None) -> Predicted:
        """The prediction at x (batch, *event) and times (batch,); `here` is the path there, where it is known."""
        here = self.at(t, x.dtype) if here is None else here
        y = x - here.mean
        (raw, *further), deviation = self.raw(y, x, t, here), scale_of(self.op)
        if deviation is not None:
            radius = (here.alpha**2 * deviation**2 + here.sigma**2).sqrt()
            raw = here.alpha * deviation**2 / radius**2 * y + here.sigma * deviation / radius * raw
        found = self._read(raw, y, t, here)
        return found._replace(between=(further[0] + 1) / 2) if further else found

    def _read(self, raw: Tensor, y: Tensor, t: Tensor, here: At) -> Predicted:
        """Noise and clean data from what the net gives."""
        match self.op.learn:
            case "clean":
                return Predicted(here, (y - here.alpha * raw) / here.sigma, raw)
            case "v":
                return Predicted(here, here.alpha * raw + here.sigma * y, here.alpha * y - here.sigma * raw)
            case "velocity":
                change = self.slopes(t, here)
                u = raw - change.mean
                determinant = here.alpha * change.sigma - here.sigma * change.alpha
                noise = (here.alpha * u - change.alpha * y) / determinant
                return Predicted(here, noise, (change.sigma * y - here.sigma * u) / determinant)
        noise = -here.sigma * raw if self.op.learn == "score" else raw
        return Predicted(here, noise, (y - here.sigma * noise) / here.alpha)

    def raw(self, y: Tensor, x: Tensor, t: Tensor, here: At) -> Tensor:
        """The net's value (planes, batch, *event): what it learns, or F of a preconditioned one, first."""
        net, deviation = self.op.net, scale_of(self.op)
        assert net is not None, "nothing is learned along this path"
        clock, read = self.clock(t, here), x
        if deviation is not None:
            read = y / (here.alpha**2 * deviation**2 + here.sigma**2).sqrt()
        c = seen(self.p, x, self.given, self.given_type, self.dropped)
        clock = clock.to(x.dtype)
        out = evaluate(net, below(self.p, "net"), (read,), c, self.training, clock)
        return planes_of(net, out, self.op.planes, x.shape[1:])

    def clock(self, t: Tensor, here: At) -> Tensor:
        """The time as the net reads it, from 0 to 1: the share of the interval, or of log σ/α where that counts."""
        path = self.path
        if scale_of(self.op) is not None or (path.discrete and isinstance(self.op, Perturb)):
            first, last = self.plan.range
            snr = here.log_snr.flatten(1).mean(1) if here.log_snr.dim() > 1 else here.log_snr
            return (first - snr) / (first - last)
        return (t - path.low) / (path.high - path.low)


def seen(
    p: Parameters, x: Tensor, given: Tensor | None, given_type: Type | None, dropped: Tensor | None
) -> Tensor | None:
    """What the net of an arrow sees of its context beside x, the learned `null` in the `dropped` rows."""
    if given is None or given_type is None:
        return None
    c = context_features(given, given_type, x)
    return c if dropped is None else torch.where(dropped.reshape(-1, *(1,) * (c.dim() - 1)), p["null"], c)


def step_tables(op: AbstractNoising, event: Type, given: Type | None) -> dict[str, Tensor]:
    """The tables of the arrow's path; of one that is learned there are none."""
    return {} if op.law_parameters() else tables(op.path(event.shape))


def step_plan(op: AbstractNoising, event: Type, given: Type | None) -> Plan:
    """`plan_of` for a twin."""
    return plan_of(op, event)


def plan_of(op: AbstractNoising, event: Type) -> Plan:
    """The arrow's path made ready for tensors."""
    return plan(op.path(event.shape), len(event.shape), op.start(event.shape), op.schedule())
