"""What an operation reads beside its inputs: parameters, how they start, and draws of randomness."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from dgmspec.core.address import Address, child
from dgmspec.core.masking import WeightMask
from dgmspec.core.types import Shape


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
    ``learn`` of the model): such a one is shared by all that read it. `copies` is the full address of a parameter whose
    value this one holds as it was when training began, empty for any other.
    """

    name: str
    shape: Shape
    init: Init = Init()
    mask: WeightMask | None = None
    trainable: bool = True
    at: Address = ""
    copies: Address = ""

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
