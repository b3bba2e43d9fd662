"""The abstract scalar map: what couplings, autoregressive and elementwise steps apply to each coordinate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from dgmspec.core.op import AbstractOp
from dgmspec.core.parameters import Init
from dgmspec.core.steps import Direction, Facts
from dgmspec.core.types import Part, Support


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

    def part(self) -> Part | None:
        """The image and what it is by design a part of, whatever the support at hand (``logit(alpha)``); None where the
        image is all that is meant."""
        return None

    @abstractmethod
    def image(self, support: Support) -> Support:
        """The exact image of `support` (an open interval) under the map; `Refusal` if it leaves the domain."""

    @abstractmethod
    def preimage(self, support: Support) -> Support:
        """The exact set that the map takes onto `support`; `Refusal` if there is none."""

    def directions(self, passes: int) -> tuple[Direction, Direction]:
        """What applying it and undoing it cost where a net gives its parameters in `passes` evaluations."""
        plain = Direction("parallel", passes)
        return plain, Direction("iterative") if self.inverts == "iterative" else plain

    def spelled(self) -> str:
        """Its name as the text has it, ``inverse`` and all."""
        return self.name

    def constant_slope(self) -> bool:
        """Whether the derivative does not depend on x (affine maps): the log-det is then constant in x."""
        return False

    def unit_slope(self) -> bool:
        """Whether |derivative| is 1 everywhere: a coupling of it preserves volume."""
        return False
