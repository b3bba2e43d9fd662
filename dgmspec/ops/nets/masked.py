"""The autoregressive reading of nets: what they give for a coordinate reads the coordinates before it alone.

In a chain of linear layers every unit stands for a set of coordinates and reads the units of its subsets. An input
stands for its coordinate, a context for the empty set, and the outputs for a coordinate for all that it is conditioned
on. In a linear order all of these sets are prefixes and are told apart by their lengths: an input of rank r has degree
r + 1, a context degree 0, the outputs for rank r degree r, and each hidden layer spreads the degrees 1..d-1 (0..d-1
with a context) evenly over its units in ascending order. In a layer narrower than that some degrees are missing:
outputs then read a shorter prefix. Over a graph the hidden units are spread over the distinct sets of parents.
Reference: Germain, Gregor, Murray and Larochelle 2015, "MADE: Masked autoencoder for distribution estimation".
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from operator import or_
from typing import TYPE_CHECKING

from dgmspec.core.dependency import bit_indices
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.masking import AbstractOrder, DegreeMask, Precedence, SubsetMask, WeightMask
from dgmspec.core.nets import AbstractNet, NetUse
from dgmspec.core.parameters import ParamSpec
from dgmspec.core.types import Shape, Type
from dgmspec.ops.nets.reading import context_shape, features
from dgmspec.ops.orders import Natural

__all__ = [
    "AbstractMasked",
    "AbstractOrdered",
    "masked_net",
    "masked_use",
    "prefixes_seen",
    "unit_levels",
    "weight_masks",
]


class AbstractMasked(AbstractNet, ABC):
    """A net that has an autoregressive reading.

    Feature k of coordinate i is its input k·d + i, and output k·d + i is parameter k of coordinate i, d being the
    number of coordinates; of an image, channels take the place of coordinates.
    """

    @property
    def reading(self) -> AbstractNet:
        """The net as it runs where it is read autoregressively."""
        return self

    @abstractmethod
    def masked_parameters(self, use: NetUse, order: Precedence) -> tuple[ParamSpec, ...]:
        """The parameters of the masked reading; `Refusal` where the net has none in this order."""

    @abstractmethod
    def seen(self, shape: Shape, order: Precedence, context: bool) -> tuple[int, ...]:
        """For each coordinate of an event, as bits, those that its parameters can depend on."""

    def levels(self, shape: Shape, order: Precedence) -> tuple[int, ...]:
        """The pass of the inverse in which each coordinate is found."""
        return order.levels

    def own_order(self, shape: Shape) -> Precedence | None:
        """The order over what the net reads first that it keeps by itself, where nobody states one: then what it gives
        for a coordinate depends on those before it alone. None where it keeps none."""
        return None


class AbstractOrdered(AbstractMasked, ABC):
    """A net that is nothing but its autoregressive reading: in the order of the step or the law that it serves, or, in
    the velocity of an `ode`, in its own."""

    if TYPE_CHECKING:
        order: AbstractOrder | None

    def own_order(self, shape: Shape) -> Precedence:
        return (self.order or Natural()).precedence(shape)

    def net_parameters(self, use: NetUse) -> tuple[ParamSpec, ...]:
        raise Refusal(
            "DGM445",
            f"`{self.name}` is masked along an order of coordinates, and here every output may read every input",
            argument="net",
            help=(f"write `{self.unmasked}` with the same widths",),
        )

    @property
    @abstractmethod
    def unmasked(self) -> str:
        """The net without masks that has the same layers."""

    def ordered_parameters(self, use: NetUse) -> tuple[ParamSpec, ...]:
        """The parameters in the net's own order over what it reads first, for each of whose numbers it gives as many;
        what it reads besides conditions all of them."""
        size = math.prod(use.inputs[0]) if use.inputs else 0
        if not size or use.size % size:
            read = f"reads {size} first" if size else "reads none"
            raise Refusal(
                "DGM445",
                f"`{self.name}` gives as many numbers for each coordinate, and is asked for {use.size} where it {read}",
                argument="net",
                help=("let its first argument be an array, and its value one of the same shape or a list of such",),
            )
        return self.masked_parameters(use, self.own_order(use.inputs[0]))


def masked_net(net: AbstractNet) -> AbstractMasked:
    """The net, as one that can be masked."""
    if not isinstance(net, AbstractMasked):
        raise Refusal(
            "DGM444",
            f"an autoregressive net must be masked, and `{net.name}` cannot be",
            argument="net",
            help=(
                "write `made(…)`, `masked_conv(…)` on images, or an `mlp`, `resmlp` or `transformer`, which are read "
                "as their masked versions",
            ),
        )
    if isinstance(net, AbstractOrdered) and net.order is not None:
        raise Refusal(
            "DGM445",
            f"the coordinates are conditioned in an order that is stated beside the net, and `{net.name}` states one "
            "too",
            argument="net",
            help=(f"leave `order = …` out of `{net.name}(…)`; it is for the velocity of an `ode`",),
        )
    return net


def masked_use(net: AbstractNet, x: Type, planes: int, c: Type | None) -> NetUse:
    """The use of a net that gives so many parameters of each coordinate of `x` from those before it."""
    head, sides = (x.shape[0], x.shape[1:]) if net.reads == "image" and len(x.shape) == 3 else (x.size, ())
    return NetUse(((features(x.support) * head, *sides),), (planes * head, *sides), context_shape(c), zero=True)


def weight_masks(widths: Sequence[int], use: NetUse, order: Precedence) -> list[WeightMask]:
    """The masks of a chain of linear layers, first to last; inputs behind the first condition like a context."""
    size, read = len(order.ranks), math.prod(use.inputs[0])
    features, planes, given = read // size, use.size // size, use.read - read + use.given
    hidden = [_labels(width, order, given > 0) for width in widths]
    if order.parents is None:
        levels = [tuple(r + 1 for r in order.ranks) * features + (0,) * given, *hidden, order.ranks * planes]
        return [DegreeMask(after, before) for before, after in pairwise(levels)]
    inputs = tuple(1 << i for i in range(size)) * features + (0,) * given
    levels = [inputs, *hidden, order.parents * planes]
    return [SubsetMask(after, before) for before, after in pairwise(levels)]


def unit_levels(width: int, order: Precedence, context: bool) -> tuple[int, ...]:
    """The pass of the inverse that can compute each hidden unit of a layer, ascending."""
    labels = _labels(width, order, context)
    return labels if order.parents is None else tuple(_level(label, order) for label in labels)


def prefixes_seen(widths: Sequence[int], order: Precedence, context: bool) -> tuple[int, ...]:
    """What the outputs of a masked chain can depend on, as in `AbstractMasked.seen`."""
    if order.parents is not None:
        return order.parents
    size = len(order.ranks)
    present = tuple(tuple(sorted(set(_labels(width, order, context)))) for width in widths)
    return _readable(tuple(_first_seen(rank + 1, present, size) for rank in range(size)), order.ranks)


def _labels(width: int, order: Precedence, context: bool) -> tuple[int, ...]:
    """What each unit of a hidden layer stands for: the length of a prefix, or a set of parents as bits."""
    size = len(order.ranks)
    if order.parents is None:
        lowest, count = (0, size) if context else (1, size - 1)
        return tuple(lowest + j * count // width for j in range(width))
    distinct = {*order.parents, 0} if context else {*order.parents} - {0}
    sets = sorted(distinct, key=lambda bits: (_level(bits, order), bits))
    if width < len(sets):
        raise Refusal(
            "DGM467",
            f"the coordinates of the graph have {len(sets)} different sets of parents, and a hidden layer of {width} "
            f"unit{'s' * (width > 1)} cannot hold one for each",
            argument="net",
            help=(f"make every hidden layer {len(sets)} units wide or wider",),
        )
    return tuple(sets[j * len(sets) // width] for j in range(width))


def _level(bits: int, order: Precedence) -> int:
    """The pass before which all coordinates of a set are known."""
    return max((order.levels[j] + 1 for j in bit_indices(bits)), default=0)


def _first_seen(degree: int, present: Sequence[Sequence[int]], size: int) -> int:
    """Follow the lowest degree that an input reaches through the layers: the first output rank that it reaches."""
    for level in present:
        degree = next((d for d in level if d >= degree), size)
    return degree


@lru_cache(maxsize=16)
def _readable(seen: tuple[int, ...], ranks: tuple[int, ...]) -> tuple[int, ...]:
    """Coordinate i reads each coordinate j whose rank's first reader stands no later than i."""
    by_first = [0] * (len(ranks) + 1)
    for j, rank in enumerate(ranks):
        by_first[seen[rank]] |= 1 << j
    readable = list(accumulate(by_first, or_))
    return tuple(readable[rank] for rank in ranks)
