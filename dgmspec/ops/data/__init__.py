"""Data sources: what each gives, by name and type. The rows themselves are made, or read, at run time."""

from dgmspec.ops.data.base import AbstractData, NamedData
from dgmspec.ops.data.builtin import AbstractToy, Digits
from dgmspec.ops.data.files import AbstractFile

__all__ = ["AbstractData", "AbstractFile", "AbstractToy", "Digits", "NamedData"]
