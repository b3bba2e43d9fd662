"""The abstract operation: what every entry of the library declares, without a line of torch.

An operation is a frozen pydantic class with concrete fields; its fields, in order, are its argument schema in the
language (``rqs(bins = 8, bound = 3.0)``). `lower` evaluates a call's arguments and only then builds the class. Facts
follow from the fields and the types alone: the type it gives, its Jacobian, the cost of each direction, the parameters
it owns. The torch code is a twin of the same name and path in ``modules/``.

A mistake of the author that only the operation can see (an odd size, a bad range) is raised as `Refusal`, which the
graph room turns into a located diagnostic.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from dgmspec.core.address import Address, child
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.jacobian import Jacobian
from dgmspec.core.masking import Precedence, WeightMask
from dgmspec.core.types import Shape, Support, Type


class AbstractOp(BaseModel, ABC):
    """An entry of the library. `role` is the list of names it is looked up in; `name` its name there."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, defer_build=True)

    role: ClassVar[str]
    name: ClassVar[str]
    written: ClassVar[bool] = True
    """Whether authors write it; what the compiler alone puts into a graph is no entry of the library."""
    examples: ClassVar[tuple[str, ...]] = ()
    """Calls as an author writes them, at least one per argument: the law tests, docs and generators use them."""

    def equations(self) -> tuple[tuple[str, Any], ...]:
        """The updates that define it, (what changes, its formula), where an author wrote them."""
        return ()


@dataclass(frozen=True)
class Variadic:
    """Marks the tuple field that takes all positional arguments: ``mlp(64, 64)``, ``mixture(a, b)``."""


@dataclass(frozen=True)
class Keywords:
    """Marks the tuple field of (name, value) pairs that takes arguments of all other names: ``npz("a", x = "k")``."""


@dataclass(frozen=True)
class Init:
    """How a parameter starts. Draws come from the run's seed and the parameter's address.

    ``constant``: every entry `value`. ``normal``: N(0, value²). ``uniform``: U(-value, value).
    ``identity``: the identity matrix. ``orthogonal``: Haar-distributed orthogonal. ``values``: `data`, row-major.
    """

    kind: Literal["constant", "normal", "uniform", "identity", "orthogonal", "values"] = "constant"
    value: float = 0.0
    data: tuple[float, ...] = ()


@dataclass(frozen=True)
class ParamSpec:
    """A parameter an operation reads; `name` is relative to the operation's address (``net/0/weight``).

    `at` is empty for one that the operation owns, and the full address of one that is the model's (a named net's, a
    ``learn`` of the model): such a one is shared by all that read it.
    """

    name: str
    shape: Shape
    init: Init = Init()
    mask: WeightMask | None = None
    trainable: bool = True
    at: Address = ""

    def under(self, prefix: str, at: Address = "") -> ParamSpec:
        """The same parameter seen from the operation that holds this one as its argument `prefix`; `at` is the address
        of the model's net that owns it, where one does."""
        return replace(self, name=f"{prefix}/{self.name}", at=child(at, self.name) if at else "")

    def key(self, address: Address) -> Address:
        """Where the parameter stands in the model, for the operation at `address`."""
        return self.at or child(address, self.name)


@dataclass(frozen=True)
class Draw:
    """Randomness that an operation needs as an INPUT of the program: per sample, shape `shape`."""

    name: str
    shape: Shape
    law: Literal["uniform", "normal", "rademacher", "exponential", "gamma", "von_mises"] = "uniform"
    parameter: float = 1.0
    """The concentration of a ``gamma`` draw (scale 1) or of a ``von_mises`` draw (around 0)."""
    shared: bool = False
    """Whether all rows of a call have the draw in common: one tensor of `shape`, whatever the batch."""


@dataclass(frozen=True)
class Direction:
    """The cost of running a step one way.

    `kind` is ``free`` (index moves, reshapes), ``parallel`` (`passes` conditioner passes, usually one),
    ``sequential`` (`passes` dependent passes, one per coordinate), ``iterative`` (to a tolerance) or ``solver``
    (`passes` evaluations of a velocity, 0 where its steps adapt).
    """

    kind: Literal["free", "parallel", "sequential", "iterative", "solver"] = "parallel"
    passes: int = 1

    def __str__(self) -> str:
        if self.kind == "solver":
            return f"{self.passes:,} evaluations" if self.passes else "adaptive"
        if self.kind == "free" or not self.passes:
            return "–"
        if self.kind == "iterative":
            return self.kind
        return f"{self.passes} pass" + ("es" if self.passes > 1 and self.kind == "sequential" else "")


@dataclass(frozen=True)
class Cost:
    """What a step costs: its log-determinant in the event size d, and each direction as written."""

    log_det: str = "O(d)"
    forward: Direction = Direction()
    inverse: Direction = Direction()


@dataclass(frozen=True)
class Facts:
    """What holds and why: `assumed` and `checked` numerically each with the reason, `proved` where the way is news."""

    assumed: tuple[str, ...] = ()
    checked: tuple[str, ...] = ()
    proved: tuple[str, ...] = ()


class AbstractStep(AbstractOp, ABC):
    """A step of a flow: a bijection (or stochastic step) between typed events, as written from left to right.

    `x` is the type before the step, `c` the type of the arrow's context (None without one). Parts that earlier steps
    set aside pass by untouched: a type made by `Type.with_shape` or `Type.with_support` carries them along.
    """

    role: ClassVar[str] = "step"
    density: ClassVar[Literal["exact", "estimate", "lower bound"]] = "exact"
    initialises: ClassVar[bool] = False
    """Whether the twin has `initialise`, a data-dependent start run once on the first batch."""
    updates: ClassVar[bool] = False
    """Whether the twin has `update`, run on every batch of training; it may also act otherwise while training."""
    forgets: ClassVar[bool] = False
    """Whether `infer_input` cannot tell the type before the step; inference then waits for the flow's other end."""
    sampled: ClassVar[bool] = False
    """Whether samplers of the library run along the step, from its end to its start."""
    aside: ClassVar[int] = 0
    """How many parts the step sets aside for the flow's end, beside the event that goes on (`Type.aside`)."""

    @abstractmethod
    def infer_type(self, x: Type, c: Type | None) -> Type:
        """The type after the step; raises `Refusal` where the step cannot follow `x`."""

    @abstractmethod
    def infer_input(self, y: Type, c: Type | None) -> Type:
        """The type before the step, given the type after it (what ``inverse step`` gives)."""

    @abstractmethod
    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        """Structure of ∂y/∂x from the declaration alone; in y what is set aside stands before what goes on."""

    def cost(self, x: Type, c: Type | None) -> Cost:
        """Cost of the log-determinant and of each direction."""
        return Cost()

    def parameters(self, x: Type, c: Type | None) -> tuple[ParamSpec, ...]:
        """The parameters the twin reads, no more and no fewer."""
        return ()

    def draws(self, x: Type) -> tuple[Draw, ...]:
        """The per-sample randomness the step consumes when run forward."""
        return ()

    def inverse_draws(self, x: Type) -> tuple[Draw, ...]:
        """Likewise when run backward; `x` is the type before the step as written."""
        return ()

    def missing(self, forward: bool) -> str:
        """What the step needs to be run in a direction and does not have, as a sentence; empty where it runs."""
        return ""

    def doubts(self, x: Type, prior: AbstractDistribution) -> Refusal | None:
        """Why the prior declared at the step's end may be the wrong one; None where nothing speaks against it."""
        return None

    def reads_context(self, x: Type, c: Type) -> bool:
        """Whether the map depends on the arrow's context, as it does where its parameters do."""
        return self.parameters(x, c) != self.parameters(x, None)

    def dynamics(self) -> tuple[str, str, Any, tuple[float, float]] | None:
        """The equation that the step solves, where it is one: the state, the time, the rate as a formula of both, and
        the times at which it starts and ends."""
        return None

    def names_context(self) -> bool:
        """Whether a formula of the step names the variables of the arrow's context, which it then reads in the units of
        the data."""
        return False

    def settled(self, x: Type) -> AbstractStep:
        """The same step with what its text leaves open decided, now that `x`, the type before it, is known."""
        return self

    def with_rates(self, rates: tuple[str, ...]) -> AbstractStep:
        """The same step, which also gives what these loss terms ask for, (batch,) each, behind the value."""
        raise AssertionError(f"{self.name} integrates nothing along its way")

    def stochastic(self, x: Type) -> bool:
        """Whether the value behind the step depends on its draws, so that the step has no Jacobian; a step may also
        draw for an estimate of its log-determinant alone."""
        return bool(self.draws(x))

    def refined(self) -> AbstractStep:
        """The same map worked out more finely, where it is solved for: what reported likelihoods use."""
        return self

    def density_along(self, forward: bool, x: Type) -> Literal["exact", "estimate", "lower bound"]:
        """What the density becomes where data pass the step this way: undoing a draw, they have the exact one, of what
        remains times that of the draw."""
        return "exact" if not forward and self.density == "lower bound" and self.stochastic(x) else self.density

    def tightened(self) -> AbstractStep:
        """The same map worked out as closely as can be: what verification holds the declared facts against."""
        return self

    def facts(self, x: Type, c: Type | None) -> Facts:
        """Guarantees that are not proved, each with its reason."""
        return Facts()

    def remarks(self, x: Type, c: Type | None) -> tuple[Refusal, ...]:
        """What is right and worth a warning all the same, each as a refusal that nobody raises."""
        return ()

    def untouched(self, x: Type) -> tuple[int, ...] | None:
        """The flat coordinates that the step leaves as they are, ascending; None where it is not of that kind."""
        return None

    def is_identity(self, x: Type) -> bool:
        """Whether the step leaves every event of type `x` as it is."""
        return False

    def moves(self, x: Type) -> tuple[int, ...] | None:
        """For a step that only moves the coordinates of a vector: the index map y[i] = x[source[i]]; else None."""
        return None

    def divides(self, x: Type) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        """The coordinates of a vector that the step leaves as they are, and those it changes by a function of both
        parts, which its twin has as `part`; None where the step is no such map."""
        return None

    def joined(self, inverse: bool, after: AbstractStep, after_inverse: bool, x: Type) -> AbstractStep | None:
        """One step equal to this one (undone where `inverse`) followed by `after`, or None where there is none.

        Both are free of parameters; `x` is the type before them.
        """
        return None


class AbstractScalar(AbstractOp, ABC):
    """A strictly monotone map of the line (or an interval) with `raw` unconstrained numbers per coordinate.

    Raw parameters all zero mean the identity (or the parameter-free map itself), so that a zero-initialised net
    starts a flow there. The twin receives them as planes: ``raw`` has shape (number of raw, *batch, *event). The map
    may depend on the support it is applied to (a spline has linear tails on the line and none on an interval), so the
    support at hand is an argument of `raw` and of the twin.
    """

    role: ClassVar[str] = "scalar"
    inverts: ClassVar[Literal["closed form", "iterative"]] = "closed form"

    @abstractmethod
    def raw(self, support: Support) -> tuple[Init, ...]:
        """One `Init` per raw parameter on `support`: where it starts when it is a learned constant."""

    def fixed(self, size: int) -> tuple[tuple[float, ...], ...]:
        """Planes of fixed numbers, `size` each, that the twin receives where it has no raw parameters."""
        return ()

    def facts(self, support: Support) -> Facts:
        """Guarantees on `support` that are worth a word, each with its reason."""
        return Facts()

    def density(self) -> Literal["exact", "lower bound"]:
        """``lower bound`` where the image is by design a part of the next domain (``logit(alpha)``)."""
        return "exact"

    @abstractmethod
    def image(self, support: Support) -> Support:
        """The exact image of `support` (an open interval) under the map; `Refusal` if it leaves the domain."""

    @abstractmethod
    def preimage(self, support: Support) -> Support:
        """The exact set that the map takes onto `support`; `Refusal` if there is none."""

    def constant_slope(self) -> bool:
        """Whether the derivative does not depend on x (affine maps): the log-det is then constant in x."""
        return False

    def unit_slope(self) -> bool:
        """Whether |derivative| is 1 everywhere: a coupling of it preserves volume."""
        return False


@dataclass(frozen=True)
class NetUse:
    """One use of a net, decided by whoever uses it: the event shapes of what it reads, in order, and of what it gives.

    `context`: the shape of the arrow's context, read beside the inputs. `zero`: the last layer starts at zero, so that
    what the net parameterises starts at the identity. `time`: how many numbers tell the time, none outside arrows in
    time. Who uses a net there says 1, a number from 0 to 1 over the arrow's range; to the layers it is what the net's
    embedding makes of it.
    """

    inputs: tuple[Shape, ...]
    output: Shape
    context: Shape | None = None
    zero: bool = False
    time: int = 0

    @property
    def read(self) -> int:
        """How many numbers the inputs hold together."""
        return sum(map(math.prod, self.inputs))

    @property
    def given(self) -> int:
        """How many numbers the context and the time hold."""
        return self.time + (0 if self.context is None else math.prod(self.context))

    @property
    def size(self) -> int:
        """How many numbers the net gives."""
        return math.prod(self.output)


class AbstractEmbedding(AbstractOp, ABC):
    """Features of the numbers that a net reads: of its time, or of its inputs."""

    role: ClassVar[str] = "embedding"

    @abstractmethod
    def size(self, read: int) -> int:
        """How many features `read` numbers become."""

    @abstractmethod
    def parameters(self, read: int) -> tuple[ParamSpec, ...]:
        """The parameters that embed `read` numbers, trained or not."""


class AbstractNet(AbstractOp, ABC):
    """A network from events (and a context, and a time) to an event of stated shape.

    One that reads a ``vector`` is given everything flattened and joined in order. One that reads an ``image`` is given
    the images [c, h, w] among its inputs and context joined along channels, one that reads a ``sequence`` its first
    input as rows [n, d]; all else that these read conditions them. A time is embedded first and joins the context.
    """

    role: ClassVar[str] = "net"
    reads: ClassVar[Literal["vector", "image", "sequence"]] = "vector"
    timed: ClassVar[bool] = False
    """Whether it is made for arrows in time, so that its `time` stands unread in other uses."""

    @abstractmethod
    def net_parameters(self, use: NetUse) -> tuple[ParamSpec, ...]:
        """The parameters for this use, names relative to the net's address; `Refusal` where it cannot serve it."""

    def time_embedding(self) -> AbstractEmbedding | None:
        """What is made of a time before the layers read it; None where they read the number."""
        return None

    def input_embedding(self) -> AbstractEmbedding | None:
        """Features of the inputs that the layers read beside them, if any."""
        return None

    def untimed(self) -> Refusal:
        """The refusal of a use without a time."""
        return Refusal(
            "DGM449",
            f"`{self.name}` says how it reads a time, and nothing here is one",
            argument="net",
            help=("leave `time = …` out; it serves the nets of arrows over time",),
        )

    def embedded(self, use: NetUse) -> tuple[NetUse, tuple[ParamSpec, ...]]:
        """The use as the layers meet it, and the parameters of the embeddings."""
        time, inputs, found = self.time_embedding(), self.input_embedding(), []
        if time is not None and use.time:
            found += [spec.under("time") for spec in time.parameters(use.time)]
            use = replace(use, time=time.size(use.time))
        elif time is not None and not self.timed:
            raise self.untimed()
        if inputs is not None and use.read:
            found += [spec.under("inputs") for spec in inputs.parameters(use.read)]
            use = replace(use, inputs=(*use.inputs, (inputs.size(use.read),)))
        return use, tuple(found)


class AbstractMask(AbstractOp, ABC):
    """Which coordinates a coupling leaves untouched."""

    role: ClassVar[str] = "mask"

    @abstractmethod
    def untouched(self, shape: Shape) -> tuple[int, ...]:
        """The flat indices of part one (untouched, read by the net), ascending."""


class AbstractOrder(AbstractOp, ABC):
    """In which order an autoregressive step conditions its coordinates."""

    role: ClassVar[str] = "order"

    @abstractmethod
    def precedence(self, shape: Shape) -> Precedence:
        """Which flat coordinates of an event come before which; `Refusal` where the order cannot be that event's."""


class AbstractDistribution(AbstractOp, ABC):
    """A distribution of an event. Its fields are parameters: numbers, vectors of numbers, expressions over the
    variables and learned parameters in scope, or nets of the context. The twin receives them evaluated, by name."""

    role: ClassVar[str] = "distribution"
    factorises: ClassVar[bool] = False
    """Whether the coordinates of the event are independent."""
    density: ClassVar[Literal["exact", "estimate"]] = "exact"
    pathwise: ClassVar[bool] = True
    """Whether a draw is a differentiable function of the parameters (of a fixed draw of noise)."""
    conditioned: ClassVar[bool] = False
    """Whether a net that it owns reads what stands after the bar."""
    relaxes: ClassVar[bool] = False
    """Whether nets that read a draw are given `features` that stand for it and pass a surrogate's gradient."""
    updates: ClassVar[bool] = False
    """Whether the twin has `update`, which gives parameters of the law's own new values at every training step."""

    @abstractmethod
    def support(self, type_: Type) -> Support:
        """The exact support the density lives on, to be compared with the variable's."""

    @abstractmethod
    def draws(self, type_: Type) -> tuple[Draw, ...]:
        """The per-sample randomness that `sample` turns into one event."""

    def own_parameters(self, type_: Type, given: Type | None = None) -> tuple[ParamSpec, ...]:
        """The parameters that the law owns itself: of nets that read the event, and what is `given`; and its codes."""
        return ()

    def density_draws(self, type_: Type) -> tuple[Draw, ...]:
        """The randomness that the log-density reads, where it is an estimate."""
        return ()

    def features(self, type_: Type) -> Shape:
        """The shape of what nets read of a draw, where the law relaxes."""
        return type_.shape

    def has_divergence(self, other: AbstractDistribution) -> bool:
        """Whether KL(self ‖ other) is known in closed form, for an event of both."""
        return False


class AbstractLoss(AbstractOp, ABC):
    """A term of the loss, a mean over the batch that training makes smaller, in nats.

    What a term asks of a model and how it is computed are looked up by the abstract classes below this one.
    """

    role: ClassVar[str] = "loss"
    reads_data: ClassVar[bool] = True
    """Whether the term averages over observations; one that does not draws its own points."""


class AbstractDensityLoss(AbstractLoss, ABC):
    """sign · E[log-density of the walk, less the target's log-density].

    `walk` says along which direction of the model the term is computed: ``log_prob`` reads data, and
    ``sample_and_log_prob`` draws from the model itself.
    """

    walk: ClassVar[Literal["log_prob", "sample_and_log_prob"]]
    sign: ClassVar[Literal[1, -1]]
    against_target: ClassVar[bool] = False
    """Whether the unnormalised density ``observe x ~ exp(e)`` is subtracted."""


class AbstractCommitment(AbstractLoss, ABC):
    """weight · E of the squared distance between the vectors of a posterior and the codes that stand for them."""

    @abstractmethod
    def weight(self) -> Any:
        """The factor: a number, or a formula of the step."""


class AbstractArrowLoss(AbstractLoss, ABC):
    """A term about one step alone: one number a row from the values at the step's start, and draws of its own.

    The values come from the data and are taken as they are: no gradient passes to what made them. A term of `pairs`
    reads the values at both ends, one of which is the data's and the other an independent draw.
    """

    pairs: ClassVar[bool] = False

    def needs(self) -> str:
        """What to write in a model that has no arrow for the term."""
        return "add an arrow that learns: `sde x -> z over t in 0..1 { … learn noise(x, t) = mlp(64, 64) }`"

    @abstractmethod
    def fits(self, step: AbstractStep) -> bool:
        """Whether steps of this kind can have the term at all: it binds to the only one that can."""

    @abstractmethod
    def check(self, step: AbstractStep, event: Type) -> None:
        """Raise `Refusal` where this very step cannot have the term."""

    @abstractmethod
    def term_draws(self, step: AbstractStep, event: Type) -> tuple[Draw, ...]:
        """The per-sample randomness of the term."""


class AbstractRateLoss(AbstractArrowLoss, ABC):
    """A term that a step integrates along its way when a density is worked out (`AbstractStep.with_rates`): `rate` is
    what it calls it there."""

    rate: ClassVar[str]

    def check(self, step: AbstractStep, event: Type) -> None:
        """Every step that it fits has the term."""

    def term_draws(self, step: AbstractStep, event: Type) -> tuple[Draw, ...]:
        return ()


class ArrowTerm(AbstractOp):
    """A loss term with the step that it is about: what an instruction runs. `at` is the address of the term; `begins`
    whether the step begins on the side of the data."""

    role: ClassVar[str] = "term"
    name: ClassVar[str] = "term"
    written: ClassVar[bool] = False

    loss: AbstractArrowLoss
    step: AbstractStep
    at: Address
    begins: bool = True


class AbstractBound(AbstractLoss, ABC):
    """A bound on -E[log p(x)] from draws of the latent variables: of the posterior, or of the prior.

    w is p(x, z) / q(z) at a draw (p(x | z) where it is the prior's). `pooled` says what is made of the `copies` draws
    of a row: the mean of log w, or the log of the mean of w.
    """

    origin: ClassVar[Literal["posterior", "prior"]]
    pooled: ClassVar[Literal["average", "log_mean_exp"]]

    @property
    @abstractmethod
    def copies(self) -> int:
        """How many draws a row of data gets."""

    def divergence_weight(self) -> Any:
        """What the divergence of posterior and prior is multiplied with: a number, or a formula of the step."""
        return 1.0

    def free_nats(self) -> float:
        """Below how many nats the divergence of a latent variable, averaged over the batch, is not pushed down."""
        return 0.0

    def sticks(self) -> bool:
        """Whether log q passes its gradient through the draw alone, not through its parameters."""
        return False
