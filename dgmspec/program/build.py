"""From a typed graph to programs: directions resolved, one flat list per phase.

Which end of an arrow is data and which has the prior follows from the graph, so each step's direction, and the sign
with which its log-determinant enters, are decided here once: log_prob runs data → prior and adds what it meets,
sampling runs prior → data and subtracts. A phase that the model does not allow is a value, `Unavailable`, that says
what is missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from dgmspec.core.op import AbstractArrowLoss, AbstractLoss
from dgmspec.graph.graph import Graph, LossTerm, Prior, StepNode, VariableNode
from dgmspec.program.liveness import last_uses, live
from dgmspec.program.program import PHASES, Entry, Phase, Program, Slot
from dgmspec.program.routes import Component, Routes
from dgmspec.program.walk import Listing, MissingValueError, StuckError, Walk


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
    kept = live(listing.instructions, outputs.values())
    used = {slot for line in kept for slot in line.inputs} | set(outputs.values())
    # A sampler reads its contexts once for both of its programs.
    always = {"variable", "given"} if phase in ("before", "after") else {"variable"}
    inputs = tuple(i for i in listing.inputs if i.slot in used or i.kind in always)
    return Program(
        phase=phase,
        inputs=inputs,
        instructions=last_uses(kept, outputs.values()),
        outputs=outputs,
        ledger=tuple(ledger),
        slots=listing.slots,
        batches=any(i.kind == "variable" for i in inputs),
    )


# ---- the phases -----------------------------------------------------------------------------------------------------

START, END, CONTEXT = "start", "end", "context"
"""The values at both ends of the arrow that a sampler runs along, and that of its context, by these names."""

Built = tuple[dict[str, Slot], list[Entry]]


def _log_prob(graph: Graph, routes: Routes, listing: Listing) -> Built:
    """Σ over observed variables of log p(prior value) + Σ log|det| along data → prior."""
    walk = _density_walk(graph, routes, listing)
    return {"log_prob": listing.total(walk.ledger)}, walk.ledger


def _density_walk(
    graph: Graph, routes: Routes, listing: Listing, variables: Iterable[str] = (), updates: bool = False
) -> Walk:
    walk = Walk(graph, routes, listing, ledger_sign=1, updates=updates)
    walk.take(v for v in graph.variables.values() if v.role in ("observe", "given"))
    for component in _observed(graph, routes, variables):
        prior = _prior_of(component)
        walk.need(graph.variables[prior.variable].value)
        walk.log_prob(prior)
    return walk


def _sample(graph: Graph, routes: Routes, listing: Listing) -> Built:
    walk = _sampling_walk(graph, routes, listing)
    return {v.name: walk.need(v.value) for v in _observed_variables(graph)}, []


def _sample_and_log_prob(graph: Graph, routes: Routes, listing: Listing) -> Built:
    """log q(x) = log p(prior draw) - Σ log|det| along prior → data, in one walk."""
    walk = _sampling_walk(graph, routes, listing, exact=True)
    outputs = {v.name: walk.need(v.value) for v in _observed_variables(graph)}
    return {**outputs, "log_prob": listing.total(walk.ledger)}, walk.ledger


def _sampling_walk(graph: Graph, routes: Routes, listing: Listing, exact: bool = False) -> Walk:
    walk = Walk(graph, routes, listing, ledger_sign=-1, draws=True)
    walk.take(v for v in graph.variables.values() if v.role == "given")
    for component in _observed(graph, routes):
        prior = _prior_of(component)
        if exact:
            _refuse_inexact(graph, component)
        walk.need(graph.variables[prior.variable].value)
        if exact:
            walk.log_prob(prior)
        for variable in component.observed:
            walk.need(variable.value)
    return walk


def _encode(graph: Graph, routes: Routes, listing: Listing) -> Built:
    walk = Walk(graph, routes, listing)
    walk.take(v for v in graph.variables.values() if v.role in ("observe", "given"))
    ends = [v for c in _observed(graph, routes) for v in c.ends]
    if not ends:
        raise MissingValueError(f"model `{graph.name}` has no latent variable to encode to: join `x` to one by a flow")
    return {v.name: walk.need(v.value) for v in ends}, walk.ledger


def _decode(graph: Graph, routes: Routes, listing: Listing) -> Built:
    walk = Walk(graph, routes, listing)
    components = list(_observed(graph, routes))
    ends = [v for c in components for v in c.ends]
    if not ends:
        raise MissingValueError(f"model `{graph.name}` has no latent variable to decode from")
    walk.take([*ends, *(v for v in graph.variables.values() if v.role == "given")])
    walk.take(v for c in components if not c.ends for v in c.observed)
    return {v.name: walk.need(v.value) for c in components if c.ends for v in c.observed}, []


def _initialise(graph: Graph, routes: Routes, listing: Listing) -> Built:
    """The walk of log_prob, each step that asks for it started from the data that reach it.

    A step that this walk undoes meets its own output, not its input, and keeps its declared start. Behind a step that
    cannot be run that way nothing starts.
    """
    walk = Walk(graph, routes, listing, initialise=True)
    walk.take(v for v in graph.variables.values() if v.role in ("observe", "given"))
    for component in _observed(graph, routes):
        for end in component.ends:
            with suppress(StuckError):
                walk.need(end.value)
    return {}, []


def _before(graph: Graph, routes: Routes, listing: Listing) -> Built:
    """What a sampler along an arrow starts from: the arrow's end, drawn from the prior through what lies between."""
    step = _sampled_along(graph)
    walk = Walk(graph, routes, listing, draws=True)
    walk.take(v for v in graph.variables.values() if v.role == "given")
    outputs = {END: walk.need(step.target)} if routes.of[step.target].prior is not None else {}
    if step.context is not None:
        outputs[CONTEXT] = walk.need(step.context)
    return outputs, []


def _after(graph: Graph, routes: Routes, listing: Listing) -> Built:
    """What a sampler along an arrow ends with: the observed variables, from the arrow's start on."""
    step = _sampled_along(graph)
    walk = Walk(graph, routes, listing, draws=True)
    walk.take(v for v in graph.variables.values() if v.role == "given")
    walk.slots[step.source] = listing.input("variable", START, type=walk.type_of(step.source))
    return {v.name: walk.need(v.value) for v in _observed_variables(graph)}, []


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
    walks: dict[tuple[str, str | None], Walk] = {}
    names = _term_names(graph.loss.terms)
    slots = {key: _term(graph, routes, listing, term, walks) for key, term in graph.loss.terms.items()}
    total = listing.formula(f"{graph.name}/loss", graph.loss.formula, slots)
    ledger = [entry for walk in walks.values() for entry in walk.ledger]
    return {"total": total, **{names[key]: slot for key, slot in slots.items()}}, ledger


_PHASES = {
    "log_prob": _log_prob,
    "sample": _sample,
    "sample_and_log_prob": _sample_and_log_prob,
    "encode": _encode,
    "decode": _decode,
    "loss": _loss,
    "initialise": _initialise,
    "before": _before,
    "after": _after,
}


# ---- losses ---------------------------------------------------------------------------------------------------------


def _term(
    graph: Graph, routes: Routes, listing: Listing, term: LossTerm, walks: dict[tuple[str, str | None], Walk]
) -> Slot:
    """One loss term as a mean over the batch; terms over the same walk share it."""
    op = term.op
    assert isinstance(op, AbstractLoss), f"{term.address}: {op} is no loss"
    if isinstance(op, AbstractArrowLoss):
        return _arrow_term(graph, routes, listing, term, op, walks)
    bound = _bound_variable(graph, term.binds)
    key = (op.walk, bound)
    if key not in walks:
        if op.walk == "log_prob":
            walks[key] = _density_walk(graph, routes, listing, [bound] if bound else [], updates=True)
        else:
            walks[key] = _sampling_walk(graph, routes, listing, exact=True)
    entries = list(walks[key].ledger)
    if op.against_target:
        entries += [walks[key].target(v) for v in _targets(graph, op, bound)]
    return listing.mean(term.address, listing.total(entries), op.sign)


def _arrow_term(
    graph: Graph,
    routes: Routes,
    listing: Listing,
    term: LossTerm,
    op: AbstractArrowLoss,
    walks: dict[tuple[str, str | None], Walk],
) -> Slot:
    """A term about one step, whose start is worked out from the data."""
    walk = walks.setdefault((op.walk, None), Walk(graph, routes, listing))
    if not walk.slots:
        walk.take(v for v in graph.variables.values() if v.role in ("observe", "given"))
    node = next((s for s in graph.steps.values() if s.arrow == term.binds and op.fits(s.op)), None)
    if node is None:
        raise MissingValueError(f"`{op.name}` has no arrow that it is about")
    found = listing.mean(term.address, walk.term(node, op, term.address), op.sign)
    walk.ledger.clear()
    return found


def _targets(graph: Graph, op: AbstractLoss, bound: str | None) -> list[str]:
    named = [v.name for v in graph.variables.values() if v.target is not None and bound in (None, v.name)]
    if not named:
        raise MissingValueError(f"`{op.name}` needs a target density: write `observe x : T ~ exp(e)` with a formula e")
    return named


def _bound_variable(graph: Graph, binds: str | None) -> str | None:
    """The observed variable a term is about; a term on an arrow is about the variable at its data end."""
    if binds is None or binds in graph.variables:
        return binds
    arrow = next(a for address, a in graph.arrows.items() if address == binds or address.endswith(f"/{binds}"))
    ends = [name for name in (arrow.source, arrow.target) if graph.variables[name].role == "observe"]
    return ends[0] if ends else None


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


# ---- what a model has -----------------------------------------------------------------------------------------------


def _observed_variables(graph: Graph) -> list[VariableNode]:
    return [v for v in graph.variables.values() if v.role == "observe"]


def _observed(graph: Graph, routes: Routes, variables: Iterable[str] = ()) -> list[Component]:
    """The components of the observed variables (all, or those named), each once, in the order declared."""
    chosen = set(variables) or {v.name for v in _observed_variables(graph)}
    if not chosen:
        raise MissingValueError(f"model `{graph.name}` observes nothing: declare `observe x : real[2]`")
    found = {id(c): c for v in _observed_variables(graph) if v.name in chosen for c in [routes.of[v.value]]}
    return list(found.values())


def _prior_of(component: Component) -> Prior:
    """The prior a component's density rests on; what to write where there is none."""
    if component.prior is None:
        name = component.observed[0].name
        at = next((v.name for v in component.latent), None)
        where = f"join `{name}` by a flow to a latent variable with a prior"
        if at is not None:
            where = f"give `{at}`, where its arrow ends, a prior: `latent {at} : … ~ normal(0, 1)`"
        raise MissingValueError(f"`{name}` has no density: {where}")
    return component.prior


def _refuse_inexact(graph: Graph, component: Component) -> None:
    """Sampling with its log-density in one walk needs bijections all the way."""
    for address in component.counted:
        op = graph.steps[address].op
        if op.density == "lower bound":
            raise MissingValueError(f"`{op.name}` is no bijection: only log_prob knows the density of a sample")
