"""Diagnostics as SARIF 2.1.0, the format in which code hosts and editors take the results of checkers.

Reference: OASIS Standard, Static Analysis Results Interchange Format (SARIF) Version 2.1.0, 27 March 2020; section
numbers below are those of the standard.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from dgmspec.core.codes import CODES, Code
from dgmspec.core.diagnostics import Diagnostic, Fix, Label, Span, line_column

__all__ = ["sarif"]

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_RULES = {number: index for index, number in enumerate(CODES)}


def sarif(
    diagnostics: Sequence[Diagnostic], sources: Mapping[str, str], names: Mapping[str, str], version: str = ""
) -> str:
    """One log with one run: every code as a rule, every diagnostic as a result.

    `sources` are the texts that spans point into, `names` the files they were read from where a source is not named
    so. Columns count characters (code points) from 1, ends excluded.
    """
    places = _Places(sources, names)
    driver: dict[str, Any] = {"name": "dgmspec", "rules": [_rule(code) for code in CODES.values()]}
    if version:
        driver["version"] = version
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(d, places) for d in diagnostics],
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


@dataclass(frozen=True, slots=True)
class _Places:
    """Spans as artifacts and regions."""

    sources: Mapping[str, str]
    names: Mapping[str, str]

    def artifact(self, source: str) -> dict[str, Any]:
        """The file of a source (3.4): an absolute path as a `file:` URI, any other as a relative reference."""
        name = self.names.get(source, source) or "<text>"
        path = PurePath(name)
        return {"uri": path.as_uri() if path.is_absolute() else quote(path.as_posix())}

    def region(self, span: Span) -> dict[str, int]:
        """Lines and columns of a span (3.30), both from 1."""
        line, column = line_column(self.sources[span.source], span.start)
        end_line, end_column = line_column(self.sources[span.source], span.end)
        return {"startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column}

    def location(self, at: Span | str) -> dict[str, Any]:
        """A place in a text, or an address as a logical location (3.28)."""
        if isinstance(at, str):
            return {"logicalLocations": [{"fullyQualifiedName": at}]}
        physical: dict[str, Any] = {"artifactLocation": self.artifact(at.source)}
        if at.source in self.sources:
            physical["region"] = self.region(at)
        return {"physicalLocation": physical}


def _rule(code: Code) -> dict[str, Any]:
    """A code as a reporting descriptor (3.49)."""
    return {
        "id": code.number,
        "shortDescription": {"text": code.title},
        "fullDescription": {"text": code.rule},
        "help": {"text": f"{code.rule}\n\nWhy: {code.reason}"},
        "defaultConfiguration": {"level": code.severity},
    }


def _result(d: Diagnostic, places: _Places) -> dict[str, Any]:
    """A diagnostic as a result (3.27); what stands under the caret, notes and help follow the message."""
    lines = [d.message, d.label, *(f"note: {note}" for note in d.notes), *(f"help: {text}" for text in d.help)]
    result: dict[str, Any] = {
        "ruleId": d.code,
        "ruleIndex": _RULES[d.code],
        "level": d.severity,
        "message": {"text": "\n".join(line for line in lines if line)},
        "locations": [places.location(d.at)] if d.at else [],
    }
    if d.labels:
        result["relatedLocations"] = [_related(i, label, places) for i, label in enumerate(d.labels)]
    if d.fix and d.fix.applicability != "display":
        result["fixes"] = [_fix(d.fix, places)]
    return result


def _related(index: int, label: Label, places: _Places) -> dict[str, Any]:
    return {"id": index, **places.location(label.at), "message": {"text": label.text}}


def _fix(fix: Fix, places: _Places) -> dict[str, Any]:
    """A fix (3.55): one change for each file, with its replacements in the order of the text."""
    changes = []
    for source in sorted({edit.span.source for edit in fix.edits}):
        edits = sorted((e for e in fix.edits if e.span.source == source), key=lambda e: e.span)
        replacements = [{"deletedRegion": places.region(e.span), "insertedContent": {"text": e.text}} for e in edits]
        changes.append({"artifactLocation": places.artifact(source), "replacements": replacements})
    return {"description": {"text": fix.title}, "artifactChanges": changes}
