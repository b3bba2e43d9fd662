"""Sines and cosines of what a net reads: smooth nets see fine detail in a few numbers only through such features."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, field_validator

from dgmspec.core.nets import AbstractEmbedding
from dgmspec.core.parameters import Init, ParamSpec


class Fourier(AbstractEmbedding):
    """``[cos 2π f_k x, sin 2π f_k x]`` for n/2 frequencies f, in cycles per unit: n features, ``fourier(16)``.

    ``ladder``: frequencies in geometric steps from 1/4 to `scale`, for each number that is read apart, n features each.
    ``random``: n/2 directions f drawn from N(0, scale²) at the start, of all numbers together, n features in all.
    Neither is trained. A time runs from 0 to 1, so that its lowest frequency in a ladder is a quarter of a turn and
    tells all times apart.
    Reference: Vaswani et al. 2017, "Attention is all you need", section 3.5 (the ladder); Rahimi and Recht 2007,
    "Random features for large-scale kernel machines"; Tancik et al. 2020, "Fourier features let networks learn high
    frequency functions in low dimensional domains".
    """

    name: ClassVar[str] = "fourier"
    examples: ClassVar[tuple[str, ...]] = ("fourier(8)", "fourier(4, kind = random, scale = 2)")

    features: int = Field(ge=2, description="how many features, an even number")
    kind: Literal["ladder", "random"] = Field("ladder", description="how frequencies are chosen")
    scale: float = Field(16.0, ge=0.25, allow_inf_nan=False, description="the highest frequency, or their spread")

    @field_validator("features")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("a cosine and a sine for each frequency make an even number of features")
        return value

    def size(self, read: int) -> int:
        return self.features * (read if self.kind == "ladder" else 1)

    def parameters(self, read: int) -> tuple[ParamSpec, ...]:
        count = self.features // 2
        if self.kind == "random":
            return (ParamSpec("frequencies", (count, read), Init("normal", self.scale), trainable=False),)
        steps = [0.25 * (4 * self.scale) ** (k / max(count - 1, 1)) for k in range(count)]
        return (ParamSpec("frequencies", (count,), Init("values", data=tuple(steps)), trainable=False),)
