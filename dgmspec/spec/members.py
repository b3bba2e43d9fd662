"""Reading the members of a model: definitions, variables, laws and dynamics."""

from __future__ import annotations

from typing import Literal, cast

from dgmspec.algebra.nodes import Formula, Index, Name
from dgmspec.core.address import Address, child
from dgmspec.spec.model import (
    Conditional,
    Definition,
    Energy,
    Fn,
    For,
    Kernel,
    Learn,
    LearnFunction,
    Net,
    Over,
    Path,
    Setting,
    TypeExpr,
    Variable,
    arrow_name,
    conditional_name,
)
from dgmspec.spec.places import each, head, well_formed
from dgmspec.spec.reading import Reading
from dgmspec.syntax.tree import Node, Token, Tree

# ---- definitions ----------------------------------------------------------------------------------------------------


def value_of(reading: Reading, node: Tree, address: Address) -> Formula:
    """What stands after ``=`` of a declaration that has one."""
    return reading.formula(cast(Tree, node.find("value")).children[0], child(address, "value"))


def read_fn(reading: Reading, node: Tree, address: Address) -> Fn | None:
    """``fn β(t) = EXPR``."""
    if not well_formed(reading, node):
        return None
    reading.mark(address, node)
    args = reading.arguments(node.find("params"), address)
    return Fn(name=reading.declared(node.tokens[0]), args=args, value=value_of(reading, node, address))


def read_net(reading: Reading, node: Tree, address: Address) -> Net | None:
    """``net s(a, t) : T = mlp(64)``."""
    if not well_formed(reading, node):
        return None
    reading.mark(address, node)
    return Net(
        name=reading.declared(node.tokens[0]),
        args=reading.arguments(node.find("params"), address),
        type=reading.type(node.find("type"), child(address, "type")),
        value=value_of(reading, node, address),
    )


def read_energy(reading: Reading, node: Tree, address: Address) -> Energy | None:
    """``energy E(x) = EXPR``."""
    if not well_formed(reading, node):
        return None
    reading.mark(address, node)
    args = reading.arguments(node.find("params"), address)
    return Energy(name=reading.declared(node.tokens[0]), args=args, value=value_of(reading, node, address))


def read_learn(reading: Reading, node: Tree, address: Address) -> Learn | LearnFunction | None:
    """``learn a : positive = 1.0``, or ``learn noise(x, t) = NET``."""
    well_formed(reading, node)
    reading.mark(address, node)
    name, params, value = reading.declared(node.tokens[0]), node.find("params"), node.find("value")
    type_ = reading.type(node.find("type"), child(address, "type"))
    if params is None:
        start = reading.formula(value.children[0], child(address, "value")) if value else None
        return Learn(name=name, type=type_, value=start)
    if type_ is not None:
        reading.report("DGM204", "a learned function has no type", cast(Tree, node.find("type")), "leave this out")
    args = reading.arguments(params, address)
    if value is None:
        help = (f"give it a network: `learn {name}({', '.join(args)}) = mlp(64, 64)`",)
        reading.report("DGM203", f"the learned function `{name}` needs a value, `= …`", node, help=help)
        return None
    return LearnFunction(name=name, args=args, value=value_of(reading, node, address))


def read_setting(reading: Reading, node: Tree, address: Address) -> Setting | None:
    """``name = EXPR``; `address` is that of the block."""
    left, right = node.children
    if isinstance(left, Tree) and left.kind == "call":
        help = ("a function is defined by `fn`: `fn f(t) = …`",)
        reading.report("DGM210", "a definition `f(…) = …` cannot stand here", left, "not a setting", help=help)
        return None
    name = reading.plain_name(left, "the name of a setting")
    if name is None:
        return None
    at = child(address, name)
    reading.mark(at, node)
    reading.mark(child(at, "value"), right)
    return Setting(name=name, value=reading.formula(right, at))


# ---- variables and conditional laws ---------------------------------------------------------------------------------


def read_variable(reading: Reading, node: Tree, address: Address) -> Variable | None:
    """``observe x : T ~ D``, ``latent z[k] : T for k in 1..K``, ``given c : T``."""
    left = node.children[0]
    index: str | None = None
    if isinstance(left, Tree) and left.kind == "index":
        index = reading.plain_name(left.children[1], "the index of a variable")
        left = left.children[0]
    name = reading.plain_name(left, "a variable")
    if name is None or not well_formed(reading, node):
        return None
    reading.mark(address, node)
    law = node.find("law")
    return Variable(
        role=cast(Literal["observe", "latent", "given"], node.kind),
        name=name,
        index=index,
        type=cast(TypeExpr, reading.type(node.find("type"), child(address, "type"))),
        prior=reading.formula(law.children[0], child(address, "prior")) if law else None,
        repeat=_for(reading, node.find("for"), address),
    )


def _for(reading: Reading, node: Tree | None, address: Address) -> For | None:
    if node is None:
        return None
    index = reading.plain_name(node.children[0], "an index")
    at = child(address, "for")
    reading.mark(at, node)
    return For(index=index or "_", domain=reading.domain(node.children[1], child(at, "domain")))


def read_conditional(reading: Reading, node: Tree, model: Address) -> Conditional | None:
    """``generate x | z, c ~ D``, ``infer z | x ~ D``."""
    if not well_formed(reading, node):
        return None
    heads = cast(Tree, node.find("heads"))
    target = reading.formula(heads.children[0])
    if len(heads.children) > 1:
        help = (f"write one `{node.kind}` for each variable",)
        reading.report("DGM204", f"`{node.kind}` gives the law of one variable", heads.children[1], help=help)
    if not isinstance(target, Name) and not (isinstance(target, Index) and isinstance(target.of, Name)):
        reading.report("DGM205", f"what `{node.kind}` gives a law to must be a variable", heads, "no variable")
        return None
    address = child(model, conditional_name(node.kind, target))
    reading.mark(address, node)
    return Conditional(
        head=cast(Literal["generate", "infer"], node.kind),
        target=target,
        context=read_context(reading, node, address),
        law=reading.formula(cast(Tree, node.find("law")).children[0], child(address, "law")),
        repeat=_for(reading, node.find("for"), address),
    )


def read_context(reading: Reading, node: Tree, address: Address) -> tuple[Formula, ...]:
    """What follows the bar: ``| h(c), d``."""
    context = node.find("context")
    if context is None:
        return ()
    at = child(address, "context")
    reading.mark(at, context)
    return tuple(reading.formula(part, child(at, i)) for i, part in enumerate(context.children))


# ---- arrows over a variable of time ---------------------------------------------------------------------------------


def read_ends(reading: Reading, end: Tree | None) -> tuple[tuple[str, ...], tuple[Node, ...]]:
    """One name, or the names of a vector: an end of an arrow, and where they stand."""
    if end is None:
        return (), ()
    of = end.children[0]
    parts: tuple[Node, ...] = of.children if isinstance(of, Tree) and of.kind == "vector" else (of,)
    if not parts:
        reading.report("DGM203", "an arrow's end names at least one variable", end)
    return reading.plain_names(parts, "an arrow's end"), parts


def mark_ends(reading: Reading, address: Address, *ends: tuple[str, tuple[Node, ...]]) -> None:
    """Mark each end of an arrow (`source`, `target`) and each variable in it."""
    for which, nodes in ends:
        for node in nodes:
            if isinstance(node, Token):
                reading.mark(child(child(address, which), node.text), node)


def read_path(reading: Reading, node: Tree, model: Address) -> Path | None:
    """``ode``, ``sde``, ``markov`` and ``perturb`` with their braces."""
    if not well_formed(reading, node):
        return None
    source, starts = read_ends(reading, node.find("source"))
    target, stops = read_ends(reading, node.find("target"))
    if not source or (not target and node.find("target") is not None):
        return None
    address = child(model, arrow_name(node.kind, source, target))
    over = cast(Tree, node.find("over"))
    reading.mark(address, head(node, over))
    mark_ends(reading, address, ("source", starts), ("target", stops))
    reading.mark(child(address, "over"), over)
    name = reading.plain_name(over.children[0], "the variable of time")
    fields = {
        "head": node.kind,
        "source": source,
        "target": target,
        "context": read_context(reading, node, address),
        "over": Over(
            name=name or "_", domain=reading.domain(over.children[1], child(child(address, "over"), "domain"))
        ),
        "body": tuple(_dynamics(reading, node, address)),
    }
    return Path.model_validate(fields)


def _dynamics(reading: Reading, node: Tree, address: Address) -> list[object]:
    return each(
        reading,
        node.block,
        "arrow",
        {
            "setting": lambda n: _definition(reading, n, address),
            "draw": lambda n: _kernel(reading, n, address),
            "learn": lambda n: read_learn(reading, n, child(address, n.name)),
            "net": lambda n: read_net(reading, n, child(address, n.name)),
            "fn": lambda n: read_fn(reading, n, child(address, n.name)),
        },
    )


def _definition(reading: Reading, node: Tree, address: Address) -> Definition | Setting | None:
    left, right = node.children
    if not (isinstance(left, Tree) and left.kind == "call"):
        return read_setting(reading, node, address)
    name, args, at = _signature(reading, left, address)
    reading.mark(at, node)
    return Definition(name=name, args=args, value=reading.formula(right, child(at, "value")))


def _kernel(reading: Reading, node: Tree, address: Address) -> Kernel | None:
    left, right = node.children
    if not (isinstance(left, Tree) and left.kind == "call"):
        help = ("name its arguments: `step(x, t) ~ …`, `kernel(x, t) ~ …`",)
        reading.report("DGM203", "a conditional law needs its arguments in parentheses", left, help=help)
        return None
    name, args, at = _signature(reading, left, address)
    reading.mark(at, node)
    return Kernel(name=name, args=args, law=reading.formula(right, child(at, "law")))


def _signature(reading: Reading, call: Tree, address: Address) -> tuple[str, tuple[str, ...], Address]:
    """Name, argument names and address of ``velocity(y, t)`` on a left side."""
    callee, args = call.children
    assert isinstance(callee, Token) and isinstance(args, Tree)
    name = reading.plain_name(callee, "what is defined") or "_"
    at = child(address, name)
    names = reading.plain_names(args.children, "an argument", at)
    if not args.children:
        reading.report("DGM203", f"`{name}` needs at least one argument", call, "name its arguments here")
    return name, names or ("_",), at
