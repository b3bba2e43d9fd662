"""The abstract step of a flow, and what it says of itself: what it costs, and which guarantees are not proved."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from dgmspec.core.address import Address
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.distributions import AbstractDistribution
from dgmspec.core.jacobian import Jacobian
from dgmspec.core.op import AbstractOp
from dgmspec.core.parameters import Draw, ParamSpec
from dgmspec.core.types import Part, Type


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
            return f"{self.passes:,} evaluation{'s' * (self.passes > 1)}" if self.passes else "adaptive"
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
class Kernel:
    """The law of the state at a `time` given that at the start: what it is in words, its coefficients as formulas of
    the time by their symbols, and the log of the ratio of signal to noise at both ends."""

    time: str
    said: str
    formulas: tuple[tuple[str, Any], ...]
    log_snr: tuple[float, float]


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
    guides: ClassVar[bool] = False
    """Whether its own direction, which no sampler runs, goes beyond what a context says where that is asked for."""
    keeps: ClassVar[bool] = False
    """Whether samplers along it can keep known coordinates of the variable at its start."""
    random: ClassVar[bool] = False
    """Whether the way forward draws its end given its start: a law, no map that could be tried or undone."""
    folds: ClassVar[bool] = False
    """Whether several events before the step have one behind it, so that it is undone by a draw among them; going
    forward nothing is drawn."""
    balances: ClassVar[bool] = False
    """Whether both ways draw, from one law in balance with itself: what it adds to log p is right on average either
    way."""
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

    def externals(self) -> tuple[tuple[str, Address], ...]:
        """The nets in it that Python supplies, each by its name and its address."""
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

    @property
    def drops(self) -> bool:
        """Whether its net is also trained without the context."""
        return False

    def dropping(self, share: float) -> AbstractStep | None:
        """The same step, whose net does not see the context of a share of the rows of training; None where it cannot
        do without."""
        return None

    def unlearned(self, of_density: bool) -> Refusal | None:
        """What a loss leaves as it starts, `of_density` where some term of it is a density; None where nothing."""
        return None

    def reads_context(self, x: Type, c: Type) -> bool:
        """Whether the map depends on the arrow's context, as it does where its parameters do."""
        return self.parameters(x, c) != self.parameters(x, None)

    def dynamics(self) -> tuple[str, str, Any, tuple[Any, Any]] | None:
        """The equation that the step solves, where it is one: the state, the time, the rate as a formula of both, and
        the times at which it starts and ends, numbers or formulas."""
        return None

    def stochastics(self) -> tuple[str, str, Any, Any, tuple[Any, Any]] | None:
        """The equation with noise that the step follows, where it is one: the state, the time, the drift and the
        diffusion as formulas of both, and the times at which it starts and ends."""
        return None

    def kernel(self, x: Type) -> Kernel | None:
        """The law of the state along the step's time, given that at the start, where it is normal and known."""
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
        """Whether the value behind the step depends on its draws, or that before it where it folds, so that the step
        has no Jacobian; a step may also draw for an estimate of its log-determinant alone."""
        return self.folds or bool(self.draws(x))

    @property
    def undone(self) -> bool:
        """Whether one way undoes the other to rounding, so that both can be tried as a map is."""
        return not (self.sampled or self.random or self.balances)

    @property
    def spills(self) -> bool:
        """Whether its samples may lie outside the data's support, where they are drawn again."""
        return self.density == "lower bound" and not self.balances

    def refined(self) -> AbstractStep:
        """The same map worked out more finely, where it is solved for: what reported likelihoods use."""
        return self

    @property
    def part(self) -> Part | None:
        """The image of the step and what it is by design a part of: the density is then a lower bound, without the mass
        of the rest (see `graph.parts`)."""
        return None

    @property
    def weighs(self) -> bool:
        """Whether exp of what it adds to log p is right on average over its draws, so that these join as weights: not
        where it adds an estimate or a bound of a logarithm."""
        return self.density != "estimate"

    @property
    def chooses(self) -> bool:
        """Whether the draw that undoes it is a choice by a learned law, through which no gradient passes."""
        return False

    def density_along(self, forward: bool, x: Type) -> Literal["exact", "estimate", "lower bound"]:
        """What the density becomes where data pass the step this way: undoing a draw, they have the exact one, of what
        remains times that of the draw; where a draw undoes the step, a bound."""
        if self.folds:
            return self.density if forward else "lower bound"
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
