"""Markov transitions as steps of a flow: draws that leave a density ``exp(-E)``, known up to a constant, as it is.

A transition draws y given x from a law K in detailed balance, ``exp(-E(x)) K(y | x) = exp(-E(y)) K(x | y)``. Both ways
are drawn from K, so the step adds ``log K(x | y) - log K(y | x) = E(y) - E(x)`` to the log-density, whatever K is: no
Jacobian, and no density of a proposal or of staying. exp of what `log_prob` gives is right on average over the draws,
and `log_prob` a lower bound. From the prior on, what comes with a sample is log q of its whole way less the log of the
chance of that way back: an upper bound on average, and exp(-·) of it is right, E [exp(e(x) - log q)] = ∫ exp(e).

Between maps, at energies from the prior's to a target's, transitions anneal a flow towards modes that no bijection of
the prior divides.
References: Wu, Köhler and Noé 2020, "Stochastic normalizing flows"; Salimans, Kingma and Welling 2015, "Markov chain
Monte Carlo and variational inference: bridging the gap"; Neal 2001, "Annealed importance sampling".
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Literal, TypeVar

from pydantic import Field, InstanceOf

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.algebra.shapes import shape_of, show_shape
from dgmspec.core.address import Address
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.jacobian import Jacobian, Structure
from dgmspec.core.nets import NetUse
from dgmspec.core.parameters import Draw, ParamSpec
from dgmspec.core.steps import AbstractStep, Cost, Direction, Facts
from dgmspec.core.types import Shape, Type
from dgmspec.ops.authored import OwnConstant, OwnNet, Reading
from dgmspec.ops.authored.starts import start
from dgmspec.ops.continuous import Seen
from dgmspec.ops.continuous.placed import seen_shape
from dgmspec.ops.langevin import Positive
from dgmspec.ops.stochastic import require_line

__all__ = ["STATE", "AbstractTransition", "Hmc", "Metropolis", "Own", "Potential"]

STATE: Final = "_"
"""The name of the state in a formula that stands in a step."""

Moves = Annotated[int, Field(ge=1, le=100, strict=True)]


_T = TypeVar("_T")
Own = tuple[_T, Address]
"""What the model owns, with its address."""


@dataclass(frozen=True)
class Potential:
    """An energy as a step reads it: a formula of the state, of numbers that the model learns, of variables behind the
    flow's bar, and of the values of nets, each under a name of its own. `label` is what was written."""

    formula: AbstractExpr
    label: str
    learned: tuple[Own[OwnConstant], ...] = ()
    seen: tuple[Seen, ...] = ()
    nets: tuple[Own[OwnNet], ...] = ()
    readings: tuple[Reading, ...] = ()

    def shapes(self, state: Shape) -> Mapping[str, Shape]:
        """The shape of every name."""
        found = {STATE: state} | {seen.name: seen_shape(seen.type) for seen in self.seen}
        found |= {own.name: own.size.shape for own, _ in self.learned}
        sizes = {net.name: net.size.shape for net, _ in self.nets}
        return found | {reading.symbol: sizes[reading.net] for reading in self.readings}

    def parameters(self, state: Shape) -> tuple[ParamSpec, ...]:
        """What it learns, which is the model's."""
        shapes = self.shapes(state)
        found = [ParamSpec(c.name, c.size.shape, start(c, c.size.shape), at=at) for c, at in self.learned]
        for net, at in self.nets:
            forms = {tuple(shape_of(arg, shapes) for arg in r.args) for r in self.readings if r.net == net.name}
            if len(forms) > 1:
                raise Refusal(
                    "DGM312",
                    f"`{net.name}` reads arrays of one shape in one place and of another in another",
                    argument="energy",
                    help=("a net has one size: declare a second net",),
                )
            own = net.op.net_parameters(NetUse(next(iter(forms)), net.size.shape))
            found += [spec.under(net.name, at) for spec in own]
        return tuple(found)


class AbstractTransition(AbstractStep, ABC):
    """A step whose end is drawn both ways, from one law in detailed balance with ``exp(-energy)``."""

    balances: ClassVar[bool] = True
    density: ClassVar[Literal["exact", "estimate", "lower bound"]] = "lower bound"

    energy: InstanceOf[Potential] = Field(
        description="E: the name of an energy or a function of the state, or a formula in which `_` is the state"
    )

    def infer_type(self, x: Type, c: Type | None) -> Type:
        require_line(self.name, "moves", x)
        shape = shape_of(self.energy.formula, self.energy.shapes(x.shape))
        if shape:
            raise Refusal(
                "DGM458",
                f"an energy is one number an event, and `{self.energy.label}` has the shape {show_shape(shape)}",
                argument="energy",
                help=("sum it: `sum(…)`, or `dot(_, _)` for a sum of squares",),
            )
        return x

    def infer_input(self, y: Type, c: Type | None) -> Type:
        return self.infer_type(y, c)

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        return Jacobian.of(Structure.DENSE, x.size)

    def cost(self, x: Type, c: Type | None) -> Cost:
        once = Direction("solver", self.evaluations)
        return Cost("O(d)", once, once)

    @property
    @abstractmethod
    def evaluations(self) -> int:
        """How often the energy, or its slope, is worked out."""

    @abstractmethod
    def own_draws(self, x: Type) -> tuple[Draw, ...]:
        """What one way draws."""

    def draws(self, x: Type) -> tuple[Draw, ...]:
        return self.own_draws(x)

    def inverse_draws(self, x: Type) -> tuple[Draw, ...]:
        # Under one seed, other draws than those that made a sample: its density is worked out afresh.
        return tuple(Draw(f"{draw.name}_back", draw.shape, draw.law) for draw in self.own_draws(x))

    def density_along(self, forward: bool, x: Type) -> Literal["exact", "estimate", "lower bound"]:
        return self.density

    def facts(self, x: Type, c: Type | None) -> Facts:
        return Facts(proved=(f"`{self.name}` is in detailed balance with exp(-E): it adds the change of E",))

    def reads_context(self, x: Type, c: Type) -> bool:
        return bool(self.energy.seen)

    def names_context(self) -> bool:
        return bool(self.energy.seen)

    def parameters(self, x: Type, c: Type | None) -> tuple[ParamSpec, ...]:
        return self.energy.parameters(x.shape)


class Metropolis(AbstractTransition):
    """Random-walk Metropolis moves on the landscape of an energy, the same both ways.

    Formula: `steps` times ``y = x + scale · z``, z ~ N(0, 1), taken with the chance min(1, exp(E(x) - E(y))), else x
    stays.
    Shapes: any, kept. Domain: real -> real.
    Log-determinant: ``E(y) - E(x)`` of the last y and the first x; O(d) and one evaluation of E a move.
    Caveat: gradients pass through E and through the sum of the moves, which proposals were taken held fixed.
    Reference: Metropolis, Rosenbluth, Rosenbluth, Teller and Teller 1953; Wu, Köhler and Noé 2020, "Stochastic
    normalizing flows".
    """

    name: ClassVar[str] = "metropolis"
    examples: ClassVar[tuple[str, ...]] = (
        "metropolis(dot(_, _) / 2, scale = 0.7, steps = 5)",
        "metropolis(sum((_^2 - 1)^2) / 4, 0.5)",
    )

    scale: Positive = Field(description="standard deviation of a proposal's step, in every coordinate")
    steps: Moves = Field(1, description="moves proposed")

    @property
    def evaluations(self) -> int:
        return self.steps + 1

    def own_draws(self, x: Type) -> tuple[Draw, ...]:
        return Draw("proposal", (self.steps, *x.shape), "normal"), Draw("chance", (self.steps,))


class Hmc(AbstractTransition):
    """Hamiltonian moves on the landscape of an energy: orbits with fresh momenta, each taken by its chance.

    Formula: `steps` times p ~ N(0, 1), then `leapfrog` steps ``p -= ε/2 ∇E(x), x += ε p, p -= ε/2 ∇E(x)``, whose end
    is taken with the chance min(1, exp(H - H')), H = E(x) + p²/2, else x stays. With one leapfrog step it is `mala`
    with η = ε².
    Shapes: any, kept. Domain: real -> real.
    Log-determinant: ``E(y) - E(x)``: the leapfrog keeps volume and runs backwards; O(d) and one slope of E a leapfrog
    step.
    Caveat: gradients pass through the orbits, which of them were taken held fixed; these are then followed twice. An
    orbit that leaves the numbers is not taken.
    Reference: Duane, Kennedy, Pendleton and Roweth 1987, "Hybrid Monte Carlo"; Neal 2011, "MCMC using Hamiltonian
    dynamics"; Wu, Köhler and Noé 2020, "Stochastic normalizing flows".
    """

    name: ClassVar[str] = "hmc"
    examples: ClassVar[tuple[str, ...]] = (
        "hmc(dot(_, _) / 2, step_size = 0.5, leapfrog = 2)",
        "hmc(sum((_^2 - 1)^2) / 4, 0.3, 2, steps = 2)",
    )

    step_size: Positive = Field(description="ε, the time of a leapfrog step")
    leapfrog: Moves = Field(10, description="leapfrog steps to each proposal")
    steps: Moves = Field(1, description="orbits proposed")

    @property
    def evaluations(self) -> int:
        return self.steps * self.leapfrog + 1

    def own_draws(self, x: Type) -> tuple[Draw, ...]:
        return Draw("momentum", (self.steps, *x.shape), "normal"), Draw("chance", (self.steps,))
