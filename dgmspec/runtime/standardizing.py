"""The statistics of `standardize = true`, from the training rows."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch

from dgmspec.modules.compiled import CompiledModel
from dgmspec.runtime.data import AbstractTable, DataError, Moments

__all__ = ["record_statistics"]

_ROWS: Final = 65_536


def record_statistics(model: CompiledModel, table: AbstractTable) -> None:
    """Record the mean and the standard deviation of every variable that the model standardises."""
    names = model.standardized
    if not names:
        return
    moments = {name: Moments() for name in names}
    for columns in table.batches(_ROWS):
        weights = None if table.weights is None else columns[table.weights]
        for name, found in moments.items():
            found.add(columns[name], weights)
    for name, found in moments.items():
        _check(model, name, found)
        model.set_statistics(name, found.mean, found.std())


def _check(model: CompiledModel, name: str, found: Moments) -> None:
    """Refuse a coordinate without spread, and one whose spread is lost in the model's precision."""
    std = found.std()
    for place in np.ndindex(std.shape):
        where = f"`{name}`" + (f", coordinate [{', '.join(map(str, place))}]" if place else "")
        mean, spread = float(found.mean[place]), float(std[place])
        if spread <= 1e-12 * abs(mean):
            raise DataError(
                "DGM852",
                f"{where} is {mean:g} in all {found.rows:,} training rows, so it has no scale to standardise by",
                "leave the coordinate out, or train without `standardize`",
            )
        if abs(mean) * torch.finfo(model.dtype).eps > 1e-3 * spread:
            raise DataError(
                "DGM852",
                f"{where} has mean {mean:g} and standard deviation {spread:g}: the precision of the model "
                "hardly tells its values apart",
                "subtract an offset from the data, or train in `precision = float64`",
            )
