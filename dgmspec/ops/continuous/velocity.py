"""What the velocity of an `ode` arrow says, closed: params put in, functions written out, nets read off by name.

The formula is one over plain names: the state, the time, variables of the context, learned numbers, and the values of
nets and of gradients, each of which has a name of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b

from dgmspec.algebra.nodes import AbstractExpr, Argument, Call, Name
from dgmspec.algebra.rewrite import free_names, substitute
from dgmspec.core.address import Address
from dgmspec.core.types import Type
from dgmspec.ops.authored import OwnConstant, OwnNet, Reading
from dgmspec.ops.continuous.applied import AbstractApplied, Gradient

__all__ = ["Gradient", "Seen", "Velocity"]


@dataclass(frozen=True)
class Seen:
    """A variable of the arrow's context that the formula can name: its numbers stand from `start` on in the context;
    None where it is the whole context."""

    name: str
    type: Type
    start: int | None = None


@dataclass(frozen=True, eq=False)
class Velocity(AbstractApplied):
    """``velocity(y, t) = value``; two are equal if they say the same at the same place.

    `time` is empty where the velocity names none. `shared` holds the address of each net and learned number that is
    the model's. Nets in `in_place` read the arrow's context beside their arguments. `unproved` are the terms, as text,
    that are not Lipschitz in the state by their form.
    """

    state: str
    time: str
    value: AbstractExpr
    learned: tuple[OwnConstant, ...] = ()
    nets: tuple[OwnNet, ...] = ()
    readings: tuple[Reading, ...] = ()
    gradients: tuple[Gradient, ...] = ()
    seen: tuple[Seen, ...] = ()
    shared: tuple[tuple[str, Address], ...] = ()
    in_place: frozenset[str] = frozenset()
    unproved: tuple[str, ...] = ()
    key: str = field(init=False)
    """Stands for the whole: what is prepared once for a velocity is filed under it."""

    def __post_init__(self) -> None:
        said = [getattr(self, name) for name in self.__dataclass_fields__ if name not in ("key", "in_place")]
        text = repr((*said, sorted(self.in_place)))
        object.__setattr__(self, "key", blake2b(text.encode(), digest_size=12).hexdigest())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Velocity) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def at(self, name: str) -> Address:
        """The address of a net or a learned number of the model; empty for one of the arrow's own."""
        return dict(self.shared).get(name, "")

    @cached_property
    def moving(self) -> frozenset[str]:
        """The names that depend on the state: itself, and the values of nets and gradients that read it."""
        return self.moved_by((self.state,))

    @cached_property
    def applied(self) -> Mapping[str, AbstractExpr]:
        """Nets and gradients as they were written, by the names of their values."""
        applied: dict[str, AbstractExpr] = {}
        for reading in self.all_readings:
            args = tuple(Argument(value=substitute(arg, applied)) for arg in reading.args)
            applied[reading.symbol] = Call(name=reading.net, args=args)
        for gradient in self.gradients:
            energy, by = Argument(value=substitute(gradient.energy, applied)), Argument(value=Name(id=self.state))
            applied[gradient.symbol] = Call(name="grad", args=(energy, by))
        return applied

    def written(self) -> AbstractExpr:
        """The formula as it was written."""
        return substitute(self.value, self.applied)

    def reads_time(self) -> bool:
        """Whether the velocity depends on the time."""
        args = [arg for reading in self.all_readings for arg in reading.args]
        formulas = (self.value, *args, *(gradient.energy for gradient in self.gradients))
        return bool(self.time) and any(self.time in free_names(formula) for formula in formulas)

    def values(self) -> Mapping[str, Reading]:
        """Readings by the names of their values."""
        return {reading.symbol: reading for reading in self.all_readings}
