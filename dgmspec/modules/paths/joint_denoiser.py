"""What the net of a noising arrow predicts along a path with matrices for coefficients."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dgmspec.algebra.paths.joint import JointPath
from dgmspec.modules.paths.joint_coefficients import JointAt, JointPlan, JointRates, joint_at, joint_rates
from dgmspec.modules.paths.predicted import AbstractDenoiser, Predicted
from dgmspec.ops.paths.noising import scale_of

__all__ = ["JointDenoiser"]


@dataclass(frozen=True)
class JointDenoiser(AbstractDenoiser[JointPlan, JointAt, JointRates]):
    """One along a path with matrices for coefficients, which tells the noise of the coordinates that have some of their
    own, or their score."""

    @property
    def path(self) -> JointPath:
        """The derived path."""
        return self.plan.path

    def at(self, t: Tensor, dtype: torch.dtype) -> JointAt:
        """The path at times (batch,)."""
        return joint_at(self.plan, self.p, t, dtype)

    def rates(self, t: Tensor, dtype: torch.dtype) -> JointRates:
        """The process at times (batch,)."""
        return joint_rates(self.plan, t, dtype)

    def __call__(self, x: Tensor, t: Tensor, here: JointAt | None = None) -> Predicted[JointAt]:
        """The noise, and clean data by one step of the reverse process without noise down to the start."""
        here = self.at(t, x.dtype) if here is None else here
        noise, flow = self._noise(x, t, here), self.rates(t, x.dtype)
        span = (t - self.path.low).to(x.dtype).reshape(-1, 1)
        return Predicted(here, noise, x - span * (flow.drift(x) - flow.pull(here.score(noise))))

    def _noise(self, x: Tensor, t: Tensor, here: JointAt) -> Tensor:
        """ε_n: what the net gives, from what it gives as the score, or what Gaussian data leave to it."""
        layout, deviation = self.plan.layout, scale_of(self.op)
        size = ((len(layout.order) - layout.silent) * layout.copies,)
        if deviation is None:
            found: Tensor = self.planes(x, (t - self.path.low) / (self.path.high - self.path.low), size)[0]
            if self.op.learn == "noise":
                return found
            own = here.factor[:, layout.silent :, layout.silent :]
            return -(own.mT @ layout.beside(found)).flatten(1)
        told, (first, last) = here.expected(x, deviation), self.plan.range
        clock = ((first - told.log_snr) / (first - last)).expand(x.shape[0])
        (found,) = self.planes(told.white, clock, size)
        noise: Tensor = (told.mean + told.deviation * layout.beside(found)).flatten(1)
        return noise

    def velocity(self, x: Tensor, t: Tensor, found: Predicted[JointAt]) -> Tensor:
        """A x + b - G Gᵀ s / 2."""
        flow = self.rates(t, x.dtype)
        return flow.drift(x) - flow.pull(found.score) / 2

    def likelihood_squares(self, t: Tensor, here: JointAt, error: Tensor) -> Tensor:
        """Those of Gᵀ L_n⁻ᵀ (ε̂ - ε)."""
        noise = self.rates(t, error.dtype).noise[:, self.plan.layout.silent :]
        return (noise.mT @ here.whitening @ self.plan.layout.beside(error)) ** 2
