"""What may stand where, and of which parts a statement is made: the tables that turn the cover grammar into rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dgmspec.core.diagnostics import Span
from dgmspec.spec.reading import Reading
from dgmspec.syntax.tree import Node, Tree


@dataclass(frozen=True)
class Form:
    """A statement as it is written: the parts it needs, those it may have, where it stands, and an example."""

    needs: tuple[str, ...]
    may: tuple[str, ...]
    example: str
    homes: tuple[str, ...]


_DYNAMICS = Form(("source", "target", "over", "block"), ("context",), "ode x -> z over t in 0..1 { … }", ("model",))
FORMS: dict[str, Form] = {
    "dgm": Form((), (), "dgm 1", ("file",)),
    "use": Form((), (), 'use "blocks.dgm" as blocks', ("file",)),
    "param": Form(("value",), ("type",), "param depth = 8", ("file",)),
    "fn": Form(("params", "value"), (), "fn β(t) = 0.1 + 19.9 * t", ("file", "model", "arrow", "bijector")),
    "net": Form(
        ("params", "value"), ("type",), "net h(c) : real[16] = mlp(64)", ("model", "arrow", "bijector", "file")
    ),
    "data": Form(("value",), (), "data moons = two_moons(n = 20_000)", ("file",)),
    "bijector": Form((), ("params", "block", "chain"), "bijector wiggle(x) { x <- x + 0.5 * sin(x) }", ("file",)),
    "model": Form(("block",), (), "model RealNVP { … }", ("file",)),
    "train": Form(("block",), (), "train RealNVP { steps = 5_000 }", ("file",)),
    "sample": Form(("block",), (), "sample RealNVP { count = 1000 }", ("file",)),
    "observe": Form(("type",), ("law", "for"), "observe x : real[2]", ("model",)),
    "latent": Form(("type",), ("law", "for"), "latent z : real[2] ~ normal(0, 1)", ("model",)),
    "given": Form(("type",), ("for",), "given c : category(10)", ("model",)),
    "flow": Form(("source", "target", "block"), ("context",), "flow x -> z { actnorm }", ("model",)),
    "ode": _DYNAMICS,
    "sde": _DYNAMICS,
    "markov": Form(_DYNAMICS.needs, ("context",), "markov x -> z over t in 1..T { … }", ("model",)),
    "perturb": Form(("source", "over", "block"), ("target", "context"), "perturb x over σ in levels { … }", ("model",)),
    "generate": Form(("heads", "law"), ("context", "for"), "generate x | z ~ normal(mlp(400))", ("model",)),
    "infer": Form(("heads", "law"), ("context", "for"), "infer z | x ~ normal(mlp(400))", ("model",)),
    "energy": Form(("params", "value"), (), "energy E(x) = mlp(64, 64)", ("model",)),
    "learn": Form((), ("params", "type", "value"), "learn a : positive = 1.0", ("model", "arrow", "bijector")),
    "repeat": Form(("block",), ("as",), "repeat 8 as k { … }", ("steps",)),
    "step": Form((), (), "actnorm", ("steps",)),
    "setting": Form((), (), "loss = nll", ("model", "arrow", "settings")),
    "draw": Form((), (), "step(x, t) ~ normal(…)", ("arrow",)),
    "update": Form((), (), "x <- a * x + b", ("bijector",)),
}

PLACES: dict[str, str] = {
    "file": "at the top of a file",
    "model": "in a model",
    "steps": "among the steps of a flow",
    "arrow": "in the braces of an ode, sde, markov or perturb",
    "bijector": "in a bijector of the author's own",
    "settings": "in a train or sample block",
}

_PARTS: dict[str, str] = {
    "params": "its arguments in parentheses",
    "type": "a type, `: …`",
    "value": "a value, `= …`",
    "law": "a distribution, `~ …`",
    "for": "a range, `for k in …`",
    "source": "a start",
    "target": "an end, `-> …`",
    "context": "a context, `| …`",
    "over": "a variable of time, `over t in …`",
    "block": "a block, `{ … }`",
    "chain": "steps, `= { … }`",
    "heads": "a variable",
    "as": "an index, `as k`",
}


def well_formed(reading: Reading, node: Tree) -> bool:
    """Whether a statement has every part that it needs; parts that do not belong are reported as well."""
    form = FORMS[node.kind]
    for part in node.trees:
        if part.kind in _PARTS and part.kind not in (*form.needs, *form.may):
            help = (f"write `{form.example}`",)
            reading.report("DGM204", f"`{node.kind}` takes no {_short(part.kind)}", part, "leave this out", help=help)
    missing = [name for name in form.needs if node.find(name) is None]
    for name in missing:
        help = (f"a complete one: `{form.example}`",)
        reading.report("DGM203", f"`{node.kind}` needs {_PARTS[name]}", node, "incomplete", help=help)
    return not missing


def _short(part: str) -> str:
    return _PARTS[part].partition(",")[0].removeprefix("a ").removeprefix("an ").removeprefix("its ")


def stray(reading: Reading, node: Node, place: str) -> None:
    """Report a statement that may not stand in `place`."""
    if not isinstance(node, Tree) or node.kind == "broken":
        return
    homes = " or ".join(PLACES[home] for home in FORMS[node.kind].homes)
    help = _ADVICE.get((node.kind, place)) or f"it stands {homes}, as in `{FORMS[node.kind].example}`"
    what = _CALLED.get(node.kind, f"`{node.kind}`")
    reading.report("DGM210", f"{what} cannot stand {PLACES[place]}", node, "not here", help=(help,))


_CALLED = {
    "setting": "a setting `name = …`",
    "draw": "a law `name ~ …`",
    "update": "an update `name <- …`",
    "step": "a step",
}
_ADVICE: dict[tuple[str, str], str] = {
    ("setting", "file"): "a value with a name is a `param`; `loss = …` stands in a model",
    ("setting", "bijector"): "an update is written with an arrow: `x <- …`",
    ("setting", "steps"): "settings of the model stand after the arrow's braces; a step is `name` or `name(args)`",
    (
        "draw",
        "model",
    ): "a prior is declared with its variable, `latent z : real[2] ~ normal(0, 1)`, and the law of what "
    "follows from others by `generate x | z ~ normal(z, 1)`",
    ("update", "steps"): "name the map first, `bijector f(x) { x <- … }`, and write `f` as the step",
    ("learn", "file"): "`learn` stands in a model, in an arrow's braces or in a bijector; a fixed number is a `param`",
    ("learn", "steps"): "declare it in the model; every step of the model sees it",
    ("net", "steps"): "declare it in the model; every step of the model sees it",
    ("step", "model"): "steps stand in the braces of an arrow: `flow x -> z { … }`",
}


def head(node: Tree, last: Node) -> Span:
    """From the start of a statement to the end of `last`: its header, without the braces."""
    return Span(node.span.source, node.span.start, last.span.end)


def each(
    reading: Reading, block: Tree | None, place: str, readers: dict[str, Callable[[Tree], object]]
) -> list[object]:
    """Read the statements of a block, each by the reader of its kind; others are reported as out of place."""
    read: list[object] = []
    for node in block.children if block else ():
        reader = readers.get(node.kind)
        if reader is None:
            stray(reading, node, place)
        elif isinstance(node, Tree):
            found = reader(node)
            if found is not None:
                read.append(found)
    return read
