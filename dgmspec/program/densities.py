"""Walks that give densities, and the loss terms that are means of one.

The density of observed variables with latent ones behind them: at a draw of the posteriors, the log of p(x, z) / q(z);
where discrete variables take all their values, the log of the sum over these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dgmspec.core.address import Address
from dgmspec.core.losses import AbstractArrowLoss, AbstractDensityLoss, AbstractRateLoss
from dgmspec.graph.graph import Graph, LossTerm, Prior, StepNode, VariableNode
from dgmspec.program.listing import Listing, MissingValueError
from dgmspec.program.program import Entry, Slot, weakest
from dgmspec.program.routes import Component, Routes
from dgmspec.program.walk import Walk

__all__ = [
    "Terms",
    "bound_variable",
    "density",
    "density_term",
    "observed",
    "prior_of",
    "sampling_walk",
    "shared_density",
    "step_of",
]


@dataclass
class Terms:
    """What the loss terms of one program share: the list, and walks that several terms read.

    `ledger` collects what each walk adds to a log-density.
    """

    graph: Graph
    routes: Routes
    listing: Listing
    shared: dict[str, Walk] = field(default_factory=dict)
    ledger: list[Entry] = field(default_factory=list)


def density_term(terms: Terms, term: LossTerm) -> Slot:
    """sign · mean of the log-density, less the target's."""
    op, graph = term.op, terms.graph
    assert isinstance(op, AbstractDensityLoss)
    bound = bound_variable(graph, term.binds)
    if op.walk == "log_prob":
        walk = shared_density(terms, [bound] if bound else [])
    elif (key := f"{op.walk} {bound}") in terms.shared:
        walk = terms.shared[key]
    else:
        walk = terms.shared[key] = sampling_walk(graph, terms.routes, terms.listing, exact=True)
        terms.ledger += walk.ledger
    entries = list(walk.ledger)
    if op.against_target:
        entries += [walk.target(name) for name in _targets(graph, op, bound)]
    return terms.listing.mean(term.address, terms.listing.total(entries), op.sign, op.reads_data)


def shared_density(terms: Terms, names: list[str]) -> Walk:
    """The walk that all terms about the density of a variable share, its steps asked for what terms integrate."""
    key = f"log_prob {names[0] if names else None}"
    if key not in terms.shared:
        rates = _rates(terms.graph)
        terms.shared[key] = density(terms.graph, terms.routes, terms.listing, names, updates=True, rates=rates)
        terms.ledger += terms.shared[key].ledger
    return terms.shared[key]


def step_of(graph: Graph, term: LossTerm) -> StepNode:
    """The step that a term about an arrow is about."""
    assert isinstance(term.op, AbstractArrowLoss)
    node = next((s for s in graph.steps.values() if s.arrow == term.binds and term.op.fits(s.op)), None)
    if node is None:
        raise MissingValueError(f"`{term.op.name}` has no arrow that it is about")
    return node


def _rates(graph: Graph) -> dict[Address, tuple[str, ...]]:
    """What the loss asks steps to integrate along their way, by their addresses."""
    found: dict[Address, tuple[str, ...]] = {}
    for term in graph.loss.terms.values() if graph.loss else ():
        if isinstance(term.op, AbstractRateLoss):
            address = step_of(graph, term).address
            found[address] = tuple(dict.fromkeys((*found.get(address, ()), term.op.rate)))
    return found


def density(
    graph: Graph,
    routes: Routes,
    listing: Listing,
    variables: Iterable[str] = (),
    updates: bool = False,
    initialise: bool = False,
    rates: Mapping[Address, tuple[str, ...]] | None = None,
) -> Walk:
    """The walk whose ledger sums to the log-density of the observed variables (all, or those named)."""
    components = observed(graph, routes, variables)
    names = [v.name for c in components for v in c.observed]
    every = routes.dependence.enumerated(names, inferred=True)
    walk = Walk(
        graph, routes, listing, 1, "posterior", enumerated=every, updates=updates, initialise=initialise, rates=rates
    )
    walk.take(v for v in graph.variables.values() if v.role in ("observe", "given"))
    for component in components:
        weigh(walk, component)
    for component in followed(walk):
        weigh(walk, component)
        if component.posterior is not None and not every_value(walk, component):
            walk.log_prob(component.posterior, -1)
    if walk.started and every:
        walk.ledger = [_summed(walk, every)]
    return walk


def followed(walk: Walk) -> Iterable[Component]:
    """The components that a walk has started, those included that it starts while they are looked at."""
    place = 0
    while place < len(walk.started):
        yield walk.started[place]
        place += 1


def every_value(walk: Walk, component: Component) -> bool:
    """Whether a component's variable takes all its values."""
    return any(v.value in walk.enumerated for v in component.latent)


def weigh(walk: Walk, component: Component) -> Entry:
    """The prior's log-density of a component, with what the steps on the way to it add."""
    prior = prior_of(component)
    walk.need(walk.graph.variables[prior.variable].value)
    return walk.log_prob(prior)


def _summed(walk: Walk, every: list[VariableNode]) -> Entry:
    """The log of the sum over all values of the discrete variables, in place of all that it is made of."""
    names = ", ".join(v.name for v in every)
    label = f"log of the sum over {walk.states} values of {names}"
    slot = walk.listing.pool("log_sum_exp", [walk.listing.total(walk.ledger)], walk.states)
    return Entry(walk.graph.name, label, "log_prob", 1, slot, "", f"O({walk.states} d)", names, weakest(walk.ledger))


def sampling_walk(graph: Graph, routes: Routes, listing: Listing, exact: bool = False) -> Walk:
    """The walk from priors to the observed variables."""
    walk = Walk(graph, routes, listing, ledger_sign=-1, origin="prior")
    walk.take(graph.givens.values())
    for component in observed(graph, routes):
        prior = prior_of(component)
        if exact:
            _refuse_inexact(graph, routes, component)
        walk.need(graph.variables[prior.variable].value)
        if exact:
            walk.log_prob(prior)
        for variable in component.observed:
            walk.need(variable.value)
    weighed = {address for address, step in graph.steps.items() if step.op.balances}
    bounds = (e.label for e in walk.ledger if e.density == "lower bound" and e.address not in weighed)
    bound = next(bounds, None)
    if exact and bound is not None:
        raise MissingValueError(f"`{bound}` forgets what a sample was made of: only log_prob knows its density")
    return walk


# ---- what a model has -----------------------------------------------------------------------------------------------


def observed(graph: Graph, routes: Routes, variables: Iterable[str] = ()) -> list[Component]:
    """The components of the observed variables (all, or those named), each once, in the order declared."""
    chosen = set(variables) or set(graph.observed)
    if not chosen:
        raise MissingValueError(f"model `{graph.name}` observes nothing: declare `observe x : real[2]`")
    found = {id(c): c for v in graph.observed.values() if v.name in chosen for c in [routes.of[v.value]]}
    return list(found.values())


def prior_of(component: Component) -> Prior:
    """The prior a component's density rests on; what to write where there is none."""
    if component.prior is None:
        name = component.name
        at = next((v.name for v in component.latent), None)
        where = f"join `{name}` by a flow to a latent variable with a prior"
        if any(v.target is not None for v in component.observed):
            raise MissingValueError(
                f"`{name} ~ exp(…)` is a density up to an unknown constant, so it has no `log_prob` and no direction "
                f"of its own to draw in: draw by `method = mala(…)` or `langevin(…)`, or {where}"
            )
        if at is not None:
            where = f"give `{at}`, where its arrow ends, a prior: `latent {at} : … ~ normal(0, 1)`"
        raise MissingValueError(f"`{name}` has no density: {where}")
    return component.prior


def bound_variable(graph: Graph, binds: str | None) -> str | None:
    """The observed variable a term is about; a term on an arrow is about the variable at its data end."""
    if binds is None or binds in graph.variables:
        return binds
    arrow = next(a for address, a in graph.arrows.items() if address == binds or address.endswith(f"/{binds}"))
    ends = [name for name in (arrow.source, arrow.target) if name in graph.observed]
    return ends[0] if ends else None


def _targets(graph: Graph, op: AbstractDensityLoss, bound: str | None) -> list[str]:
    named = [v.name for v in graph.variables.values() if v.target is not None and bound in (None, v.name)]
    if not named:
        raise MissingValueError(f"`{op.name}` needs a target density: write `observe x : T ~ exp(e)` with a formula e")
    return named


def _refuse_inexact(graph: Graph, routes: Routes, component: Component) -> None:
    """Sampling with its log-density in one walk needs bijections all the way, and no latent variable to integrate."""
    for address in component.counted:
        op = graph.steps[address].op
        if op.spills or op.random:
            raise MissingValueError(f"`{op.name}` is no bijection: only log_prob knows the density of a sample")
    if component.prior is not None and component.prior.op.density == "estimate":
        raise MissingValueError(f"the density of `{component.prior.op.name}` is an estimate: only log_prob knows it")
    behind = routes.dependence.latents(v.name for v in component.observed)
    if behind:
        raise MissingValueError(f"`{behind[0].name}` is not observed: only log_prob integrates over it")
