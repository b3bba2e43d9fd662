"""Small PNG files as data URIs, written by hand: a picture of bits costs a hundred bytes and no library."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence

__all__ = ["bits_uri", "file_uri", "pixels_uri"]


def bits_uri(rows: Sequence[bytes], colour: tuple[int, int, int]) -> str:
    """Rows of bytes, one a pixel, 0 transparent and 1 of the colour."""
    extra = _chunk(b"PLTE", bytes((0, 0, 0, *colour))) + _chunk(b"tRNS", bytes((0, 255)))
    return _uri(len(rows[0]) if rows else 0, rows, 3, extra)


def pixels_uri(rows: Sequence[bytes]) -> str:
    """Rows of bytes, three a pixel: red, green and blue."""
    return _uri(len(rows[0]) // 3 if rows else 0, rows, 2, b"")


def file_uri(file: bytes) -> str:
    """A whole PNG file."""
    return "data:image/png;base64," + base64.b64encode(file).decode()


def _uri(width: int, rows: Sequence[bytes], kind: int, extra: bytes) -> str:
    head = struct.pack(">IIBBBBB", width, len(rows), 8, kind, 0, 0, 0)
    body = zlib.compress(b"".join(b"\x00" + row for row in rows), 9)
    file = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + extra + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")
    return file_uri(file)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
