"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["reason", "replacing"]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """The name to write under, beside `path`: when the block ends, what was written is on the disk under `path`.

    Whatever happens before that, a full disk or a killed process, `path` holds what it held. After an error nothing is
    left under the other name, and what the system refused names `path`.
    """
    part = path.with_name(path.name + ".part")
    try:
        yield part
        _flush(part)
        os.replace(part, path)
    except BaseException as error:
        with suppress(OSError):
            part.unlink()
        # A disk that fills up says so at a write, which knows of no name.
        if isinstance(error, OSError) and error.filename in (None, str(part), part):
            error.filename = str(path)
        raise
    with suppress(OSError):  # some file systems, and Windows, cannot flush a folder
        _flush(path.parent)


def _flush(path: Path) -> None:
    """Wait until a file, or the list of a folder, is on the disk: a rename must not outlive what it renames."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def reason(error: Exception) -> str:
    """Why reading or writing failed, as the system says it, also where a library wrapped that in words of its own."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    inner = re.search(r"I/O error: (.+) \(os error \d+\)", str(error))
    return inner[1] if inner else str(error)
