"""Images from a folder of PNG files, by pillow."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, UnidentifiedImageError

from dgmspec.runtime.data.context import Context, reading
from dgmspec.runtime.data.dataset import Column, Columns, DataError
from dgmspec.runtime.data.streamed import BLOCK_BYTES, Block, Rows, Stream
from dgmspec.runtime.data.support import Origin

__all__ = ["images"]

_LEVELS: Final = {"1": np.uint8, "L": np.uint8, "LA": np.uint8, "RGB": np.uint8, "RGBA": np.uint8, "I;16": np.uint16}


def images(context: Context, *, path: str, flat: bool = False, stream: Stream = "auto") -> Rows:
    """The images of a folder in alphabetical order, (rows, channels, height, width), or vectors where `flat`."""
    folder = context.main(path)
    files = _files(context, folder, path)
    first = _read(files[0])
    count = max(1, BLOCK_BYTES // first.nbytes)
    blocks = []
    for start in range(0, len(files), count):
        some = files[start : start + count]
        origin = Origin(str(folder), rows=tuple(file.name for file in some))
        blocks.append(Block(len(some), partial(_images, some, files[0].name, first, flat), {"x": origin}))
    return Rows(("x",), tuple(blocks), first.nbytes, stream)


def _files(context: Context, folder: Path, path: str) -> list[Path]:
    """The PNG files of the folder; a link leads nowhere else, and other files are refused."""
    if not folder.is_dir():
        raise DataError("DGM853", f"{folder} is no folder", "give the folder that the images lie in")
    files = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    stray = next((file for file in files if file.suffix.lower() != ".png" or not file.is_file()), None)
    if stray is not None:
        raise DataError("DGM853", f"{stray} is no PNG file", "keep the images alone in a folder, as PNG files")
    if not files:
        raise DataError("DGM853", f"{folder} holds no PNG files", "give the folder that the images lie in")
    return [context.locate(f"{path}/{file.name}") for file in files] if context.given is None else files


def _images(files: list[Path], name: str, like: Column, flat: bool) -> Columns:
    """Some images; each is of the size and mode of the folder's first, which is called `name`."""
    rows = np.empty((len(files), *like.shape), like.dtype)
    for i, file in enumerate(files):
        image = _read(file)
        if image.shape != like.shape or image.dtype != like.dtype:
            raise DataError(
                "DGM851",
                f"{file} is {_described(image)}, and {name} is {_described(like)}",
                "bring all images to one size and mode before training",
            )
        rows[i] = image
    return {"x": rows.reshape(len(files), -1) if flat else rows}


def _read(file: Path) -> Column:
    """One image, (channels, height, width), channels first."""
    with reading(file, "PNG"), file.open("rb") as stream:
        depth = stream.read(25)[24:]  # of the header, which is the first part of every PNG
        stream.seek(0)
        try:
            with Image.open(stream, formats=["PNG"]) as image:
                if image.mode not in _LEVELS:
                    raise ValueError(f"its mode is {image.mode}: convert it to grey, RGB or RGBA")
                _check_whole(image, depth == b"\x10")
                levels = np.asarray(image).astype(_LEVELS[image.mode])
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise ValueError(str(error)) from error
        except UnidentifiedImageError as error:
            raise ValueError("it is no such image, or cut short") from error
    return np.moveaxis(levels, -1, 0) if levels.ndim == 3 else levels[None]


def _check_whole(image: Image.Image, deep: bool) -> None:
    """Refuse what pillow would leave out of an image: `deep` are 16 bits a channel."""
    if deep and image.mode != "I;16":
        raise ValueError(f"its {image.mode} channels have 16 bits, of which 8 would be read: convert them to 8 bits")
    if "transparency" in image.info:
        raise ValueError("one of its colours stands for transparent: convert it to RGBA")
    if getattr(image, "is_animated", False):
        raise ValueError("it is an animation: write each of its images to a file")


def _described(image: Column) -> str:
    channels, height, width = image.shape
    return f"{width} × {height}, {channels} channel{'s' * (channels > 1)} of {image.dtype.itemsize * 8} bits"
