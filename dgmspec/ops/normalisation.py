"""`batchnorm`: normalisation by the statistics of the batch while training, by their running averages otherwise."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from dgmspec.core.parameters import ParamSpec
from dgmspec.core.types import Type
from dgmspec.ops.structure import AbstractScale, need_real


class BatchNorm(AbstractScale):
    """Batch normalisation, then a learned scale and shift.

    Formula: ``y = (x - m) / √(v + eps) · exp(log_scale) + shift``, per coordinate, or per channel from two dimensions
    on. In evaluation m and v are running averages, kept as parameters that are not trained: an affine map like any
    other. In training, forward, they are the mean and variance of the batch itself, through which gradients pass, and
    each step of training moves the averages by `momentum` towards them; they start at those of the first batch.
    Shapes: any; the parameters have the shape of the event, or ``[c]`` for an event ``[c, …]``.
    Domain: real -> real, onto.
    Log-determinant: Σ (log_scale - ½ log(v + eps)), times h·w on images; constant in x, O(1) a sample.
    Caveat: while training a row's density depends on the rest of its batch, so the training loss is no likelihood;
    validation and reports evaluate. Data must meet the step forward (``flow x -> z { batchnorm }``, or ``inverse
    batchnorm`` from z to x): the other way, m and v stay as they started. Each process of a distributed run has its
    own averages, and the first one's are kept.
    Reference: Ioffe and Szegedy 2015; in flows Dinh et al., Real NVP, ICLR 2017, section 3.7, and Papamakarios et al.,
    Masked autoregressive flow, NeurIPS 2017, section 3.4.
    """

    name: ClassVar[str] = "batchnorm"
    examples: ClassVar[tuple[str, ...]] = ("batchnorm", "batchnorm(momentum = 0.01, eps = 1e-3)")
    initialises: ClassVar[bool] = True
    updates: ClassVar[bool] = True

    momentum: float = Field(0.1, gt=0, le=1, description="share of each batch in the running averages")
    eps: float = Field(1e-5, gt=0, description="what is added to the variance")

    def infer_type(self, x: Type, c: Type | None) -> Type:
        need_real(self.name, x)
        return x

    def infer_input(self, y: Type, c: Type | None) -> Type:
        need_real(f"inverse {self.name}", y)
        return y

    def parameters(self, x: Type, c: Type | None) -> tuple[ParamSpec, ...]:
        shape = x.shape[:1]
        learned = (ParamSpec("log_scale", shape), ParamSpec("shift", shape))
        return (*learned, ParamSpec("mean", shape, trainable=False), ParamSpec("log_variance", shape, trainable=False))
