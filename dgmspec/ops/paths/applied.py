"""What the law of a process reads that is no number of its own: nets, with their shapes and parameters, and variables
of the arrow's context."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dgmspec.algebra.intervals import REALS, Interval
from dgmspec.algebra.updates import as_interval
from dgmspec.core.address import Address
from dgmspec.core.parameters import ParamSpec
from dgmspec.core.types import Shape, Type
from dgmspec.ops.authored import OwnNet, Reading
from dgmspec.ops.continuous import Seen
from dgmspec.ops.continuous.applied import AbstractApplied, Gradient
from dgmspec.ops.continuous.placed import seen_shape
from dgmspec.ops.continuous.readers import net_parameters
from dgmspec.ops.nets import External

__all__ = ["WHOLE", "Applied"]

WHOLE = "the whole state"
"""What a net without a type gives a value like; a name that no text can give."""


@dataclass(frozen=True)
class Applied(AbstractApplied):
    """The nets of drift and diffusion, over the state and the `time`; the variables of the context that are `seen`."""

    time: str = ""
    nets: tuple[OwnNet, ...] = ()
    readings: tuple[Reading, ...] = ()
    gradients: tuple[Gradient, ...] = ()
    in_place: frozenset[str] = frozenset()
    seen: tuple[Seen, ...] = ()

    def __bool__(self) -> bool:
        """Whether the law reads any of them."""
        return bool(self.nets or self.seen)

    def shapes(self, state: Shape) -> dict[str, Shape]:
        """The shapes of these variables, and of the values of nets and of gradients."""
        known: Mapping[str, Shape] = {WHOLE: state}
        found = {reading.symbol: self.net(reading.net).size.at(known) for reading in self.all_readings}
        found |= {gradient.symbol: state for gradient in self.gradients}
        return found | {seen.name: seen_shape(seen.type) for seen in self.seen}

    def intervals(self) -> dict[str, Interval]:
        """Where these values lie."""
        found = {reading.symbol: as_interval(self.net(reading.net).support) for reading in self.all_readings}
        found |= {gradient.symbol: REALS for gradient in self.gradients}
        bounded = {seen.name: as_interval(seen.type.support) for seen in self.seen if seen.type.support.continuous}
        return found | {seen.name: REALS for seen in self.seen} | bounded

    def parameters(
        self, state: Shape, known: Mapping[str, Shape], c: Type | None, shared: Mapping[str, Address]
    ) -> list[ParamSpec]:
        """What the nets learn; `known` has the shapes of all names in the formulas, `shared` where the model's are."""
        shapes = {WHOLE: state, **known}
        return [
            spec.under(net.name, shared.get(net.name, ""))
            for net in self.nets
            for spec in net_parameters(self, net, shapes, c)
        ]

    def externals(self, shared: Mapping[str, Address]) -> tuple[tuple[str, Address], ...]:
        """The nets that Python supplies."""
        return tuple((net.name, shared[net.name]) for net in self.nets if isinstance(net.op, External))
