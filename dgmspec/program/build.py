"""From a typed graph to programs: directions resolved, one flat list per phase.

Which end of an arrow is data and which has the prior follows from the graph, so each step's direction, and the sign
with which its log-determinant enters, are decided here once: log_prob runs data → prior and adds what it meets,
sampling runs prior → data and subtracts. A phase that the model does not allow is a value, `Unavailable`, that says
what is missing.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from dgmspec.algebra.rewrite import free_names
from dgmspec.graph.graph import Graph, LossTerm, StepNode, VariableNode
from dgmspec.graph.losses import STEP
from dgmspec.program.assemble import assemble
from dgmspec.program.densities import Terms, density, observed, sampling_walk
from dgmspec.program.listing import Listing, MissingValueError, StuckError
from dgmspec.program.posteriors import initialise_posteriors
from dgmspec.program.program import PHASES, Entry, Phase, Program, Slot
from dgmspec.program.routes import Routes
from dgmspec.program.scores import known, score, target
from dgmspec.program.terms import build_term
from dgmspec.program.walk import Walk


@dataclass(frozen=True)
class Unavailable:
    """Why a phase has no program: what is missing, and what to write."""

    phase: Phase
    reason: str


def build_programs(graph: Graph) -> dict[Phase, Program | Unavailable]:
    """The program of every phase of a typed graph, or why there is none."""
    routes = Routes(graph)
    return {phase: build_program(graph, phase, routes) for phase in PHASES}


def build_program(graph: Graph, phase: Phase, routes: Routes | None = None) -> Program | Unavailable:
    """The program of one phase: `graph` is typed and checked; dead instructions are dropped, last uses marked."""
    listing, routes = Listing(), routes or Routes(graph)
    try:
        outputs, ledger = _PHASES[phase](graph, routes, listing)
    except MissingValueError as missing:
        return Unavailable(phase, missing.reason)
    return assemble(phase, listing, outputs, ledger)


# ---- the phases -----------------------------------------------------------------------------------------------------

START, END, CONTEXT = "start", "end", "context"
"""The values at both ends of the arrow that a sampler runs along, and that of its context, by these names."""

Built = tuple[dict[str, Slot], list[Entry]]


def _log_prob(graph: Graph, routes: Routes, listing: Listing) -> Built:
    """Σ over observed variables of log p(prior value) + Σ log|det| along data → prior, and what the latent ones add."""
    walk = density(graph, routes, listing)
    return {"log_prob": listing.total(walk.ledger)}, walk.ledger


def _sample(graph: Graph, routes: Routes, listing: Listing) -> Built:
    walk = sampling_walk(graph, routes, listing)
    return {name: walk.need(v.value) for name, v in graph.observed.items()}, []


def _sample_and_log_prob(graph: Graph, routes: Routes, listing: Listing) -> Built:
    """log q(x) = log p(prior draw) - Σ log|det| along prior → data, in one walk."""
    walk = sampling_walk(graph, routes, listing, exact=True)
    outputs = {name: walk.need(v.value) for name, v in graph.observed.items()}
    return {**outputs, "log_prob": listing.total(walk.ledger)}, walk.ledger


def _encode(graph: Graph, routes: Routes, listing: Listing, means: bool = False) -> Built:
    """The latent variables behind the data: by the arrows, and by a draw of the posteriors (or their means)."""
    walk = Walk(graph, routes, listing, origin="posterior", means=means)
    walk.take(v for v in graph.variables.values() if v.role in ("observe", "given"))
    ends = [v for v in _codes(graph, routes) if v.posterior is not None or not _undetermined(routes, v)]
    if not ends:
        raise MissingValueError(f"model `{graph.name}` has no latent variable to encode to: join `x` to one by a flow")
    return {v.name: walk.need(v.value) for v in ends}, walk.ledger


def _encode_mean(graph: Graph, routes: Routes, listing: Listing) -> Built:
    return _encode(graph, routes, listing, means=True)


def _decode(graph: Graph, routes: Routes, listing: Listing, means: bool = False) -> Built:
    """The observed variables that latent ones stand for: by the arrows, and by a draw of their laws (or its mean)."""
    codes = _codes(graph, routes)
    if not codes:
        raise MissingValueError(f"model `{graph.name}` has no latent variable to decode from")
    walk = Walk(graph, routes, listing, origin="prior", offered=codes, means=means)
    walk.take(graph.givens.values())
    coded = [c for c in observed(graph, routes) if c.ends or routes.dependence.latents(v.name for v in c.observed)]
    walk.take(v for c in observed(graph, routes) if c not in coded for v in c.observed)
    return {v.name: walk.need(v.value) for c in coded for v in c.observed}, []


def _decode_mean(graph: Graph, routes: Routes, listing: Listing) -> Built:
    return _decode(graph, routes, listing, means=True)


def _initialise(graph: Graph, routes: Routes, listing: Listing) -> Built:
    """The walk of log_prob, each step that asks for it started from the data that reach it.

    A step that this walk undoes meets its own output, not its input, and keeps its declared start. Behind a step that
    cannot be run that way nothing starts.
    """
    if _laws_between(graph) or routes.dependence.enumerated(graph.observed, inferred=True):
        density(graph, routes, listing, initialise=True)
        initialise_posteriors(graph, listing)
        return {}, []
    walk = Walk(graph, routes, listing, initialise=True)
    walk.take(v for v in graph.variables.values() if v.role in ("observe", "given"))
    for component in observed(graph, routes):
        for end in component.ends:
            with suppress(StuckError):
                walk.need(end.value)
    return {}, []


def _before(graph: Graph, routes: Routes, listing: Listing) -> Built:
    """What a sampler along an arrow starts from: the arrow's end, drawn from the prior through what lies between."""
    step = _sampled_along(graph)
    walk = Walk(graph, routes, listing, origin="prior")
    walk.take(graph.givens.values())
    outputs = {END: walk.need(step.target)} if routes.of[step.target].prior is not None else {}
    if step.context is not None:
        outputs[CONTEXT] = walk.need(step.context)
    return outputs, []


def _after(graph: Graph, routes: Routes, listing: Listing) -> Built:
    """What a sampler along an arrow ends with: the observed variables, from the arrow's start on."""
    step = _sampled_along(graph)
    walk = Walk(graph, routes, listing, origin="prior")
    walk.take(graph.givens.values())
    walk.slots[step.source] = listing.input("variable", START, type=walk.type_of(step.source))
    return {name: walk.need(v.value) for name, v in graph.observed.items()}, []


def _sampled_along(graph: Graph) -> StepNode:
    """The one step that samplers run along."""
    steps = [step for step in graph.steps.values() if step.op.sampled]
    if len(steps) != 1:
        have = f"has {len(steps)}" if steps else "has none"
        raise MissingValueError(f"a sampler runs along one `sde`, `markov` or `perturb`, and `{graph.name}` {have}")
    return steps[0]


def _loss(graph: Graph, routes: Routes, listing: Listing) -> Built:
    if graph.loss is None:
        raise MissingValueError(f"model `{graph.name}` has no loss: add `loss = nll` to train it")
    terms = Terms(graph, routes, listing)
    names = _term_names(graph.loss.terms)
    slots = {key: build_term(terms, term) for key, term in graph.loss.terms.items()}
    named = dict(slots)
    if STEP in free_names(graph.loss.formula):
        named[STEP] = listing.input("step", STEP)
    total = listing.formula(f"{graph.name}/loss", graph.loss.formula, named)
    return {"total": total, **{names[key]: slot for key, slot in slots.items()}}, terms.ledger


_PHASES = {
    "log_prob": _log_prob,
    "sample": _sample,
    "sample_and_log_prob": _sample_and_log_prob,
    "encode": _encode,
    "encode_mean": _encode_mean,
    "decode": _decode,
    "decode_mean": _decode_mean,
    "loss": _loss,
    "initialise": _initialise,
    "before": _before,
    "after": _after,
    "target": target,
    "score": score,
    "known": known,
}


# ---- names and codes ------------------------------------------------------------------------------------------------


def _term_names(terms: dict[str, LossTerm]) -> dict[str, str]:
    """What a term is called in results: the loss's name, with what it binds to where a name comes twice."""
    counts: dict[str, int] = {}
    for term in terms.values():
        counts[term.op.name] = counts.get(term.op.name, 0) + 1
    names: dict[str, str] = {}
    for key, term in terms.items():
        name = term.op.name if counts[term.op.name] == 1 else f"{term.op.name}({term.binds or key})"
        names[key] = name if name not in names.values() else f"{name}#{key}"
    return names


def _laws_between(graph: Graph) -> bool:
    """Whether a law reads a variable, so that some values are draws."""
    return any(v.posterior is not None for v in graph.variables.values())


def _codes(graph: Graph, routes: Routes) -> list[VariableNode]:
    """The latent variables that stand for the data: the ends of arrows from them, and those that generate them."""
    components = observed(graph, routes)
    ends = [v for c in components for v in c.ends]
    groups = routes.dependence.latents(v.name for c in components for v in c.observed)
    return [*ends, *(graph.variables[g.name] for g in groups)]


def _undetermined(routes: Routes, variable: VariableNode) -> bool:
    """Whether nothing but a draw says what a latent variable is."""
    component = routes.of[variable.value]
    return not component.observed and component.posterior is None
