"""Which pictures a finished run leaves: samples beside data, the learning curve, the density over the plane."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dgmspec.modules.compiled import CompiledModel
from dgmspec.modules.redraws import OutsideError
from dgmspec.program.program import Program
from dgmspec.runtime.canvas import Grid
from dgmspec.runtime.codes import draw_codes
from dgmspec.runtime.curves import draw_loss
from dgmspec.runtime.data import Dataset
from dgmspec.runtime.densities import log_density
from dgmspec.runtime.likelihood import log_probs
from dgmspec.runtime.pictures import draw_density, draw_samples
from dgmspec.runtime.rows import Parts
from dgmspec.runtime.rundir import RunDirectory
from dgmspec.runtime.sample import sample_block

__all__ = ["draw_run"]

POINTS = 4000
"""Samples drawn for a picture of points."""

IMAGES = 64
"""Samples drawn for a picture of larger events."""

Array = NDArray[Any]


def draw_run(model: CompiledModel, parts: Parts, directory: RunDirectory, seed: int) -> str:
    """Write the pictures that the model and its data allow; why there are none of samples, where that is news."""
    draw_loss(directory.metrics(), directory.path / "loss.png")
    if len(model.observed) != 1:
        return ""
    (name,) = model.observed
    type_ = model.type_of(name)
    table = parts.test or parts.validation or parts.train
    data = None if table is None else table.head(POINTS)
    real = None if data is None else data[name]
    if data is not None:
        draw_codes(model, data, directory)
    try:
        samples = _samples(model, data, POINTS if type_.size <= 2 else IMAGES, seed)
    except OutsideError as error:
        return str(error)
    if samples is None:
        return ""
    draw_samples(samples, real, type_.shape, directory.path / "samples.png")
    plane = type_.shape == (2,) and type_.support.continuous and model.density == "exact"
    if plane and not model.givens:
        shown = samples if real is None else real
        grid = Grid.around(shown, 150)
        inside = grid.inside(type_.support.low, type_.support.high)
        found = np.full(len(inside), -np.inf)
        found[inside] = log_probs(model, Dataset({name: grid.points[inside]}))
        truth = log_density(parts.toy.name, grid.points, **parts.toy.constants) if parts.toy else None
        draw_density(found, grid, shown, directory.path / "density.png", truth)
    return ""


@torch.no_grad()
def _samples(model: CompiledModel, data: Dataset | None, count: int, seed: int) -> Array | None:
    """Samples as (count, *event), under the data's own contexts where the model has them; None if it cannot sample.

    A model without a direction of its own to draw in is drawn from as its sample block says.
    """
    own = isinstance(model.programs["sample"], Program) or model.default_method() is not None
    block = None if own else sample_block(model)
    method = None if block is None else block.method
    if not own and method is None:
        return None
    given = None
    if model.givens and data is None:
        return None
    if data is not None and model.givens:
        given = {name: model.as_input(name, data[name][: min(count, data.rows)]) for name in model.givens}
    try:
        drawn = model.sample(count if given is None else 1, given=given, seed=seed, method=method)
    except ValueError:
        if own:
            raise
        # Chains that have left the numbers are no samples; `dgmspec sample` says so, and the run keeps its figures.
        return None
    return np.asarray(drawn.reshape(-1, *model.type_of(next(iter(model.observed))).shape).cpu().double())
