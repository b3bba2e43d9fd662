"""An `sde` whose start has the prior: a process that is run forwards, with any drift and a diagonal diffusion.

Where the drift is affine and the start normal, every x_t is normal with derived moments, and the density is exact.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from dgmspec.algebra.paths.affine import NotAffine, affine
from dgmspec.algebra.paths.derive import of_drift
from dgmspec.algebra.paths.gaussian import GaussianPath
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.jacobian import Jacobian, Structure
from dgmspec.core.parameters import Draw
from dgmspec.core.steps import Cost, Direction, Facts
from dgmspec.core.types import REAL, Shape, Type
from dgmspec.ops.paths.process import AbstractProcess
from dgmspec.ops.paths.schemes import AbstractScheme, Exact
from dgmspec.ops.paths.settings import SimulationSettings

__all__ = ["Moments", "Simulation"]

Moments = tuple[tuple[float, ...], tuple[float, ...]]
"""Means and standard deviations, one number for all coordinates or one for each."""


class Simulation(AbstractProcess):
    """dx = drift(x, t) dt + diffusion(x, t) dW from the prior at `low` to the data at `high`, or up to `until`.

    `start` are mean and standard deviation of a normal prior whose parameters are numbers. With an affine drift, the
    way back is that of the probability flow of normal laws, x_0 = m_0 + s_0 (x_t - m_t) / s_t.
    """

    name: ClassVar[str] = "sde"
    written: ClassVar[bool] = False
    random: ClassVar[bool] = True

    start: Moments | None = None
    until: float | None = None
    settings: SimulationSettings = SimulationSettings()

    @property
    def end(self) -> float:
        """The time of the value behind the step."""
        return self.high if self.until is None else self.until

    def gaussian(self, shape: Shape) -> GaussianPath | None:
        """The kernel of x_t given x_0, where the drift is affine and the diffusion a function of the time."""
        if self.reads_state:
            return None
        try:
            found = of_drift(self.drift, self.diffusion, self.state, self.times, shape)
        except Refusal as refusal:
            if refusal.code == "DGM455":  # reads other coordinates
                return None
            raise
        return None if isinstance(found, NotAffine) else found

    def scheme(self, shape: Shape) -> AbstractScheme:
        """How the process is simulated, the default by what the law allows."""
        if self.settings.solver is not None:
            return self.settings.solver
        if self.gaussian(shape) is not None:
            return Exact()
        return self.stepwise(shape, 200)

    def settled(self, x: Type) -> Simulation:
        settings = self.settings.model_copy(update={"solver": self.scheme(x.shape)})
        return self if settings == self.settings else self.model_copy(update={"settings": settings})

    def marginal(self, shape: Shape) -> Moments | None:
        """Mean and standard deviation at the end; None where the law is not normal with known moments."""
        path = self.gaussian(shape)
        if path is None or self.start is None:
            return None
        means, deviations = self.start
        count = max(len(means), len(deviations), len(path.curves))
        rows = [items * count if len(items) == 1 else items for items in (means, deviations)]
        curves = path.curves * count if path.alike else path.curves
        found = [
            (c.alpha(self.end) * m + c.mean(self.end), (c.alpha(self.end) * s) ** 2 + c.sigma(self.end) ** 2)
            for c, m, s in zip(curves, *rows, strict=True)
        ]
        return tuple(m for m, _ in found), tuple(v**0.5 for _, v in found)

    # ---- as a step --------------------------------------------------------------------------------------------------

    def infer_type(self, x: Type, c: Type | None) -> Type:
        self._check(x)
        return x

    def infer_input(self, y: Type, c: Type | None) -> Type:
        self._check(y)
        return y

    def _check(self, x: Type) -> None:
        if x.support != REAL:
            raise Refusal(
                "DGM301",
                f"a process with noise takes values in all of ℝ, and `{self.state}` is {x}",
                help=("let it run on a real variable, and map that to the data by a flow",),
            )
        self.check_law(x.shape, self.gaussian(x.shape) is not None)

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        return Jacobian.of(Structure.DENSE, x.size)

    def cost(self, x: Type, c: Type | None) -> Cost:
        scheme = self.scheme(x.shape)
        kind: Literal["sequential", "solver"] = "sequential" if isinstance(scheme, Exact) else "solver"
        forward = Direction(kind, scheme.steps)
        return Cost("O(d)", forward) if self.marginal(x.shape) else Cost("none", forward, Direction("free"))

    def draws(self, x: Type) -> tuple[Draw, ...]:
        return (self.path_draw(x.shape),)

    def inverse_draws(self, x: Type) -> tuple[Draw, ...]:
        return ()

    def missing(self, forward: bool) -> str:
        if forward or (self.start is not None and not self.reads_state and self._affine()):
            return ""
        if self.start is None:
            return f"the density at the end of this `{self.name}` is known for a normal start with numbers alone"
        return f"the density at the end of this `{self.name}` is not known: its law is not affine in `{self.state}`"

    def _affine(self) -> bool:
        """Whether the drift is affine; the shape of the state does not matter for that."""
        try:
            return not isinstance(affine(self.drift, self.state, self.times), NotAffine)
        except Refusal:
            return False

    def facts(self, x: Type, c: Type | None) -> Facts:
        scheme = self.scheme(x.shape)
        known = ("the law at its end is normal, its moments derived",) if self.marginal(x.shape) else ()
        if isinstance(scheme, Exact):
            return Facts(proved=("its steps are draws from the derived transition law", *known))
        how = self.simulated(x.shape)
        tried = (f"{how}, against the Fokker-Planck equation in `verify`",)
        return Facts(checked=tried, proved=known) if x.size <= 2 else Facts(assumed=(how,), proved=known)
