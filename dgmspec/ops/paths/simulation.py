"""An `sde` whose start has the prior: a process that is run forwards, with any drift and a diagonal diffusion.

Where the drift is affine and the start normal, every x_t is normal with derived moments, and the density is exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from pydantic import Field

from dgmspec.algebra.evaluate import evaluate, is_constant
from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.algebra.paths.affine import NotAffine, Times, affine
from dgmspec.algebra.paths.derive import of_drift
from dgmspec.algebra.paths.gaussian import GaussianPath
from dgmspec.algebra.paths.slopes import OwnSlope, own_slope, require_shape
from dgmspec.algebra.rewrite import free_names
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.jacobian import Jacobian, Structure
from dgmspec.core.parameters import Draw
from dgmspec.core.steps import AbstractStep, Cost, Direction, Facts
from dgmspec.core.types import REAL, Shape, Type
from dgmspec.ops.paths.schemes import AbstractScheme, EulerMaruyama, Exact, Milstein, Srk
from dgmspec.ops.paths.settings import AbstractSettings

__all__ = ["Moments", "Simulation", "SimulationSettings"]

Calculus = Literal["ito", "stratonovich"]
Moments = tuple[tuple[float, ...], tuple[float, ...]]
"""Means and standard deviations, one number for all coordinates or one for each."""


class SimulationSettings(AbstractSettings):
    """Settings in the braces of an `sde` that starts at the prior."""

    name: ClassVar[str] = "simulation"
    examples: ClassVar[tuple[str, ...]] = (
        "sde x0 -> x over t in 0..1 { drift(x, t) = -x^3; diffusion(x, t) = 0.3 * x; solver = milstein(steps = 100); "
        "calculus = stratonovich }",
    )

    solver: AbstractScheme | None = Field(
        None,
        description="how the process is simulated: `exact` where the drift is affine, else `srk(steps = 200)`, or "
        "`milstein` or `euler_maruyama` where the diffusion reads the state",
    )
    calculus: Calculus = Field("ito", description="what dW means where the diffusion reads the state")


class Simulation(AbstractStep):
    """dx = drift(x, t) dt + diffusion(x, t) dW from the prior at `low` to the data at `high`, or up to `until`.

    `start` are mean and standard deviation of a normal prior whose parameters are numbers. With an affine drift, the
    way back is that of the probability flow of normal laws, x_0 = m_0 + s_0 (x_t - m_t) / s_t.
    """

    name: ClassVar[str] = "sde"
    written: ClassVar[bool] = False
    random: ClassVar[bool] = True

    state: str
    time: str
    low: float
    high: float
    drift: AbstractExpr
    diffusion: AbstractExpr
    start: Moments | None = None
    until: float | None = None
    settings: SimulationSettings = SimulationSettings()

    @property
    def times(self) -> Times:
        """The time and its ends."""
        return Times(self.time, self.low, self.high)

    @property
    def end(self) -> float:
        """The time of the value behind the step."""
        return self.high if self.until is None else self.until

    @property
    def reads_state(self) -> bool:
        """Whether the diffusion depends on the state."""
        return self.state in free_names(self.diffusion)

    def slope(self, shape: Shape) -> OwnSlope:
        """∂g_i/∂x_i."""
        return own_slope(self.diffusion, self.state, self.times, shape)

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
        if not self.reads_state:
            return Srk(steps=200)
        return Milstein() if self.slope(shape).own else EulerMaruyama(steps=1000)

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
        for formula, what in ((self.drift, "drift"), (self.diffusion, "diffusion")):
            require_shape(formula, self.state, self.time, x.shape, what)
        if is_constant(self.diffusion, {}) and not any(_numbers(evaluate(self.diffusion, {}))):
            raise Refusal(
                "DGM644",
                "the diffusion is 0, so nothing is random behind the start",
                "diffusion",
                help=(f"write an `ode`: `ode … over {self.time} in … {{ velocity({self.state}, {self.time}) = … }}`",),
            )
        self.gaussian(x.shape)
        self._check_scheme(x.shape)

    def _check_scheme(self, shape: Shape) -> None:
        """DGM654 where the law is none that the scheme solves."""
        scheme = self.settings.solver
        if scheme is None:
            return
        why, instead = "", "euler_maruyama"
        if isinstance(scheme, Exact) and self.gaussian(shape) is None:
            why = (
                "draws from the law of a later state given an earlier one, which has a formula for affine drifts alone"
            )
            instead = "milstein" if self.reads_state else "srk"
        elif scheme.additive and self.reads_state:
            why, instead = "takes a diffusion of the time alone, and this one reads the state", "milstein"
        elif scheme.separate and not self.slope(shape).own:
            why = "takes a diffusion whose coordinates each read their own coordinate of the state alone"
        if why:
            raise Refusal("DGM654", f"`{scheme.name}` {why}", "solver", help=(f"write `solver = {instead}`",))

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        return Jacobian.of(Structure.DENSE, x.size)

    def cost(self, x: Type, c: Type | None) -> Cost:
        scheme = self.scheme(x.shape)
        kind: Literal["sequential", "solver"] = "sequential" if isinstance(scheme, Exact) else "solver"
        forward = Direction(kind, scheme.steps)
        return Cost("O(d)", forward) if self.marginal(x.shape) else Cost("none", forward, Direction("free"))

    def draws(self, x: Type) -> tuple[Draw, ...]:
        scheme = self.scheme(x.shape)
        several = (scheme.noises,) if scheme.noises > 1 else ()
        return (Draw("path", (scheme.steps, *several, *x.shape), "normal"),)

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
        how = f"the process by {scheme.steps} step{'s' * (scheme.steps > 1)} of {scheme.name}"
        said = f", {self.settings.calculus.capitalize().replace('Ito', 'Itô')}'s calculus" if self.reads_state else ""
        tried = (f"{how}{said}, against the Fokker-Planck equation in `verify`",)
        return Facts(checked=tried, proved=known) if x.size <= 2 else Facts(assumed=(how + said,), proved=known)


def _numbers(value: Any) -> Iterator[Any]:
    """The numbers of an array of the evaluator."""
    if isinstance(value, tuple):
        for item in value:
            yield from _numbers(item)
    else:
        yield value
