"""Structures that scale, move or rename coordinates without a network: `actnorm`, `permute`, `flatten`, `reshape`."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Annotated, ClassVar

from pydantic import Field

from dgmspec.core.address import seed_of
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.jacobian import Fact, Jacobian, Structure
from dgmspec.core.op import AbstractOp
from dgmspec.core.parameters import ParamSpec
from dgmspec.core.steps import AbstractStep, Cost, Direction
from dgmspec.core.types import REAL, Shape, Type
from dgmspec.ops.scalar.domain import onto_numbers

_FREE = Cost("0", Direction("free"), Direction("free"))


def need_real(step: str, x: Type, image: str = "moves with what is learned") -> None:
    """Refuse an event on which a map of ℝ would leave the support or has no derivative; `image` says what becomes of
    that of a part of ℝ."""
    if not x.support.continuous:
        raise Refusal(
            "DGM311",
            f"`{step}` acts on real coordinates, but {x} is discrete",
            help=(f"put {onto_numbers(x.support)} before it, which makes the variable continuous",),
        )
    if x.support.circular:
        raise Refusal(
            "DGM313",
            f"`{step}` acts on real coordinates, but {x} holds angles",
            help=("on the circle, `rqs`, `moebius` and `additive` move each coordinate",),
        )
    if x.support != REAL:
        raise Refusal(
            "DGM303",
            f"`{step}` needs all of ℝ, but {x} lives on {x.support.describe()}, whose image {image}",
            help=("map the event onto ℝ first: `logit` on a bounded interval, `inverse exp` on the positive numbers",),
        )


class AbstractScale(AbstractStep, ABC):
    """A scale and a shift for each coordinate that do not depend on x: diagonal, with a constant log-determinant."""

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        return Jacobian.of(Structure.DIAGONAL, x.size, constant=Fact.YES, unit_det=Fact.NO, orthogonal=Fact.NO)

    def cost(self, x: Type, c: Type | None) -> Cost:
        return Cost("O(1)", Direction(passes=0), Direction(passes=0))


class ActNorm(AbstractScale):
    """Activation normalisation: a learned scale and shift, started so that the first batch is standardised.

    Formula: ``y = exp(log_scale) · x + shift``, per coordinate, or per channel from two dimensions on.
    Shapes: any; the parameters have the shape of the event, or ``[c]`` for an event ``[c, …]``.
    Domain: real -> real, onto.
    Log-determinant: the sum of log_scale (times h·w on images), constant in x, O(1) a sample.
    Caveat: a coordinate that does not vary in the first batch is only shifted; its scale starts at 1.
    Reference: Kingma and Dhariwal, Glow, NeurIPS 2018, section 3.1.
    """

    name: ClassVar[str] = "actnorm"
    examples: ClassVar[tuple[str, ...]] = ("actnorm",)
    initialises: ClassVar[bool] = True

    def infer_type(self, x: Type, c: Type | None) -> Type:
        need_real(self.name, x)
        return x

    def infer_input(self, y: Type, c: Type | None) -> Type:
        need_real(f"inverse {self.name}", y)
        return y

    def parameters(self, x: Type, c: Type | None) -> tuple[ParamSpec, ...]:
        shape = x.shape[:1]
        return ParamSpec("log_scale", shape), ParamSpec("shift", shape)


class AbstractPermutation(AbstractOp, ABC):
    """A way to order coordinates anew."""

    role: ClassVar[str] = "permutation"

    @abstractmethod
    def source(self, size: int) -> tuple[int, ...]:
        """For each place the index of what comes there: y[i] = x[source[i]]."""


class Reverse(AbstractPermutation):
    """The coordinates from last to first: ``y[i] = x[d - 1 - i]``."""

    name: ClassVar[str] = "reverse"
    examples: ClassVar[tuple[str, ...]] = ("reverse",)

    def source(self, size: int) -> tuple[int, ...]:
        return tuple(reversed(range(size)))


class Random(AbstractPermutation):
    """A permutation drawn by `seed`, the same on every machine and in every run."""

    name: ClassVar[str] = "random"
    examples: ClassVar[tuple[str, ...]] = ("random(0)", "random(seed = 3)")

    seed: Annotated[int, Field(ge=0, strict=True)]

    def source(self, size: int) -> tuple[int, ...]:
        return shuffled(size, self.seed)


@lru_cache(maxsize=256)
def shuffled(size: int, seed: int) -> tuple[int, ...]:
    """A uniformly drawn order of 0..size-1 that depends on `seed` alone: the indices sorted by their hashes."""
    return tuple(sorted(range(size), key=lambda index: seed_of(seed, "permutation", index)))


class Permute(AbstractStep):
    """A fixed permutation of the coordinates of a vector, or of the channels (the first dimension) of a larger event.

    Formula: ``y[i] = x[source[i]]``; ``permute([2, 0, 1])`` gives the source of each place.
    Shapes: ``[d]``, or ``[c, …]`` whose slices along c move as wholes.
    Domain: any support, kept as it is.
    Log-determinant: 0 at no cost.
    Caveat: a fixed order mixes nothing by itself; it decides which coordinates the next step reads.
    Reference: Dinh, Sohl-Dickstein and Bengio, Density estimation using Real NVP, ICLR 2017, section 3.4.
    """

    name: ClassVar[str] = "permute"
    examples: ClassVar[tuple[str, ...]] = (
        "permute(reverse)",
        "permute(random(0))",
        "permute([1, 0])",
        "permute(order = [1, 2, 0])",
    )

    order: AbstractPermutation | tuple[Annotated[int, Field(strict=True)], ...]

    def source(self, x: Type) -> tuple[int, ...]:
        """The index map along the first dimension of `x`."""
        if not x.shape:
            raise Refusal("DGM304", f"`permute` needs coordinates to put in order, and {x} has a single one")
        size = x.shape[0]
        if isinstance(self.order, AbstractPermutation):
            return self.order.source(size)
        if len(set(self.order)) < len(self.order):
            raise Refusal(
                "DGM403",
                "`permute` takes each coordinate once, and this order repeats one",
                argument="order",
                help=(f"write each of 0..{len(self.order) - 1} once",),
            )
        if sorted(self.order) != list(range(size)):
            what = "coordinates" if len(x.shape) == 1 else "channels"
            raise Refusal(
                "DGM304",
                f"the order names {_indices(self.order)}, but {x} has the {size} {what} {_indices(range(size))}",
                argument="order",
                help=(f"write each of {_indices(range(size))} once, or `permute(reverse)`",),
            )
        return self.order

    def flat_source(self, x: Type) -> tuple[int, ...]:
        """The index map over flat coordinates."""
        block = math.prod(x.shape[1:])
        return tuple(index * block + offset for index in self.source(x) for offset in range(block))

    def infer_type(self, x: Type, c: Type | None) -> Type:
        self.source(x)
        return x

    def infer_input(self, y: Type, c: Type | None) -> Type:
        self.source(y)
        return y

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        return Jacobian.permutation(self.flat_source(x))

    def cost(self, x: Type, c: Type | None) -> Cost:
        return _FREE

    def is_identity(self, x: Type) -> bool:
        return self.source(x) == tuple(range(x.shape[0]))

    def moves(self, x: Type) -> tuple[int, ...] | None:
        return self.source(x) if len(x.shape) == 1 else None

    def joined(self, inverse: bool, after: AbstractStep, after_inverse: bool, x: Type) -> AbstractStep | None:
        """y[i] = x[first[second[i]]]: gathering twice is gathering by the composed map."""
        if not isinstance(after, Permute):
            return None
        first, second = self._along(inverse, x), after._along(after_inverse, x)
        return Permute(order=tuple(first[index] for index in second))

    def _along(self, inverse: bool, x: Type) -> tuple[int, ...]:
        source = self.source(x)
        return tuple(sorted(range(len(source)), key=source.__getitem__)) if inverse else source


class Flatten(AbstractStep):
    """The same coordinates as a vector, in row-major order.

    Formula: ``y = x`` with the shape ``[d]``, d the product of the dimensions.
    Shapes: any -> ``[d]``.
    Domain: any support, kept as it is.
    Log-determinant: 0 at no cost.
    Caveat: its inverse does not know the shape it came from; write `reshape([…])` for that direction.
    Reference: none needed.
    """

    name: ClassVar[str] = "flatten"
    examples: ClassVar[tuple[str, ...]] = ("flatten",)
    forgets: ClassVar[bool] = True

    def infer_type(self, x: Type, c: Type | None) -> Type:
        return x.with_shape((x.size,))

    def infer_input(self, y: Type, c: Type | None) -> Type:
        raise _shapeless("flatten", y)

    def is_identity(self, x: Type) -> bool:
        return len(x.shape) == 1

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        return Jacobian.identity(x.size)

    def cost(self, x: Type, c: Type | None) -> Cost:
        return _FREE


class Reshape(AbstractStep):
    """The same coordinates, in row-major order, in another shape.

    Formula: ``y = x`` with the shape `dims`.
    Shapes: any of the same number of coordinates -> `dims`.
    Domain: any support, kept as it is.
    Log-determinant: 0 at no cost.
    Caveat: its inverse does not know the shape it came from; write the other `reshape([…])` for that direction.
    Reference: none needed.
    """

    name: ClassVar[str] = "reshape"
    examples: ClassVar[tuple[str, ...]] = ("reshape([2, 1])", "reshape(dims = [1, 2])")
    forgets: ClassVar[bool] = True

    dims: tuple[Annotated[int, Field(ge=1, strict=True)], ...]

    def infer_type(self, x: Type, c: Type | None) -> Type:
        if math.prod(self.dims) != x.size:
            raise Refusal(
                "DGM304",
                f"`reshape` to {_shape(self.dims)} needs {math.prod(self.dims)} coordinates, but {x} has {x.size}",
                argument="dims",
                help=(f"choose dimensions whose product is {x.size}",),
            )
        return x.with_shape(self.dims)

    def infer_input(self, y: Type, c: Type | None) -> Type:
        raise _shapeless("reshape", y)

    def is_identity(self, x: Type) -> bool:
        return self.dims == x.shape

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        return Jacobian.identity(x.size)

    def cost(self, x: Type, c: Type | None) -> Cost:
        return _FREE


def _shapeless(step: str, y: Type) -> Refusal:
    """`inverse flatten` and `inverse reshape` do not say what they give."""
    return Refusal(
        "DGM340",
        f"`inverse {step}` of {y} does not say which shape it gives",
        help=("write the shape: `reshape([…])`",),
    )


def _shape(shape: Shape) -> str:
    """A shape as the language writes it."""
    return f"[{', '.join(map(str, shape))}]"


def _indices(indices: range | tuple[int, ...]) -> str:
    """Indices in words, shortened where there are many."""
    if isinstance(indices, range) and len(indices) > 2:
        return f"{indices[0]}..{indices[-1]}"
    return ", ".join(map(str, indices[:8])) + (", …" if len(indices) > 8 else "")
