"""Settings in the braces of `sde`, `markov` and `perturb`: how times are drawn, how the net is scaled."""

from __future__ import annotations

from abc import ABC
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from dgmspec.core.op import AbstractOp
from dgmspec.core.types import Type
from dgmspec.ops.continuous import AbstractSolver, AbstractTrace, Exact, Hutchinson
from dgmspec.ops.continuous.solvers import Rk4
from dgmspec.ops.paths.schemes import AbstractScheme

NotNegative = Annotated[float, Field(ge=0, strict=True, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, strict=True, allow_inf_nan=False)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Calculus = Literal["ito", "stratonovich"]


class AbstractTimes(AbstractOp, ABC):
    """How a loss draws the time of each row."""

    role: ClassVar[str] = "times"


class Uniform(AbstractTimes):
    """Each row its own time, uniform over (t_eps, T), over the steps of a chain or the levels of a ladder."""

    name: ClassVar[str] = "uniform"
    examples: ClassVar[tuple[str, ...]] = ("uniform",)


class Stratified(AbstractTimes):
    """One time in each of as many equal parts as the batch has rows: the mean of the loss is that of `uniform`, its
    variance between batches much smaller.

    Kingma, Salimans, Poole and Ho, Variational diffusion models, NeurIPS 2021, appendix I.1.
    """

    name: ClassVar[str] = "stratified"
    examples: ClassVar[tuple[str, ...]] = ("stratified",)


class LogNormal(AbstractTimes):
    """The time at which log(σ/α) is N(mean, std²), cut to (t_eps, T): the loss is averaged over *these* times.

    Karras, Aittala, Aila and Laine, Elucidating the design space of diffusion-based generative models, NeurIPS 2022:
    ``log_normal(mean = -1.2, std = 1.2)``.
    """

    name: ClassVar[str] = "log_normal"
    examples: ClassVar[tuple[str, ...]] = ("log_normal(mean = -1.2, std = 1.2)",)

    mean: Number = Field(-1.2, description="mean of log(σ/α)")
    std: Positive = Field(1.2, description="standard deviation of log(σ/α)")


class Importance(AbstractTimes):
    """Stratified times drawn in proportion to the weight that the loss gives to the noise, each row then counted less
    in the same proportion: the mean of the loss is that of `uniform`, and no time's weight stands out.

    Song, Durkan, Murray and Ermon, Maximum likelihood training of score-based diffusion models, NeurIPS 2021.
    """

    name: ClassVar[str] = "importance"
    examples: ClassVar[tuple[str, ...]] = ("importance",)


class AbstractPrecondition(AbstractOp, ABC):
    """What the net reads and what its value stands for, scaled by the time."""

    role: ClassVar[str] = "precondition"


class Edm(AbstractPrecondition):
    """The net F gives ``clean = c_skip (x - m) + c_out F(c_in (x - m))``, with inputs and targets of unit variance at
    every time: c_in = 1/r, c_skip = α s²/r², c_out = σ s/r where s = `data_std` and r² = α² s² + σ².

    That is the law of clean data given x where the data are normal, and the net what others add to it. Along a joint
    state it is said of the noise instead, with matrices: ``noise = E[ε | x] + std(ε | x) F(C^(-1/2) (x - m))`` for
    normal data of deviation s, x then having the covariance C.

    Karras, Aittala, Aila and Laine 2022, table 1, for any α and σ.
    """

    name: ClassVar[str] = "edm"
    examples: ClassVar[tuple[str, ...]] = ("edm(data_std = 0.5)",)

    data_std: Positive = Field(0.5, description="standard deviation of a coordinate of the data")


class Flow(AbstractOp):
    """The likelihood by the probability flow, dx/dt = f - g² s / 2, from the earliest time in use to the end.

    The part of the velocity that is linear in x has its trace in closed form, the net's is ``exact`` (the default up to
    8 coordinates) or estimated by ``hutchinson``. `solver` runs in √t, where the velocity stays bounded.
    Song et al. 2021, appendix D.
    """

    role: ClassVar[str] = "likelihood"
    name: ClassVar[str] = "pf_ode"
    examples: ClassVar[tuple[str, ...]] = ("pf_ode", "pf_ode(solver = dopri5(rtol = 1e-6), trace = hutchinson)")

    solver: AbstractSolver = Field(Rk4(steps=50), description="how the flow is solved")
    trace: AbstractTrace | None = Field(None, description="how the trace of the net is had")

    def trace_of(self, event: Type) -> AbstractTrace:
        """The trace for events of a type."""
        return self.trace or (Exact() if event.size <= _EXACT_UP_TO else Hutchinson())


class AbstractSettings(AbstractOp, ABC):
    """The settings of an arrow's braces; its fields are the settings that may stand there."""

    role: ClassVar[str] = "settings"


_T_EPS = "earliest time of losses, samples and likelihoods; 1e-5 of the span, or the start where `init_noise` stands"
_LIKELIHOOD = "how the probability flow is run, for likelihoods and for samples without a `method`"
_EXACT_UP_TO = 8
_TIMES = "how losses draw the time of a row"
_CALCULUS = "what dW means where the diffusion reads the state"
_PRECONDITION = "how the net's input and value are scaled"


class OdeSettings(AbstractSettings):
    """Settings in the braces of an `ode`."""

    name: ClassVar[str] = "ode"
    examples: ClassVar[tuple[str, ...]] = (
        "ode x -> z over t in 0..1 { velocity(y, t) = mlp(64); solver = rk4(steps = 8); trace = exact; "
        "gradient = adjoint }",
    )

    solver: AbstractSolver = Field(Rk4(), description="how the equation is solved")
    trace: AbstractTrace | None = Field(None, description="how the trace of the velocity's derivative is had")
    gradient: Literal["direct", "adjoint", "checkpoint"] = Field("direct", description="how gradients pass the solver")


class SdeSettings(AbstractSettings):
    """Settings in the braces of an `sde`."""

    name: ClassVar[str] = "sde"
    examples: ClassVar[tuple[str, ...]] = (
        "sde x -> z over t in 0..1 { drift(x, t) = 0 * x; diffusion(t) = 25^t; init_noise = 0.01; t_eps = 1e-3; "
        "times = stratified }",
    )

    init_noise: NotNegative = Field(0.0, description="standard deviation of noise that x has already at the start")
    t_eps: NotNegative | None = Field(None, description=_T_EPS)
    times: AbstractTimes = Field(Uniform(), description=_TIMES)
    precondition: AbstractPrecondition | None = Field(None, description=_PRECONDITION)
    likelihood: Flow = Field(Flow(), description=_LIKELIHOOD)
    solver: AbstractScheme | None = Field(
        None,
        description="how x_t is simulated where the law is not affine, so that its kernel has no formula: "
        "`srk(steps = 50)`, or `milstein` or `euler_maruyama` where the diffusion reads the state",
    )
    calculus: Calculus = Field("ito", description=_CALCULUS)


class MarkovSettings(AbstractSettings):
    """Settings in the braces of a `markov`."""

    name: ClassVar[str] = "markov"
    examples: ClassVar[tuple[str, ...]] = (
        "markov x -> z over t in 1..100 { step(x, t) ~ normal(sqrt(0.9) * x, sqrt(0.1)); variance = forward }",
    )

    variance: Literal["posterior", "forward", "learned"] = Field(
        "posterior",
        description="variance of a reverse step: that of q(x_s given x_t, x_0), of q(x_t given x_s), or learned in "
        "between",
    )
    times: AbstractTimes = Field(Uniform(), description=_TIMES)
    precondition: AbstractPrecondition | None = Field(None, description=_PRECONDITION)


class PerturbSettings(AbstractSettings):
    """Settings in the braces of a `perturb`."""

    name: ClassVar[str] = "perturb"
    examples: ClassVar[tuple[str, ...]] = (
        "perturb x -> z over t in 0..1 { kernel(x, t) ~ normal((1 - t) * x, t); t_eps = 1e-3; times = stratified }",
    )

    t_eps: NotNegative | None = Field(None, description=_T_EPS)
    times: AbstractTimes = Field(Uniform(), description=_TIMES)
    precondition: AbstractPrecondition | None = Field(None, description=_PRECONDITION)
    likelihood: Flow = Field(Flow(), description=_LIKELIHOOD)


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
    calculus: Calculus = Field("ito", description=_CALCULUS)
