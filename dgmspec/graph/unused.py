"""Names of a file that nothing reads, and names that hide the library's: warnings about the text as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pydantic import BaseModel

from dgmspec.algebra.functions import FUNCTIONS
from dgmspec.algebra.nodes import Call, Name, Node
from dgmspec.core.address import Address, child
from dgmspec.core.diagnostics import Diagnostic
from dgmspec.graph.words import a
from dgmspec.ops import roles_of
from dgmspec.spec.model import (
    Bijector,
    Chain,
    Data,
    Energy,
    Fn,
    Item,
    Learn,
    Member,
    Model,
    Net,
    Param,
    Path,
    Spec,
    Unknowns,
    Update,
    Use,
    Variable,
    member_name,
)

__all__ = ["check_hiding", "check_unused"]


def check_unused(spec: Spec) -> list[Diagnostic]:
    """DGM243 for a file that holds a model; a file of definitions for others has its uses elsewhere."""
    if not spec.models:
        return []
    found: list[Diagnostic] = []
    own = [frozenset(_read(item)) for item in spec.items]
    readers = Counter(name for names in own for name in names)
    aliases = Counter(name.partition(".")[0] for name in readers if "." in name)
    for item, names in zip(spec.items, own, strict=True):
        name = item.alias if isinstance(item, Use) else getattr(item, "name", "")
        used = aliases[name] if isinstance(item, Use) else readers[name] - (name in names)
        if _definition(item) and not used:
            found.append(_unused(_definition(item), name, name))
    for model in spec.models.values():
        found += _members(model)
        for member in model.members:
            if isinstance(member, Path):
                found += _dynamics(member, child(model.name, member_name(member)))
    for item in spec.items:
        if isinstance(item, Bijector):
            found += _body(item)
    return found


def _unused(what: str, name: str, at: Address) -> Diagnostic:
    return Diagnostic("DGM243", f"{what} `{name}` is never used", at, "never used", help=("use it, or leave it out",))


def _definition(item: Item) -> str:
    """What a definition of the file is called, or nothing for models and blocks."""
    match item:
        case Fn():
            return "the function"
        case Param():
            return "the param"
        case Net():
            return "the net"
        case Data():
            return "the data source"
        case Chain() | Bijector():
            return "the bijector"
        case Use():
            return "the file"
    return ""


def _members(model: Model) -> Iterator[Diagnostic]:
    """Members that no other member reads."""
    own = [frozenset(_read(member)) for member in model.members]
    readers = Counter(name for names in own for name in names)
    for member, names in zip(model.members, own, strict=True):
        name = member_name(member)
        if _helper(member) and not readers[name] - (name in names):
            yield _unused(_helper(member), name, child(model.name, name))


def _body(bijector: Bijector) -> Iterator[Diagnostic]:
    """What a bijector declares and none of its updates, functions or nets reads."""
    read = [(getattr(part, "name", ""), frozenset(_read(part))) for part in bijector.body]
    for part in (*bijector.parameters, *(part for part in bijector.body if not isinstance(part, Update))):
        if not any(part.name in names for owner, names in read if owner != part.name):
            yield _unused(_inside(part), part.name, child(bijector.name, part.name))


def _dynamics(path: Path, at: Address) -> Iterator[Diagnostic]:
    """What the braces of an arrow declare and nothing in them reads."""
    read = [(part.name, frozenset(_read(part))) for part in path.body]
    for part in path.body:
        alone = not any(part.name in names for owner, names in read if owner != part.name)
        if isinstance(part, (Net, Learn, Fn)) and alone:
            yield _unused(_inside(part), part.name, child(at, part.name))


def _inside(part: Unknowns | Net | Learn | Fn) -> str:
    """What a declaration of a bijector is called."""
    return "the parameter" if isinstance(part, Unknowns) else _helper(part)


def _helper(member: Member) -> str:
    """What a member is called that exists to be read by others, or nothing."""
    match member:
        case Variable(role="given"):
            return "the given variable"
        case Net():
            return "the net"
        case Learn():
            return "the learned parameter"
        case Fn():
            return "the function"
        case Energy():
            return "the energy"
    return ""


def _read(node: Node) -> Iterator[str]:
    """Every name that stands in a piece of syntax, the ends of arrows included."""
    stack: list[object] = [node]
    while stack:
        top = stack.pop()
        if isinstance(top, Name):
            yield top.id
        elif isinstance(top, Call):
            yield top.name
        if isinstance(top, BaseModel):
            for field in type(top).model_fields:
                value = getattr(top, field)
                if field in ("source", "target") and isinstance(value, tuple):
                    yield from value
                elif isinstance(value, (BaseModel, tuple)):
                    stack.append(value)
        elif isinstance(top, tuple):
            stack.extend(top)


def check_hiding(spec: Spec) -> Iterator[Diagnostic]:
    """DGM244: the file's functions, params, nets and bijectors under names that the library has."""
    for item in spec.items:
        if not isinstance(item, (Fn, Param, Net, Chain, Bijector)):
            continue
        roles = [a(role) for role in roles_of(item.name)]
        if item.name in FUNCTIONS:
            roles.insert(0, "a function")
        if roles:
            yield Diagnostic(
                "DGM244",
                f"`{item.name}` is also {' and '.join(roles)} of the library, which this name hides",
                item.name,
                "hides the library's",
                help=("give it a name of its own",),
            )
