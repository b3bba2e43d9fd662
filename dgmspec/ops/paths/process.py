"""What every `sde` that is simulated says of its law, whichever way it runs: any drift, of one variable or several."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from dgmspec.algebra.evaluate import evaluate, is_constant
from dgmspec.algebra.intervals import Interval
from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.algebra.paths.affine import Times
from dgmspec.algebra.paths.parts import Parts, listed, require_shape, shares_noise
from dgmspec.algebra.paths.slopes import OwnSlope, own_slope
from dgmspec.algebra.rewrite import free_names
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.parameters import Draw
from dgmspec.core.steps import AbstractStep
from dgmspec.core.types import Shape
from dgmspec.ops.paths.schemes import AbstractScheme, EulerMaruyama, Exact, Milstein, Srk
from dgmspec.ops.paths.settings import SdeSettings, SimulationSettings

__all__ = ["AbstractProcess"]


class AbstractProcess(AbstractStep, ABC):
    """dx = drift(x, t) dt + diffusion(x, t) dW from `low` to `high`, simulated by the steps of a scheme.

    Of a joint state, `parts`, both are lists of those of the parts, and the event is these end to end.
    """

    state: str
    time: str
    low: float
    high: float
    drift: AbstractExpr
    diffusion: AbstractExpr
    settings: SimulationSettings | SdeSettings
    parts: Parts = ()

    @property
    def times(self) -> Times:
        """The time and its ends."""
        return Times(self.time, self.low, self.high)

    def stochastics(self) -> tuple[str, str, AbstractExpr, AbstractExpr, tuple[float, float]]:
        return self.state, self.time, self.drift, self.diffusion, (self.low, self.high)

    def parts_of(self, shape: Shape) -> Parts:
        """The names in the formulas, each with its shape."""
        return self.parts or ((self.state, shape),)

    @property
    def moving(self) -> frozenset[str]:
        """The names in the formulas that depend on the state."""
        return frozenset(name for name, _ in self.parts) or frozenset((self.state,))

    def beside(self, shape: Shape) -> dict[str, Shape]:
        """The shapes of what the formulas read beside the parts of the state."""
        return {self.time: ()}

    def others(self) -> dict[str, Interval]:
        """Where all that lies, but for the time."""
        return {}

    @property
    def reads_state(self) -> bool:
        """Whether the diffusion depends on the state."""
        return not self.moving.isdisjoint(free_names(self.diffusion))

    @property
    def steady(self) -> bool:
        """Whether the law is sure to be the same at all times."""
        return self.time not in (*free_names(self.drift), *free_names(self.diffusion))

    @property
    def sloped(self) -> bool:
        """Whether what of the diffusion depends on the state is written out, so that its derivative has a formula."""
        return True

    def shares_noise(self, shape: Shape) -> bool:
        """Whether the diffusion is a matrix, by which coordinates share noises."""
        return shares_noise(self.diffusion, self.parts_of(shape), self.beside(shape), self.moving)

    def silent(self, shape: Shape) -> tuple[str, ...]:
        """The parts in which some coordinate has no noise of its own."""
        if self.shares_noise(shape):
            return ()
        parts = self.parts_of(shape)
        items = zip(listed(self.diffusion, parts, "diffusion"), parts, strict=True)
        return tuple(name for item, (name, _) in items if not all(_known(item)))

    def slope(self, shape: Shape) -> OwnSlope:
        """∂g_i/∂x_i, where it has a formula."""
        return own_slope(self.diffusion, self.parts_of(shape), self.times, self.others(), self.beside(shape))

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
        own = self.sloped and self.slope(shape).own
        return Milstein(steps=5 * steps // 2) if own else EulerMaruyama(steps=5 * steps)

    def check_law(self, shape: Shape, exact: bool) -> None:
        """Shapes, a diffusion that is not 0, and a scheme that solves the law; `exact` where its kernel is normal."""
        parts, beside = self.parts_of(shape), self.beside(shape)
        require_shape(self.drift, parts, beside, "drift")
        if not self.shares_noise(shape):
            require_shape(self.diffusion, parts, beside, "diffusion")
        if not any(number for item in listed(self.diffusion, parts, "diffusion") for number in _known(item)):
            raise Refusal(
                "DGM644",
                "the diffusion is 0, so nothing is random behind the start",
                "diffusion",
                help=(f"write an `ode`: `ode … over {self.time} in … {{ velocity({self.state}, {self.time}) = … }}`",),
            )
        if self.stratonovich and not self.sloped:
            raise Refusal(
                "DGM654",
                "Stratonovich's calculus differs from Itô's by a derivative of the diffusion, which is taken from its "
                "formula, and a net has none",
                "calculus",
                help=("write the drift of Itô's equation and leave `calculus` out",),
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
        elif scheme.separate and not self.sloped:
            why = "takes the derivative of the diffusion from its formula, and a net has none"
        elif scheme.separate and not self.slope(shape).own:
            why = "takes a diffusion whose coordinates each read their own coordinate of the state alone"
        if why:
            raise Refusal("DGM654", f"`{scheme.name}` {why}", "solver", help=(f"write `solver = {instead}`",))


def _known(formula: AbstractExpr) -> Iterator[Any]:
    """The numbers of a formula, where it reads none, and else 1."""
    return _numbers(evaluate(formula, {}) if is_constant(formula, {}) else 1)


def _numbers(value: Any) -> Iterator[Any]:
    """The numbers of an array of the evaluator."""
    if isinstance(value, tuple):
        for item in value:
            yield from _numbers(item)
    else:
        yield value
