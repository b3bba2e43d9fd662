"""What every `sde` with any drift and a diagonal diffusion says of its law, whichever way it is run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from dgmspec.algebra.evaluate import evaluate, is_constant
from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.algebra.paths.affine import Times
from dgmspec.algebra.paths.slopes import OwnSlope, own_slope, require_shape
from dgmspec.algebra.rewrite import free_names
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.parameters import Draw
from dgmspec.core.steps import AbstractStep
from dgmspec.core.types import Shape
from dgmspec.ops.paths.schemes import AbstractScheme, EulerMaruyama, Exact, Milstein, Srk
from dgmspec.ops.paths.settings import SdeSettings, SimulationSettings

__all__ = ["AbstractProcess"]


class AbstractProcess(AbstractStep, ABC):
    """dx = drift(x, t) dt + diffusion(x, t) dW from `low` to `high`, simulated by the steps of a scheme."""

    state: str
    time: str
    low: float
    high: float
    drift: AbstractExpr
    diffusion: AbstractExpr
    settings: SimulationSettings | SdeSettings

    @property
    def times(self) -> Times:
        """The time and its ends."""
        return Times(self.time, self.low, self.high)

    @property
    def reads_state(self) -> bool:
        """Whether the diffusion depends on the state."""
        return self.state in free_names(self.diffusion)

    def slope(self, shape: Shape) -> OwnSlope:
        """∂g_i/∂x_i."""
        return own_slope(self.diffusion, self.state, self.times, shape)

    @property
    def stratonovich(self) -> bool:
        """Whether the drift is that of Stratonovich's calculus, which lacks g_i ∂g_i/∂x_i / 2 to Itô's."""
        return self.reads_state and self.settings.calculus == "stratonovich"

    @abstractmethod
    def scheme(self, shape: Shape) -> AbstractScheme:
        """How the process is simulated, the default by what the law allows."""

    def path_draw(self, shape: Shape) -> Draw:
        """The normal numbers of all steps."""
        scheme = self.scheme(shape)
        several = (scheme.noises,) if scheme.noises > 1 else ()
        return Draw("path", (scheme.steps, *several, *shape), "normal")

    def simulated(self, shape: Shape) -> str:
        """How the process is simulated, in words."""
        scheme = self.scheme(shape)
        said = f", {'Stratonovich' if self.stratonovich else 'Itô'}'s calculus" if self.reads_state else ""
        return f"the process by {scheme.steps} step{'s' * (scheme.steps > 1)} of {scheme.name}{said}"

    def stepwise(self, shape: Shape, steps: int) -> AbstractScheme:
        """The scheme of the highest order that solves the law, of 3/2 in so many steps and else in more."""
        if not self.reads_state:
            return Srk(steps=steps)
        return Milstein(steps=5 * steps // 2) if self.slope(shape).own else EulerMaruyama(steps=5 * steps)

    def check_law(self, shape: Shape, exact: bool) -> None:
        """Shapes, a diffusion that is not 0, and a scheme that solves the law; `exact` where its kernel is normal."""
        for formula, what in ((self.drift, "drift"), (self.diffusion, "diffusion")):
            require_shape(formula, self.state, self.time, shape, what)
        if is_constant(self.diffusion, {}) and not any(_numbers(evaluate(self.diffusion, {}))):
            raise Refusal(
                "DGM644",
                "the diffusion is 0, so nothing is random behind the start",
                "diffusion",
                help=(f"write an `ode`: `ode … over {self.time} in … {{ velocity({self.state}, {self.time}) = … }}`",),
            )
        if (scheme := self.settings.solver) is not None:
            self._check_scheme(scheme, shape, exact)

    def _check_scheme(self, scheme: AbstractScheme, shape: Shape, exact: bool) -> None:
        """DGM654 where the law is none that the scheme solves."""
        why, instead = "", "euler_maruyama"
        if isinstance(scheme, Exact) and not exact:
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


def _numbers(value: Any) -> Iterator[Any]:
    """The numbers of an array of the evaluator."""
    if isinstance(value, tuple):
        for item in value:
            yield from _numbers(item)
    else:
        yield value
