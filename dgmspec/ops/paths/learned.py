"""What arrows from data to noise share, with a kernel or without: a net that tells the way back, and how it is run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from dgmspec.core.diagnostics import Refusal
from dgmspec.core.jacobian import Jacobian, Structure
from dgmspec.core.nets import AbstractNet, NetUse
from dgmspec.core.parameters import Draw, ParamSpec
from dgmspec.core.steps import AbstractStep, Cost, Direction
from dgmspec.core.types import REAL, Shape, SupportKind, Type
from dgmspec.ops.continuous import AbstractTrace, Exact, Hutchinson
from dgmspec.ops.continuous.ode import CLOSE
from dgmspec.ops.continuous.solvers import Dopri8
from dgmspec.ops.nets import context_shape
from dgmspec.ops.nets.planes import plane_output
from dgmspec.ops.paths.predictions import Prediction
from dgmspec.ops.paths.settings import AbstractTimes, Flow, MarkovSettings, PerturbSettings, SdeSettings
from dgmspec.ops.scalar.domain import onto_line

__all__ = ["AbstractLearnedPath"]


class AbstractLearnedPath(AbstractStep, ABC):
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

    @property
    def discrete(self) -> bool:
        """Whether the path has certain times only."""
        return False

    @property
    def count(self) -> int | None:
        """How many times the path has, where it has certain times only."""
        return None

    @property
    def drawn_times(self) -> AbstractTimes:
        """How losses draw times."""
        return self.settings.times

    @property
    def likelihood(self) -> Flow | None:
        """How the probability flow is run; None where there is none."""
        return None

    def _trace(self, x: Type) -> AbstractTrace | None:
        return None if self.likelihood is None else self.likelihood.trace_of(x)

    @abstractmethod
    def start(self, shape: Shape) -> float:
        """The earliest time that losses, samplers and likelihoods use."""

    @property
    def density(self) -> Literal["exact", "estimate", "lower bound"]:  # type: ignore[override]  # as the trace is
        how = self.likelihood
        if self.bounded:
            return "lower bound"
        return "estimate" if how is not None and isinstance(how.trace, Hutchinson) else "exact"

    @property
    def weighs(self) -> bool:
        return self.density == "exact"

    def settled(self, x: Type) -> AbstractLearnedPath:
        """The trace by the size of the event, where the text leaves it open."""
        how = self.likelihood
        if how is None or how.trace is not None:
            return self
        settled = how.model_copy(update={"trace": how.trace_of(x)})
        settings = self.settings.model_copy(update={"likelihood": settled})
        return self.model_copy(update={"settings": settings})

    def tightened(self) -> AbstractLearnedPath:
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

    def dropping(self, share: float) -> AbstractLearnedPath | None:
        return self.model_copy(update={"drop": share}) if self.learn is not None else None

    def term_draws(self) -> tuple[Draw, ...]:
        """What every loss draws besides its own: whether a row's context is dropped."""
        return (Draw("drop", ()),) if self.drop else ()

    def draws(self, x: Type) -> tuple[Draw, ...]:
        trace = self._trace(x)
        return (trace.draw(x),) if isinstance(trace, Hutchinson) else ()

    def inverse_draws(self, x: Type) -> tuple[Draw, ...]:
        return () if self.bounded else self.draws(x)

    def stochastic(self, x: Type) -> bool:
        return self.bounded

    def missing(self, forward: bool) -> str:
        if self.learn is None:
            return f"`{self.name}` learns nothing: write `learn noise({self.state}, {self.time}) = …` in its braces"
        if self.bounded:
            return "" if forward else f"a `{self.name}` is sampled step by step, by a sampler such as `ancestral`"
        if self.likelihood is None:
            return f"a `{self.name}` over certain times has no probability flow, so no `log_prob`"
        return ""

    def starts_at(self, x: Type) -> bool:
        """Whether the path can start at data of this type."""
        return x.support == REAL

    def infer_type(self, x: Type, c: Type | None) -> Type:
        self._check(x, c)
        return x.with_support(REAL)

    def infer_input(self, y: Type, c: Type | None) -> Type:
        self._check(y, c)
        return y

    @abstractmethod
    def _check(self, x: Type, c: Type | None) -> None:
        """Refuse events that the arrow's law, or what is learned along it, is not for."""

    def check_start(self, x: Type) -> None:
        """DGM301 where it cannot."""
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

    @property
    def planes(self) -> int:
        """How many numbers the net gives for each coordinate."""
        return 1

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        return Jacobian.of(Structure.DENSE, x.size)

    def cost(self, x: Type, c: Type | None) -> Cost:
        once = Direction("solver", 0 if self.likelihood is None else self.likelihood.solver.evaluations() or 0)
        trace = self._trace(x)
        how = f"{trace.samples} {trace.probes} probes" if isinstance(trace, Hutchinson) else f"{x.size} derivatives"
        return Cost(f"∫ trace, {how}", once, once)

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
