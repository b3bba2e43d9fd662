"""The options that commands share, each with the name, the metavariable and the help it has everywhere."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "AsJson",
    "DataFiles",
    "Format",
    "Ignore",
    "ModelName",
    "Out",
    "Quiet",
    "RunFolder",
    "Seed",
    "Select",
    "Sets",
    "SpecFile",
    "To",
]

SpecFile = Annotated[str, typer.Argument(metavar="SPEC", help="A .dgm file, or - for standard input.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run, or of a compiled model.")]
Sets = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Override a param or a train setting.")
]
ModelName = Annotated[str | None, typer.Option("--model", metavar="NAME", help="Which model, where there are several.")]
Seed = Annotated[int | None, typer.Option("--seed", metavar="N", help="The seed of every random draw.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", metavar="PATH", help="Where to write.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress and no summary.")]
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
