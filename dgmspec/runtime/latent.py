"""Figures of models with latent variables: the divergence of each posterior, and the importance-sampled likelihood."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dgmspec.core.address import seed_of
from dgmspec.modules.compiled import CompiledModel
from dgmspec.runtime.data import AbstractTable, Columns, Moments, by_weight
from dgmspec.runtime.feed import split
from dgmspec.runtime.likelihood import in_turn, likelihood
from dgmspec.runtime.processes import Processes
from dgmspec.runtime.progress import show_progress
from dgmspec.runtime.shares import rows_at_once

__all__ = ["COLLAPSED", "collapsed", "divergences", "importance_nll"]

ROWS = 2_000
"""Rows that divergences are averaged over, at most."""

COLLAPSED = 0.05
"""Nats below which the divergence of a posterior from its law says that the variable tells nothing about the data."""

BATCH = 512

Array = NDArray[np.float64]


def inferred(model: CompiledModel) -> tuple[str, ...]:
    """The latent variables with a posterior."""
    return tuple(v.name for v in model.graph.variables.values() if v.posterior is not None)


@torch.no_grad()
def divergences(model: CompiledModel, table: AbstractTable, seed: int) -> dict[str, float]:
    """E[log q - log p] of each latent variable, nats a row, by one draw of the posteriors for each of some rows; none
    where a label is summed out, since all that the sum holds is then one line of the ledger, log p(x)."""
    if not inferred(model):
        return {}
    totals: dict[str, float] = {}
    rows = 0
    for columns in by_weight(table.head(ROWS), seed).batches(BATCH):
        x, given = split(model, columns)
        ledger = model.ledger(x, given=given, seed=seed_of(seed, "divergence"), start=rows)
        rows += len(ledger.total)
        for step in ledger:
            if step.group and step.group not in model.observed and step.address != model.name:
                part = step.logdet.expand(len(ledger.total)).sum()
                totals[step.group] = totals.get(step.group, 0.0) - step.sign * float(part)
    return {name: total / rows for name, total in totals.items()}


def collapsed(found: Mapping[str, float]) -> list[str]:
    """The latent variables whose posterior is the law that generates them: they tell nothing about the data."""
    return [name for name, divergence in found.items() if divergence < COLLAPSED]


@torch.no_grad()
def importance_nll(
    model: CompiledModel,
    table: AbstractTable,
    samples: int,
    seed: int,
    processes: Processes | None = None,
    visible: bool = False,
) -> dict[str, Any]:
    """-log of the mean of `samples` importance weights a row: nats, with the standard error over rows."""
    found, done, key = Moments(), 0, seed_of(seed, "importance")

    def work(columns: Columns, start: int) -> Array:
        x, given = split(model, columns)
        nll = -model.log_prob(x, given=given, samples=samples, seed=key, start=start).cpu().double().numpy()
        return np.stack([nll] if table.weights is None else [nll, columns[table.weights]])

    with show_progress("importance", table.rows, visible) as reporter:
        for rows in in_turn(table, rows_at_once(model, BATCH), processes, work):
            found.add(*rows)
            done += rows.shape[1]
            reporter.advance(done)
    own = likelihood(found, samples, sum(type_.size for type_ in model.observed.values()))
    return {
        "samples": samples,
        "nll_nats": own.nll_nats,
        "nll_stderr": own.stderr,
        "bits_per_dim": own.bits_per_dim,
    }
