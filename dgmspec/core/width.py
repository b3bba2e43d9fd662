"""Text for a terminal of some width: lines cut, prose wrapped. A width of None means that there is none."""

from __future__ import annotations

import re
import textwrap
from typing import Final

__all__ = ["ellipsis", "unbroken", "wrap"]

NARROWEST = 40
"""Below this many columns nothing is cut further."""


def ellipsis(text: str, width: int | None) -> str:
    """`text`, its end replaced by `…` where it is longer than `width`."""
    return text if width is None or len(text) <= width else text[: max(1, width) - 1] + "…"


_OPENS: Final = re.compile(r"[A-Z][\w ,-]*:|[-*`\s]|$")
"""How a line begins that does not go on with the one before: a heading, an item, a formula, or nothing."""


def unbroken(text: str) -> str:
    """Prose that was broken for one width made whole again, each paragraph a line, to be broken for another."""
    lines: list[str] = []
    for line in text.split("\n"):
        if lines and lines[-1] and not lines[-1][0].isspace() and not _OPENS.match(line):
            lines[-1] += f" {line}"
        else:
            lines.append(line)
    return "\n".join(lines)


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
