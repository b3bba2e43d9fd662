"""An `sde` from data to noise whose law of x_t given x_0 has no formula: it is simulated, and its score learned there.

The drift is not affine, or the diffusion reads the state. What needs no kernel stays: `ism` and `ssm` at simulated
states, the reverse process, the probability flow and its likelihood.
"""

from __future__ import annotations

import math
from typing import ClassVar

from dgmspec.algebra.paths.parts import require_shape
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.parameters import Draw
from dgmspec.core.steps import Facts
from dgmspec.core.types import Shape, Type
from dgmspec.ops.paths.learned import AbstractLearnedPath
from dgmspec.ops.paths.process import AbstractProcess
from dgmspec.ops.paths.schemes import AbstractScheme
from dgmspec.ops.paths.settings import Flow, SdeSettings

__all__ = ["Unsolved"]

_T_EPS = 1e-3
"""The share of its time that is left out at the start, where the score of data without noise may be unbounded."""

_KNOTS = 256


class Unsolved(AbstractProcess, AbstractLearnedPath):
    """dx = drift(x, t) dt + diffusion(x, t) dW from the data at `low` to the noise at `high`.

    The net gives the score s, or as ``noise`` -√W s with W = diag(σ_0² + (t - t_0) g_i²), which stays of size 1 where
    there is little noise. With G = diag(g_i²), the reverse process is dx = (f - ∇·G - G s) dt + g dW, the probability
    flow dx/dt = f - (∇·G + G s) / 2, where (∇·G)_i = 2 g_i ∂g_i/∂x_i and s is the learned score. Anderson 1982,
    "Reverse-time diffusion equation models"; Song et al. 2021, appendices A and D. Where g_i = 0, G s reads no score.
    """

    name: ClassVar[str] = "sde"

    settings: SdeSettings = SdeSettings()

    @property
    def likelihood(self) -> Flow | None:
        return self.settings.likelihood

    def scheme(self, shape: Shape) -> AbstractScheme:
        return self.settings.solver or self.stepwise(shape, 50)

    def start(self, shape: Shape) -> float:
        if self.settings.t_eps is not None:
            return self.low + self.settings.t_eps
        return self.low if self.settings.init_noise else self.low + _T_EPS * (self.high - self.low)

    def settled(self, x: Type) -> AbstractLearnedPath:
        settled = super().settled(x)
        settings = settled.settings.model_copy(update={"solver": self.scheme(x.shape)})
        return settled if settings == settled.settings else settled.model_copy(update={"settings": settings})

    def grid(self, steps: int, spacing: str | None, shape: Shape) -> tuple[float, ...]:
        """steps + 1 falling times from the noise to the earliest: even in t, or denser towards the data."""
        start, power = self.start(shape), 1 if spacing == "uniform" else 2
        return tuple(start + (self.high - start) * (1 - i / steps) ** power for i in range(steps + 1))

    def quantiles(self, shape: Shape) -> tuple[float, ...]:
        """Times at equally likely steps of the law that losses draw them from: √(t - t_0) is uniform, as about the
        deviation of the noise is."""
        first, last = (math.sqrt(t - self.low) for t in (self.start(shape), self.high))
        return tuple(self.low + (first + (last - first) * i / _KNOTS) ** 2 for i in range(_KNOTS + 1))

    def simulation_draws(self, x: Type) -> tuple[Draw, ...]:
        """What it takes to simulate x_t."""
        first = (Draw("first", x.shape, "normal"),) if self.settings.init_noise else ()
        return (*first, self.path_draw(x.shape))

    def _check(self, x: Type, c: Type | None) -> None:
        self.check_start(x)
        self.check_law(x.shape, exact=False)
        require_shape(self.diffusion, self.parts_of(x.shape), self.beside(x.shape), "diffusion")  # no matrix
        self.slope(x.shape)
        if self.learn not in (None, "score", "noise"):
            raise Refusal(
                "DGM650",
                f"`{self.learn}` and the score follow from each other by the kernel of x_{self.time} given x_0, and "
                "this law, which is not affine, has none with a formula",
                "learn",
                help=(f"write `learn noise({self.state}, {self.time}) = …`, or `score`",),
            )
        if self.settings.precondition is not None:
            raise Refusal(
                "DGM650",
                "a preconditioned net is scaled by the kernel, and this law, which is not affine, has none with a "
                "formula",
                "precondition",
                help=("leave `precondition` out",),
            )
        self.parameters(x, c)

    def facts(self, x: Type, c: Type | None) -> Facts:
        how, silent = f"{self.simulated(x.shape)}, up to each row's own {self.time}", self.silent(x.shape)
        held = x.size <= 2 and not silent
        checked: tuple[str, ...] = (f"{how}, against the Fokker-Planck equation in `verify`",) if held else ()
        assumed: tuple[str, ...] = () if checked else (how,)
        if silent:
            assumed = (*assumed, f"noise reaches all of {', '.join(f'`{name}`' for name in silent)} by the drift")
        if self.learn is not None and self.likelihood is not None:
            checked = (*checked, f"probability flow by {self.likelihood.solver.promise()}")
            assumed = (
                *assumed,
                f"x at {self.time} = {self.high:g} follows the prior there, since its law has no formula: `verify` and "
                "training measure how nearly",
            )
        return Facts(checked=checked, assumed=assumed)
