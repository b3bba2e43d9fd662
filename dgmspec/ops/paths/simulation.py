"""An `sde` whose start has the prior: a process that is run forwards, with any drift, and a diffusion that is diagonal
or a matrix of the time.

Where the drift is affine and the start normal, every x_t is normal with derived moments, and the density is exact.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from dgmspec.algebra.paths.affine import NotAffine
from dgmspec.algebra.paths.derive import of_drift
from dgmspec.algebra.paths.gaussian import GaussianPath
from dgmspec.algebra.paths.joint import JointPath, of_joint_drift
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.jacobian import Jacobian, Structure
from dgmspec.core.parameters import Draw
from dgmspec.core.steps import Cost, Direction, Facts
from dgmspec.core.types import REAL, Shape, Type
from dgmspec.ops.paths.process import AbstractProcess
from dgmspec.ops.paths.schemes import AbstractScheme, Exact
from dgmspec.ops.paths.settings import SimulationSettings

__all__ = ["Moments", "Simulation"]

_UNDERIVED = frozenset(("DGM454", "DGM646", "DGM672"))
"""Laws with matrices that are too large, whose moments are not to be had, or that stay on a plane: simulated yet."""

Moments = tuple[tuple[float, ...], tuple[float, ...]]
"""Means and standard deviations, one number for all coordinates or one for each."""


class Simulation(AbstractProcess):
    """dx = drift(x, t) dt + diffusion(x, t) dW from the prior at `low` to the data at `high`, or up to `until`.

    `start` are mean and standard deviation of a normal prior whose parameters are numbers. With an affine drift, the
    way back is one between normal laws, x_0 = m_0 + S_0 S_t⁻¹ (x_t - m_t) with S_t S_tᵀ the covariance: a division of
    each coordinate, or, where coordinates mix, by a triangular matrix.
    """

    name: ClassVar[str] = "sde"
    written: ClassVar[bool] = False
    random: ClassVar[bool] = True

    start: Moments | None = None
    until: float | None = None
    known: bool = False
    """Whether the law of x_t given x_0 is normal with derived moments, once the type of the state is known."""
    settings: SimulationSettings = SimulationSettings()

    @property
    def end(self) -> float:
        """The time of the value behind the step."""
        return self.high if self.until is None else self.until

    def gaussian(self, shape: Shape) -> GaussianPath | JointPath | None:
        """The kernel of x_t given x_0, where the drift is affine and the diffusion a function of the time."""
        if self.reads_state:
            return None
        if not self.parts and not self.shares_noise(shape):
            try:
                found = of_drift(self.drift, self.diffusion, self.state, self.times, shape)
                return None if isinstance(found, NotAffine) else found
            except Refusal as refusal:
                if refusal.code != "DGM455":  # reads other coordinates
                    raise
        return self._mixed(shape)

    def _mixed(self, shape: Shape) -> JointPath | None:
        """The kernel with matrices for coefficients; None where it has none with a density, or none that is derived."""
        parts = self.parts_of(shape)
        if any(len(own) > 1 for _, own in parts):
            return None
        try:
            found = of_joint_drift(self.drift, self.diffusion, parts, self.times, (None,) * len(parts))
        except Refusal as refusal:
            if refusal.code in _UNDERIVED:
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
        known = self.gaussian(x.shape) is not None
        if settings == self.settings and known == self.known:
            return self
        return self.model_copy(update={"settings": settings, "known": known})

    def marginal(self, shape: Shape) -> Moments | None:
        """Mean and standard deviation at the end, by the coordinate; None where the law is not normal with known
        moments, or its coordinates are correlated."""
        path = self.gaussian(shape)
        if not isinstance(path, GaussianPath) or self.start is None:
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

    def _solved(self, shape: Shape) -> bool:
        """Whether the law at the end is normal, its moments derived."""
        return self.start is not None and self.gaussian(shape) is not None

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
        return Cost("O(d)", forward) if self._solved(x.shape) else Cost("none", forward, Direction("free"))

    def draws(self, x: Type) -> tuple[Draw, ...]:
        return (self.path_draw(x.shape),)

    def inverse_draws(self, x: Type) -> tuple[Draw, ...]:
        return ()

    def missing(self, forward: bool) -> str:
        if forward or (self.start is not None and self.known):
            return ""
        if self.start is None:
            return f"the density at the end of this `{self.name}` is known for a normal start with numbers alone"
        return f"the density at the end of this `{self.name}` is not known: {self._why()}"

    def _why(self) -> str:
        """Why the law at the end has no formula."""
        if self.reads_state:
            return f"its diffusion reads `{self.state}`"
        return f"its law is not affine in `{self.state}`, or not derived"

    def facts(self, x: Type, c: Type | None) -> Facts:
        scheme = self.scheme(x.shape)
        known = ("the law at its end is normal, its moments derived",) if self._solved(x.shape) else ()
        if isinstance(scheme, Exact):
            return Facts(proved=("its steps are draws from the derived transition law", *known))
        how = self.simulated(x.shape)
        tried = (f"{how}, against the Fokker-Planck equation in `verify`",)
        held = x.size <= 2 and bool(known or not (self.silent(x.shape) or self.shares_noise(x.shape)))
        return Facts(checked=tried, proved=known) if held else Facts(assumed=(how,), proved=known)
