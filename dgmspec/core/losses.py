"""The abstract terms of a loss: each kind tells the builders of programs what it is computed from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

from dgmspec.core.address import Address
from dgmspec.core.op import AbstractOp
from dgmspec.core.parameters import Draw, ParamSpec
from dgmspec.core.steps import AbstractStep
from dgmspec.core.types import Type


class AbstractLoss(AbstractOp, ABC):
    """A term of the loss, a mean over the batch that training makes smaller, in nats.

    What a term asks of a model and how it is computed are looked up by the abstract classes below this one.
    """

    role: ClassVar[str] = "loss"
    reads_data: ClassVar[bool] = True
    """Whether the term averages over observations; one that does not draws its own points."""
    of_density: ClassVar[bool] = False
    """Whether the term is a density or a bound of one, so that its gradient reaches all that the density reads."""

    def unweighted(self) -> str:
        """Why rows of the data cannot count by weights of their own, said after the term's name; nothing where they
        can. A term that draws its own points has no rows to weigh, and stays as it is beside others."""
        return ""


class AbstractDensityLoss(AbstractLoss, ABC):
    """sign · E[log-density of the walk, less the target's log-density].

    `walk` says along which direction of the model the term is computed: ``log_prob`` reads data, and
    ``sample_and_log_prob`` draws from the model itself.
    """

    of_density: ClassVar[bool] = True
    walk: ClassVar[Literal["log_prob", "sample_and_log_prob"]]
    sign: ClassVar[Literal[1, -1]]
    against_target: ClassVar[bool] = False
    """Whether the unnormalised density ``observe x ~ exp(e)`` is subtracted."""


class AbstractPosteriorLoss(AbstractDensityLoss, ABC):
    """-E[log q] of what `infer` says of an observed variable, given the other observed ones."""

    walk: ClassVar[Literal["log_prob", "sample_and_log_prob"]] = "log_prob"
    sign: ClassVar[Literal[1, -1]] = -1


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

    def term_parameters(
        self, step: AbstractStep, at: Address, event: Type, given: Type | None
    ) -> tuple[ParamSpec, ...]:
        """The parameters of the term itself, which is about the step at the address `at`."""
        return ()

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


class AbstractScoreLoss(AbstractLoss, ABC):
    """A term from the score of one variable, ∇ log p(x): that of an energy, or a net (``learn score(x) = NET``). One
    number a row from data, which are taken as they are, and draws of its own.

    A class that is also an `AbstractArrowLoss` is about a variable where the model has no arrow for it.
    """

    by_density: ClassVar[bool] = False
    """Whether it needs the log-density up to a constant, of which a score alone is not enough."""
    against_target: ClassVar[bool] = False
    """Whether it compares the score with that of a known density ``~ exp(e)``."""
    measures: ClassVar[bool] = True
    """Whether a smaller value is a better fit."""
    biased: ClassVar[str] = ""
    """Of a gradient that is not that of a likelihood or a divergence: why, in words."""

    def check_score(self, event: Type) -> None:
        """Raise `Refusal` where the term cannot be had of this variable."""

    @abstractmethod
    def score_draws(self, event: Type) -> tuple[Draw, ...]:
        """The per-sample randomness of the term."""

    def kept(self, event: Type) -> tuple[ParamSpec, ...]:
        """What the term keeps from step to step of training, which no gradient reaches."""
        return ()

    def most_rows(self) -> int | None:
        """How many rows a batch may have at most, by what is kept."""
        return None


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

    of_density: ClassVar[bool] = True
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
