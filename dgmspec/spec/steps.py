"""Reading the steps of a flow, and the bijectors that a file defines."""

from __future__ import annotations

from typing import cast

from dgmspec.algebra.nodes import Call, Name
from dgmspec.core.address import Address, child
from dgmspec.spec.members import read_fn, read_learn, read_net
from dgmspec.spec.model import (
    Apply,
    Bijector,
    Chain,
    ChainParam,
    InverseBlock,
    Learn,
    Repeat,
    Step,
    Unknowns,
    Update,
)
from dgmspec.spec.places import each, head, stray, well_formed
from dgmspec.spec.reading import Reading
from dgmspec.syntax.tree import Node, Token, Tree


def read_steps(reading: Reading, block: Tree | None, address: Address) -> tuple[Step, ...]:
    """The steps of a block; each has its place among them as its address."""
    steps: list[Step] = []
    for node in block.children if block else ():
        at = child(address, len(steps))
        if node.kind not in ("step", "repeat"):
            stray(reading, node, "steps")
            continue
        step = _repeat(reading, cast(Tree, node), at) if node.kind == "repeat" else _step(reading, cast(Tree, node), at)
        if step is not None:
            steps.append(step)
    return tuple(steps)


def _step(reading: Reading, node: Tree, address: Address) -> Step | None:
    return step_of(reading, node.children[0], address)


def step_of(reading: Reading, node: Node, address: Address) -> Step | None:
    """A name, a call, or `inverse` of one or of a block."""
    if not (isinstance(node, Tree) and node.kind == "inverse"):
        return _apply(reading, node, address, inverse=False)
    of = node.children[0]
    if isinstance(of, Tree) and of.kind == "block":
        reading.mark(address, node.span)
        return InverseBlock(steps=read_steps(reading, of, address))
    reading.mark(address, node)
    return _apply(reading, of, address, inverse=True)


def _apply(reading: Reading, node: Node, address: Address, *, inverse: bool) -> Apply | None:
    call = reading.formula(node, address)
    if isinstance(call, (Name, Call)):
        return Apply(call=call, inverse=inverse)
    help = ("a formula becomes a step by a bijector: `bijector f(x) { x <- … }`",)
    reading.report("DGM210", "a step is a name or a call, not a formula", node, "no step", help=help)
    return None


def _repeat(reading: Reading, node: Tree, address: Address) -> Repeat | None:
    if not well_formed(reading, node):
        return None
    named = node.find("as")
    reading.mark(address, head(node, named or node.children[0]))
    index = reading.plain_name(named.children[0], "an index") if named else None
    count = reading.formula(node.children[0], child(address, "count"))
    return Repeat(count=count, index=index, steps=read_steps(reading, node.block, address))


# ---- bijectors ------------------------------------------------------------------------------------------------------


def read_bijector(reading: Reading, node: Tree, address: Address) -> Bijector | Chain | None:
    """``bijector f(x; a) { updates }`` or a named chain ``bijector g(width = 64) = { steps }``."""
    name = reading.declared(node.tokens[0])
    well_formed(reading, node)
    chain = node.find("chain")
    if chain is not None:
        reading.mark(address, head(node, node.find("params") or node.tokens[0]))
        body = chain.children[0]
        if isinstance(body, Tree) and body.kind == "block":
            steps = read_steps(reading, body, address)
        else:
            step = step_of(reading, body, child(address, 0))
            steps = (step,) if step else ()
        return Chain(name=name, params=_chain_params(reading, node.find("params"), address), steps=steps)
    if node.find("params") is None:
        help = ("name the variable, `bijector f(x) { … }`; a chain of steps is `bijector f = { … }`",)
        reading.report("DGM203", "a bijector with updates needs the names of its parts", node.tokens[0], help=help)
        return None
    reading.mark(address, head(node, cast(Tree, node.find("params"))))
    return _bijector(reading, name, node, address)


def _chain_params(reading: Reading, params: Tree | None, address: Address) -> tuple[ChainParam, ...]:
    read: list[ChainParam] = []
    for parameter in params.find_all("parameter") if params else ():
        at = child(address, parameter.name)
        reading.mark(at, parameter)
        if (type_ := parameter.find("type")) is not None:
            reading.report("DGM204", "a parameter of a chain has no type", type_, "leave this out")
        value = parameter.find("value")
        read.append(
            ChainParam(
                name=reading.declared(parameter.tokens[0]),
                value=reading.formula(value.children[0], child(at, "value")) if value else None,
            )
        )
    _once(reading, [p.tokens[0] for p in params.find_all("parameter")] if params else [])
    if params is not None and (learned := params.find("learned")) is not None:
        help = ("only a bijector with updates, `bijector f(x; a) { x <- … }`, learns parameters of its own",)
        reading.report("DGM204", "a chain has no learned parameters", learned, "leave this out", help=help)
    return tuple(read)


def _bijector(reading: Reading, name: str, node: Tree, address: Address) -> Bijector:
    params = cast(Tree, node.find("params"))
    parts = [p.children[0] for p in params.find_all("parameter")]
    for parameter in params.find_all("parameter"):
        for extra in parameter.trees:
            help = ("learned parameters follow a `;`: `bijector f(x; a : positive) { … }`",)
            reading.report("DGM204", "a part is a name alone", extra, "leave this out", help=help)
    learned = params.find("learned")
    unknowns = tuple(_unknown(reading, p, address) for p in learned.find_all("parameter")) if learned else ()
    if not parts:
        reading.report("DGM203", "a bijector needs at least one part", params, "name the variable it maps")
    _once(reading, [*parts, *(p.children[0] for p in (learned.find_all("parameter") if learned else ()))])
    place = {id(n): i for i, n in enumerate(node.block.children if node.block else ())}
    body = each(
        reading,
        node.block,
        "bijector",
        {
            "update": lambda n: _update(reading, n, child(address, place[id(n)])),
            "net": lambda n: read_net(reading, n, child(address, n.name)),
            "learn": lambda n: _own_learn(reading, n, child(address, n.name)),
            "fn": lambda n: read_fn(reading, n, child(address, n.name)),
        },
    )
    names = reading.plain_names(dict.fromkeys(parts), "a part", address) or ("_",)
    return Bijector.model_validate({"name": name, "parts": names, "parameters": unknowns, "body": tuple(body)})


def _once(reading: Reading, names: list[Node]) -> None:
    """Report names that stand twice in a header."""
    first: dict[str, Node] = {}
    for node in names:
        assert isinstance(node, Token)
        if node.text in first:
            reading.twice(node.text, node.span, first[node.text].span)
        first.setdefault(node.text, node)


def _unknown(reading: Reading, parameter: Tree, address: Address) -> Unknowns:
    at = child(address, parameter.name)
    reading.mark(at, parameter)
    if (value := parameter.find("value")) is not None:
        help = (f"give it its start in the body: `learn {parameter.name} : positive = 1`",)
        reading.report("DGM204", "a parameter after `;` has no value", value, "leave this out", help=help)
    return Unknowns(
        name=reading.declared(parameter.tokens[0]), type=reading.type(parameter.find("type"), child(at, "type"))
    )


def _update(reading: Reading, node: Tree, address: Address) -> Update | None:
    target = reading.plain_name(node.children[0], "the left side of an update")
    reading.mark(address, node)
    value = reading.formula(node.children[1], child(address, "value"))
    return Update(target=target, value=value) if target else None


def _own_learn(reading: Reading, node: Tree, address: Address) -> Learn | None:
    learn = read_learn(reading, node, address)
    if learn is None or isinstance(learn, Learn):
        return learn
    reading.report("DGM210", "a learned function stands in a model or an arrow", node, help=("use a `net`",))
    return None
