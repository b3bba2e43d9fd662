"""What a bijector of the author's own says, closed: params put in, functions written out, nets read off by name.

A definition is a value. Its lines are formulas over plain names: the parts, the constants it learns, and the values of
its nets, each of which a `Reading` names before the line that uses it. A reading's name belongs to one state of the
parts, so its value is the same whether the lines run forwards or backwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import Final

from dgmspec.algebra.functions import FUNCTIONS
from dgmspec.algebra.nodes import AbstractExpr, Argument, Call, Index, Power, Product, Vector, walk
from dgmspec.algebra.rewrite import free_names, substitute
from dgmspec.core.address import Address
from dgmspec.core.nets import AbstractNet
from dgmspec.core.types import Shape, Support

__all__ = ["Definition", "Line", "OwnConstant", "OwnNet", "Reading", "Size", "coordinatewise"]


@dataclass(frozen=True)
class Size:
    """A shape: its own, or that of the part `like`."""

    shape: Shape = ()
    like: str = ""

    def at(self, shapes: Mapping[str, Shape]) -> Shape:
        """The shape where the parts have these."""
        return shapes[self.like] if self.like else self.shape


@dataclass(frozen=True)
class OwnConstant:
    """A parameter after ``;``, or a ``learn`` of the body: a number of `support`, or an array of them.

    `initial` is where it starts, one number or one for each entry; None is 0, 1 beyond a bound, an interval's middle.
    """

    name: str
    support: Support
    size: Size = Size()
    initial: float | tuple[float, ...] | None = None


@dataclass(frozen=True)
class OwnNet:
    """``net s(a) : like(b) = mlp(64)``: a network of the body, fresh at each use; its values lie in `support`."""

    name: str
    op: AbstractNet
    support: Support
    size: Size
    place: Address = ""


@dataclass(frozen=True)
class Reading:
    """The value of a net under a name of its own: ``s_1 = s(a, 2 * k)``."""

    symbol: str
    net: str
    args: tuple[AbstractExpr, ...]


@dataclass(frozen=True)
class Line:
    """``target <- value``, after its readings; `place` is where it was written."""

    target: str
    value: AbstractExpr
    readings: tuple[Reading, ...] = ()
    place: Address = ""


@dataclass(frozen=True, eq=False)
class Definition:
    """A whole bijector; two are equal if they say the same at the same place."""

    name: str
    parts: tuple[str, ...]
    parameters: tuple[OwnConstant, ...] = ()
    learned: tuple[OwnConstant, ...] = ()
    nets: tuple[OwnNet, ...] = ()
    lines: tuple[Line, ...] = ()
    place: Address = ""
    key: str = field(init=False)
    """Stands for the whole: what is prepared once for a definition is filed under it."""

    def __post_init__(self) -> None:
        said = (self.name, self.parts, self.parameters, self.learned, self.nets, self.lines, self.place)
        object.__setattr__(self, "key", blake2b(repr(said).encode(), digest_size=12).hexdigest())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Definition) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    @cached_property
    def scalar(self) -> bool:
        """Whether it maps each coordinate by itself, its parameters left to whoever uses it."""
        plain = not self.nets and not self.learned and all(p.size == Size() for p in self.parameters)
        return len(self.parts) == 1 and plain and all(coordinatewise(line.value) for line in self.lines)

    @property
    def constants(self) -> tuple[OwnConstant, ...]:
        """All that it learns as constants, where it stands as a step."""
        return (*self.parameters, *self.learned)

    @cached_property
    def readings(self) -> tuple[Reading, ...]:
        """Every reading of every line, in order, each once."""
        return tuple(dict.fromkeys(reading for line in self.lines for reading in line.readings))

    @cached_property
    def behind(self) -> Mapping[str, frozenset[str]]:
        """For each part and each reading the parts that its value can depend on."""
        found = {part: frozenset((part,)) for part in self.parts}
        for reading in self.readings:
            read = (found.get(name, frozenset()) for arg in reading.args for name in free_names(arg))
            found[reading.symbol] = frozenset().union(*read)
        return found

    def equations(self) -> tuple[tuple[str, AbstractExpr], ...]:
        """The lines with their nets applied as they were written."""
        applied: dict[str, AbstractExpr] = {}
        for reading in self.readings:
            args = tuple(Argument(value=substitute(arg, applied)) for arg in reading.args)
            applied[reading.symbol] = Call(name=reading.net, args=args)
        return tuple((line.target, substitute(line.value, applied)) for line in self.lines)

    def net(self, name: str) -> OwnNet:
        """The net of that name."""
        return next(net for net in self.nets if net.name == name)


_KINKS: Final = frozenset(("abs", "relu", "sign", "min", "max", "sqrt"))


def analytic(formula: AbstractExpr) -> bool:
    """Whether a formula is sure to be one analytic function on each interval of its domain, whatever the interval."""
    return not any(isinstance(n, Power) or (isinstance(n, Call) and n.name in _KINKS) for n in walk(formula))


def coordinatewise(formula: AbstractExpr) -> bool:
    """Whether a formula is made of functions of single coordinates alone."""
    for node in walk(formula):
        if isinstance(node, (Index, Vector)):
            return False
        if isinstance(node, Product) and any(factor.op == "@" for factor in node.factors):
            return False
        if isinstance(node, Call) and FUNCTIONS[node.name].kind != "map":
            return False
    return True
