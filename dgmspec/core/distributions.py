"""The abstract distribution: priors, posteriors and likelihoods."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

from dgmspec.core.nets import AbstractNet
from dgmspec.core.op import AbstractOp
from dgmspec.core.parameters import Draw, ParamSpec
from dgmspec.core.types import Shape, Support, Type


class AbstractDistribution(AbstractOp, ABC):
    """A distribution of an event. Its fields are parameters: numbers, vectors of numbers, expressions over the
    variables and learned parameters in scope, or nets of the context. The twin receives them evaluated, by name."""

    role: ClassVar[str] = "distribution"
    factorises: ClassVar[bool] = False
    """Whether the coordinates of the event are independent."""
    density: ClassVar[Literal["exact", "estimate", "none"]] = "exact"
    """What its log-density is; a law without one only draws."""
    pathwise: ClassVar[bool] = True
    """Whether a draw is a differentiable function of the parameters (of a fixed draw of noise)."""
    conditioned: ClassVar[bool] = False
    """Whether a net that it owns reads what stands after the bar."""
    relaxes: ClassVar[bool] = False
    """Whether nets that read a draw are given `features` that stand for it and pass a surrogate's gradient."""
    has_mean: ClassVar[bool] = True
    """Whether the twin has `mean`."""
    updates: ClassVar[bool] = False
    """Whether the twin has `update`, which gives parameters of the law's own new values at every training step."""

    of_posterior: ClassVar[bool] = False
    """Whether it is a prior made of the variable's posterior: `joined` then is the law that it is."""

    def joined(self, posterior: AbstractDistribution, data: Type) -> tuple[AbstractDistribution, AbstractNet] | None:
        """The law that this prior is, its parameters ``of/…`` those of `posterior` at what a net of no inputs gives in
        place of the data; None where it cannot be."""
        return None

    @abstractmethod
    def support(self, type_: Type) -> Support:
        """The exact support the density lives on, to be compared with the variable's."""

    @abstractmethod
    def draws(self, type_: Type) -> tuple[Draw, ...]:
        """The per-sample randomness that `sample` turns into one event."""

    def own_parameters(self, type_: Type, given: Type | None = None) -> tuple[ParamSpec, ...]:
        """The parameters that the law owns itself: of nets that read the event, and what is `given`; and its codes."""
        return ()

    def choices(self) -> tuple[str, ...]:
        """The parameters, by path, that a draw chooses by, so that no gradient of it reaches them; ``net`` is its own
        net."""
        return ()

    def density_draws(self, type_: Type) -> tuple[Draw, ...]:
        """The randomness that the log-density reads, where it is an estimate."""
        return ()

    def data(self) -> tuple[Any, str | None] | None:
        """The data source whose rows it draws, and its name in the file, where it has one; None of other laws."""
        return None

    def features(self, type_: Type) -> Shape:
        """The shape of what nets read of a draw, where the law relaxes."""
        return type_.shape

    def has_divergence(self, other: AbstractDistribution) -> bool:
        """Whether KL(self ‖ other) is known in closed form, for an event of both."""
        return False
