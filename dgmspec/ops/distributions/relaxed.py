"""Posteriors of labels whose draws pass a gradient that is not the true one: `gumbel_softmax` and `nearest`.

A draw is a label, as of any law on a category; nets that read the variable get numbers that stand for it in place of
its one-hot code, and through these the gradient passes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from dgmspec.core.distributions import AbstractDistribution
from dgmspec.core.parameters import Draw, Init, ParamSpec
from dgmspec.core.types import REAL, Shape, Support, SupportKind, Type, category
from dgmspec.ops.distributions.discrete import Categorical
from dgmspec.ops.distributions.product import AbstractProduct, ParameterValue


class GumbelSoftmax(AbstractProduct):
    """A categorical posterior whose draws are relaxed: nets read ``softmax((logits + g) / temperature)`` of them.

    Formula: as `categorical`; g standard Gumbel noise, whose argmax with the logits is the label drawn.
    Shapes: any; `logits` has a dimension of its own at the end, one entry a label.
    Support: category(K), K that of the variable.
    Sampling: the argmax of logits + g. With `hard` nets read its one-hot code, with the gradient of the softmax.
    Caveat: the gradient is biased, the less the lower the temperature, and its variance grows.
    Reference: Jang, Gu and Poole 2017, "Categorical reparameterization with Gumbel-softmax".
    """

    name: ClassVar[str] = "gumbel_softmax"
    examples: ClassVar[tuple[str, ...]] = (
        "gumbel_softmax([0, 1, -1])",
        "gumbel_softmax(logits = [0, 1], temperature = 0.5, hard = true)",
    )
    domains: ClassVar[Mapping[str, Support]] = {"logits": REAL}
    relaxes: ClassVar[bool] = True

    logits: ParameterValue
    temperature: float = Field(1.0, gt=0, allow_inf_nan=False, description="how far from one-hot a draw is")
    hard: bool = Field(False, description="one-hot codes with the gradient of the relaxed ones")

    def width(self, parameter: str, type_: Type) -> int | None:
        return int(self.values(type_.support).high) + 1

    def values(self, declared: Support) -> Support:
        if declared.kind is SupportKind.CATEGORY:
            return declared
        return category(len(self.logits) if isinstance(self.logits, tuple) else 2)

    def features(self, type_: Type) -> Shape:
        return (type_.size * (int(self.values(type_.support).high) + 1),)

    def has_divergence(self, other: AbstractDistribution) -> bool:
        return isinstance(other, Categorical)

    def draws(self, type_: Type) -> tuple[Draw, ...]:
        width = self.width("logits", type_)
        assert width is not None
        return (Draw("noise", (*type_.shape, width), "uniform"),)


class Nearest(AbstractProduct):
    """The nearest of K learned codes to a net's vector: a posterior without noise, whose nets read the code itself.

    Formula: ``z = argmin_k ‖e - c_k‖²``, e the net's `dim` numbers; log q(z | x) = 0.
    Shapes: any; ``category(512)[7, 7]`` has a code at each of 49 places, and image nets read and give [dim, 7, 7].
    Support: category(K), K that of the variable.
    Sampling: none; the gradient of the code passes straight through to e.
    Caveat: the gradient is biased. The codes are running means of the vectors nearest to them; one that is hardly used
    is put at a vector of the batch. `vq` keeps the vectors close to their codes.
    Reference: van den Oord, Vinyals and Kavukcuoglu 2017, "Neural discrete representation learning", appendix A.1.
    """

    name: ClassVar[str] = "nearest"
    examples: ClassVar[tuple[str, ...]] = ("nearest([0, 1], dim = 2)", "nearest([0, 1], 2, decay = 0.9, restart = 0)")
    domains: ClassVar[Mapping[str, Support]] = {"vector": REAL}
    relaxes: ClassVar[bool] = True
    updates: ClassVar[bool] = True

    vector: ParameterValue
    dim: Annotated[int, Field(ge=1, le=4096)] = Field(16, description="how many numbers a code has")
    decay: float = Field(0.99, ge=0, lt=1, description="of the running means, a training step")
    restart: float = Field(0.03, ge=0, lt=1, description="share of the average use below which a code is put elsewhere")

    def width(self, parameter: str, type_: Type) -> int | None:
        return self.dim

    def values(self, declared: Support) -> Support:
        return declared if declared.kind is SupportKind.CATEGORY else category(2)

    def features(self, type_: Type) -> Shape:
        return (self.dim, *type_.shape) if len(type_.shape) == 2 else (type_.size * self.dim,)

    def own_parameters(self, type_: Type, given: Type | None = None) -> tuple[ParamSpec, ...]:
        count = int(self.values(type_.support).high) + 1
        return (
            ParamSpec("codes", (count, self.dim), Init("normal", 1.0), trainable=False),
            ParamSpec("uses", (count,), Init("constant", 1.0), trainable=False),
        )

    def draws(self, type_: Type) -> tuple[Draw, ...]:
        return (Draw("noise", (), "uniform"),)
