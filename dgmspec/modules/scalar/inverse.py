"""The inverse of a scalar bijector: the same functions, exchanged."""

from __future__ import annotations

from torch import Tensor

from dgmspec.core.types import Support
from dgmspec.modules.registry import scalar_twin
from dgmspec.modules.twin import ScalarTwin
from dgmspec.ops.scalar.inverse import InverseScalar


def inverse_forward(op: InverseScalar, raw: Tensor, x: Tensor, support: Support) -> tuple[Tensor, Tensor]:
    return scalar_twin(op.of).inverse(op.of, raw, x, op.of.preimage(support))


def inverse_inverse(op: InverseScalar, raw: Tensor, y: Tensor, support: Support) -> tuple[Tensor, Tensor]:
    return scalar_twin(op.of).forward(op.of, raw, y, op.of.preimage(support))


def _prepare(op: InverseScalar, support: Support) -> None:
    scalar_twin(op.of).prepare(op.of, op.of.preimage(support))


TWINS = {InverseScalar: ScalarTwin(inverse_forward, inverse_inverse, prepare=_prepare)}
