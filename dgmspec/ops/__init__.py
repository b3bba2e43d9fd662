"""The library: every operation of the language, discovered from the modules of this package.

Nothing is listed by hand. A concrete `AbstractOp` in a module here is found by its role and its name, and its fields
are its signature in the language. Names belong to a role, so ``uniform`` can be a distribution and a way to dequantise.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.core.op import AbstractOp, Keywords, Variadic

__all__ = ["Library", "Parameter", "find", "library", "names", "roles_of", "signature"]


@dataclass(frozen=True)
class Library:
    """All operations by role and name, each role in alphabetical order."""

    entries: Mapping[str, Mapping[str, type[AbstractOp]]]

    def __iter__(self) -> Iterator[type[AbstractOp]]:
        for entries in self.entries.values():
            yield from entries.values()

    @property
    def roles(self) -> tuple[str, ...]:
        """Every role that has an entry."""
        return tuple(self.entries)


@dataclass(frozen=True)
class Parameter:
    """One argument of an operation as the language sees it.

    `name` is what an author writes, `attribute` the field that holds it. `roles` are the roles of the operations it
    accepts, `choices` the closed list of names; `formula` says whether a formula that is no constant may stand there.
    A `variadic` one takes all positional arguments, a `keywords` one all arguments of names that are no parameters.
    """

    name: str
    attribute: str
    annotation: Any
    required: bool
    default: Any
    variadic: bool
    keywords: bool
    roles: tuple[str, ...]
    choices: tuple[str, ...]
    formula: bool
    doc: str


@cache
def library() -> Library:
    """Every concrete operation below `dgmspec.ops`."""
    found: dict[str, dict[str, type[AbstractOp]]] = {}
    for info in sorted(pkgutil.walk_packages(__path__, f"{__name__}."), key=lambda info: info.name):
        for cls in _concrete(importlib.import_module(info.name)):
            entries = found.setdefault(cls.role, {})
            assert cls.name not in entries, f"{cls.role} `{cls.name}` is defined by {cls} and {entries[cls.name]}"
            entries[cls.name] = cls
    ordered = {role: MappingProxyType(dict(sorted(found[role].items()))) for role in sorted(found)}
    return Library(MappingProxyType(ordered))


def find(role: str, name: str) -> type[AbstractOp] | None:
    """The operation of that name in that role, or None."""
    return library().entries.get(role, {}).get(name)


def names(role: str) -> tuple[str, ...]:
    """Every name in a role, alphabetically."""
    return tuple(library().entries.get(role, ()))


def roles_of(name: str) -> tuple[str, ...]:
    """The roles in which something has that name."""
    return tuple(role for role, entries in library().entries.items() if name in entries)


@cache
def signature(cls: type[AbstractOp]) -> tuple[Parameter, ...]:
    """The arguments of an operation, in order of position; a variadic one takes all positional arguments."""
    return tuple(_parameter(attribute, field) for attribute, field in cls.model_fields.items())


def _concrete(module: Any) -> Iterator[type[AbstractOp]]:
    """The operations that a module defines itself; abstract ones are named ``Abstract…``, and those that stand for an
    author's definitions have a name in each object only, by which no text of the library's finds them."""
    for value in vars(module).values():
        own = isinstance(value, type) and value.__module__ == module.__name__
        if own and issubclass(value, AbstractOp) and not value.__name__.startswith("Abstract") and value.written:
            yield from (value,) if isinstance(value.name, str) else ()


def _parameter(attribute: str, field: FieldInfo) -> Parameter:
    """What a pydantic field says as an argument."""
    members = tuple(_members(field.annotation))
    return Parameter(
        name=field.alias or attribute,
        attribute=attribute,
        annotation=field.annotation,
        required=field.is_required(),
        default=None if field.is_required() else field.get_default(call_default_factory=True),
        variadic=any(isinstance(mark, Variadic) for mark in field.metadata),
        keywords=any(isinstance(mark, Keywords) for mark in field.metadata),
        roles=tuple(dict.fromkeys(m.role for m in members if isinstance(m, type) and issubclass(m, AbstractOp))),
        choices=tuple(m for m in members if isinstance(m, str)),
        formula=any(isinstance(m, type) and issubclass(m, AbstractExpr) for m in members),
        doc=field.description or "",
    )


def _members(annotation: Any) -> Iterator[Any]:
    """The plain types (and the strings of a `Literal`) that an annotation is made of."""
    origin = get_origin(annotation)
    if origin is Literal:
        yield from get_args(annotation)
    elif origin is Annotated:
        yield from _members(get_args(annotation)[0])
    elif origin in (Union, UnionType, tuple):
        for part in get_args(annotation):
            yield from _members(part)
    else:
        yield annotation
