"""The twin of an operation that another one holds, looked up while a step runs."""

from __future__ import annotations

import torch

from dgmspec.core.op import AbstractNet, AbstractScalar
from dgmspec.modules.registry import net_twin, scalar_twin
from dgmspec.modules.twin import NetTwin, ScalarTwin

__all__ = ["net_of", "scalar_of"]


def scalar_of(op: AbstractScalar) -> ScalarTwin:
    """The twin of a scalar bijector; a constant of compiled graphs, which cannot trace the registry."""
    return scalar_twin(op)


def net_of(op: AbstractNet) -> NetTwin:
    """The twin of a net, likewise."""
    return net_twin(op)
