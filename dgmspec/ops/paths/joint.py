"""The arrow `sde` over a state whose coordinates mix: several variables, or a vector that a matrix acts on."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar, Literal

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.algebra.paths.affine import NotAffine, Times
from dgmspec.algebra.paths.joint import JointPath, Start, of_joint_drift
from dgmspec.algebra.paths.parts import Parts
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.distributions import AbstractDistribution
from dgmspec.core.jacobian import Jacobian, Structure
from dgmspec.core.nets import NetUse
from dgmspec.core.parameters import Draw
from dgmspec.core.steps import AbstractStep, Facts, Kernel
from dgmspec.core.types import REAL, Shape, Type
from dgmspec.ops.distributions.line import Normal
from dgmspec.ops.nets import context_shape
from dgmspec.ops.paths.arrows import earliest
from dgmspec.ops.paths.noising import AbstractNoising, Gap
from dgmspec.ops.paths.numbers import Schedule
from dgmspec.ops.paths.settings import Flow, SdeSettings
from dgmspec.ops.scalar.domain import onto_line

__all__ = ["JointSde", "Started"]


class JointSde(AbstractNoising):
    """dx = drift(x, t) dt + diffusion(t) dW from the data at `low` to the noise at `high`, for a state of `parts`.

    `starts` are the normal laws that parts have at the start beside the data: they are a part of the kernel, which is
    then that of x_t given the data alone. The net predicts the noise (or the score) of the coordinates that have noise
    of their own.
    """

    name: ClassVar[str] = "sde"
    laws: ClassVar[tuple[str, ...]] = ("drift", "diffusion")
    keeps: ClassVar[bool] = False

    parts: Parts
    starts: tuple[Start | None, ...]
    low: float
    high: float
    drift: AbstractExpr
    diffusion: AbstractExpr
    settings: SdeSettings = SdeSettings()

    @property
    def times(self) -> Times:
        """The time and its ends."""
        return Times(self.time, self.low, self.high)

    def stochastics(self) -> tuple[str, str, AbstractExpr, AbstractExpr, tuple[float, float]]:
        return self.state, self.time, self.drift, self.diffusion, (self.low, self.high)

    def parts_of(self, shape: Shape) -> Parts:
        """The names in the formulas, each with its shape."""
        return self.parts if len(self.parts) > 1 else ((self.parts[0][0], shape),)

    def path(self, shape: Shape) -> JointPath:
        """The path; `Refusal` where the drift is not affine (DGM647) or noise does not reach every part (DGM672)."""
        found = of_joint_drift(self.drift, self.diffusion, self.parts_of(shape), self.times, self.starts)
        if isinstance(found, NotAffine):
            raise Refusal(
                "DGM647",
                "the drift is not affine in the state, so x_t given x_0 is not normal and its kernel has no formula",
                "drift",
                notes=("a derivative of it by a part of the state still reads the state",),
                help=("write sums of parts, each multiplied by a number or a function of the time",),
            )
        return found

    def schedule(self, shape: Shape) -> tuple[Schedule, ...]:
        return ()

    def law_at(self) -> str:
        return "drift"

    @property
    def likelihood(self) -> Flow | None:
        return self.settings.likelihood

    def start(self, shape: Shape) -> float:
        return earliest(self.settings.t_eps, self.low, self.high, False)

    def _noised(self, shape: Shape) -> int:
        """How many coordinates have noise of their own."""
        law = self.path(shape).mixing
        return (law.size - law.silent) * law.copies

    def _check_law(self, x: Type) -> None:
        self.path(x.shape)
        if self.settings.init_noise:
            raise Refusal(
                "DGM673",
                "`init_noise` is one deviation for all coordinates, and the parts of this state have laws of their own "
                "at the start",
                "init_noise",
                help=("give a part its law: `infer v ~ normal(0, 0.1)`",),
            )
        if self.scaled is not None and self.learn not in (None, "noise"):
            raise Refusal(
                "DGM673",
                f"a preconditioned net gives the noise along a joint state, not the `{self.learn}`",
                "learn",
                help=("write `learn noise(…)`, or leave `precondition` out",),
            )
        if self.learn not in (None, "noise", "score"):
            raise Refusal(
                "DGM673",
                f"`{self.learn}` is no part of what the noise of a joint state tells: along this path `noise` is "
                "learned, or `score`",
                "learn",
                help=(f"write `learn noise({', '.join((*(name for name, _ in self.parts), self.time))}) = …`",),
            )

    def net_use(self, x: Type, c: Type | None) -> NetUse:
        return NetUse((x.shape,), (self._noised(x.shape),), context_shape(c), zero=True, time=1)

    def kernel(self, x: Type) -> Kernel | None:
        try:
            path = self.path(x.shape)
        except Refusal:
            return None
        law = path.mixing
        size = f"{law.size} × {law.size}"
        state = self.state if len(self.parts) == 1 else f"[{self.state}]"
        said = f"{state}_{self.time} = Φ {state}_0 + m + L ε, Φ and L {size} by quadrature"
        if law.copies > 1:
            said += f", alike for {law.copies} groups of coordinates"
        return Kernel(self.time, said, (), (path.log_snr(self.start(x.shape)), path.log_snr(path.high)))

    def facts(self, x: Type, c: Type | None) -> Facts:
        found = super().facts(x, c)
        law = self.path(x.shape).mixing
        own = [name for (name, _), start in zip(self.parts, self.starts, strict=True) if start is not None]
        more = [
            f"noise reaches all {law.size} coordinates of a group: Σ(t) is positive definite from {self.time} > 0 on"
        ]
        more += [f"the law of `{name}` at the start is a part of the kernel" for name in own]
        return replace(found, proved=(*found.proved, *more))

    def _gap(self, x: Type, prior: AbstractDistribution) -> Gap | None:
        path = self.path(x.shape)
        signal, mean, spread = path.at(path.high)
        copies, deviations = path.mixing.copies, [math.hypot(*row) for row in spread]
        scales, means = [0.0] * x.size, [0.0] * x.size
        for i, place in enumerate(path.mixing.order):
            for c in range(copies):
                scales[place * copies + c], means[place * copies + c] = deviations[i], mean[i][c % len(mean[i])]
        nats = None
        if isinstance(prior, Normal):
            own = [value if isinstance(value, tuple) else (value,) for value in (prior.loc, prior.scale)]
            numbers = all(isinstance(item, (int, float)) for row in own for item in row)
            if not numbers or any(x.size % len(row) for row in own):
                return None  # a law that does not fit the state is refused for that
            loc, scale = ([float(item) for item in row] * (x.size // len(row)) for row in own)  # type: ignore[arg-type]
            nats = path.prior_mismatch(loc, scale)
        left = max(math.hypot(*row) / deviation for row, deviation in zip(signal, deviations, strict=True))
        end = ", ".join(f"normal({m:.4g}, {s:.4g})" for m, s in dict.fromkeys(zip(means, scales, strict=True)))
        return Gap(nats, end, " by its parts, with their correlation", left)


class Started(AbstractStep):
    """The parts of a joint state that have a law of their own at the start, drawn beside those that the data give.

    Formula: y holds x in the places of the given parts and loc + scale · e, e ~ N(0, 1), in those of the others; the
    inverse drops these.
    Shapes: real or real[d] -> real[D].
    Domain: real -> real.
    Log-determinant: ``-log q(v)``: ``E_v [log p(x, v) - log q(v)]`` is a lower bound of log p(x), O(D).
    Caveat: tight only where v is independent of x under p.
    Reference: Dockhorn, Vahdat and Kreis 2022, "Score-based generative modeling with critically-damped Langevin
    diffusion", appendix B.3; Huang, Dinh and Courville 2020, "Augmented normalizing flows".
    """

    name: ClassVar[str] = "started"
    written: ClassVar[bool] = False
    density: ClassVar[Literal["exact", "estimate", "lower bound"]] = "lower bound"

    parts: Parts
    starts: tuple[Start | None, ...]

    @property
    def given(self) -> Shape:
        """The shape of the parts that the data give: as it is of one, end to end of several."""
        shapes = [shape for (_, shape), start in zip(self.parts, self.starts, strict=True) if start is None]
        return shapes[0] if len(shapes) == 1 else (sum(map(math.prod, shapes)),)

    @property
    def drawn(self) -> tuple[tuple[int, float, float], ...]:
        """Place, mean and deviation of each coordinate that is drawn."""
        found: list[tuple[int, float, float]] = []
        place = 0
        for (_, shape), start in zip(self.parts, self.starts, strict=True):
            size = math.prod(shape)
            if start is not None:
                loc, scale = (row * size if len(row) == 1 else row for row in start)
                found += zip(range(place, place + size), loc, scale, strict=True)
            place += size
        return tuple(found)

    @property
    def size(self) -> int:
        """D."""
        return sum(math.prod(shape) for _, shape in self.parts)

    def infer_type(self, x: Type, c: Type | None) -> Type:
        self._require(x, self.given)
        return x.with_shape((self.size,))

    def infer_input(self, y: Type, c: Type | None) -> Type:
        self._require(y, (self.size,))
        return y.with_shape(self.given)

    def _require(self, x: Type, shape: Shape) -> None:
        if x.support != REAL:
            raise Refusal(
                "DGM301",
                f"noise takes values in all of ℝ, and this state is {x}",
                help=(f"map it there first by a flow of {onto_line(x.support)}",),
            )
        if x.shape != shape:
            raise Refusal("DGM304", f"the parts of this state make real{list(shape)}, not {x}")

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        return Jacobian(Structure.UNKNOWN)

    def draws(self, x: Type) -> tuple[Draw, ...]:
        return (Draw("start", (len(self.drawn),), "normal"),)
