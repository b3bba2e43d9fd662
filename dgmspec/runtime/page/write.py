"""The page put together and written in one step."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

from dgmspec.core.disk import reason, replacing
from dgmspec.core.markup import Html, join, stylesheet, tag
from dgmspec.runtime.page.material import Material, gather
from dgmspec.runtime.page.sections import SECTIONS, header
from dgmspec.runtime.rundir import RunError

__all__ = ["POLICY", "page", "write_page"]

POLICY: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""What a browser may do with the page: show it. It may load nothing and run nothing."""


def write_page(
    run: Path, out: Path | None = None, paths: Mapping[str, str | Path] | None = None, visible: bool = False
) -> Path:
    """Write the report of a run to `out` (``report.html`` in its folder); returns where it lies.

    The file holds everything: no script, no font, no picture from elsewhere. `paths` says by the name of a data source
    where its file lies now, if it has moved; without its data a run is reported with its samples alone. `visible` draws
    progress.
    """
    target = out or run / "report.html"
    text = "<!doctype html>\n" + page(gather(run, paths, visible)) + "\n"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as part:
            part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunError(f"cannot write {target}: {reason(error)}") from error
    return target


def page(material: Material) -> Html:
    """The whole document."""
    found = [(name, title, section(material)) for name, (title, section) in SECTIONS.items()]
    shown = [(name, title, body) for name, title, body in found if body]
    links = [tag("a", title, href=f"#{name}") for name, title, _ in shown]
    name = str(material.report["model"])
    return tag(
        "html",
        tag(
            "head",
            tag("meta", charset="utf-8"),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
            tag("title", f"{name}: report of {material.path.name}"),
            tag("style", join([stylesheet(), _stylesheet()])),
        ),
        tag(
            "body",
            tag(
                "div",
                header(material, tag("nav", *links, aria_label="Sections")),
                tag("main", *(tag("section", tag("h2", title), body, id=name) for name, title, body in shown)),
                tag(
                    "footer",
                    f"Written by dgmspec {material.report['versions'].get('dgmspec', '')} from {material.path}.",
                ),
                class_="page dgm",
            ),
        ),
        lang="en",
    )


@cache
def _stylesheet() -> Html:
    return Html(Path(__file__).with_name("page.css").read_text(encoding="utf-8"))
