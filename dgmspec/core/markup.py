"""HTML and SVG from Python: elements are built, never pasted, so that whatever is not markup already is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from html import escape
from pathlib import Path

__all__ = ["Html", "fragment", "join", "painted", "stylesheet", "tag"]

_VOID = frozenset(("br", "col", "img", "meta", "link"))

_ROLES = {"1;31": "error", "1;33": "warning", "1;36": "note", "1;34": "gutter", "1;32": "help", "1": "strong"}
"""What a colour of the terminal means, as a class."""


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def tag(name: str, /, *children: object, **attributes: object) -> Html:
    """``<name attributes>children</name>``: children that are no `Html` are escaped, those that are None left out.

    A trailing underscore of an attribute goes (``class_``), others become hyphens; None and False leave it out.
    """
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Html(f"<{name}{said}>")
    return Html(f"<{name}{said}>{join(children)}</{name}>")


def join(parts: Iterable[object], between: str = "") -> Html:
    """Pieces one after the other."""
    return Html(
        between.join(part if isinstance(part, Html) else escape(str(part)) for part in parts if part is not None)
    )


def painted(text: str) -> Html:
    """Text with the colours of a terminal as spans with classes: ``dgm-error``, ``dgm-gutter``, …"""
    out: list[str] = []
    for part in text.split("\x1b["):
        code, m, rest = part.partition("m")
        role = _ROLES.get(code) if m else None
        if not out:
            out.append(escape(part))
        elif role:
            out.append(f'<span class="dgm-{role}">{escape(rest)}')
        else:
            out.append(f"</span>{escape(rest)}")
    return Html("".join(out))


def fragment(*children: str | None) -> Html:
    """A piece of HTML that stands by itself, in a notebook say: with its style."""
    return tag("div", tag("style", stylesheet()), *children, class_="dgm")


@cache
def stylesheet() -> Html:
    """The style of every class that the package's HTML uses."""
    return Html(Path(__file__).with_name("markup.css").read_text(encoding="utf-8"))
