"""What noising arrows share as steps: a Gaussian path from the data to the noise, and a net that predicts along it.

Nothing here is written by authors as a step. Each class holds the author's law as closed formulas; `path` derives the
`GaussianPath` for the event at hand once, and every refusal names the part at fault (``drift``, ``scale``, ``learn``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from dgmspec.algebra.paths.affine import NotAffine
from dgmspec.algebra.paths.closed import closed_form
from dgmspec.algebra.paths.gaussian import GaussianPath
from dgmspec.algebra.paths.scalar import Chain
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.distributions import AbstractDistribution
from dgmspec.core.jacobian import Jacobian, Structure
from dgmspec.core.nets import AbstractNet, NetUse
from dgmspec.core.parameters import Draw, ParamSpec
from dgmspec.core.steps import AbstractStep, Cost, Direction, Facts, Kernel
from dgmspec.core.types import REAL, Shape, SupportKind, Type
from dgmspec.ops.continuous import AbstractTrace, Exact, Hutchinson
from dgmspec.ops.continuous.ode import CLOSE
from dgmspec.ops.continuous.solvers import Dopri8
from dgmspec.ops.distributions.line import Normal
from dgmspec.ops.nets import context_shape
from dgmspec.ops.nets.planes import plane_output
from dgmspec.ops.paths.predictions import Prediction, check_prediction
from dgmspec.ops.paths.settings import (
    AbstractPrecondition,
    AbstractTimes,
    Edm,
    Flow,
    MarkovSettings,
    PerturbSettings,
    SdeSettings,
)
from dgmspec.ops.scalar.domain import onto_line

__all__ = ["AbstractNoising", "scale_of"]

_MISMATCH = 0.01
"""Nats per dimension of prior mismatch from which on it is worth a warning."""


class AbstractNoising(AbstractStep, ABC):
    """An arrow from data to noise. `net` predicts `learn` from (x_t, t) and the arrow's context."""

    written: ClassVar[bool] = False
    sampled: ClassVar[bool] = True
    bounded: ClassVar[bool] = False
    """Whether it runs from data to noise by draws, and the density is a variational bound."""

    state: str
    time: str
    learn: Prediction | None = None
    net: AbstractNet | None = None
    settings: SdeSettings | MarkovSettings | PerturbSettings
    drop: float = 0.0
    """The share of training rows whose context the net does not see: a learned one, `null`, stands in its place."""

    @abstractmethod
    def derived(self, shape: Shape) -> GaussianPath | NotAffine:
        """The path for events of `shape`, or why the law is not affine in the state; raises `Refusal`."""

    def path(self, shape: Shape) -> GaussianPath:
        """The Gaussian path; `Refusal` where there is none (DGM647) or its coefficients are matrices (DGM901)."""
        try:
            found = self.derived(shape)
        except Refusal as refusal:
            if refusal.code != "DGM455":
                raise
            raise Refusal(
                "DGM901",
                f"the law reads other coordinates of `{self.state}` than its own, or names them one by one: a path "
                "with matrices for coefficients is read and kept, not compiled",
                self.law_at(),
                label="coordinates mixed",
                help=(f"write a coefficient for each coordinate, as in `[-1, -2] * {self.state}`",),
            ) from None
        if isinstance(found, NotAffine):
            raise Refusal(
                "DGM647",
                f"`{self.name}` is not affine in `{self.state}`, so x_t given x_0 is not normal and its kernel has no "
                "formula",
                self.law_at(),
                notes=(f"its derivative by `{self.state}` still reads `{self.state}`",),
                help=(f"write a(t) * {self.state} + b(t)",),
            )
        return found

    def law_at(self) -> str:
        """The part of the braces that says how the mean moves."""
        return "loc"

    @property
    def drawn_times(self) -> AbstractTimes:
        """How losses draw times."""
        return self.settings.times

    @property
    def scaled(self) -> AbstractPrecondition | None:
        """How the net's input and value are scaled."""
        return self.settings.precondition

    @property
    def discrete(self) -> bool:
        """Whether the path has certain times only."""
        return False

    @property
    def count(self) -> int | None:
        """How many times the path has, where it has certain times only."""
        return None

    @property
    def likelihood(self) -> Flow | None:
        """How the probability flow is run; None where there is none."""
        return None

    def _trace(self, x: Type) -> AbstractTrace | None:
        return None if self.likelihood is None else self.likelihood.trace_of(x)

    @property
    def density(self) -> Literal["exact", "estimate", "lower bound"]:  # type: ignore[override]  # as the trace is
        how = self.likelihood
        if self.bounded:
            return "lower bound"
        return "estimate" if how is not None and isinstance(how.trace, Hutchinson) else "exact"

    @property
    def weighs(self) -> bool:
        return self.density == "exact"

    def settled(self, x: Type) -> AbstractNoising:
        """The trace by the size of the event, where the text leaves it open."""
        how = self.likelihood
        if how is None or how.trace is not None:
            return self
        settled = how.model_copy(update={"trace": how.trace_of(x)})
        settings = self.settings.model_copy(update={"likelihood": settled})
        return self.model_copy(update={"settings": settings})

    def tightened(self) -> AbstractNoising:
        """The flow solved closely, with its exact trace."""
        if self.likelihood is None:
            return self
        close = Flow(solver=Dopri8(rtol=CLOSE, atol=CLOSE), trace=Exact())
        settings = self.settings.model_copy(update={"likelihood": close})
        return self.model_copy(update={"settings": settings})

    @property
    def drops(self) -> bool:
        return bool(self.drop)

    def law_parameters(self) -> tuple[ParamSpec, ...]:
        """The numbers of the law itself that are learned."""
        return ()

    def dropping(self, share: float) -> AbstractNoising | None:
        return self.model_copy(update={"drop": share}) if self.learn is not None else None

    def term_draws(self) -> tuple[Draw, ...]:
        """What every loss draws besides its own: whether a row's context is dropped."""
        return (Draw("drop", ()),) if self.drop else ()

    def draws(self, x: Type) -> tuple[Draw, ...]:
        trace = self._trace(x)
        if self.bounded:
            return (Draw("chain", (len(self.path(x.shape).levels), *x.shape), "normal"),)
        return (trace.draw(x),) if isinstance(trace, Hutchinson) else ()

    def inverse_draws(self, x: Type) -> tuple[Draw, ...]:
        return () if self.bounded else self.draws(x)

    def stochastic(self, x: Type) -> bool:
        return self.bounded

    def facts(self, x: Type, c: Type | None) -> Facts:
        how = self.likelihood
        if how is None or self.learn is None:
            return Facts()
        proved = f"kernel of x at {self.time} derived from the law; {self.time} runs from {self.start(x.shape):.3g}"
        return Facts(checked=(f"probability flow by {how.solver.promise()}",), proved=(proved,))

    def kernel(self, x: Type) -> Kernel | None:
        try:
            path = self.path(x.shape)
        except Refusal:
            return None
        found = closed_form(path.curves[0])
        ends = (path.log_snr(self.start(x.shape)), path.log_snr(path.high))
        shift = " + m" if any(curve.mean(path.high) for curve in path.curves) else ""
        said = f"{self.state}_{self.time} = α {self.state}_0{shift} + σ ε"
        if not path.alike:
            said += ", of the first coordinate"
        if found is None:
            how = "the recursion of the steps" if isinstance(path.curves[0], Chain) else "quadrature"
            return Kernel(self.time, f"{said}, its coefficients by {how}", (), ends)
        pairs = (("α", found.alpha), ("m", found.mean), ("σ^2", found.variance), ("σ", found.sigma))
        return Kernel(self.time, said, tuple((name, value) for name, value in pairs if value is not None), ends)

    def start(self, shape: Shape) -> float:
        """The earliest time that losses, samplers and likelihoods use."""
        return self.path(shape).low

    def missing(self, forward: bool) -> str:
        if self.learn is None:
            return f"`{self.name}` learns nothing: write `learn noise({self.state}, {self.time}) = …` in its braces"
        if self.bounded:
            return "" if forward else f"a `{self.name}` is sampled step by step, by a sampler such as `ancestral`"
        if self.likelihood is None:
            return f"a `{self.name}` over certain times has no probability flow, so no `log_prob`"
        return ""

    # ---- as a step --------------------------------------------------------------------------------------------------

    @property
    def planes(self) -> int:
        """How many numbers the net gives for each coordinate."""
        return 1

    def starts_at(self, x: Type) -> bool:
        """Whether the path can start at data of this type."""
        return x.support == REAL

    def infer_type(self, x: Type, c: Type | None) -> Type:
        self._check(x, c)
        return x.with_support(REAL)

    def infer_input(self, y: Type, c: Type | None) -> Type:
        self._check(y, c)
        return y

    def _check(self, x: Type, c: Type | None) -> None:
        if not self.starts_at(x):
            whole = x.support.kind is SupportKind.INTEGER
            raise Refusal(
                "DGM301",
                f"noise takes values in all of ℝ, and `{self.state}` is {x}",
                help=(
                    f"map the data there first by a flow, `flow {self.state} -> u {{ … }}`, of {onto_line(x.support)}",
                    *(["or write a `markov`, whose first step gives whole numbers their mass"] if whole else []),
                ),
            )
        path = self.path(x.shape)
        if self.learn is not None:
            check_prediction(self.learn, path, self.time, self.scaled is not None)
        self.parameters(x, c)

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        return Jacobian.of(Structure.DENSE, x.size)

    def cost(self, x: Type, c: Type | None) -> Cost:
        once = Direction("solver", 0 if self.likelihood is None else self.likelihood.solver.evaluations() or 0)
        trace = self._trace(x)
        how = f"{trace.samples} {trace.probes} probes" if isinstance(trace, Hutchinson) else f"{x.size} derivatives"
        return Cost(f"∫ trace, {how}", once, once)

    def doubts(self, x: Type, prior: AbstractDistribution) -> Refusal | None:
        """The declared prior beside the law of x_T, for data whose coordinates have a mean square of 1."""
        try:
            path = self.path(x.shape)
        except Refusal:
            return None
        end = f"normal({path.curves[0].mean(path.high):.4g}, {path.curves[0].sigma(path.high):.4g})"
        gap = "is not normal"
        if isinstance(prior, Normal):
            loc, scale = prior.loc, prior.scale
            if not isinstance(loc, (int, float)) or not isinstance(scale, (int, float)):
                return None
            nats = path.prior_mismatch(float(scale), mean=float(loc))
            if nats < _MISMATCH:
                return None
            gap = f"is {nats:.2g} nats per dimension away"
        left = max(curve.alpha(path.high) / curve.sigma(path.high) for curve in path.curves)
        help_ = f"write `~ {end}`" if left < 0.1 else "let the path run longer or with more noise: data are left in x_T"
        return Refusal(
            "DGM648",
            f"the path ends at {end}{'' if path.alike else ' in its first coordinate'}, and the prior there {gap}",
            label="not where the path ends",
            notes=("for data whose coordinates have a mean square of 1; samples start from the prior",),
            help=(help_,),
        )

    def net_use(self, x: Type, c: Type | None) -> NetUse:
        """How the net is used: it reads x_t and the time."""
        given = context_shape(c)
        shape = x.shape if self.planes == 1 or self.net is None else plane_output(self.net, self.planes, x.shape)
        return NetUse((x.shape,), shape, given, zero=True, time=1)

    def parameters(self, x: Type, c: Type | None) -> tuple[ParamSpec, ...]:
        law = self.law_parameters()
        if self.net is None:
            return law
        own = law + tuple(spec.under("net") for spec in self.net.net_parameters(self.net_use(x, c)))
        shape = context_shape(c)
        return own if not self.drop or shape is None else (*own, ParamSpec("null", shape))


def scale_of(op: AbstractNoising) -> float | None:
    """The standard deviation of the data that a preconditioned net is told; None without preconditioning."""
    return op.scaled.data_std if isinstance(op.scaled, Edm) else None
