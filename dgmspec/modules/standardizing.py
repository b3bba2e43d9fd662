"""Twin of `standardize`."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from dgmspec.modules.twin import Parameters, StepContext, StepTwin
from dgmspec.ops.standardizing import Standardize


def _forward(op: Standardize, p: Parameters, x: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    return (x - p["mean"]) * torch.exp(-p["log_std"]), -p["log_std"].sum()


def _inverse(op: Standardize, p: Parameters, y: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    return torch.addcmul(p["mean"], y, p["log_std"].exp()), p["log_std"].sum()


TWINS: Final = {Standardize: StepTwin(_forward, _inverse)}
