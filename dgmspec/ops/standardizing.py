"""The step that `train M { standardize = true }` puts between the data and the model."""

from __future__ import annotations

from typing import ClassVar

from dgmspec.core.diagnostics import Refusal
from dgmspec.core.parameters import ParamSpec
from dgmspec.core.types import REAL, Type
from dgmspec.ops.structure import AbstractScale

__all__ = ["Standardize"]


class Standardize(AbstractScale):
    """Each coordinate less its mean, over its standard deviation, both recorded from the training rows and then fixed.

    The setting `standardize = true` of a train block puts it at the data end of the flow and before the given variables
    that nets read; it cannot be written as a step. Everything outside the model stays in the units of the data.

    Formula: ``y = (x - mean) · exp(-log_std)``, per coordinate.
    Shapes: any; the parameters have the shape of the event. They are saved with the weights and not trained.
    Domain: real -> real, onto; a given variable may have any continuous support.
    Log-determinant: minus the sum of log_std, constant in x, O(1) a sample.
    Caveat: until statistics are recorded it is the identity.
    """

    role: ClassVar[str] = "data_end"
    name: ClassVar[str] = "standardize"
    examples: ClassVar[tuple[str, ...]] = ("standardize",)

    def infer_type(self, x: Type, c: Type | None) -> Type:
        if not x.support.continuous:
            raise Refusal("DGM311", f"`standardize` scales real coordinates, but {x} is discrete")
        return x.with_support(REAL)

    def infer_input(self, y: Type, c: Type | None) -> Type:
        return self.infer_type(y, c)

    def parameters(self, x: Type, c: Type | None) -> tuple[ParamSpec, ...]:
        return ParamSpec("mean", x.shape, trainable=False), ParamSpec("log_std", x.shape, trainable=False)
