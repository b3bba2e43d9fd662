"""Data in memory: columns by variable name, where they come from, and what they must satisfy."""

from dgmspec.runtime.data.context import Context, Places
from dgmspec.runtime.data.dataset import Batches, DataError, Dataset
from dgmspec.runtime.data.sources import SOURCES, from_arrays, open_source
from dgmspec.runtime.data.support import check_column

__all__ = [
    "SOURCES",
    "Batches",
    "Context",
    "DataError",
    "Dataset",
    "Places",
    "check_column",
    "from_arrays",
    "open_source",
]
