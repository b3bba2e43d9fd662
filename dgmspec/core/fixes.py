"""Fixes applied to a text: edits in place, so that whatever they do not touch stays as it was written."""

from collections.abc import Iterable, Sequence

from dgmspec.core.diagnostics import Diagnostic, Edit, Fix

__all__ = ["apply_fixes", "safe_fixes"]


def safe_fixes(diagnostics: Iterable[Diagnostic], source: str = "") -> list[Fix]:
    """The safe fixes that edit this source alone, once each, in the order of the findings."""
    fixes = (d.fix for d in diagnostics if d.fix and d.fix.applicability == "safe")
    return list(dict.fromkeys(f for f in fixes if f.edits and all(e.span.source == source for e in f.edits)))


def apply_fixes(text: str, fixes: Iterable[Fix]) -> tuple[str, int]:
    """The text after the fixes, and how many were applied: one that meets an earlier one is left for another round."""
    taken: list[Edit] = []
    count = 0
    for fix in fixes:
        if not any(_meet(edit, other) for edit in fix.edits for other in taken):
            taken += fix.edits
            count += 1
    return _edited(text, taken), count


def _meet(a: Edit, b: Edit) -> bool:
    """Whether two edits share a character or a place between characters."""
    return a.span.start <= b.span.end and b.span.start <= a.span.end


def _edited(text: str, edits: Sequence[Edit]) -> str:
    ends = "\r\n" if "\r\n" in text else "\n"
    out: list[str] = []
    at = 0
    for edit in sorted(edits, key=lambda e: e.span):
        out += [text[at : edit.span.start], edit.text.replace("\n", ends)]
        at = edit.span.end
    return "".join((*out, text[at:]))
