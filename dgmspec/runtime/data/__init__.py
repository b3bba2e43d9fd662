"""Data: tables by variable name, where they come from, what they must satisfy, and the order of training."""

from dgmspec.runtime.data.context import Context, Places
from dgmspec.runtime.data.dataset import AbstractTable, Columns, DataError, Dataset
from dgmspec.runtime.data.moments import Moments
from dgmspec.runtime.data.order import Batches, Piece
from dgmspec.runtime.data.simulated import FromPython, Simulate, Simulated, Simulator
from dgmspec.runtime.data.sources import SOURCES, from_arrays, open_source
from dgmspec.runtime.data.streamed import held_rows
from dgmspec.runtime.data.support import check_column, precision
from dgmspec.runtime.data.weights import by_weight, check_total, mean_weight

__all__ = [
    "SOURCES",
    "AbstractTable",
    "Batches",
    "Columns",
    "Context",
    "DataError",
    "Dataset",
    "FromPython",
    "Moments",
    "Piece",
    "Places",
    "Simulate",
    "Simulated",
    "Simulator",
    "by_weight",
    "check_column",
    "check_total",
    "from_arrays",
    "held_rows",
    "mean_weight",
    "open_source",
    "precision",
]
