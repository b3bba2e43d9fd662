"""Where the texts of used files come from: a folder or a mapping, and nothing outside it."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dgmspec.syntax.limits import FILE_BYTES

Sources = str | Path | Mapping[str, str]
"""A folder, or texts by their paths relative to the main text."""


@dataclass(frozen=True)
class Refused:
    """Why a file was not read: the code and the sentence of the diagnostic."""

    code: str
    message: str
    help: tuple[str, ...] = ()


_INSIDE = ("only files in the folder of the main file, or below it, can be used",)


def place(path: str, user: str) -> str | Refused:
    """The path, relative to the main file's folder, that `path` means in the file `user` (itself such a path)."""
    if "://" in path or path.startswith(("/", "\\", "~")) or "\\" in path or path[1:2] == ":":
        return Refused("DGM217", f"`{path}` is not a relative path with forward slashes", _INSIDE)
    joined = posixpath.normpath(posixpath.join(posixpath.dirname(user), path))
    if joined == ".." or joined.startswith("../"):
        return Refused("DGM217", f"`{path}` leads outside the folder of the main file", _INSIDE)
    return joined


def fetch(path: str, sources: Sources | None) -> str | Refused:
    """The text of the file at `path`."""
    if sources is None:
        help = ("give the other texts as sources, or load the spec from its file",)
        return Refused("DGM215", f"`{path}` cannot be found: this text came without a folder", help)
    if isinstance(sources, Mapping):
        return sources[path] if path in sources else Refused("DGM216", f"there is no source `{path}`")
    return _read(Path(sources).resolve(), path)


def _read(root: Path, path: str) -> str | Refused:
    """A file below `root`, after symbolic links are followed."""
    try:
        full = (root / path).resolve()
        if not full.is_relative_to(root):
            return Refused("DGM217", f"`{path}` is a link that leads outside the folder of the main file", _INSIDE)
        if not full.is_file():
            return Refused("DGM216", f"there is no file `{path}`")
        with full.open("rb") as file:
            data = file.read(FILE_BYTES + 1)
        if len(data) > FILE_BYTES:
            return Refused("DGM220", f"`{path}` is larger than {FILE_BYTES >> 20} MiB")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return Refused("DGM220", f"`{path}` is not UTF-8 text: byte {error.start} cannot be read")
    except (OSError, RuntimeError, ValueError) as error:
        return Refused("DGM220", f"`{path}` cannot be read: {error}")


def names_like(path: str, sources: Sources | None) -> list[str]:
    """The paths of .dgm texts that may have been meant instead of `path`."""
    if isinstance(sources, Mapping):
        return sorted(sources)
    if sources is None:
        return []
    folder = (Path(sources) / path).parent
    try:
        return sorted(posixpath.join(posixpath.dirname(path), f.name) for f in folder.glob("*.dgm"))
    except (OSError, ValueError):
        return []
