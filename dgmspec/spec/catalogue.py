"""The library as a person or a program reads it: roles, entries, signatures, and the facts of each entry."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

from dgmspec.core.op import AbstractOp
from dgmspec.core.width import unbroken
from dgmspec.ops import Parameter, library, signature

__all__ = ["Page", "call_form", "catalogue"]


@dataclass(frozen=True)
class Page:
    """One listing, as text and as data; `hang` is how far the rest of a line that is broken stands to the right."""

    text: str
    data: dict[str, Any]
    hang: int = 0


def catalogue(name: str | None = None) -> Page | None:
    """The page of a role or of an operation (in every role it has), the index without a name, None if unknown."""
    entries = library().entries
    if name is None:
        return _index()
    if name in entries and not any(name in role for role in entries.values()):
        return _role(name)
    pages = [_entry(cls) for cls in library() if cls.name == name]
    if name in entries:
        pages.insert(0, _role(name))
    if not pages:
        return None
    return Page("\n\n".join(page.text for page in pages), {"format_version": 1, "pages": [p.data for p in pages]})


def call_form(cls: type[AbstractOp]) -> str:
    """``rqs(bins = 8, bound = 3.0)``: the call with its defaults; arguments without one stand bare."""
    written = ", ".join(map(_argument, signature(cls)))
    return f"{cls.name}({written})" if written else cls.name


def _argument(parameter: Parameter) -> str:
    if parameter.variadic:
        return f"{parameter.name}, …"
    if parameter.keywords:
        return "VARIABLE = …"
    return parameter.name if parameter.required else f"{parameter.name} = {_value(parameter.default)}"


def _value(value: Any) -> str:
    """A default as the language writes it."""
    if isinstance(value, AbstractOp):
        given = [
            f"{p.name} = {_value(getattr(value, p.attribute))}"
            for p in signature(type(value))
            if not p.variadic and getattr(value, p.attribute) != p.default
        ]
        variadic = [_value(v) for p in signature(type(value)) if p.variadic for v in getattr(value, p.attribute)]
        return value.name + (f"({', '.join([*variadic, *given])})" if variadic or given else "")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    return "none" if value is None else str(value)


def _summary(cls: type[AbstractOp]) -> str:
    return (inspect.getdoc(cls) or "").partition("\n")[0]


def _index() -> Page:
    roles = {role: list(entries) for role, entries in library().entries.items()}
    width = max(map(len, roles))
    text = "\n".join(f"{role:{width}}  {' '.join(names)}" for role, names in roles.items())
    return Page(text, {"format_version": 1, "roles": roles}, width + 2)


def _role(role: str) -> Page:
    rows = [(call_form(cls), _summary(cls)) for cls in library().entries[role].values()]
    text = "\n".join(f"{form}\n    {summary}" for form, summary in rows)
    data = {
        "format_version": 1,
        "role": role,
        "entries": [{"form": form, "summary": summary} for form, summary in rows],
    }
    return Page(text, data)


def _entry(cls: type[AbstractOp]) -> Page:
    lines = [f"{call_form(cls)}    ({cls.role})", "", unbroken(inspect.getdoc(cls) or "")]
    described = [(p.name, p.doc) for p in signature(cls) if p.doc]
    if described:
        width = max(len(name) for name, _ in described)
        lines += ["", "Arguments", *(f"    {name:{width}}  {doc}" for name, doc in described)]
    if cls.examples:
        lines += ["", "Examples", *(f"    {example}" for example in cls.examples)]
    data = {
        "name": cls.name,
        "role": cls.role,
        "form": call_form(cls),
        "doc": inspect.getdoc(cls) or "",
        "arguments": [{"name": p.name, "required": p.required, "doc": p.doc} for p in signature(cls)],
        "examples": list(cls.examples),
    }
    return Page("\n".join(lines), data)
