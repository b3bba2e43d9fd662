"""The reference pages in Markdown, written from the library, the functions and the registry of codes.

``python -m dgmspec.spec.reference docs/reference`` writes the folder anew: a page a role, a page a family of codes.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from dgmspec.algebra.functions import FUNCTIONS
from dgmspec.core.code import Code
from dgmspec.core.codes import CODES
from dgmspec.core.op import AbstractOp
from dgmspec.ops import library, signature
from dgmspec.spec.catalogue import call_form

__all__ = ["reference_pages", "write_reference"]

LONGEST = 1_000
"""Characters of the longest example that is printed; those of the size limits are far beyond it."""

_FACT = re.compile(r"^([A-Z][a-z-]+(?: -> codomain)?): ", re.MULTILINE)
_FAMILIES = {
    "1": "text and limits",
    "2": "names, arguments and files",
    "3": "shapes and supports",
    "4": "invertibility, steps and distributions",
    "5": "Jacobian and cost",
    "6": "continuous arrows",
    "7": "graph and loss",
    "8": "data and training",
}


def reference_pages() -> dict[str, str]:
    """Every page by its file name."""
    pages = {f"{role}.md": _page(_role(role)) for role in library().roles}
    pages["functions.md"] = _page(_functions())
    pages |= {f"diagnostics-{digit}xx.md": _page(_family(digit)) for digit in _FAMILIES if _codes(digit)}
    return {"README.md": _page(_index())} | pages


def write_reference(folder: Path) -> None:
    """The pages as files; a page that the library no longer has is removed."""
    pages = reference_pages()
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*.md"):
        if stale.name not in pages:
            stale.unlink()
    for name, text in pages.items():
        (folder / name).write_text(text, encoding="utf-8")


def _page(lines: Iterator[str]) -> str:
    return "\n".join(lines) + "\n"


def _index() -> Iterator[str]:
    yield "# Reference"
    yield ""
    yield "Written by `python -m dgmspec.spec.reference docs/reference` from the library itself; `dgmspec list NAME`"
    yield "and `dgmspec explain CODE` print the same pages. In a call form, an argument without `=` must be given, and"
    yield "`…` takes any number of arguments by position. The [language page](../language.md) says how all fits."
    yield ""
    yield "| operations by role | |\n| --- | --- |"
    for role, entries in library().entries.items():
        yield f"| [{role.replace('_', ' ')}]({role}.md) | {' '.join(f'`{name}`' for name in entries)} |"
    yield "\n[Functions](functions.md) that formulas may call."
    yield "\n| diagnostics | |\n| --- | --- |"
    for digit, family in _FAMILIES.items():
        if codes := _codes(digit):
            yield f"| [{digit}xx](diagnostics-{digit}xx.md) | {family}: {codes[0].number} to {codes[-1].number} |"


def _role(role: str) -> Iterator[str]:
    yield f"# Operations of role {role.replace('_', ' ')}"
    for cls in library().entries[role].values():
        yield from _operation(cls)


def _codes(digit: str) -> list[Code]:
    """The codes of a family, by number."""
    return sorted((code for code in CODES.values() if code.number[3] == digit), key=lambda code: code.number)


def _family(digit: str) -> Iterator[str]:
    yield f"# Diagnostics {digit}xx: {_FAMILIES[digit]}"
    for code in _codes(digit):
        yield from _code(code)


def _operation(cls: type[AbstractOp]) -> Iterator[str]:
    """Its call with the defaults, what it says of itself, its arguments, its examples."""
    yield f"\n## `{call_form(cls)}`\n"
    doc = (inspect.getdoc(cls) or "").replace("``", "`")
    said, dash, facts = _FACT.sub(r"- \1: ", doc).partition("\n- ")
    yield f"{said.rstrip()}\n\n- {facts}" if dash else said
    described = [("VARIABLE" if p.keywords else p.name, p.doc, p.choices) for p in signature(cls) if p.doc]
    if described:
        yield "\n| argument | |\n| --- | --- |"
    for name, doc, choices in described:
        yield f"| `{name}` | {doc}{': ' if choices else ''}{', '.join(f'`{choice}`' for choice in choices)} |"
    if cls.examples:
        yield "\n```text\n" + "\n".join(cls.examples) + "\n```"


def _functions() -> Iterator[str]:
    kinds = {
        "map": "coordinate by coordinate; arguments broadcast",
        "reduce": "a whole array to one number",
        "array": "rearrange",
    }
    yield "# Functions\n"
    yield "What formulas may call, beside the file's own `fn`.\n"
    yield "| functions | arguments | |\n| --- | --- | --- |"
    for kind, meaning in kinds.items():
        for arity in sorted({f.arity for f in FUNCTIONS.values() if f.kind == kind}):
            names = [f"`{name}`" for name, f in FUNCTIONS.items() if (f.kind, f.arity) == (kind, arity)]
            yield f"| {' '.join(names)} | {arity} | {meaning} |"


def _code(code: Code) -> Iterator[str]:
    """The rule, its reason, and a text on either side of it where one can break it."""
    yield f"\n## {code.number} ({code.severity}): {code.title}\n"
    yield f"{code.rule}\n\nWhy: {code.reason}"
    if not code.wrong:
        yield f"\nHow it arises: {code.wrong_command}"
    elif len(code.wrong) > LONGEST or not code.wrong.replace("\n", "").isprintable():
        shown = "".join(c if c == "\n" or c.isprintable() else repr(c)[1:-1] for c in code.wrong)
        shown = shown if len(shown) <= LONGEST else f"{shown[:60]} … ({len(shown):,} characters)"
        yield f"\nWrong:\n\n```text\n{shown.strip()}\n```"
    else:
        yield f"\nWrong:\n\n```dgm wrong {code.number}\n{code.wrong.rstrip()}\n```"
        yield f"\nRight:\n\n```dgm\n{code.right.rstrip()}\n```"


if __name__ == "__main__":
    write_reference(Path(sys.argv[1]))
