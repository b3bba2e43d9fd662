"""Loss terms about the score of one variable: they read its density, or its score, as a function of the variable.

So their instruction holds programs of its own, which its twin runs at the values that it wants: at data, at data with
noise, along a chain. These read the variable and what is given; no step of them draws anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dgmspec.core.losses import AbstractScoreLoss
from dgmspec.graph.graph import Graph, LossTerm, VariableNode
from dgmspec.program.assemble import assemble
from dgmspec.program.densities import Terms, density
from dgmspec.program.listing import Listing, MissingValueError
from dgmspec.program.program import Entry, Phase, Program, Slot
from dgmspec.program.routes import Routes
from dgmspec.program.walk import Walk

__all__ = ["known", "score", "score_term", "target"]

Built = tuple[dict[str, Slot], list[Entry]]
Build = Callable[[Graph, Routes, Listing, str], Built]


def score_term(terms: Terms, term: LossTerm) -> Slot:
    """A term about the score of the variable that it names, at the data."""
    op, graph = term.op, terms.graph
    assert isinstance(op, AbstractScoreLoss)
    variable = graph.variables[term.binds or ""]
    bodies = [_own(graph, terms.routes, variable)]
    if op.against_target:
        bodies.append(_body("target", target, graph, terms.routes, variable))
    walk = terms.shared.setdefault("score", Walk(graph, terms.routes, terms.listing))
    if not walk.slots:
        walk.take(v for v in graph.variables.values() if v.role in ("observe", "given"))
    given = tuple(dict.fromkeys(i.name for body in bodies for i in body.inputs if i.kind == "given"))
    event = walk.type_of(variable.value)
    draws = {d.name: terms.listing.noise(term.address, d) for d in op.score_draws(event)}
    read = [walk.need(graph.variables[name].value) for name in (variable.name, *given)]
    line = {
        "target": "score_term",
        "address": term.address,
        "inputs": (*read, *draws.values()),
        "op": op,
        "type": event,
        "names": given,
        "noise": tuple(draws),
        "bodies": tuple(bodies),
    }
    return terms.listing.mean(term.address, terms.listing.add(1, **line)[0], 1)


def _own(graph: Graph, routes: Routes, variable: VariableNode) -> Program:
    """What the model says of a variable: a score, a density up to a constant, or a density."""
    if variable.score is not None:
        return _body("score", score, graph, routes, variable)
    if routes.of[variable.value].prior is None:
        return _body("target", target, graph, routes, variable)
    return _body("log_prob", _log_prob, graph, routes, variable)


def _body(phase: Phase, build: Build, graph: Graph, routes: Routes, variable: VariableNode) -> Program:
    listing = Listing()
    outputs, ledger = build(graph, routes, listing, variable.name)
    return assemble(phase, listing, outputs, ledger)


def _log_prob(graph: Graph, routes: Routes, listing: Listing, name: str) -> Built:
    walk = density(graph, routes, listing, [name])
    return {"log_prob": listing.total(walk.ledger)}, walk.ledger


def target(graph: Graph, routes: Routes, listing: Listing, name: str | None = None) -> Built:
    """e(x) of `~ exp(e)`: of the variable named, or of all of which it is the density, up to a constant."""
    walk = Walk(graph, routes, listing)
    walk.take(v for v in graph.variables.values() if v.role in ("observe", "given"))
    own = [v.name for v in graph.observed.values() if v.score is None and routes.of[v.value].prior is None]
    named = [v for v in graph.observed.values() if v.target is not None and v.name in (own if name is None else [name])]
    if not named:
        raise MissingValueError(f"model `{graph.name}` has no variable whose density is `~ exp(e)` alone")
    entries = [replace(walk.target(v.name), sign=1) for v in named]
    return {"log_prob": listing.total(entries)}, []


def known(graph: Graph, routes: Routes, listing: Listing) -> Built:
    """e(x) of `~ exp(e)` where the model says something else of the variable, that this is to be compared with."""
    own = [v for v in graph.observed.values() if v.score is not None or routes.of[v.value].prior is not None]
    names = [v.name for v in own if v.target is not None]
    if len(names) != 1:
        raise MissingValueError(f"model `{graph.name}` has no density `~ exp(e)` beside another one to compare it with")
    return target(graph, routes, listing, names[0])


def score(graph: Graph, routes: Routes, listing: Listing, name: str | None = None) -> Built:
    """The learned score: of the variable named, or of the only one that has it."""
    walk = Walk(graph, routes, listing)
    walk.take(v for v in graph.variables.values() if v.role in ("observe", "given"))
    found = [v.score for v in graph.observed.values() if v.score is not None and name in (None, v.name)]
    if len(found) != 1:
        raise MissingValueError(f"model `{graph.name}` learns no score: write `learn score(x) = mlp(64, 64)`")
    return {"score": walk.need(found[0])}, []
