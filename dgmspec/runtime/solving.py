"""Likelihoods that are solved for, held against a finer solve: with few steps a density need not integrate to one, and
training finds that out before anybody else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from dgmspec.modules.compiled import CompiledModel

__all__ = ["ALLOWED", "ROWS", "solver_line", "solver_shift"]

ROWS: Final = 512
"""Rows that are solved for once more."""

ALLOWED: Final = 0.01
"""Nats by which a finer solve may move the mean log-density."""


@torch.no_grad()
def solver_shift(model: CompiledModel, columns: Mapping[str, Tensor], seed: int) -> float | None:
    """By how many nats a finer solve, at twice the steps or a tenth of the tolerance, moves the mean log-density of
    some rows; None of a model that solves for none."""
    finer = model.refined()
    if finer is model or model.density == "none" or not columns:
        return None
    rows = {name: column[:ROWS] for name, column in columns.items()}
    observed = {n: t for n, t in rows.items() if n in model.observed}
    given = {n: t for n, t in rows.items() if n in model.givens} or None
    x = next(iter(observed.values())) if len(observed) == 1 else observed
    return float((finer.log_prob(x, given, seed=seed) - model.log_prob(x, given, seed=seed)).double().mean())


def solver_line(shift: float) -> str:
    """The shift in a line of a report, with what to do about one that is too large."""
    said = f"solved more finely; that moves the log-density by {shift:+.4f} nats"
    if abs(shift) <= ALLOWED:
        return said
    return f"{said}, more than {ALLOWED:g}: give the arrow's `solver` more steps, or a smaller tolerance"
