"""The Fisher divergence of a model's score to that of a known density, on data: what `eval` says beside likelihoods."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dgmspec.modules.compiled import CompiledModel
from dgmspec.program.program import Program
from dgmspec.runtime.data import AbstractTable, by_weight
from dgmspec.runtime.feed import columns_of

__all__ = ["fisher_figures"]

ROWS = 4096
"""Rows that are read: where the score is the slope of a solve, each is dear."""


@torch.no_grad()
def fisher_figures(model: CompiledModel, table: AbstractTable, seed: int) -> dict[str, float]:
    """½ E ‖s(x) - ∇ log p(x)‖², its standard error, and its share of the zero score's, ½ E ‖∇ log p(x)‖².

    Empty where no density ``~ exp(e)`` stands beside the model's own. Along a noising arrow the score is that of the
    earliest time.
    """
    if not isinstance(model.programs["known"], Program) or len(model.observed) != 1:
        return {}
    columns = columns_of(model, by_weight(table.sample(ROWS, seed), seed))
    given = {name: column for name, column in columns.items() if name in model.givens} or None
    (name,) = model.observed
    x = columns[name]
    early = model.path.times[0] if any(step.op.sampled for step in model.graph.steps.values()) else None
    known = _half_squares(model.known_score(x, given))
    off = _half_squares(model.score(x, early, given) - model.known_score(x, given))
    error = float(off.std()) / math.sqrt(len(off)) if len(off) > 1 else math.inf
    return {
        "fisher_divergence": float(off.mean()),
        "fisher_stderr": error,
        "fisher_share_of_zero": float(off.mean() / known.mean()),
    }


def _half_squares(x: Tensor) -> Tensor:
    """½ ‖x‖², (batch,), in float64."""
    return x.double().reshape(x.shape[0], -1).square().sum(1) / 2
