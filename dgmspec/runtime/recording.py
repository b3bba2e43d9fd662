"""The rows of laws that draw data, opened and recorded in a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dgmspec.core.address import seed_of
from dgmspec.graph.graph import Prior
from dgmspec.modules.compiled import CompiledModel
from dgmspec.ops.data import AbstractFile
from dgmspec.ops.distributions import Empirical
from dgmspec.runtime.data import AbstractTable, Places, from_arrays, open_source, precision

__all__ = ["record_built_in", "record_rows"]


def record_built_in(model: CompiledModel, seed: int) -> None:
    """Record the rows of sources that come with the language, which are there without a file."""
    for name, law in model.empirical.items():
        if not isinstance(_empirical(law).data()[0], AbstractFile):
            _record(model, name, _open(model, name, law, seed, Places()), seed)


def record_rows(model: CompiledModel, seed: int, places: Places, arrays: Mapping[str, Any] | None = None) -> None:
    """Record the rows of files, which lie at `places`, and those given as arrays in place of any law's own source."""
    for name, law in model.empirical.items():
        if arrays is not None and name in arrays:
            _record(model, name, _given(model, name, arrays[name]), seed)
        elif isinstance(_empirical(law).data()[0], AbstractFile):
            _record(model, name, _open(model, name, law, seed, places), seed)


def _given(model: CompiledModel, name: str, array: Any) -> AbstractTable:
    return from_arrays({name: array}, {name: model.type_of(name)}, precision(model.dtype))


def _open(model: CompiledModel, name: str, law: Prior, seed: int, places: Places) -> AbstractTable:
    """The table of a law's source. Its draws are keyed by the law's address, so that data and law may have one source
    and different rows."""
    source, named = _empirical(law).data()
    own = getattr(source, "seed", None)
    reads_folder, read = isinstance(source, AbstractFile) and source.reads_folder, precision(model.dtype)
    context = places.context(named, seed_of(seed, law.address) if own is None else int(own), reads_folder, read)
    return open_source(source.name, source.arguments(), {name: model.type_of(name)}, context)


def _record(model: CompiledModel, name: str, table: AbstractTable, seed: int) -> None:
    """As many rows of a table as the law keeps, drawn by the seed where there are more."""
    law = model.empirical[name]
    rows = table.sample(_empirical(law).kept(), seed_of(seed, law.address))[name]
    model.set_rows(name, np.asarray(rows))


def _empirical(law: Prior) -> Empirical:
    assert isinstance(law.op, Empirical)
    return law.op
