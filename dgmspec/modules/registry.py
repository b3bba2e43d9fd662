"""From an operation to its torch twin: the module of the same name under ``modules/`` holds it in its table ``TWINS``.

An operation defined outside the library keeps its twin in a ``TWINS`` of its own module.
"""

from __future__ import annotations

import importlib
from typing import Any, TypeVar

from dgmspec.core.distributions import AbstractDistribution
from dgmspec.core.losses import AbstractArrowLoss, AbstractScoreLoss
from dgmspec.core.nets import AbstractEmbedding, AbstractNet
from dgmspec.core.op import AbstractOp
from dgmspec.core.scalars import AbstractScalar
from dgmspec.core.steps import AbstractStep
from dgmspec.core.types import Support
from dgmspec.modules.twin import DistributionTwin, EmbeddingTwin, NetTwin, ScalarTwin, ScoreTwin, StepTwin, TermTwin
from dgmspec.ops.distributions import AbstractParametric

__all__ = [
    "distribution_twin",
    "embedding_twin",
    "net_twin",
    "prepare_scalars",
    "resolve_held",
    "scalar_twin",
    "score_twin",
    "step_twin",
    "term_twin",
    "twin_of",
]

T = TypeVar("T")

WITH_TWINS = (AbstractStep, AbstractScalar, AbstractNet, AbstractEmbedding, AbstractDistribution)

_FOUND: dict[type[AbstractOp], Any] = {}
"""Twins looked up so far. A plain dictionary, because a compiled graph can read it where it cannot trace an import."""


def score_twin(op: AbstractScoreLoss) -> ScoreTwin:
    """The twin of a loss about a score: the module of its class holds it in ``SCORES``, beside a twin of the same class
    that is about an arrow."""
    name = type(op).__module__.replace("dgmspec.ops.", "dgmspec.modules.", 1)
    found: ScoreTwin = importlib.import_module(name).SCORES[type(op)]
    return found


def twin_of(cls: type[AbstractOp]) -> Any:
    """The twin of an operation's class; a class without one is a mistake of the library."""
    if cls not in _FOUND:
        name = cls.__module__
        if name.startswith("dgmspec.ops."):
            name = name.replace("dgmspec.ops.", "dgmspec.modules.", 1)
        table = importlib.import_module(name).TWINS
        assert cls in table, f"{cls.role} `{cls.name}` ({cls.__module__}) has no entry in {name}.TWINS"
        _FOUND[cls] = table[cls]
    return _FOUND[cls]


def resolve_held(op: AbstractOp) -> None:
    """Look up the twins of all operations that `op` holds as arguments, before any graph is traced.

    Nets that are a distribution's parameters are instructions of their own, whose twins it does not look up.
    """
    for field in type(op).model_fields:
        value = getattr(op, field)
        for held in value if isinstance(value, tuple) else (value,):
            if isinstance(held, AbstractOp) and not (
                isinstance(op, AbstractParametric) and isinstance(held, AbstractNet)
            ):
                if isinstance(held, WITH_TWINS):
                    twin_of(type(held))
                resolve_held(held)


def prepare_scalars(op: AbstractStep, support: Support) -> None:
    """Let the scalar bijectors that a step holds work out what their twins look up, for events on `support`."""
    for field in type(op).model_fields:
        held = getattr(op, field)
        if isinstance(held, AbstractScalar):
            scalar_twin(held).prepare(held, support)


def _of_kind(op: AbstractOp, kind: type[T]) -> T:
    twin = twin_of(type(op))
    assert isinstance(twin, kind)
    return twin


def step_twin(op: AbstractStep) -> StepTwin:
    """The twin of a step."""
    return _of_kind(op, StepTwin)


def scalar_twin(op: AbstractScalar) -> ScalarTwin:
    """The twin of a scalar bijector."""
    return _of_kind(op, ScalarTwin)


def net_twin(op: AbstractNet) -> NetTwin:
    """The twin of a net."""
    return _of_kind(op, NetTwin)


def embedding_twin(op: AbstractEmbedding) -> EmbeddingTwin:
    """The twin of an embedding."""
    return _of_kind(op, EmbeddingTwin)


def distribution_twin(op: AbstractDistribution) -> DistributionTwin:
    """The twin of a distribution."""
    return _of_kind(op, DistributionTwin)


def term_twin(op: AbstractArrowLoss) -> TermTwin:
    """The twin of a loss about one step."""
    return _of_kind(op, TermTwin)
