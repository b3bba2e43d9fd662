"""Arrays from files of NumPy and from IDX files, the format of MNIST. Nothing in a file is unpickled."""

from __future__ import annotations

import gzip
import math
import zipfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import IO, Final

import numpy as np

from dgmspec.runtime.data.context import Context, Rows, missing, reading
from dgmspec.runtime.data.dataset import Column, DataError
from dgmspec.runtime.data.support import Origin

__all__ = ["idx", "npy", "npz"]

Mapping = Iterable[tuple[str, str]]

_IDX_TYPES: Final = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def npy(context: Context, *, path: str, variables: Mapping = ()) -> Rows:
    """Arrays (rows, *event) of .npy files: `path` for the one variable that `variables` gives no path of its own."""
    return _arrays(context, "npy", path, variables, _read_npy)


def idx(context: Context, *, path: str, variables: Mapping = (), flat: bool = False) -> Rows:
    """Arrays of IDX files likewise; images get one channel, or become vectors where `flat`."""
    return _arrays(context, "idx", path, variables, partial(_read_idx, flat=flat))


def npz(context: Context, *, path: str, variables: Mapping = ()) -> Rows:
    """Arrays of one .npz file by their keys: that of `variables`, else the variable's name."""
    file, keys = context.main(path), dict(variables)
    columns = {}
    with reading(file, "npz"), file.open("rb") as stream, zipfile.ZipFile(stream) as archive:
        known = [name.removesuffix(".npy") for name in archive.namelist()]
        for name in context.variables:
            key = keys.get(name, name)
            if key not in known:
                raise missing(file, "array", key, known, name)
            with archive.open(f"{key}.npy") as member:
                columns[name] = _array(member)
    return Rows(columns, {name: _origin(file) for name in columns})


def _arrays(context: Context, source: str, path: str, variables: Mapping, read: Callable[[Path], Column]) -> Rows:
    """One file a variable."""
    own = dict(variables)
    unnamed = [name for name in context.variables if name not in own]
    if len(unnamed) != 1:
        names = ", ".join(f"`{name}`" for name in unnamed or context.variables)
        message = f"`{path}` is for one variable, and " + (
            f"it may be any of {names}" if unnamed else f"all of {names} have files of their own"
        )
        example = (unnamed or list(context.variables))[-1]
        raise DataError("DGM853", message, f'give the others a file each: `{source}("…", {example} = "…")`')
    files = {n: context.main(path) if n in unnamed else context.locate(own[n]) for n in context.variables}
    columns = {name: read(file) for name, file in files.items()}
    return Rows(columns, {name: _origin(file) for name, file in files.items()})


def _origin(file: Path) -> Origin:
    return Origin(str(file), first=1, note=" (the first row is 1)")


def _read_npy(file: Path) -> Column:
    with reading(file, "npy"), file.open("rb") as stream:
        return _array(stream)


def _array(stream: IO[bytes]) -> Column:
    """One array in NumPy's format, and nothing behind it."""
    array = np.lib.format.read_array(stream, allow_pickle=False)
    if stream.read(1):
        raise ValueError("there are more bytes behind the array")
    return _native(array)


def _native(array: Column) -> Column:
    """The same numbers in the byte order of this machine, and in a type that tensors have."""
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        raise ValueError(f"numbers of type {array.dtype} are wider than float64")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _read_idx(file: Path, flat: bool) -> Column:
    """Two zeros, a type, the rank, big-endian sizes, then the numbers. Source: http://yann.lecun.com/exdb/mnist."""
    with reading(file, "IDX"), file.open("rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        stream: IO[bytes] = gzip.GzipFile(fileobj=raw) if compressed else raw  # type: ignore[assignment]
        array = _idx_array(stream)
    if array.ndim < 2:
        return array
    rows = len(array)
    return array.reshape(rows, -1) if flat else array.reshape(rows, 1, *array.shape[1:]) if array.ndim == 3 else array


def _idx_array(stream: IO[bytes]) -> Column:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _IDX_TYPES or not magic[3]:
        raise ValueError(f"it does not begin with the mark of the format (its first bytes are {magic.hex(' ')})")
    dtype, rank = np.dtype(_IDX_TYPES[magic[2]]), magic[3]
    sizes = stream.read(4 * rank)
    if len(sizes) < 4 * rank:
        raise ValueError("it ends within its header")
    shape = tuple(int(n) for n in np.frombuffer(sizes, ">u4"))
    wanted = math.prod(shape) * dtype.itemsize
    data = stream.read(wanted + 1)
    if len(data) != wanted:
        what = "more" if len(data) > wanted else f"{len(data):,}"
        raise ValueError(f"its header announces {wanted:,} bytes of numbers {shape}, and it holds {what}")
    return _native(np.frombuffer(data, dtype).reshape(shape))
