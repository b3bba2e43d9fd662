"""The doors from text to spec: `diagnose` never raises, `parse` and `load` give a spec or raise `SpecError`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from errno import EISDIR
from pathlib import Path

from dgmspec.core.diagnostics import Diagnostic, Span, SpecError, has_errors
from dgmspec.core.source_map import SourceMap
from dgmspec.spec.model import Spec
from dgmspec.spec.names import check_names
from dgmspec.spec.remains import Remains, remains
from dgmspec.spec.sources import Refused, Sources, fetch
from dgmspec.spec.uses import File, Loader
from dgmspec.syntax.tree import Tree


@dataclass(frozen=True)
class Diagnosis:
    """All that could be said about a text: its tree, its spec if it has one, where things stand, what is wrong.

    `texts` are the texts that spans point into, by source; the main text is "". Where there is no spec, `remains` is
    what is left of one.
    """

    tree: Tree
    spec: Spec | None
    source_map: SourceMap
    diagnostics: tuple[Diagnostic, ...]
    texts: dict[str, str] = field(default_factory=dict)
    remains: Remains | None = None


def diagnose(text: str, sources: Sources | None = None, *, name: str = "") -> Diagnosis:
    """Read a text and the files it uses; `sources` is a folder or texts by path, `name` this text's own path there."""
    loader = Loader(sources)
    main = loader.main(text, name)
    found: list[Diagnostic] = []
    spans: dict[str, Span] = {}
    for file in main.all():
        names = check_names(file)
        found += [*file.found, *(d for d in file.document.reading.found if not _follows(d, file)), *names]
        spans |= file.document.reading.spans
    ordered = tuple(sorted(dict.fromkeys(found), key=_position))
    texts, wrong = {"": text, **loader.texts}, has_errors(ordered)
    spec, rest = (None, remains(main, ordered, loader.texts)) if wrong else (_spec(main, loader), None)
    return Diagnosis(main.tree, spec, SourceMap(spans), ordered, texts, rest)


def _spec(main: File, loader: Loader) -> Spec:
    document = main.document
    return Spec(*document.items, edition=document.edition, sources=dict(sorted(loader.texts.items())))


def _follows(finding: Diagnostic, file: File) -> bool:
    """Whether a finding follows from an error of syntax: a part is missing because it could not be read, or statements
    stand at the top because the block around them did not begin."""
    assert isinstance(finding.at, Span)
    at = finding.at
    broken = [d.at for d in file.found if d.severity == "error" and isinstance(d.at, Span)]
    if finding.code == "DGM203":
        return any(at.start <= error.start < at.end for error in broken)
    begun = (error.start for error in broken if _HEAD.match(file.text, file.text.rfind("\n", 0, error.start) + 1))
    inside = file.text[: at.start].rpartition("\n")[2].isspace()
    return finding.code == "DGM210" and inside and any(start < at.start for start in begun)


# The head of a block as another language writes it, without its brace.
_HEAD = re.compile(r"[ \t]*(?:model|train|sample)\b[^{}\n]*$", re.MULTILINE)


def _position(diagnostic: Diagnostic) -> tuple[str, int, str]:
    at = diagnostic.at
    return (at.source, at.start, diagnostic.code) if isinstance(at, Span) else ("\U0010ffff", 0, diagnostic.code)


def parse(text: str, sources: Sources | None = None) -> Spec:
    """The spec of a text; raises `SpecError` with everything that was found where it is none."""
    if not isinstance(text, str):
        raise TypeError(f"parse takes the text of a spec, not {type(text).__name__}: read a file by dgmspec.load(path)")
    if text.endswith(".dgm") and "\n" not in text:
        raise ValueError(f"parse takes the text of a spec, and {text!r} is a path: read a file by dgmspec.load(path)")
    return _or_raise(diagnose(text, sources))


def load(path: str | Path) -> Spec:
    """The spec of a file; the files that it uses are looked for in its folder and below."""
    return _or_raise(diagnose_file(path))


def diagnose_file(path: str | Path) -> Diagnosis:
    """`diagnose` for a file; a file that cannot be opened raises `OSError`, one that is no text is a finding."""
    at = Path(path)
    real = at.resolve(strict=True)
    if real.is_dir():
        raise IsADirectoryError(EISDIR, "is a folder, and a spec is a file", str(path))
    text = fetch(real.name, real.parent)
    if isinstance(text, Refused):
        return Diagnosis(Tree("file"), None, SourceMap(), (Diagnostic(text.code, text.message, None),))
    return diagnose(text, at.parent, name=at.name)


def _or_raise(diagnosis: Diagnosis) -> Spec:
    if diagnosis.spec is None:
        raise SpecError(diagnosis.diagnostics, diagnosis.texts)
    return diagnosis.spec
