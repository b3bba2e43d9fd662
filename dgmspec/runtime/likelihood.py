"""Figures of a trained model on data it has not seen, each with its standard error and what it means.

Log-likelihoods are in nats per event, in the units of the data; bits per dimension are -E log2 p / D. Where the model
dequantises, log p averages `draws` independent dequantisations, a lower bound on the log-probability of the integers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dgmspec.core.address import seed_of
from dgmspec.core.losses import AbstractScoreLoss
from dgmspec.modules.compiled import CompiledModel
from dgmspec.runtime.data import AbstractTable, Columns, Dataset, Moments, by_weight, check_total, mean_weight
from dgmspec.runtime.densities import log_density
from dgmspec.runtime.feed import columns_of, split
from dgmspec.runtime.processes import Processes
from dgmspec.runtime.progress import Reporter, show_progress
from dgmspec.runtime.shares import rows_at_once
from dgmspec.runtime.solving import ROWS, solver_shift
from dgmspec.runtime.toys import TOYS

__all__ = [
    "Likelihood",
    "Validation",
    "gap_to_truth",
    "in_turn",
    "likelihood",
    "log_probs",
    "test_likelihood",
]

Array = NDArray[np.float64]
GAP_POINTS = 100_000
DEAR_POINTS = 8_192
"""Fresh points where each density takes a noising arrow's flow, hundreds of evaluations of a net."""

BATCH = 4096

VALIDATION_DRAWS = 4
"""Draws of the model's randomness (dequantisations) that a validation loss averages."""

VALIDATION_ROWS = 100_000
"""Held-out rows that a validation loss averages, at most, where the rows stream; the test reads all of them."""

VALIDATION_POINTS = 4096
"""Samples that a validation loss averages where the loss draws its own points."""


@dataclass(frozen=True)
class Likelihood:
    """Mean negative log-likelihood over rows, nats per event, with its standard error; `worth` is how many rows that
    count alike they are worth."""

    nll_nats: float
    stderr: float
    rows: int
    worth: float
    draws: int
    size: int

    @property
    def bits_per_dim(self) -> float:
        """-E log2 p / D."""
        return self.nll_nats / (self.size * math.log(2))


class Validation:
    """The loss on held-out rows (or, where it draws its own points, on a fixed set of draws), in nats; rows count by
    their weights, over the mean of those that are read.

    Every reading uses the same rows and draws, keyed by `seed`, so that readings differ by the weights alone. Of rows
    that stream, a random part is held and read. Each process reads its share of them, and gets the mean over all.
    """

    def __init__(self, model: CompiledModel, held_out: AbstractTable | None, seed: int, processes: Processes) -> None:
        if held_out is not None and held_out.streams:
            held_out = held_out.sample(VALIDATION_ROWS, seed)
        self.model, self.processes = model, processes
        self.rows = held_out.rows if held_out else VALIDATION_POINTS
        self.first, self.stop = processes.share(self.rows)
        self.columns: Mapping[str, Tensor] = {}
        self.tried: Mapping[str, Tensor] = {}
        """Rows that are solved for once more."""
        self.weights = None if held_out is None else held_out.weights
        if held_out and self.first < self.stop:
            whole = held_out.whole()
            weight = mean_weight(whole, "the held-out rows")
            share = {name: column[self.first : self.stop] for name, column in whole.columns.items()}
            self.columns = columns_of(model, Dataset(share, self.weights), weight=weight)
            self.tried = columns_of(model, by_weight(Dataset(share, self.weights).head(ROWS), seed))
        terms = model.graph.loss.terms.values() if model.graph.loss else ()
        most = (t.op.most_rows() for t in terms if isinstance(t.op, AbstractScoreLoss))
        self.batch = min([rows_at_once(model, BATCH), *(rows for rows in most if rows is not None)])
        draws = VALIDATION_DRAWS if held_out and model.program("loss").draws else 1
        self.seeds = [seed_of(seed, "validation", draw) for draw in range(draws)]

    def solver_shift(self) -> float | None:
        """What a finer solve changes on the first of the rows (`runtime.solving`)."""
        return solver_shift(self.model, self.tried, self.seeds[0])

    @torch.no_grad()
    def __call__(self) -> float:
        """The loss with the weights as they are."""
        parts = [torch.zeros((), device=self.model.device)]
        for seed in self.seeds:
            for start in range(self.first, self.stop, self.batch):
                count, place = min(self.batch, self.stop - start), start - self.first
                batch = {name: column[place : place + count] for name, column in self.columns.items()}
                own: dict[str, Any] = {} if batch else {"count": count}
                if self.weights is not None:
                    own["weights"] = batch.pop(self.weights)
                parts.append(count * self.model.loss(batch or None, seed=seed, start=start, **own).total)
        found = sum(part.double() for part in parts)
        assert isinstance(found, Tensor)
        return float(self.processes.total(found)) / (self.rows * len(self.seeds))


@torch.no_grad()
def log_probs(
    model: CompiledModel,
    data: AbstractTable,
    seed: int = 0,
    processes: Processes | None = None,
    reporter: Reporter | None = None,
) -> Array:
    """log p of every row in nats, (rows,), in batches; one draw of the model's randomness each, by `seed`."""
    parts: list[Array] = []
    done = 0
    size = rows_at_once(model, BATCH)
    for part in in_turn(data, size, processes, lambda columns, start: _log_prob(model, columns, seed, start)):
        parts.append(part)
        done += len(part)
        if reporter:
            reporter.advance(done)
    return np.concatenate(parts)


def in_turn(
    data: AbstractTable, size: int, processes: Processes | None, work: Callable[[Columns, int], Array]
) -> Iterator[Array]:
    """What `work` makes of each batch of `size` rows and the number of its first row, batch by batch.

    Processes take the batches in turn, and each gets what all have made.
    """
    count, index = (processes.count, processes.index) if processes else (1, 0)
    start, mine = 0, np.zeros(0)
    number = -1
    for number, columns in enumerate(data.batches(size)):
        if number % count == index:
            mine = work(columns, start)
        start += len(next(iter(columns.values())))
        if number % count == count - 1:
            yield from processes.everyone(mine) if processes else [mine]
            mine = np.zeros(0)
    if processes and (number + 1) % count:
        yield from processes.everyone(mine)[: (number + 1) % count]


def _log_prob(model: CompiledModel, columns: Columns, seed: int, start: int) -> Array:
    """log p of some rows, the first of which is number `start` to the draws."""
    x, given = split(model, columns)
    return model.log_prob(x, given=given, seed=seed, start=start).cpu().double().numpy()


@torch.no_grad()
def test_likelihood(
    model: CompiledModel,
    data: AbstractTable,
    draws: int,
    seed: int = 0,
    processes: Processes | None = None,
    visible: bool = False,
) -> Likelihood:
    """The mean over rows, by their weights, and over `draws` dequantisations (one is enough where the model draws
    nothing)."""
    seeds = [seed_of(seed, "test", draw) for draw in range(draws)]
    found, done = Moments(), 0

    def work(columns: Columns, start: int) -> Array:
        nll = -np.mean([_log_prob(model, columns, s, start) for s in seeds], axis=0)
        return np.stack([nll] if data.weights is None else [nll, columns[data.weights]])

    with show_progress("test", data.rows, visible) as reporter:
        for rows in in_turn(data, rows_at_once(model, BATCH), processes, work):
            found.add(*rows)
            done += rows.shape[1]
            reporter.advance(done)
    if data.weights is not None:
        check_total(data.weights, found.weight, "the test rows")
    return likelihood(found, draws, sum(model.type_of(name).size for name in model.observed))


test_likelihood.__test__ = False  # type: ignore[attr-defined]  # a figure, not a test for pytest to collect


def likelihood(nll: Moments, draws: int, size: int) -> Likelihood:
    """The figures of negative log-likelihoods, one a row."""
    return Likelihood(float(nll.mean), float(nll.error()), nll.rows, nll.worth, draws, size)


def gap_to_truth(
    model: CompiledModel,
    name: str,
    constants: Mapping[str, float],
    seed: int,
    processes: Processes | None = None,
    visible: bool = False,
) -> dict[str, float]:
    """E_p[log p - log q] on fresh points of a toy set with a known density: KL(p ‖ q) in nats, and its error.

    A gap more than three standard errors below zero is impossible for a normalised q; a report must fail on it.
    """
    dear = any(node.op.sampled for node in model.graph.steps.values())
    count = min(GAP_POINTS, DEAR_POINTS) if dear else GAP_POINTS
    x = TOYS[name](count, seed=seed_of(seed, "fresh points"), **constants)
    (variable,) = model.observed
    truth = log_density(name, x, **constants)
    with show_progress("test", len(x), visible) as reporter:
        found = log_probs(model, Dataset({variable: x}), 0, processes, reporter)
    gap, size = truth - found, model.type_of(variable).size
    own = likelihood(Moments.of(-found), 1, size)
    return {
        "rows": own.rows,
        "nll_nats": own.nll_nats,
        "nll_stderr": own.stderr,
        "bits_per_dim": own.bits_per_dim,
        "entropy_nats": float(-truth.mean()),
        "gap_to_entropy_nats": float(gap.mean()),
        "gap_stderr": float(gap.std(ddof=1) / math.sqrt(len(x))),
    }
