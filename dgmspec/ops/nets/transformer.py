"""The transformer: rows of a sequence or of a set that attend to one another."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate
from operator import or_
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from dgmspec.algebra.shapes import show_shape
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.masking import Precedence
from dgmspec.core.nets import AbstractEmbedding, AbstractNet, NetUse
from dgmspec.core.parameters import Init, ParamSpec
from dgmspec.core.types import Shape
from dgmspec.ops.nets import weights
from dgmspec.ops.nets.layered import Activation, Width
from dgmspec.ops.nets.masked import AbstractMasked


class Transformer(AbstractMasked):
    """``transformer(64, depth = 4, heads = 4)``: each row a token; attention among tokens and a layer of four times the
    width for each, in turn, added to what they read.

    ``z = W x + position``, then `depth` times ``z ← z + A(φ(n(z)))`` and ``z ← z + W″ a(W′ φ(n(z)))`` with layer
    normalisation n and FiLM φ by all that is read besides (`weights`), and last ``n(z)`` taken to the result. The last
    map of the attention A and ``W″`` start at zero, so that every layer starts as the identity.
    Shapes: an event [n] is n tokens of one number, [n, d] is n tokens of d. A result [n, …] has one row for each token;
    a flat one of k · n numbers has number j of token i at j · n + i; any other is read off the tokens' mean. Without
    positions (``position = none``) the rows are a set: permuting them permutes the result's, or leaves their mean.
    With ``causal = true`` a row of the result depends on the tokens before it alone, the first on none, and where they
    stand counts even without positions. In an `autoregressive` step or law it is causal, its tokens the coordinates in
    their order, with the numbers that stand for each; drawing keeps the keys and values of earlier tokens.
    Reference: Vaswani et al. 2017, "Attention is all you need"; Lee et al. 2019, "Set transformer"; Peebles and Xie
    2023, "Scalable diffusion models with transformers", section 3.2 (conditions that act on the normalisations).
    """

    name: ClassVar[str] = "transformer"
    reads: ClassVar[Literal["vector", "image", "sequence"]] = "sequence"
    examples: ClassVar[tuple[str, ...]] = (
        "transformer(8, depth = 1, heads = 2)",
        "transformer(4, depth = 1, causal = true, position = none, activation = silu, dropout = 0.1)",
    )

    width: Width = Field(description="numbers of each token in the hidden layers")
    depth: Width = Field(2, description="how often attention and a layer alternate")
    heads: Width = Field(1, description="heads of the attention, which divide the width")
    causal: bool = Field(False, description="whether each row of the result depends on the tokens before it alone")
    position: Literal["learned", "none"] = Field("learned", description="whether tokens know where they stand")
    time: AbstractEmbedding | None = Field(None, description="features of a time, which is else read as a number")
    activation: Activation = Field("gelu", description="what comes between the two maps of a layer")
    dropout: float = Field(0.0, ge=0, lt=1, description="share dropped of what is added, while training")

    @model_validator(mode="after")
    def _divides(self) -> Transformer:
        if self.width % self.heads:
            raise ValueError("the heads divide the width")
        return self

    def time_embedding(self) -> AbstractEmbedding | None:
        return self.time

    # ---- the autoregressive reading ---------------------------------------------------------------------------------

    @property
    def reading(self) -> AbstractNet:
        return self.model_copy(update={"causal": True})

    def own_order(self, shape: Shape) -> Precedence | None:
        if not self.causal or not shape:
            return None
        numbers = math.prod(shape[1:])
        before = tuple((1 << i // numbers * numbers) - 1 for i in range(math.prod(shape)))
        return Precedence(tuple(range(math.prod(shape))), before)

    def masked_parameters(self, use: NetUse, order: Precedence) -> tuple[ParamSpec, ...]:
        self._require_chain(order)
        size = len(order.ranks)
        tokens = replace(use, inputs=((size, use.read // size),), output=(use.size,))
        return self.reading.net_parameters(tokens)

    def seen(self, shape: Shape, order: Precedence, context: bool) -> tuple[int, ...]:
        self._require_chain(order)
        before = [0, *accumulate((1 << i for i in sorted(range(len(order.ranks)), key=order.ranks.__getitem__)), or_)]
        return tuple(before[rank] for rank in order.ranks)

    def _require_chain(self, order: Precedence) -> None:
        if order.parents is not None:
            raise Refusal(
                "DGM469",
                "what a token read of its parents reaches all that attend to it, so `transformer` follows no graph",
                argument="order",
                help=("write an order of all coordinates, such as `natural`, or `made` as the net",),
            )

    # ---- parameters -------------------------------------------------------------------------------------------------

    def net_parameters(self, use: NetUse) -> tuple[ParamSpec, ...]:
        use, own = self.embedded(use)
        rows, numbers = self._tokens(use)
        found = [*own, *weights.affine("in", (self.width, numbers))]
        if self.causal:
            found.append(ParamSpec("start", (self.width,), Init("normal", 0.02)))
        if self.position == "learned":
            found.append(ParamSpec("position", (rows, self.width), Init("normal", 0.02)))
        for i in range(self.depth):
            found += self._layer(str(i))
        found += weights.norm("out/norm", self.width)
        kind, size = self._result(use, rows)
        found += weights.affine(f"out/{kind}", (size, self.width), zero=use.zero)
        conditions = use.given + sum(math.prod(shape) for shape in use.inputs[1:])
        if conditions:
            found += weights.affine("condition", (self.width, conditions))
            found += weights.film([self.width] * (2 * self.depth), self.width)
        return tuple(found)

    def _layer(self, name: str) -> Iterator[ParamSpec]:
        width = self.width
        yield from weights.norm(f"{name}/attention/norm", width)
        yield from weights.affine(f"{name}/attention/qkv", (3 * width, width))
        yield from weights.affine(f"{name}/attention/out", (width, width), zero=True)
        yield from weights.norm(f"{name}/norm", width)
        yield from weights.affine(f"{name}/0", (4 * width, width))
        yield from weights.affine(f"{name}/1", (width, 4 * width), zero=True)

    def _tokens(self, use: NetUse) -> tuple[int, int]:
        """How many tokens there are, and how many numbers each has."""
        shape = use.inputs[0] if use.inputs else ()
        if len(shape) not in (1, 2) or not shape[0]:
            read = show_shape(shape) if math.prod(shape) and use.inputs else "nothing"
            raise Refusal(
                "DGM457",
                f"`transformer` reads a sequence, an event [n] or [n, d], and is given {read}",
                argument="net",
                help=("use `mlp` or `resmlp`, or for images `unet`",),
            )
        return shape[0], math.prod(shape[1:])

    def _result(self, use: NetUse, rows: int) -> tuple[str, int]:
        """How the result is read off the tokens, and how many numbers each gives for it."""
        if use.size % rows == 0:
            by_row = len(use.output) > 1 and use.output[0] == rows
            return "rows" if by_row else "planes", use.size // rows
        if self.causal:
            raise Refusal(
                "DGM457",
                f"a causal `transformer` gives the same for each of its {rows} tokens, and {use.size} numbers do not "
                "divide among them",
                argument="net",
                help=("leave `causal` out",),
            )
        return "pooled", use.size
