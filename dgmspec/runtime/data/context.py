"""What a source may use besides its arguments, and how it reads a file."""

from __future__ import annotations

import csv
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from dgmspec.core.diagnostics import did_you_mean
from dgmspec.core.types import Type
from dgmspec.runtime.data.dataset import DataError
from dgmspec.runtime.data.support import DOUBLE, Precision

__all__ = ["Context", "Places", "missing", "reading"]

_ELSEWHERE = "for a file elsewhere, name the data, `data d = …`, and give `--data d=PATH`"
_MARKS: Final = (
    (b"\x1f\x8b", "a file compressed by gzip", "unpack it with `gunzip`", ("IDX",)),
    (b"\x28\xb5\x2f\xfd", "a file compressed by zstd", "unpack it with `unzstd`", ()),
    (b"PK\x03\x04", "a zip archive, as .xlsx and .npz files are", "export it as CSV, or read it by `npz`", ("npz",)),
    (b"PAR1", "a Parquet file", "read it by `parquet`", ("Parquet",)),
    (b"\x93NUMPY", "an array of NumPy", "read it by `npy`", ("npy",)),
    (b"\x80", "a pickle, and nothing is unpickled", "write it anew by `numpy.save` or `savez`", ()),
    (b"\x89HDF", "an HDF5 file", "write its arrays as .npy, .npz or .parquet", ()),
    (b"\x89PNG", "a PNG image", "read a folder of them by `images`", ("PNG",)),
    (b"\xff\xd8\xff", "a JPEG image", "convert it to PNG", ()),
    (b"\xff\xfe", "text in UTF-16", "save it as UTF-8", ()),
    (b"\xfe\xff", "text in UTF-16", "save it as UTF-8", ()),
)
"""How files of other kinds begin, what they are, what to do with them, and the kinds that may begin so."""

_DAMAGED = (ValueError, EOFError, SyntaxError, csv.Error, struct.error, zlib.error, zipfile.BadZipFile)


@dataclass(frozen=True)
class Context:
    """The seed of a source's draws, the folder that its paths start from, the types of the variables it is for, and the
    precision that a model will `read` them in.

    `given` is the place that the caller names instead of the source's own path; it need not lie in the folder.
    `name` is what the spec calls the source.
    """

    seed: int = 0
    folder: Path | None = None
    given: Path | None = None
    variables: Mapping[str, Type] = field(default_factory=dict)
    read: Precision = DOUBLE
    name: str | None = None

    @property
    def elsewhere(self) -> str:
        """What to do where the file lies outside the folder."""
        return _ELSEWHERE if self.name is None else f"for a file elsewhere, give `--data {self.name}=PATH`"

    def main(self, path: str) -> Path:
        """The place of the source's own path."""
        if self.given is None:
            return self.locate(path)
        if not self.given.exists():
            raise DataError("DGM853", f"there is no file {self.given}", "correct the path after `--data`")
        return self.given

    def locate(self, path: str) -> Path:
        """The file that `path` names inside the folder, after links are followed; `DataError` where there is none."""
        root = (self.folder or Path()).resolve()
        try:
            full = (root / path).resolve()
        except (RuntimeError, ValueError) as error:
            raise DataError("DGM853", f"`{path}` is no path: {error}", "correct the path") from error
        if not full.is_relative_to(root):
            raise DataError("DGM853", f"`{path}` leads outside {root}", self.elsewhere)
        if not full.exists():
            names = [file.name for file in full.parent.iterdir()] if full.parent.is_dir() else []
            near = did_you_mean(full.name, names)
            start = f"did you mean `{near}`? Paths" if near else "paths"
            raise DataError(
                "DGM853",
                f"there is no file `{path}` in {root}",
                f"{start} start from the folder of the spec; {self.elsewhere}",
            )
        return full


@dataclass(frozen=True)
class Places:
    """Where the files of a spec's data lie: its folder, and by the name of a data source a path in place of its own.

    A folder given for a source that reads files is the one that all its paths start from.
    """

    folder: Path | None = None
    paths: Mapping[str, Path] = field(default_factory=dict)

    def context(self, name: str | None, seed: int, reads_folder: bool, read: Precision) -> Context:
        """The context of the data source of that name."""
        given = self.paths.get(name) if name is not None else None
        if given is not None and given.is_dir() and not reads_folder:
            return Context(seed, given, read=read, name=name)
        return Context(seed, self.folder, given, read=read, name=name)


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """What a damaged file raises, as one `DataError` that names it; errors of the system itself pass through."""
    try:
        yield
    except MemoryError:
        raise DataError("DGM853", f"{path} does not fit into memory", "take fewer rows or columns") from None
    except _DAMAGED as error:
        raise _unreadable(path, kind, error) from error
    except OSError as error:
        # Readers report broken contents as an `OSError` without a number; with one it is the system that refuses.
        if error.errno is not None:
            raise
        raise _unreadable(path, kind, error) from error


def _unreadable(path: Path, kind: str, error: Exception) -> DataError:
    """The refusal of a file that is damaged, or of another kind, which its first bytes tell."""
    try:
        with path.open("rb") as stream:
            begin = stream.read(8)
    except OSError:
        begin = b"?"
    what, remedy = _fault(begin, kind, error)
    return DataError("DGM853", f"{path} cannot be read as {kind}: {what}", remedy)


def _fault(begin: bytes, kind: str, error: Exception) -> tuple[str, str]:
    """What is wrong with a file that begins so, and what to do about it."""
    if not begin:
        return "it is empty", "write the file anew"
    for mark, what, remedy, kinds in _MARKS:
        if begin.startswith(mark) and kind not in kinds:
            return f"it is {what}", remedy
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 text: byte {error.object[error.start]:#x} cannot be read", "save it as UTF-8"
    if "object" in str(error).lower():  # NumPy, of arrays that only a pickle holds
        return "it holds Python objects, and nothing is unpickled", "write it as numbers: `array.astype(float)`"
    return _first_line(error), f"write the file anew, or read it as what it is if it is no {kind} file"


def missing(
    path: Path, what: str, name: str, known: Iterable[str], variable: str, choice: str, hint: str = ""
) -> DataError:
    """The refusal of a column or key that a file does not have: how to choose another, and perhaps why it is so."""
    known = list(known)
    near = did_you_mean(name, known)
    listed = ", ".join(f"`{k}`" for k in known[:12]) + (" …" if len(known) > 12 else "")
    return DataError(
        "DGM853",
        f"{path} has no {what} `{name}` for `{variable}`",
        f"did you mean `{near}`? " * bool(near) + f"{hint}It has {listed or 'none'}; choose by {choice}",
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
