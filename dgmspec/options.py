"""The options that commands share, each with the name, the metavariable and the help it has everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "AsJson",
    "CodeName",
    "DataFiles",
    "Format",
    "Ignore",
    "LibraryName",
    "ModelName",
    "Out",
    "Quiet",
    "RunFolder",
    "Seed",
    "Select",
    "Sets",
    "SpecFile",
    "TemplateName",
    "To",
    "What",
]

SpecFile = Annotated[str, typer.Argument(metavar="SPEC", help="A .dgm file, or - for standard input.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run, or of a compiled model.")]
Sets = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Override a param or a train setting.")
]
ModelName = Annotated[str | None, typer.Option("--model", metavar="NAME", help="Which model, where there are several.")]
Seed = Annotated[int | None, typer.Option("--seed", metavar="N", help="The seed of every random draw.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", metavar="PATH", help="Where to write.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress, no warnings and no summary.")]
Select = Annotated[
    list[str] | None,
    typer.Option("--select", metavar="CODES", help="Of warnings and notes, show those whose code begins so: DGM5."),
]
Ignore = Annotated[
    list[str] | None,
    typer.Option("--ignore", metavar="CODES", help="Leave out warnings and notes whose code begins so."),
]
DataFiles = Annotated[
    list[str] | None,
    typer.Option("--data", metavar="NAME=PATH", help="Where the file of `data NAME = …` lies, if not beside the spec."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
CodeName = Annotated[
    str,
    typer.Argument(metavar="CODE", help="A code such as DGM302.", autocompletion=lambda incomplete: _codes(incomplete)),
]
LibraryName = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME",
        help="A role such as `step`, or an operation.",
        autocompletion=lambda incomplete: _library(incomplete),
    ),
]
TemplateName = Annotated[
    str | None,
    typer.Argument(
        metavar="TEMPLATE",
        help="The spec to begin from; --list names them.",
        autocompletion=lambda incomplete: _templates(incomplete),
    ),
]


class Format(StrEnum):
    """How diagnostics are printed."""

    full = "full"
    concise = "concise"
    json = "json"
    github = "github"
    sarif = "sarif"


class To(StrEnum):
    """What `show` prints."""

    text = "text"
    json = "json"
    schema = "schema"
    table = "table"
    dot = "dot"
    mermaid = "mermaid"
    svg = "svg"
    latex = "latex"


class What(StrEnum):
    """What `show` draws of a run."""

    trajectories = "trajectories"
    field = "field"
    density = "density"


# ---- completion of values: the libraries are imported when a shell asks ---------------------------------------------


def _codes(incomplete: str) -> Iterator[tuple[str, str]]:
    from dgmspec.core.codes import CODES

    for number, code in CODES.items():
        if number.startswith(incomplete.upper()):
            yield number, code.title


def _library(incomplete: str) -> Iterator[tuple[str, str]]:
    from dgmspec.ops import library

    for role in library().roles:
        if role.startswith(incomplete):
            yield role, "a role"
    for cls in library():
        if cls.name.startswith(incomplete):
            yield cls.name, cls.role


def _templates(incomplete: str) -> Iterator[tuple[str, str]]:
    from dgmspec.spec.templates import templates

    for template in templates().values():
        if template.name.startswith(incomplete):
            yield template.name, template.title
