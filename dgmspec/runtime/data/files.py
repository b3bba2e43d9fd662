"""Arrays from files of NumPy and from IDX files, the format of MNIST. Nothing in a file is unpickled.

Arrays that lie in a file as they are in memory are mapped, so that a block of rows is read alone; an array in an
archive (.npz) or a compressed file is read whole.
"""

from __future__ import annotations

import gzip
import math
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from dgmspec.runtime.data.context import Context, missing, reading
from dgmspec.runtime.data.dataset import Column, Columns, DataError, common_rows
from dgmspec.runtime.data.streamed import BLOCK_BYTES, Block, Rows, Stream
from dgmspec.runtime.data.support import Origin

__all__ = ["idx", "npy", "npz"]

Mapping = Iterable[tuple[str, str]]
Opened = Callable[[], Column]
"""Maps a file: the array without a copy, whose pages are let go with it."""

_IDX_TYPES: Final = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def npy(context: Context, *, path: str, variables: Mapping = (), stream: Stream = "auto") -> Rows:
    """Arrays (rows, *event) of .npy files: `path` for the one variable that `variables` gives no path of its own."""
    files = _own_files(context, "npy", path, variables)
    return _rows(files, {name: partial(_map_npy, file) for name, file in files.items()}, stream)


def idx(
    context: Context,
    *,
    path: str,
    variables: Mapping = (),
    flat: bool = False,
    stream: Stream = "auto",
) -> Rows:
    """Arrays of IDX files likewise; images get one channel, or become vectors where `flat`."""
    files = _own_files(context, "idx", path, variables)
    packed = {name: file for name, file in files.items() if _compressed(file)}
    if not packed:
        return _rows(files, {name: partial(_map_idx, file, flat) for name, file in files.items()}, stream)
    if stream is True:
        file = next(iter(packed.values()))
        raise DataError("DGM853", f"{file} is compressed and cannot be streamed", "unpack it with `gunzip`")
    arrays = {name: (_unpacked if name in packed else _map_idx)(file, flat) for name, file in files.items()}
    columns = {name: _native(np.array(array)) for name, array in arrays.items()}
    return Rows.of(columns, {name: _origin(file) for name, file in files.items()})


def npz(context: Context, *, path: str, variables: Mapping = ()) -> Rows:
    """Arrays of one .npz file by their keys: that of `variables`, else the variable's name."""
    file, keys = context.main(path), dict(variables)
    columns, origins = {}, {}
    with reading(file, "npz"), file.open("rb") as stream, zipfile.ZipFile(stream) as archive:
        known = [name.removesuffix(".npy") for name in archive.namelist()]
        for name in context.variables:
            key = keys.get(name, name)
            if key not in known:
                raise missing(file, "array", key, known, name, f'`{name} = "…"`')
            origins[name] = replace(_origin(file), of=f"`{key}` in {file}")
            with archive.open(f"{key}.npy") as member:
                columns[name] = _native(np.lib.format.read_array(member, allow_pickle=False))
                if member.read(1):
                    raise ValueError("there are more bytes behind the array")
    return Rows.of(columns, origins)


# ---- rows of mapped arrays ------------------------------------------------------------------------------------------


def _own_files(context: Context, source: str, path: str, variables: Mapping) -> dict[str, Path]:
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
    return {n: context.main(path) if n in unnamed else context.locate(own[n]) for n in context.variables}


def _rows(files: dict[str, Path], arrays: dict[str, Opened], stream: Stream) -> Rows:
    """The rows of mapped arrays in blocks of about `BLOCK_BYTES`."""
    first = {name: mapped() for name, mapped in arrays.items()}
    rows = common_rows({name: array.shape for name, array in first.items()}, files)
    row_bytes = sum(array.nbytes // max(1, rows) for array in first.values())
    size = max(1, BLOCK_BYTES // max(1, row_bytes))
    blocks = []
    for start in range(0, max(1, rows), size):
        stop = min(rows, start + size)
        origins = {name: _origin(file, start) for name, file in files.items()}
        blocks.append(Block(stop - start, partial(_slices, arrays, start, stop), origins))
    return Rows(tuple(files), tuple(blocks), row_bytes, stream)


def _slices(arrays: dict[str, Opened], start: int, stop: int) -> Columns:
    return {name: _native(np.array(mapped()[start:stop])) for name, mapped in arrays.items()}


def _origin(file: Path, before: int = 0) -> Origin:
    return Origin(str(file), first=1 + before, note=" (the first row is 1)")


def _native(array: Column) -> Column:
    """The same numbers in the byte order of this machine."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)


# ---- one file -------------------------------------------------------------------------------------------------------


def _map_npy(file: Path) -> Column:
    """The array of a .npy file, and nothing behind it."""
    with reading(file, "npy"):
        with file.open("rb") as stream:
            if stream.read(6) != b"\x93NUMPY":
                raise ValueError("it does not begin with the mark of the format")
        array: np.memmap[Any, np.dtype[Any]] = np.load(file, mmap_mode="r", allow_pickle=False)
        if array.dtype.kind == "f" and array.dtype.itemsize > 8:
            raise ValueError(f"numbers of type {array.dtype} are wider than float64")
        if file.stat().st_size > array.offset + array.nbytes:
            raise ValueError("there are more bytes behind the array")
    return array


def _map_idx(file: Path, flat: bool) -> Column:
    """The array of an uncompressed IDX file, and nothing behind it."""
    with reading(file, "IDX"):
        with file.open("rb") as stream:
            dtype, shape = _idx_header(stream)
            place = stream.tell()
        _check_length(math.prod(shape) * dtype.itemsize, file.stat().st_size - place, shape)
        array = np.memmap(file, dtype, "r", place, shape) if math.prod(shape) else np.empty(shape, dtype)
    return _image(array, flat)


def _unpacked(file: Path, flat: bool) -> Column:
    """The array of a compressed IDX file."""
    with reading(file, "IDX"), gzip.open(file, "rb") as stream:
        dtype, shape = _idx_header(stream)
        wanted = math.prod(shape) * dtype.itemsize
        data = stream.read(wanted + 1)
        _check_length(wanted, len(data), shape)
    return _image(np.frombuffer(data, dtype).reshape(shape), flat)


def _compressed(file: Path) -> bool:
    with reading(file, "IDX"), file.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def _idx_header(stream: IO[bytes] | gzip.GzipFile) -> tuple[np.dtype[np.generic], tuple[int, ...]]:
    """Two zeros, a type, the rank, then big-endian sizes. Source: http://yann.lecun.com/exdb/mnist."""
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _IDX_TYPES or not magic[3]:
        raise ValueError(f"it does not begin with the mark of the format (its first bytes are {magic.hex(' ')})")
    sizes = stream.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise ValueError("it ends within its header")
    return np.dtype(_IDX_TYPES[magic[2]]), tuple(int(n) for n in np.frombuffer(sizes, ">u4"))


def _check_length(wanted: int, held: int, shape: tuple[int, ...]) -> None:
    if held != wanted:
        what = "more" if held > wanted else f"{held:,}"
        raise ValueError(f"its header announces {wanted:,} bytes of numbers {shape}, and it holds {what}")


def _image(array: Column, flat: bool) -> Column:
    """Images with one channel, or vectors where `flat`."""
    if array.ndim < 2:
        return array
    rows = len(array)
    if flat:
        return array.reshape(rows, math.prod(array.shape[1:]))
    return array.reshape(rows, 1, *array.shape[1:]) if array.ndim == 3 else array
