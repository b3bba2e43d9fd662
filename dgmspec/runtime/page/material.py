"""What a report shows, gathered from the folder of a run: figures, curves, rows, samples, the ledger, the checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from dgmspec.core.address import seed_of
from dgmspec.modules.compiled import CompiledModel
from dgmspec.program.program import Program
from dgmspec.runtime.beside import in_one_pass, samples_beside
from dgmspec.runtime.canvas import Grid, frame_of
from dgmspec.runtime.data import DataError, Dataset, by_weight
from dgmspec.runtime.densities import log_density
from dgmspec.runtime.feed import split
from dgmspec.runtime.likelihood import log_probs
from dgmspec.runtime.rows import Parts, open_parts
from dgmspec.runtime.rundir import RunDirectory, RunError
from dgmspec.runtime.shares import rows_at_once
from dgmspec.runtime.stored import load_model
from dgmspec.runtime.task import recorded_task
from dgmspec.runtime.toys import TOYS
from dgmspec.runtime.verify import Verification, verify_run

__all__ = ["Entry", "LedgerTable", "Material", "Plane", "gather"]

Array = NDArray[Any]

SAMPLES: Final = 4000
"""Samples drawn for histograms and maps; for larger events fewer, so that they hold as many numbers in all."""

NUMBERS: Final = 500_000
FEWEST: Final = 64
_SMALL: Final = 8
"""Numbers of an event of which a sampler's many evaluations take seconds for all samples."""

ROWS: Final = 10_000
"""Rows that are read for the pictures and the ledger: the first of the test, whatever the size of the whole."""

BATCH: Final = 2048
CELLS: Final = 120
"""Cells along each side of a density map."""


@dataclass(frozen=True)
class Entry:
    """One contribution to the log-density, with its sign: the mean and the standard deviation over rows, nats."""

    name: str
    kind: str
    direction: str
    cost: str
    mean: float
    deviation: float


@dataclass(frozen=True)
class LedgerTable:
    """The contributions in the order they run, their sum, how many rows, and which rows they are."""

    entries: tuple[Entry, ...]
    total: Entry
    rows: int
    of: str


@dataclass(frozen=True)
class Plane:
    """Densities over the plane, on a common grid: the model's, and the true one where it is known."""

    grid: Grid
    model: Array
    truth: Array | None


@dataclass(frozen=True)
class Material:
    """All that a report shows. `missing` says why there are no data where there are none, `unsampled` of samples."""

    path: Path
    text: str
    config: Mapping[str, Any]
    report: Mapping[str, Any]
    metrics: list[dict[str, float]]
    model: CompiledModel
    data: Dataset | None
    missing: str
    samples: Mapping[str, Array]
    unsampled: str
    curve: tuple[Array, Array] | None
    plane: Plane | None
    ledger: LedgerTable | None
    verification: Verification


def gather(path: Path, paths: Mapping[str, str | Path] | None = None, visible: bool = False) -> Material:
    """Read a finished run; `paths` says where the files of its data lie now, `visible` draws progress."""
    directory = RunDirectory(path)
    config, model = directory.config(), load_model(path)
    report, seed = directory.report(), int(config["train"]["seed"])
    parts, missing = _parts(directory, model, paths)
    table = parts.test or parts.validation or parts.train
    data = None if table is None else by_weight(table.head(ROWS), seed)
    samples, unsampled = _samples(model, data, seed)
    return Material(
        path=path,
        text=(path / "bundle.dgm").read_text(encoding="utf-8"),
        config=config,
        report=report,
        metrics=directory.metrics(),
        model=model,
        data=data,
        missing=missing,
        samples=samples,
        unsampled=unsampled,
        curve=_curve(model, data, samples),
        plane=_plane(model, data, samples, parts),
        ledger=_ledger(model, data, samples, parts, seed),
        verification=verify_run(path, seed, paths, held_out=not missing, visible=visible),
    )


def _parts(directory: RunDirectory, model: CompiledModel, paths: Mapping[str, str | Path] | None) -> tuple[Parts, str]:
    """The run's rows, or why they cannot be had."""
    try:
        task = recorded_task(directory, None, None, paths)
        return open_parts(model, task.plan, task.data, task.places), ""
    except RunError as error:
        return Parts(), str(error)
    except DataError as error:
        return Parts(), error.message


def _samples(model: CompiledModel, data: Dataset | None, seed: int) -> tuple[dict[str, Array], str]:
    """Samples by variable, (count, *event), or none and why; fewer where a net is evaluated many times for each."""
    size = sum(model.type_of(name).size for name in model.observed)
    count = min(SAMPLES, max(FEWEST, NUMBERS // max(size, 1)))
    return samples_beside(model, data, count if in_one_pass(model) or size <= _SMALL else FEWEST, seed)


def _curve(model: CompiledModel, data: Dataset | None, samples: Mapping[str, Array]) -> tuple[Array, Array] | None:
    """The density over the line, for one number whose density is exact."""
    name = next(iter(model.observed)) if len(model.observed) == 1 else None
    if name is None or model.givens or model.density != "exact":
        return None
    type_ = model.type_of(name)
    shown: Array | None = data[name] if data is not None else samples.get(name)
    if type_.size != 1 or not type_.support.continuous or shown is None:
        return None
    points = np.asarray(shown, np.float64).ravel()
    low, high = frame_of(points[np.isfinite(points)])
    x = np.linspace(max(low, type_.support.low), min(high, type_.support.high), CELLS + 2)[1:-1]
    return x, np.exp(log_probs(model, Dataset({name: x.reshape(-1, *type_.shape)})))


def _plane(model: CompiledModel, data: Dataset | None, samples: Mapping[str, Array], parts: Parts) -> Plane | None:
    """Densities over the plane, for one pair of reals whose density is exact."""
    name = next(iter(model.observed)) if len(model.observed) == 1 else None
    if name is None or model.givens or model.density != "exact":
        return None
    type_ = model.type_of(name)
    shown: Array | None = data[name] if data is not None else samples.get(name)
    if type_.shape != (2,) or not type_.support.continuous or shown is None:
        return None
    points = np.asarray(shown, np.float64)
    finite = np.isfinite(points).all(axis=1)
    if not finite.any():
        return None
    grid = Grid.around(points[finite], CELLS)
    inside = grid.inside(type_.support.low, type_.support.high)
    found = np.full(len(inside), -np.inf)
    found[inside] = log_probs(model, Dataset({name: grid.points[inside]}))
    truth = log_density(parts.toy.name, grid.points, **parts.toy.constants) if parts.toy else None
    maps = [None if log is None else np.exp(np.minimum(log, 700.0)).reshape(CELLS, CELLS) for log in (found, truth)]
    assert maps[0] is not None
    return Plane(grid, maps[0], maps[1])


# ---- the ledger -----------------------------------------------------------------------------------------------------


def _ledger(
    model: CompiledModel, data: Dataset | None, samples: Mapping[str, Array], parts: Parts, seed: int
) -> LedgerTable | None:
    """The mean contribution of every step and prior, on rows that training has not seen where there are any."""
    if not isinstance(model.programs["log_prob"], Program):
        return None
    if parts.toy is not None:
        fresh = TOYS[parts.toy.name](ROWS, seed=seed_of(seed, "ledger"), **parts.toy.constants)
        rows, of = Dataset({next(iter(model.observed)): fresh}), "fresh points of the set"
    elif data is not None and parts.test is not None:
        rows, of = data, "rows of the test"
    elif data is not None:
        rows, of = (
            data,
            "held-out rows of the validation" if parts.validation else "rows of the training (none held out)",
        )
    elif samples and not model.givens:
        rows, of = Dataset(dict(samples)), "samples of the model"
    else:
        return None
    return _averaged(model, rows, min(rows.rows, ROWS), of, seed)


@torch.no_grad()
def _averaged(model: CompiledModel, rows: Dataset, count: int, of: str, seed: int) -> LedgerTable:
    columns: list[list[Array]] = []
    steps: tuple[Any, ...] = ()
    size = rows_at_once(model, BATCH)
    for start in range(0, count, size):
        x, given = split(model, {n: c[start : min(count, start + size)] for n, c in rows.columns.items()})
        found = model.ledger(x, given=given, seed=seed, start=start)
        steps = found.steps
        values = [*(step.sign * step.logdet for step in found.steps), found.total]
        columns.append([np.asarray(value.cpu().double()) for value in values])
    joined = [np.concatenate(column) for column in zip(*columns, strict=True)]
    spread = [(float(v.mean()), float(v.std(ddof=1)) if len(v) > 1 else 0.0) for v in joined]
    entries = [Entry(s.name, s.kind, s.direction, s.cost, *pair) for s, pair in zip(steps, spread[:-1], strict=True)]
    return LedgerTable(tuple(entries), Entry("log p", "", "", "", *spread[-1]), count, of)
