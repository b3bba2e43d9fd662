"""`block_autoregressive`: one net that is itself a triangular, increasing map."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, ClassVar

from pydantic import Field

from dgmspec.core.jacobian import Fact, Jacobian, Structure
from dgmspec.core.masking import DegreeMask
from dgmspec.core.parameters import Init, ParamSpec
from dgmspec.core.steps import AbstractStep, Cost, Direction
from dgmspec.core.types import Shape, Type
from dgmspec.ops.masks import require_divisible
from dgmspec.ops.nets import context_shape
from dgmspec.ops.structure import need_real

Count = Annotated[int, Field(ge=1, le=1024)]


class BlockAutoregressive(AbstractStep):
    """A net with tanh layers whose weights are block triangular and positive on the diagonal blocks (BNAF).

    Formula: ``y_i = α_i x_i + (1 - α_i) f_i(x_1, …, x_i)``, ``z_0 = W_0 x + b_0 + C c``, ``z_l = W_l tanh(z_{l-1}) +
    b_l``, the last z being f. Each coordinate has `hidden` units in every hidden layer; a block of W_l between units of
    coordinates j < i is free, for j > i zero, for j = i the exponential of its parameters over its number of columns.
    So f_i increases in x_i, and the gate α_i = sigmoid(a_i) makes the step onto: f alone is bounded.
    Shapes: any event, kept, read as a flat vector, row-major. Domain: real -> real, onto.
    Log-determinant: Σ log(α_i + (1 - α_i) f_i′), f_i′ the product of the diagonal blocks and the slopes of tanh between
    them, carried as its logarithm: O(d h²) a layer.
    Inverse: one coordinate after the other, each by a bracketed Newton iteration of its own h units; the bracket is
    known, because f_i lies within the sum of its last weights of the rest.
    Parameters: of layer l ``l/diagonal`` (d × out × in, logarithms), ``l/weight`` (the blocks below, where d > 1) and
    ``l/bias``; ``gate`` (a, per coordinate); ``context`` (C) where there is one.
    Reference: De Cao, Titov and Aziz, Block neural autoregressive flow, UAI 2019, sections 3.1 and 3.2.
    """

    name: ClassVar[str] = "block_autoregressive"
    examples: ClassVar[tuple[str, ...]] = (
        "block_autoregressive(4)",
        "block_autoregressive(hidden = 3, layers = 2)",
        "inverse block_autoregressive(2)",
    )

    hidden: Count = Field(8, description="units of every hidden layer for each coordinate")
    layers: Count = Field(1, description="number of hidden layers")

    def infer_type(self, x: Type, c: Type | None) -> Type:
        need_real(self.name, x)
        require_divisible(x.size)
        return x

    def infer_input(self, y: Type, c: Type | None) -> Type:
        return self.infer_type(y, c)

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        return Jacobian.of(Structure.LOWER, x.size, constant=Fact.NO, unit_det=Fact.NO, orthogonal=Fact.NO)

    def cost(self, x: Type, c: Type | None) -> Cost:
        return Cost("O(d h²)", Direction(), Direction("sequential", x.size))

    def parameters(self, x: Type, c: Type | None) -> tuple[ParamSpec, ...]:
        d, widths, given = x.size, (1, *(self.hidden,) * self.layers, 1), context_shape(c)
        found = [ParamSpec("gate", (d,))]
        for i, (inputs, outputs) in enumerate(pairwise(widths)):
            found += _layer(str(i), d, inputs, outputs)
        if given is not None:
            count = math.prod(given)
            found.append(ParamSpec("context", (d * self.hidden, count), Init("uniform", count**-0.5)))
        return tuple(found)


def _layer(name: str, d: int, inputs: int, outputs: int) -> list[ParamSpec]:
    """One layer; the positive weights of a unit start near 1 in all, spread so that its units differ."""
    shape: Shape = (d, outputs, inputs)
    found = [ParamSpec(f"{name}/diagonal", shape, Init("uniform", 1.0))]
    if d > 1:
        rows = tuple(i for i in range(d) for _ in range(outputs))
        columns = tuple(i for i in range(d) for _ in range(inputs))
        mask = DegreeMask(rows, columns, strict=True)
        size = (d * outputs, d * inputs)
        found.append(ParamSpec(f"{name}/weight", size, Init("uniform", (d * inputs) ** -0.5), mask))
    return [*found, ParamSpec(f"{name}/bias", (d * outputs,), Init("uniform", 1.0))]
