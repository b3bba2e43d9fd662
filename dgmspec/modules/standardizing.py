"""Twin of `standardize`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from dgmspec.core.address import child
from dgmspec.graph.graph import Graph, VariableNode
from dgmspec.graph.standardizing import standardizer
from dgmspec.modules.twin import Parameters, StepContext, StepTwin
from dgmspec.ops.standardizing import Standardize


def behind(graph: Graph, variable: VariableNode, values: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Data of a variable as they enter its arrow, standardised where the model does that; `values` are its own."""
    at = standardizer(variable)
    if at not in graph.steps:
        return x
    mean, log_std = (values[child(at, name)].to(x) for name in ("mean", "log_std"))
    return (x - mean) * torch.exp(-log_std)


def _forward(op: Standardize, p: Parameters, x: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    return (x - p["mean"]) * torch.exp(-p["log_std"]), -p["log_std"].sum()


def _inverse(op: Standardize, p: Parameters, y: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    return torch.addcmul(p["mean"], y, p["log_std"].exp()), p["log_std"].sum()


TWINS: Final = {Standardize: StepTwin(_forward, _inverse)}
