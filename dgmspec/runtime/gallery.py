"""Which pictures a finished run leaves: samples beside data, the learning curve, the density over the plane."""

from __future__ import annotations

import numpy as np

from dgmspec.modules.compiled import CompiledModel
from dgmspec.runtime.beside import samples_beside
from dgmspec.runtime.canvas import Grid
from dgmspec.runtime.codes import draw_codes
from dgmspec.runtime.curves import draw_loss
from dgmspec.runtime.data import Dataset, by_weight
from dgmspec.runtime.densities import log_density
from dgmspec.runtime.likelihood import log_probs
from dgmspec.runtime.pictures import draw_density, draw_samples
from dgmspec.runtime.rows import Parts
from dgmspec.runtime.rundir import RunDirectory

__all__ = ["draw_run"]

POINTS = 4000
"""Samples drawn for a picture of points."""

IMAGES = 64
"""Samples drawn for a picture of larger events."""


def draw_run(model: CompiledModel, parts: Parts, directory: RunDirectory, seed: int) -> str:
    """Write the pictures that the model and its data allow; why there are none of samples, where that is news."""
    draw_loss(directory.metrics(), directory.path / "loss.png", model.loss_unit)
    if len(model.observed) != 1:
        return ""
    (name,) = model.observed
    type_ = model.type_of(name)
    table = parts.test or parts.validation or parts.train
    data = None if table is None else by_weight(table.head(POINTS), seed)
    real = None if data is None else data[name]
    if data is not None:
        draw_codes(model, data, directory)
    drawn, why = samples_beside(model, data, POINTS if type_.size <= 2 else IMAGES, seed)
    if name not in drawn:
        return why
    samples = drawn[name]
    draw_samples(samples, real, type_.shape, directory.path / "samples.png", name)
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
