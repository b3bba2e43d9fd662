"""A finished run read again: its model, and its test figures by its own split."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from dgmspec.runtime.data import FromPython
from dgmspec.runtime.processes import Processes
from dgmspec.runtime.report import test_figures
from dgmspec.runtime.rows import open_parts
from dgmspec.runtime.rundir import RunDirectory
from dgmspec.runtime.stored import load_model
from dgmspec.runtime.task import recorded_task

__all__ = ["evaluate"]


def evaluate(
    run: str | Path,
    *,
    data: FromPython | None = None,
    nets: Mapping[str, nn.Module] | None = None,
    paths: Mapping[str, str | Path] | None = None,
    seed: int | None = None,
    draws: int | None = None,
    samples: int | None = None,
    whole: bool = False,
    visible: bool = False,
) -> dict[str, Any]:
    """The test figures of a finished run, as in its ``report.json``: nats, bits per dimension, the gap to the truth;
    `density` says what they are of: an exact density, an estimate, a lower bound.

    The rows are those that the run set aside, or with `whole` all rows of the data, for a file that holds test rows
    alone. `seed` and `draws` choose other dequantisations (and bits, where grey levels are binarised anew), or other
    fresh points of a set with a known density. With `samples` the likelihood of a model with latent variables is also
    taken by that many importance weights a row. `data` and `nets` are given again where the run was given them; `paths`
    says by the name of a data source where its file lies now, if it has moved.
    """
    processes = Processes()
    directory = RunDirectory(Path(run))
    task = recorded_task(directory, data, nets, paths)
    model = load_model(directory.path, nets, processes.device)
    parts = open_parts(model, task.plan, task.data, task.places, whole)
    test = parts.test.reseeded(seed) if parts.test is not None and seed is not None else parts.test
    seed = task.plan.seed if seed is None else seed
    figures = test_figures(model, test, parts.toy, seed, draws, processes, visible and processes.main, samples)
    return {"density": model.density, **figures} if figures else figures
