"""An `sde` whose start has the prior: a process that is run forwards, with any drift, and a diffusion that is diagonal
or a matrix of the time.

Where the drift is affine and the start normal, every x_t is normal with derived moments, and the density is exact.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import ClassVar, Final, Literal

from pydantic import InstanceOf

from dgmspec.algebra.intervals import Interval
from dgmspec.algebra.paths.affine import Affine, NotAffine, affine, squared
from dgmspec.algebra.paths.derive import of_drift
from dgmspec.algebra.paths.gaussian import GaussianPath
from dgmspec.algebra.paths.joint import JointPath, of_joint_drift
from dgmspec.algebra.paths.mixing import Coefficients, coefficients
from dgmspec.algebra.rewrite import free_names
from dgmspec.core.address import Address
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.jacobian import Jacobian, Structure
from dgmspec.core.parameters import Draw, ParamSpec
from dgmspec.core.steps import Cost, Direction, Facts
from dgmspec.core.types import REAL, Shape, Type
from dgmspec.ops.paths.applied import Applied
from dgmspec.ops.paths.numbers import AbstractNumbered, Schedule
from dgmspec.ops.paths.process import AbstractProcess
from dgmspec.ops.paths.schemes import AbstractScheme, Exact
from dgmspec.ops.paths.settings import SimulationSettings

__all__ = ["Moments", "Simulation"]

_MOST: Final = 16
"""Coordinates that a law with learned matrices may have."""

_UNDERIVED = frozenset(("DGM454", "DGM646", "DGM672"))
"""Laws with matrices that are too large, whose moments are not to be had, or that stay on a plane: simulated yet."""

Moments = tuple[tuple[float, ...], tuple[float, ...]]
"""Means and standard deviations, one number for all coordinates or one for each."""


class Simulation(AbstractNumbered, AbstractProcess):
    """dx = drift(x, t) dt + diffusion(x, t) dW from the prior at `low` to the data at `high`, or up to `until`.

    Both may read learned numbers and arrays, the values of nets, and the arrow's context.

    `start` are mean and standard deviation of a normal prior whose parameters are numbers. With an affine drift, the
    way back is one between normal laws, x_0 = m_0 + S_0 S_t⁻¹ (x_t - m_t) with S_t S_tᵀ the covariance: a division of
    each coordinate, or, where coordinates mix, by a triangular matrix.
    """

    name: ClassVar[str] = "sde"
    written: ClassVar[bool] = False
    random: ClassVar[bool] = True
    laws: ClassVar[tuple[str, ...]] = ("drift", "diffusion")

    applied: InstanceOf[Applied] = Applied()
    start: Moments | None = None
    until: float | None = None
    known: bool = False
    """Whether the law of x_t given x_0 is normal with derived moments, once the type of the state is known."""
    settings: SimulationSettings = SimulationSettings()

    @property
    def end(self) -> float:
        """The time of the value behind the step."""
        return self.high if self.until is None else self.until

    @property
    def moving(self) -> frozenset[str]:
        return self.applied.moved_by(super().moving)

    def beside(self, shape: Shape) -> dict[str, Shape]:
        learned = {own.name: own.size.shape for own in self.learned}
        return {**super().beside(shape), **learned, **self.applied.shapes(shape)}

    def others(self) -> dict[str, Interval]:
        return self.intervals() | self.applied.intervals()

    @property
    def steady(self) -> bool:
        return super().steady and not self.applied

    @property
    def sloped(self) -> bool:
        return (self.moving - super().moving).isdisjoint(free_names(self.diffusion))

    def gaussian(self, shape: Shape) -> GaussianPath | JointPath | None:
        """The kernel of x_t given x_0, where the drift is affine and the diffusion a function of the time; of what is
        learned the starting values. None where the law applies nets."""
        if self.reads_state:
            return None
        if not self.parts and not self.shares_noise(shape):
            try:
                if (self.learned or self.applied) and not self._affine():
                    return None
                drift, diffusion = self.started(self.drift, self.diffusion)
                found = of_drift(drift, diffusion, self.state, self.times, shape)
                return None if isinstance(found, NotAffine) else found
            except Refusal as refusal:
                if refusal.code != "DGM455":  # reads other coordinates
                    raise
        return None if self.learned or self.applied else self._mixed(shape)

    def linear(self, shape: Shape) -> Coefficients | None:
        """The matrices of an affine law that mixes coordinates and reads learned numbers, but not the time; None of any
        other."""
        return _linear(self, shape)

    def solved(self, shape: Shape) -> bool:
        """Whether x_t given x_0 is normal with derived moments."""
        return self.gaussian(shape) is not None or self.linear(shape) is not None

    def _affine(self) -> bool:
        """Whether the drift is affine whatever is learned; `Refusal` where it is not defined then."""
        law = affine(self.drift, self.state, self.times, self.others())
        return isinstance(law, Affine) and not self.applied

    def schedule(self, shape: Shape) -> tuple[Schedule, ...]:
        """The rate, the offset and g² of each coordinate, or of all, as formulas of what is learned."""
        law = affine(self.drift, self.state, self.times, self.others())
        assert isinstance(law, Affine), "where the law is derived"
        rows = self.by_coordinate((law.rate, law.offset, self.diffusion), self.times, shape)
        found = [(rate, offset, squared(g, self.times, self.intervals())) for rate, offset, g in rows]
        return tuple(Schedule(row, self.supports(), row) for row in found)

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
        if self.solved(shape):
            return Exact()
        return self.stepwise(shape, 200)

    def settled(self, x: Type) -> Simulation:
        settings = self.settings.model_copy(update={"solver": self.scheme(x.shape)})
        known = self.solved(x.shape)
        if settings == self.settings and known == self.known:
            return self
        return self.model_copy(update={"settings": settings, "known": known})

    def marginal(self, shape: Shape) -> Moments | None:
        """Mean and standard deviation at the end, by the coordinate; None where the law is not normal with known
        moments, or its coordinates are correlated; of what is learned at its starting values."""
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
        return self.start is not None and self.solved(shape)

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
        self.check_law(x.shape, self.solved(x.shape))
        if self.learned and self.gaussian(x.shape) is not None:
            self.schedule(x.shape)  # which refuses coefficients that do not fit

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

    def parameters(self, x: Type, c: Type | None) -> tuple[ParamSpec, ...]:
        names = dict(self.parts_of(x.shape)) | self.beside(x.shape)
        return (*self.law_parameters(), *self.applied.parameters(x.shape, names, c, dict(self.shared)))

    def reads_context(self, x: Type, c: Type) -> bool:
        return bool(self.applied.seen or self.applied.in_place)

    def names_context(self) -> bool:
        return bool(self.applied.seen)

    def externals(self) -> tuple[tuple[str, Address], ...]:
        return self.applied.externals(dict(self.shared))

    def unlearned(self, of_density: bool) -> Refusal | None:
        learned = (*(own.name for own in self.learned), *(net.name for net in self.applied.nets))
        if of_density or not learned:
            return None
        return Refusal(
            "DGM670",
            f"the law of this `{self.name}` learns `{learned[0]}`, and no term of the loss is a density that reads it",
            "drift",
            label="stays as it starts",
            help=("add `nll`, where the law is affine, or `mc` of what is generated from its end",),
        )

    def _why(self) -> str:
        """Why the law at the end has no formula."""
        if self.reads_state:
            return f"its diffusion reads `{self.state}`"
        if self.applied.nets:
            return f"it applies the net `{self.applied.nets[0].name}`"
        if self.applied.seen:
            return f"it reads `{self.applied.seen[0].name}`, which differs from row to row"
        if self.learned:
            return (
                f"with learned numbers it is where the drift is affine in `{self.state}` and, where it mixes "
                f"coordinates, the law is that of at most {_MOST} and does not read the time"
            )
        return f"its law is not affine in `{self.state}`, or not derived"

    def facts(self, x: Type, c: Type | None) -> Facts:
        scheme = self.scheme(x.shape)
        known = ("the law at its end is normal, its moments derived",) if self._solved(x.shape) else ()
        if isinstance(scheme, Exact):
            learned = ("noise reaches every coordinate, by the numbers that are learned",)
            proved = ("its steps are draws from the derived transition law", *known)
            return Facts(assumed=learned if self.linear(x.shape) is not None else (), proved=proved)
        how = self.simulated(x.shape)
        tried = (f"{how}, against the Fokker-Planck equation in `verify`",)
        held = x.size <= 2 and bool(known or not (self.silent(x.shape) or self.shares_noise(x.shape)))
        return Facts(checked=tried, proved=known) if held else Facts(assumed=(how,), proved=known)


@lru_cache(maxsize=64)
def _linear(op: Simulation, shape: Shape) -> Coefficients | None:
    parts = op.parts_of(shape)
    mixes = bool(op.parts) or op.gaussian(shape) is None
    if not (op.learned and mixes and op.steady) or op.applied or op.reads_state or prod(shape) > _MOST:
        return None
    if any(len(own) > 1 for _, own in parts):
        return None
    try:
        found = coefficients(op.drift, op.diffusion, parts, op.times, op.others(), op.beside(shape))
    except Refusal as refusal:
        if refusal.code in _UNDERIVED:
            return None
        raise
    return None if isinstance(found, NotAffine) or not _reached(found) else found


def _reached(law: Coefficients) -> bool:
    """Whether noise enters every coordinate, as its own or by the drift from another that it has entered."""
    found = {i for i, row in enumerate(law.noise) if row}
    while more := {i for i, row in enumerate(law.rate) if i not in found and not found.isdisjoint(row)}:
        found |= more
    return len(found) == len(law.rate)
