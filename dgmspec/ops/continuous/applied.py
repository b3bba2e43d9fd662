"""Nets inside the formulas of an arrow: the value of each under a name of its own, and gradients of numbers made of
them."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dgmspec.algebra.nodes import AbstractExpr, Name
from dgmspec.algebra.rewrite import free_names
from dgmspec.ops.authored import OwnNet, Reading
from dgmspec.ops.nets import External

__all__ = ["AbstractApplied", "Gradient"]


@dataclass(frozen=True)
class Gradient:
    """The gradient of a number with respect to the state, ``g = grad(E(y), y)``; nets inside E have their readings."""

    symbol: str
    energy: AbstractExpr
    readings: tuple[Reading, ...] = ()


class AbstractApplied(ABC):
    """The nets that formulas over a state and a `time` apply. Those `in_place` read the arrow's context beside their
    arguments."""

    time: str
    nets: tuple[OwnNet, ...]
    readings: tuple[Reading, ...]
    gradients: tuple[Gradient, ...]
    in_place: frozenset[str]

    def net(self, name: str) -> OwnNet:
        """The net of that name."""
        return next(net for net in self.nets if net.name == name)

    def is_time(self, arg: AbstractExpr) -> bool:
        """Whether an argument of a net is the time by itself."""
        return isinstance(arg, Name) and arg.id == self.time

    def inputs(self, reading: Reading) -> tuple[AbstractExpr, ...]:
        """What a reading gives its net beside the time, which a net of Python's is given as anything else."""
        if isinstance(self.net(reading.net).op, External):
            return reading.args
        return tuple(arg for arg in reading.args if not self.is_time(arg))

    @property
    def all_readings(self) -> Iterator[Reading]:
        """Every reading, those inside gradients too."""
        yield from self.readings
        for gradient in self.gradients:
            yield from gradient.readings

    def moved_by(self, states: Iterable[str]) -> frozenset[str]:
        """The names that depend on a state: its own, and the values of nets and gradients that read it."""
        found = set(states)
        for reading in self.all_readings:
            if any(found.intersection(free_names(arg)) for arg in reading.args):
                found.add(reading.symbol)
        return frozenset(found | {gradient.symbol for gradient in self.gradients})
