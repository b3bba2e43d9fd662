"""The doors from text to spec: `diagnose` never raises, `parse` and `load` give a spec or raise `SpecError`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from dgmspec.core.diagnostics import Diagnostic, Span, SpecError, has_errors
from dgmspec.core.source_map import SourceMap
from dgmspec.spec.model import Spec
from dgmspec.spec.names import check_names
from dgmspec.spec.sources import Refused, Sources, fetch
from dgmspec.spec.uses import File, Loader
from dgmspec.syntax.tree import Tree


@dataclass(frozen=True)
class Diagnosis:
    """All that could be said about a text: its tree, its spec if it has one, where things stand, what is wrong.

    `texts` are the texts that spans point into, by source; the main text is "".
    """

    tree: Tree
    spec: Spec | None
    source_map: SourceMap
    diagnostics: tuple[Diagnostic, ...]
    texts: dict[str, str] = field(default_factory=dict)


def diagnose(text: str, sources: Sources | None = None, *, name: str = "") -> Diagnosis:
    """Read a text and the files it uses; `sources` is a folder or texts by path, `name` this text's own path there."""
    loader = Loader(sources)
    main = loader.main(text, name)
    found: list[Diagnostic] = []
    spans: dict[str, Span] = {}
    for file in main.all():
        found += [*file.found, *file.document.reading.found, *check_names(file)]
        spans |= file.document.reading.spans
    ordered = tuple(sorted(dict.fromkeys(found), key=_position))
    spec = None if has_errors(ordered) else _spec(main, loader)
    return Diagnosis(main.tree, spec, SourceMap(spans), ordered, {"": text, **loader.texts})


def _spec(main: File, loader: Loader) -> Spec:
    document = main.document
    return Spec(*document.items, edition=document.edition, sources=dict(sorted(loader.texts.items())))


def _position(diagnostic: Diagnostic) -> tuple[str, int, str]:
    at = diagnostic.at
    return (at.source, at.start, diagnostic.code) if isinstance(at, Span) else ("\U0010ffff", 0, diagnostic.code)


def parse(text: str, sources: Sources | None = None) -> Spec:
    """The spec of a text; raises `SpecError` with everything that was found where it is none."""
    return _or_raise(diagnose(text, sources))


def load(path: str | Path) -> Spec:
    """The spec of a file; the files that it uses are looked for in its folder and below."""
    return _or_raise(diagnose_file(path))


def diagnose_file(path: str | Path) -> Diagnosis:
    """`diagnose` for a file; a file that cannot be opened raises `OSError`, one that is no text is a finding."""
    at = Path(path)
    real = at.resolve(strict=True)
    text = fetch(real.name, real.parent)
    if isinstance(text, Refused):
        return Diagnosis(Tree("file"), None, SourceMap(), (Diagnostic(text.code, text.message, None),))
    return diagnose(text, at.parent, name=at.name)


def _or_raise(diagnosis: Diagnosis) -> Spec:
    if diagnosis.spec is None:
        raise SpecError(diagnosis.diagnostics, diagnosis.texts)
    return diagnosis.spec
