"""The step that an `ode` arrow becomes: a flow of time along a velocity."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import InstanceOf

from dgmspec.algebra.nodes import AbstractExpr, Number
from dgmspec.algebra.rewrite import free_names
from dgmspec.core.address import Address
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.jacobian import EXACT_UP_TO, Dependency, Fact, Jacobian, Structure, row_bits
from dgmspec.core.parameters import Draw, ParamSpec
from dgmspec.core.steps import AbstractStep, Cost, Direction, Facts
from dgmspec.core.types import REAL, Type
from dgmspec.ops.authored.patterns import Reads, degree, pattern, spread
from dgmspec.ops.authored.starts import start
from dgmspec.ops.continuous.placed import TANGENTS, Placed, placed
from dgmspec.ops.continuous.readers import net_parameters
from dgmspec.ops.continuous.solvers import AbstractFixed, AbstractSolver, Dopri8
from dgmspec.ops.continuous.traces import AbstractTrace, Exact, Hutchinson
from dgmspec.ops.continuous.velocity import Velocity
from dgmspec.ops.nets import External, context_shape

CLOSE = 1e-10
"""The tolerance of solves that others are held against."""

DEAR_FROM = 17
"""Derivatives that an exact trace may cost before it is worth a warning."""

TRACED_UP_TO = 64
"""Coordinates up to which it is followed which of them the velocity of which reads."""

NULL = "null/context"
"""What nets read in place of a context that is dropped."""

End = float | AbstractExpr


class Ode(AbstractStep):
    """The state at `high` of ``dy/dt = velocity(y, t)``, started at `low`; a flow of time, undone by running it back.

    Shapes: any event, kept; the velocity has its shape. Domain: real -> real, onto.
    Log-det: the integral of tr ∂velocity/∂y along the path, exact or estimated without bias, to the solver's error.
    Parameters: what the velocity learns, numbers and nets; those of the model are shared.
    Caveat: solutions exist and are unique where the velocity is Lipschitz in the state (Picard and Lindelöf); a fixed
    number of steps may be too small for a velocity that training made steep, which re-solving shows.
    Reference: Chen, Rubanova, Bettencourt and Duvenaud 2018, "Neural ordinary differential equations"; Grathwohl, Chen,
    Bettencourt, Sutskever and Duvenaud 2019, "FFJORD".
    """

    name: ClassVar[str] = "ode"
    written: ClassVar[bool] = False
    guides: ClassVar[bool] = True

    velocity: InstanceOf[Velocity]
    low: float | InstanceOf[AbstractExpr]
    high: float | InstanceOf[AbstractExpr]
    """When it starts and ends: numbers, or formulas of learned ones."""
    solver: AbstractSolver
    trace: AbstractTrace | None = None
    """None until the type of the state is known, where the text leaves it open."""
    gradient: Literal["direct", "adjoint", "checkpoint"] = "direct"
    rates: tuple[str, ...] = ()
    """What loss terms ask for beside the trace: ``kinetic``, ``jacobian``."""
    seminorm: bool = True
    """Whether `adjoint` of an adaptive solver leaves the gradients of the weights out of its error norm."""
    between: tuple[Literal["start"] | float, Literal["end"] | float] = ("start", "end")
    """The part of the time that is run: all of it, or from a moment on, or up to one."""
    learned_times: str = ""
    """The range of the time as it is written, where an end is learned."""
    passes: bool = True
    """Whether the ends of the time are known to differ."""
    drop: float = 0.0
    """The share of training rows whose context the velocity does not see: a learned one stands in its place."""
    guidance: float = 0.0
    """How far the velocity goes beyond what the context says: (1 + w) times that given it, less w times that without.
    """

    # ---- types ------------------------------------------------------------------------------------------------------

    def infer_type(self, x: Type, c: Type | None) -> Type:
        if x.support != REAL:
            raise Refusal(
                "DGM601",
                f"an `ode` runs over all of ℝ, and its state is {x}",
                argument="ends",
                help=(f"map {x.support} onto ℝ first, by a flow to a variable between",),
            )
        self.at(x)
        if self.estimator is not None and self.estimator.probes == "orthogonal" and self.estimator.samples > x.size:
            raise Refusal(
                "DGM610",
                f"{self.estimator.samples} directions at right angles do not fit into {x.size} dimensions",
                argument="trace",
                help=(f"ask for {x.size} at most",),
            )
        return x

    def infer_input(self, y: Type, c: Type | None) -> Type:
        return self.infer_type(y, c)

    def reads_context(self, x: Type, c: Type) -> bool:
        return bool(self.velocity.seen or self.velocity.in_place)

    def dynamics(self) -> tuple[str, str, AbstractExpr, tuple[End, End]]:
        return self.velocity.state, self.velocity.time or "t", self.velocity.written(), (self.low, self.high)

    def names_context(self) -> bool:
        return bool(self.velocity.seen)

    def settled(self, x: Type) -> Ode:
        plan = self.at(x).plan
        if self.trace is not None and not (plan.vanishes and self.estimator):
            return self
        exact = plan.derivatives <= TANGENTS
        return self.model_copy(update={"trace": Exact() if exact else Hutchinson()})

    @property
    def drops(self) -> bool:
        return bool(self.drop)

    def dropping(self, share: float) -> Ode | None:
        # What a formula reads of the context by name is data, for which nothing can stand in.
        nets_alone = self.velocity.in_place and not self.velocity.seen
        return self.model_copy(update={"drop": share}) if nets_alone else None

    def with_rates(self, rates: tuple[str, ...]) -> Ode:
        return self.model_copy(update={"rates": rates})

    def refined(self) -> Ode:
        return self.model_copy(update={"solver": self.solver.refined()})

    def doubled(self) -> Ode:
        """With twice the steps, where they are fixed."""
        return self.refined() if isinstance(self.solver, AbstractFixed) else self

    def tightened(self) -> Ode:
        return self.model_copy(update={"solver": Dopri8(rtol=CLOSE, atol=CLOSE), "trace": Exact()})

    def at(self, x: Type) -> Placed:
        """The velocity where the state is `x`; `Refusal`, at the velocity, where it has none there."""
        return placed(self.velocity, x, self.low, self.high)

    # ---- facts ------------------------------------------------------------------------------------------------------

    @property
    def estimator(self) -> Hutchinson | None:
        """The estimate of the trace, where it is not had exactly."""
        return self.trace if isinstance(self.trace, Hutchinson) else None

    @property
    def density(self) -> Literal["exact", "estimate", "lower bound"]:  # type: ignore[override]  # as the trace is
        return "estimate" if self.estimator else "exact"

    def draws(self, x: Type) -> tuple[Draw, ...]:
        if self.estimator is not None and not self.at(x).plan.vanishes:
            return (self.estimator.draw(x),)
        return (Hutchinson().draw(x),) if "jacobian" in self.rates and self.norm(x) == "estimate" else ()

    def norm(self, x: Type) -> Literal["closed form", "derivatives", "estimate"]:
        """How the squared norm of the velocity's Jacobian is had."""
        if self.at(x).shallow:
            return "closed form"
        return "derivatives" if x.size <= TANGENTS else "estimate"

    def inverse_draws(self, x: Type) -> tuple[Draw, ...]:
        return self.draws(x)

    def stochastic(self, x: Type) -> bool:
        return False

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        plan = self.at(x).plan
        unit = Fact.YES if plan.vanishes else Fact.NO if isinstance(plan.formula, Number) else Fact.UNKNOWN
        dependency = self._dependency(x) if x.size <= EXACT_UP_TO else None
        return Jacobian(Structure.TRACE, dependency, self._constant(x), unit, Fact.UNKNOWN)

    def _constant(self, x: Type) -> Fact:
        """An affine velocity that reads no context flows by affine maps."""
        moving, value = self.velocity.moving, self.at(x).value
        affine = moving.intersection(free_names(value)) <= {self.velocity.state}
        affine = affine and degree(value, frozenset({self.velocity.state})) < 2
        return Fact.YES if affine and not self.velocity.seen and not self.velocity.in_place else Fact.UNKNOWN

    def _dependency(self, x: Type) -> Dependency:
        """Which coordinate's path can depend on which start: the velocity's pattern, followed any number of times."""
        if x.size > TRACED_UP_TO:
            return Dependency.full(x.size)
        found = self.at(x)
        known: dict[str, Reads] = {name: (shape, 0) for name, shape in found.shapes.items()}
        known |= {name: (found.shapes[name], moving.reads) for name, moving in found.moving.items()}
        known[self.velocity.state] = (x.shape, tuple(1 << i for i in range(x.size)))
        rows = spread(pattern(found.value, known), x.shape)
        dependency = Dependency(tuple(row | row_bits((i,)) for i, row in enumerate(rows)), x.size)
        while (further := dependency.then(dependency)) != dependency:
            dependency = further
        return dependency

    def cost(self, x: Type, c: Type | None) -> Cost:
        once = Direction("solver", self.solver.evaluations() or 0)
        return Cost(self.traced(x), once, once)

    def traced(self, x: Type) -> str:
        """How the log-determinant is had, in a few words."""
        plan = self.at(x).plan
        if plan.vanishes:
            return "0"
        if self.estimator is not None:
            count = self.estimator.samples
            return f"∫ trace, {count} {self.estimator.probes} probe{'s' * (count > 1)}"
        return f"∫ trace, {f'exact, {plan.derivatives} derivatives' if plan.derivatives else plan.kind}"

    def facts(self, x: Type, c: Type | None) -> Facts:
        state, plan = self.velocity.state, self.at(x).plan
        proved, assumed = [], []
        if self.velocity.unproved:
            terms = " and ".join(f"`{term}`" for term in self.velocity.unproved)
            assumed.append(f"{terms} Lipschitz in `{state}` where paths run, so that they exist and are unique")
        else:
            proved.append(f"velocity Lipschitz in `{state}`: paths exist and are unique")
        if self.learned_times:
            (proved if self.passes else assumed).append(f"the ends of `{self.learned_times}` differ: time passes")
        if plan.vanishes:
            proved.append("velocity free of divergence: log-det 0 by formula")
        return Facts(tuple(assumed), (self.solver.promise(),), tuple(proved))

    def remarks(self, x: Type, c: Type | None) -> tuple[Refusal, ...]:
        plan = self.at(x).plan
        if self.estimator is not None and not plan.derivatives:
            what = "a formula" if plan.kind == "symbolic" else "a closed form"
            message, help_ = f"the trace of this velocity has {what}, and is estimated", "leave `trace` out"
            return (Refusal("DGM607", message, "trace", help=(help_,), label="noise for nothing"),)
        if self.estimator is None and plan.derivatives >= DEAR_FROM:
            message = f"this exact trace costs {plan.derivatives} derivatives at every evaluation of the velocity"
            help_ = "write `trace = hutchinson`, or a velocity with a formula: `mlp` with at most two hidden layers"
            return (Refusal("DGM606", message, "trace", help=(help_,), label="dear"),)
        return ()

    # ---- parameters -------------------------------------------------------------------------------------------------

    def parameters(self, x: Type, c: Type | None) -> tuple[ParamSpec, ...]:
        velocity, shapes = self.velocity, self.at(x).shapes
        found = [
            ParamSpec(own.name, shapes[own.name], start(own, shapes[own.name]), at=velocity.at(own.name))
            for own in velocity.learned
        ]
        for net in velocity.nets:
            own = net_parameters(velocity, net, shapes, c)
            found += [spec.under(net.name, velocity.at(net.name)) for spec in own]
        context = context_shape(c)
        if self.drop and context is not None:
            found.append(ParamSpec(NULL, context))
        return tuple(found)

    def externals(self) -> tuple[tuple[str, Address], ...]:
        nets = self.velocity.nets
        return tuple((net.name, self.velocity.at(net.name)) for net in nets if isinstance(net.op, External))
