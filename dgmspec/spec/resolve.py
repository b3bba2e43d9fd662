"""From the tree to the spec: what each statement means, whether it may stand where it stands, and where it stood.

`resolve` never raises. It reads every statement that it can, reports the others, and gives a spec only when nothing was
wrong. Whether the names in it are declared is looked at afterwards (`dgmspec.spec.scope`), on the spec itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

from dgmspec.core.address import Address, child
from dgmspec.core.diagnostics import Diagnostic, Span
from dgmspec.spec.members import (
    mark_ends,
    read_conditional,
    read_context,
    read_ends,
    read_energy,
    read_fn,
    read_learn,
    read_net,
    read_path,
    read_setting,
    read_variable,
    value_of,
)
from dgmspec.spec.model import (
    Data,
    Flow,
    Item,
    Member,
    Model,
    Param,
    Sample,
    Setting,
    Train,
    Use,
    arrow_name,
    member_name,
)
from dgmspec.spec.places import each, head, well_formed
from dgmspec.spec.reading import Reading
from dgmspec.spec.steps import read_bijector, read_steps
from dgmspec.syntax.tree import Token, Tree

PLAIN_MEMBERS = {
    "observe": read_variable,
    "latent": read_variable,
    "given": read_variable,
    "energy": read_energy,
    "net": read_net,
    "learn": read_learn,
    "fn": read_fn,
}


@dataclass
class Document:
    """One text as it was read: its items, and the reading that knows where they stood."""

    reading: Reading
    edition: int | None = None
    items: list[Item] = field(default_factory=list)


def read_document(tree: Tree, prefix: Address = "") -> Document:
    """Read the statements of a file; addresses start with `prefix`."""
    document = Document(Reading())
    reading = document.reading

    def at(node: Tree) -> Address:
        return child(prefix, node.name)

    items = each(
        reading,
        tree,
        "file",
        {
            "dgm": lambda n: setattr(document, "edition", int(n.tokens[0].text)),
            "use": lambda n: _use(reading, n, prefix),
            "param": lambda n: _param(reading, n, at(n)),
            "fn": lambda n: read_fn(reading, n, at(n)),
            "net": lambda n: read_net(reading, n, at(n)),
            "data": lambda n: _data(reading, n, at(n)),
            "bijector": lambda n: read_bijector(reading, n, at(n)),
            "model": lambda n: _model(reading, n, at(n)),
            "train": lambda n: _settings(reading, n, prefix),
            "sample": lambda n: _settings(reading, n, prefix),
        },
    )
    document.items = cast(list[Item], items)
    _distinct(reading, tree, prefix)
    return document


# ---- items ----------------------------------------------------------------------------------------------------------


def _use(reading: Reading, node: Tree, prefix: Address) -> Use | None:
    path, *alias = node.tokens
    if not alias:
        help = (f"write `use {path.text} as NAME`",)
        reading.report("DGM203", "`use` needs a name for the file's definitions, `as NAME`", node, help=help)
        return None
    name = reading.declared(alias[0])
    reading.mark(child(prefix, name), node)
    return Use(path=path.text[1:-1], alias=name)


def _param(reading: Reading, node: Tree, address: Address) -> Param | None:
    if not well_formed(reading, node):
        return None
    reading.mark(address, node)
    return Param(
        name=reading.declared(node.tokens[0]),
        type=reading.type(node.find("type"), child(address, "type")),
        value=value_of(reading, node, address),
    )


def _data(reading: Reading, node: Tree, address: Address) -> Data | None:
    if not well_formed(reading, node):
        return None
    reading.mark(address, node)
    return Data(name=reading.declared(node.tokens[0]), value=value_of(reading, node, address))


def _settings(reading: Reading, node: Tree, prefix: Address) -> Train | Sample | None:
    """``train M { … }`` and ``sample M { … }``."""
    if not node.tokens:
        help = (f"name the model: `{node.kind} NAME {{ … }}`",)
        reading.report("DGM203", f"`{node.kind}` needs the name of a model", node, help=help)
        return None
    address = child(prefix, f"{node.kind} {node.name}")
    reading.mark(address, head(node, node.tokens[0]))
    read = each(reading, node.block, "settings", {"setting": lambda n: read_setting(reading, n, address)})
    settings = cast(list[Setting], read)
    _no_setting_twice(reading, node, settings)
    cls = Train if node.kind == "train" else Sample
    return cls(model=reading.declared(node.tokens[0]), settings=tuple(settings))


def _no_setting_twice(reading: Reading, node: Tree, settings: Iterable[Setting]) -> None:
    first: dict[str, Span] = {}
    for statement in node.block.find_all("setting") if node.block else ():
        left = statement.children[0]
        if not isinstance(left, Token):
            continue
        if left.text in first:
            reading.twice(left.text, left.span, first[left.text], "setting")
        first.setdefault(left.text, left.span)


# ---- models ---------------------------------------------------------------------------------------------------------


def _model(reading: Reading, node: Tree, address: Address) -> Model:
    reading.mark(address, head(node, node.tokens[0]))
    seen: dict[str, Span] = {}

    def member(statement: Tree) -> Member | None:
        read = _member(reading, statement, address)
        if read is not None:
            name = member_name(read)
            if name in seen:
                reading.twice(name, statement.span, seen[name], _NOUNS.get(statement.kind, "name"))
            seen.setdefault(name, statement.span)
        return read

    kinds = (*PLAIN_MEMBERS, "flow", "ode", "sde", "markov", "perturb", "generate", "infer", "setting")
    members = each(reading, node.block, "model", dict.fromkeys(kinds, member))
    return Model(name=reading.declared(node.tokens[0]), members=tuple(cast(list[Member], members)))


_NOUNS = dict.fromkeys(("flow", "ode", "sde", "markov", "perturb"), "arrow") | {
    "generate": "law",
    "infer": "law",
    "setting": "setting",
}


def _member(reading: Reading, node: Tree, model: Address) -> Member | None:
    match node.kind:
        case "flow":
            return _flow(reading, node, model)
        case "ode" | "sde" | "markov" | "perturb":
            return read_path(reading, node, model)
        case "generate" | "infer":
            return read_conditional(reading, node, model)
        case "setting":
            return read_setting(reading, node, model)
    return PLAIN_MEMBERS[node.kind](reading, node, child(model, _name(node)))


def _name(node: Tree) -> str:
    """The name a member declares; that of ``z[k]`` is ``z``."""
    left = node.children[0]
    return left.name if isinstance(left, Tree) and left.kind == "index" else node.name


def _flow(reading: Reading, node: Tree, model: Address) -> Flow | None:
    if not well_formed(reading, node):
        return None
    source, starts = read_ends(reading, node.find("source"))
    target, stops = read_ends(reading, node.find("target"))
    if not source or not target:
        return None
    address = child(model, arrow_name("flow", source, target))
    reading.mark(address, head(node, node.find("context") or cast(Tree, node.find("target"))))
    mark_ends(reading, address, ("source", starts), ("target", stops))
    context = read_context(reading, node, address)
    return Flow(source=source, target=target, context=context, steps=read_steps(reading, node.block, address))


# ---- names of a file ------------------------------------------------------------------------------------------------


def _distinct(reading: Reading, tree: Tree, prefix: Address) -> None:
    """Report what a file declares twice; everything a file declares shares one list of names."""
    first: dict[str, Span] = {}
    for node in tree.trees:
        name = _declared(node)
        if not name:
            continue
        if name in first:
            reading.twice(name, node.span, first[name], "block" if node.kind in ("train", "sample") else "name")
        first.setdefault(name, node.span)


def _declared(node: Tree) -> str:
    match node.kind:
        case "param" | "fn" | "net" | "data" | "bijector" | "model" | "use":
            return node.name
        case "train" | "sample":
            return f"{node.kind} {node.name}"
    return ""


def outcome(document: Document) -> list[Diagnostic]:
    """What was found while reading, in the order of the text."""
    return sorted(document.reading.found, key=lambda d: cast(Span, d.at))
