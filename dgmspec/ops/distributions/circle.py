"""Distributions of angles: `von_mises`. ``uniform(-pi, pi)`` is the other one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

from pydantic import model_validator

from dgmspec.core.diagnostics import Refusal
from dgmspec.core.parameters import Draw
from dgmspec.core.types import CIRCLE, POSITIVE, REAL, Support, Type, number
from dgmspec.ops.distributions.product import AbstractProduct, ParameterValue, constants

LARGEST = 1000.0


class VonMises(AbstractProduct):
    """The von Mises law on the circle.

    Formula: ``p(x) = exp(κ cos(x - loc)) / (2π I₀(κ))``, κ the `concentration`, at most 1000.
    Shapes: any; `concentration` is a number.
    Support: circle.
    Sampling: ``loc + a`` on the circle, a around 0 by the rejection of Best and Fisher; differentiable in `loc`.
    Caveat: `loc` is an angle in radians; whole turns of it change nothing.
    Reference: Mardia and Jupp, Directional Statistics, section 3.5.4.
    """

    name: ClassVar[str] = "von_mises"
    examples: ClassVar[tuple[str, ...]] = ("von_mises(0, 2)", "von_mises(loc = [1, -3], concentration = 0.5)")
    domains: ClassVar[Mapping[str, Support]] = {"loc": REAL, "concentration": POSITIVE}
    fixed: ClassVar[tuple[str, ...]] = ("concentration",)

    loc: ParameterValue
    concentration: ParameterValue

    @model_validator(mode="after")
    def _one_number(self) -> Self:
        found = constants(self.concentration)
        if isinstance(self.concentration, tuple) or max(found, default=1.0) > LARGEST:
            given = f"{len(found)} numbers" if isinstance(self.concentration, tuple) else number(found[0])
            raise Refusal(
                "DGM470",
                f"`concentration` of `von_mises` is one number up to {number(LARGEST)}, got {given}",
                argument="concentration",
                help=("give one concentration to all coordinates; a narrower law is a `normal` for every purpose",),
            )
        return self

    @property
    def kappa(self) -> float:
        """The concentration, which is a constant."""
        assert isinstance(self.concentration, float)
        return self.concentration

    def values(self, declared: Support) -> Support:
        return CIRCLE

    def draws(self, type_: Type) -> tuple[Draw, ...]:
        return (Draw("noise", type_.shape, "von_mises", self.kappa),)
