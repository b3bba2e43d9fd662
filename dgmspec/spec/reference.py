"""The reference page in Markdown, written from the library, the functions and the registry of codes.

``python -m dgmspec.spec.reference > docs/reference.md`` writes it anew.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

from dgmspec.algebra.functions import FUNCTIONS
from dgmspec.core.code import Code
from dgmspec.core.codes import CODES
from dgmspec.core.op import AbstractOp
from dgmspec.ops import library, signature
from dgmspec.spec.catalogue import call_form

__all__ = ["reference"]

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
    "9": "the tool itself",
}


def reference() -> str:
    """The whole page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Reference"
    yield ""
    yield "Written by `python -m dgmspec.spec.reference` from the library itself; `dgmspec list NAME` and"
    yield "`dgmspec explain CODE` print the same pages. In a call form, an argument without `=` must be given, and"
    yield "`…` takes any number of arguments by position. How the parts fit together is in [language.md](language.md)."
    yield ""
    yield "- [Operations by role](#operations-by-role): " + ", ".join(
        f"[{role}](#role-{role.replace('_', '-')})" for role in library().roles
    )
    yield "- [Functions](#functions)"
    yield "- [Diagnostics](#diagnostics)"
    yield "\n## Operations by role"
    for role, entries in library().entries.items():
        yield f"\n### Role {role.replace('_', '-')}"
        for cls in entries.values():
            yield from _operation(cls)
    yield from _functions()
    yield "\n## Diagnostics"
    for digit, family in _FAMILIES.items():
        codes = [code for code in CODES.values() if code.number[3] == digit]
        if codes:
            yield f"\n### {digit}xx: {family}"
        for code in codes:
            yield from _code(code)


def _operation(cls: type[AbstractOp]) -> Iterator[str]:
    """Its call with the defaults, what it says of itself, its arguments, its examples."""
    yield f"\n#### `{call_form(cls)}`\n"
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
    yield "\n## Functions\n"
    yield "What formulas may call, beside the file's own `fn`.\n"
    yield "| functions | arguments | |\n| --- | --- | --- |"
    for kind, meaning in kinds.items():
        for arity in sorted({f.arity for f in FUNCTIONS.values() if f.kind == kind}):
            names = [f"`{name}`" for name, f in FUNCTIONS.items() if (f.kind, f.arity) == (kind, arity)]
            yield f"| {' '.join(names)} | {arity} | {meaning} |"


def _code(code: Code) -> Iterator[str]:
    """The rule, its reason, and a text on either side of it where one can break it."""
    yield f"\n#### {code.number} ({code.severity}): {code.title}\n"
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
    print(reference(), end="")
