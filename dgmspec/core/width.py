"""Text for a terminal of some width: lines cut, prose wrapped. A width of None means that there is none."""

from __future__ import annotations

import textwrap

__all__ = ["ellipsis", "wrap"]

NARROWEST = 40
"""Below this many columns nothing is cut further."""


def ellipsis(text: str, width: int | None) -> str:
    """`text`, its end replaced by `…` where it is longer than `width`."""
    return text if width is None or len(text) <= width else text[: max(1, width) - 1] + "…"


def wrap(text: str, width: int | None, hang: int = 0) -> str:
    """Each line of `text` wrapped at spaces; what follows is indented as the line was, and by `hang` more.

    Words are never cut, so that a path or a formula can be copied.
    """
    if width is None:
        return text
    return "\n".join(_wrapped(line, max(width, NARROWEST), hang) for line in text.split("\n"))


def _wrapped(line: str, width: int, hang: int) -> str:
    if len(line) <= width:
        return line
    indent = " " * (len(line) - len(line.lstrip()) + hang)
    return "\n".join(
        textwrap.wrap(
            line,
            width,
            subsequent_indent=indent,
            drop_whitespace=True,
            break_long_words=False,
            break_on_hyphens=False,
        )
    )
