"""What distributions share: parameters with names and domains, and products of independent coordinates.

A parameter is a number, a vector of numbers that broadcasts to the event, an expression over the variables and learned
parameters in scope, or a net of the context; `domain_of` says which values it may take, so that a net's output can be
mapped there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.distributions import AbstractDistribution
from dgmspec.core.nets import AbstractNet
from dgmspec.core.parameters import Draw
from dgmspec.core.types import POSITIVE, Shape, Support, Type, number

Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Vector = tuple[Finite, ...]
Matrix = tuple[Vector, ...]
ParameterValue = Finite | Vector | AbstractExpr | AbstractNet
Noise = Literal["uniform", "normal", "exponential"]


class AbstractParametric(AbstractDistribution, ABC):
    """A distribution whose parameters have names and domains; those inside a mixture are ``components/0/loc``."""

    @abstractmethod
    def parameters(self) -> Mapping[str, ParameterValue | Matrix]:
        """Every parameter as declared, by name; the twin reads those that are no constants from its arguments."""

    @abstractmethod
    def domain_of(self, parameter: str) -> Support:
        """The values that the parameter of that name may take."""

    def choices(self) -> tuple[str, ...]:
        return () if self.pathwise else tuple(self.parameters())

    @abstractmethod
    def heads(self) -> tuple[str, ...]:
        """The parameters that one net for the whole distribution gives, in this order."""

    def width(self, parameter: str, type_: Type) -> int | None:
        """How many numbers a coordinate of the event has of that parameter, along a dimension of their own at the end;
        None where it is one, in the event's shape."""
        return None

    def shape_of(self, parameter: str, type_: Type) -> Shape:
        """The shape that a parameter broadcasts to."""
        width = self.width(parameter, type_)
        return type_.shape if width is None else (*type_.shape, width)

    def check_formula(self, parameter: str, shape: Shape) -> None:
        """Raise `Refusal` where a formula of that shape cannot be the parameter although it broadcasts to it."""


class AbstractProduct(AbstractParametric, ABC):
    """Independent coordinates, one law each; the fields are the parameters.

    `domains` holds each parameter's domain; `fixed` names those that must be constants, because they decide the support
    or a draw that is made outside.
    """

    factorises: ClassVar[bool] = True
    domains: ClassVar[Mapping[str, Support]]
    fixed: ClassVar[tuple[str, ...]] = ()
    closed_divergence: ClassVar[bool] = False
    """Whether the divergence of two laws of the family is known in closed form."""
    noise: ClassVar[Noise] = "uniform"
    """The law of the one number a coordinate that a draw is made of, where it is made of one."""

    @model_validator(mode="after")
    def _in_domain(self) -> Self:
        for name, value in self.parameters().items():
            domain = self.domains[name]
            for constant in constants(value):
                if not domain.low < constant < domain.high:
                    raise Refusal(
                        "DGM470",
                        f"`{name}` of `{self.name}` must lie in {domain.describe()}, got {number(constant)}",
                        argument=name,
                        help=(f"give `{name}` a {'positive value' if domain == POSITIVE else 'value inside'}",),
                    )
            if name in self.fixed and isinstance(value, AbstractExpr | AbstractNet):
                raise Refusal(
                    "DGM474",
                    f"`{name}` of `{self.name}` must be a number, not a formula or a network",
                    argument=name,
                    help=(f"give `{name}` a number or a param; a location, scale or rate may be learned",),
                )
        return self

    def parameters(self) -> dict[str, ParameterValue]:
        values = {name: getattr(self, name) for name in self.domains}
        return {name: value for name, value in values.items() if value is not None}

    def domain_of(self, parameter: str) -> Support:
        return self.domains[parameter]

    def draws(self, type_: Type) -> tuple[Draw, ...]:
        return (Draw("noise", type_.shape, self.noise),)

    def heads(self) -> tuple[str, ...]:
        return tuple(name for name in self.domains if name not in self.kept())

    def kept(self) -> tuple[str, ...]:
        """The parameters that stay as they are written where one net gives the others."""
        return self.fixed

    def support(self, type_: Type) -> Support:
        for name, value in self.parameters().items():
            _check_broadcast(name, value, self.shape_of(name, type_), type_)
        return self.values(type_.support)

    def has_divergence(self, other: AbstractDistribution) -> bool:
        return self.closed_divergence and type(self) is type(other)

    @abstractmethod
    def values(self, declared: Support) -> Support:
        """The support of one coordinate of a variable that is declared on `declared`."""


def constants(value: ParameterValue) -> tuple[float, ...]:
    """The numbers of a parameter, none where it is a formula or a net."""
    if isinstance(value, AbstractExpr | AbstractNet):
        return ()
    return value if isinstance(value, tuple) else (value,)


def _check_broadcast(name: str, value: ParameterValue, shape: Shape, type_: Type) -> None:
    """Refuse a vector of numbers that does not broadcast to the parameter's shape."""
    if isinstance(value, tuple) and len(value) not in shape[-1:]:
        wanted = f"{shape[-1]} numbers or a single one" if shape else "a single number"
        raise Refusal(
            "DGM310",
            f"`{name}` has {len(value)} numbers, which do not fit {type_}",
            argument=name,
            help=(f"give `{name}` {wanted}",),
        )


PROPOSALS = 8
"""Proposals to a gamma draw whose concentration is a formula; each is taken with a chance of 0.95 or more."""


def gamma_draws(name: str, concentration: ParameterValue, shape: Shape, factor: float = 1.0) -> tuple[Draw, ...]:
    """What standard gamma draws of a concentration (times `factor`) are made of.

    Of a constant it is the draw itself, or one for each entry of a vector that runs along the last dimension, named
    ``name/0``, ``name/1``, …; of a formula or a net the proposals among which the twin chooses.
    """
    if isinstance(concentration, tuple):
        parts = enumerate(concentration)
        return tuple(Draw(f"{name}/{i}", shape[:-1], "gamma", factor * value) for i, value in parts)
    if isinstance(concentration, float):
        return (Draw(name, shape, "gamma", factor * concentration),)
    normals = (Draw(f"{name}/proposed/{i}", shape, "normal") for i in range(PROPOSALS))
    chances = (Draw(f"{name}/chance/{i}", shape) for i in range(PROPOSALS - 1))
    return *normals, *chances, Draw(f"{name}/power", shape)
