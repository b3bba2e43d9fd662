"""Losses against latent variables: a likelihood that no sum goes through, bounds, posteriors that are trained."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import networkx as nx

from dgmspec.checks.analysis import Analysis, StepFacts, nothing_to_fit
from dgmspec.core.address import Address
from dgmspec.core.diagnostics import Diagnostic, Label
from dgmspec.core.losses import AbstractBound
from dgmspec.graph.conditioning import inferred
from dgmspec.graph.dependence import MAX_STATES, Group
from dgmspec.graph.graph import ArrowNode, Graph, LossTerm, Prior

__all__ = ["check_bound", "check_posterior", "check_tractable", "untrained"]


def check_tractable(analysis: Analysis, term: LossTerm, variable: str) -> Iterator[Diagnostic]:
    """DGM729: a likelihood with latent variables behind it that no sum goes through."""
    for group in analysis.sampled([variable]):
        discrete = analysis.dependence.discrete(group)
        why = (
            f"the values of the discrete latent variables together are more than {MAX_STATES:,}"
            if discrete is not None
            else "no closed form is known for the integral over it"
        )
        yield Diagnostic(
            "DGM729",
            f"`{term.op.name}` needs log p({variable}), which is an integral over `{group.name}`",
            term.address,
            "not tractable",
            (Label(_law_of(analysis, group), f"`{group.name}` is latent"),),
            notes=(why,),
            help=("write `loss = elbo`" + ("" if group.posterior else f" and `infer {group.name} | {variable} ~ …`"),),
        )
        return


def check_posterior(analysis: Analysis, term: LossTerm) -> Graph | None:
    """The graph of what a term about a posterior trains; None where the model infers no such thing."""
    others = (name for name in analysis.graph.observed if name != term.binds)
    return inferred(analysis.graph, others) if term.binds else None


def untrained(analysis: Analysis, term: LossTerm) -> Diagnostic:
    """DGM738: a term about a posterior that the model does not have."""
    observed = analysis.graph.observed
    name = term.binds or next(iter(observed), "x")
    others = ", ".join(other for other in observed if other != name) or "…"
    law = analysis.dependence.of[name].posterior if term.binds else None
    missing = f"and the model has no `infer` of `{name}`" if law is None else "and this one reads more than that"
    return Diagnostic(
        "DGM738",
        f"`{term.op.name}` learns what is inferred of an observed variable from the other observed ones, {missing}",
        term.address,
        "no posterior",
        () if law is None else (Label(law.address, f"`{name}` is inferred here"),),
        help=(f"write `infer {name} | {others} ~ …`, or `infer u ~ normal(0, 1)` and `flow u -> {name} | {others}`",),
    )


def check_bound(analysis: Analysis, term: LossTerm, op: AbstractBound) -> Iterator[Diagnostic]:
    """DGM706, 702, 730, 731, 732, 733, 735."""
    names = [term.binds] if term.binds else list(analysis.graph.observed)
    if not names:
        yield nothing_to_fit(term)
        return
    for name in names:
        if not analysis.priors(name):
            yield Diagnostic(
                "DGM702",
                f"`{op.name}` needs the density of `{name}`, and nothing generates it",
                term.address,
                "no density",
                (Label(analysis.graph.variables[name].address, "declared here"),),
                help=(f"write `generate {name} | z ~ …`",),
            )
            return
    latents = analysis.dependence.latents(names)
    if not latents:
        yield _nothing_latent(term, op, names)
        return
    if op.pooled == "log_mean_exp" and (strange := _unweighed(analysis, op, names, latents)):
        yield _no_weights(analysis, term, op, *strange)
    elif op.origin == "posterior":
        yield from _posteriors(analysis, term, op, names, latents)


def _nothing_latent(term: LossTerm, op: AbstractBound, names: list[str]) -> Diagnostic:
    return Diagnostic(
        "DGM730",
        f"`{op.name}` averages over latent variables, and none stands behind `{names[0]}`",
        term.address,
        "nothing to average over",
        help=("write `loss = nll`: the likelihood is known",),
    )


def _unweighed(
    analysis: Analysis, op: AbstractBound, names: list[str], latents: list[Group]
) -> tuple[Group, str, Address] | None:
    """A group one of whose densities is an estimate or a bound of a logarithm: what makes it so, and where it stands;
    with draws of the prior also one whose arrow is not run that way."""
    for group in (*latents, *dict.fromkeys(analysis.dependence.of[name] for name in names)):
        inside = {v.value for v in group.variables}
        for step in analysis.graph.steps.values():
            arrow = analysis.graph.arrows[step.arrow]
            joins = analysis.graph.variables[arrow.source].value in inside
            forward = step.inverse != (group.prior is not None and _leads(analysis.graph, group.prior.variable, arrow))
            if joins and not (step.op.weighs and (op.origin == "posterior" or not step.op.missing(forward))):
                return group, step.op.name, step.arrow
        if group.prior is not None and group.prior.op.density == "estimate":
            return group, group.prior.op.name, group.prior.address
    return None


def _leads(graph: Graph, start: str, arrow: ArrowNode) -> bool:
    """Whether what is drawn of the variable `start` comes to an arrow at its source, and so runs along it."""
    joined: nx.Graph = nx.Graph()
    joined.add_node(arrow.source)
    joined.add_edges_from((a.source, a.target) for a in graph.arrows.values() if a.address != arrow.address)
    joined.add_edges_from((part, whole.name) for whole in graph.joints() for part in whole.parts)
    return start in joined and bool(nx.has_path(joined, arrow.source, start))


def _no_weights(
    analysis: Analysis, term: LossTerm, op: AbstractBound, group: Group, name: str, at: Address
) -> Diagnostic:
    return Diagnostic(
        "DGM735",
        f"`{op.name}` joins draws by the mean of their weights, and `{name}` gives no weight of `{group.name}`: an "
        "estimate or a bound of a logarithm",
        term.address,
        "no weights",
        (Label(at, "this one"),),
        help=("write `loss = elbo`, the mean of logarithms",),
    )


def _posteriors(
    analysis: Analysis, term: LossTerm, op: AbstractBound, names: list[str], latents: list[Group]
) -> Iterator[Diagnostic]:
    """Each latent variable has a posterior of which the estimator has a gradient, or is summed over."""
    dependence = analysis.dependence
    every = {dependence.of[v.name].name for v in dependence.summed(names, op.pooled == "average")}
    for group in latents:
        if group.posterior is None and group.name not in every:
            yield Diagnostic(
                "DGM731",
                f"`{op.name}` draws `{group.name}` from its posterior, and the model gives none",
                term.address,
                "no posterior",
                (Label(_law_of(analysis, group), f"`{group.name}` is latent"),),
                help=(f"write `infer {group.name} | {', '.join(names)} ~ …`",),
            )
        elif group.posterior is not None and group.name not in every:
            yield from _gradient(analysis, term, op, group)
    summed = [g for g in latents if g.name in every and g.posterior is None]
    weighed = op.divergence_weight() != 1.0 or op.free_nats() > 0
    if summed and weighed:
        yield Diagnostic(
            "DGM733",
            f"`{op.name}` weighs divergences, and `{summed[0].name}` is summed over inside the logarithm, without one",
            term.address,
            "no divergence to weigh",
            (Label(_law_of(analysis, summed[0]), "summed over"),),
            help=(f"leave the weight out, or write `infer {summed[0].name} | {', '.join(names)} ~ categorical(…)`",),
        )


def _gradient(analysis: Analysis, term: LossTerm, op: AbstractBound, group: Group) -> Iterator[Diagnostic]:
    """Draws that pass no gradient need others as a baseline; one that sticks to the draw needs log q at the draw."""
    law = group.posterior
    assert law is not None
    if law.op.relaxes and op.pooled == "log_mean_exp":
        yield Diagnostic(
            "DGM732",
            f"`{law.op.name}` is a surrogate of a draw, and weights of draws are made of true ones",
            term.address,
            "no gradient for the posterior",
            (Label(law.address, f"`{law.variable}` is drawn here"),),
            help=("write `loss = elbo`, or another posterior",),
        )
    elif not law.op.pathwise and (op.pooled == "log_mean_exp" or op.copies < 2):
        what = "is no mean over draws" if op.pooled == "log_mean_exp" else "has one draw a row"
        yield Diagnostic(
            "DGM732",
            f"no gradient passes through a draw of `{law.op.name}`; its score needs the other draws of the row, and "
            f"`{op.name}` {what}",
            term.address,
            "no gradient for the posterior",
            (Label(law.address, f"`{law.variable}` is drawn here"),),
            help=("write `elbo(samples = 4)`, or fewer values, which are then summed over",),
        )
    elif op.sticks():
        yield from _sticking(analysis, term, group, law)


def _sticking(analysis: Analysis, term: LossTerm, group: Group, law: Prior) -> Iterator[Diagnostic]:
    """A gradient that sticks to the draw: log q at the draw, by undoing the flow behind it."""
    stuck = None if law.op.pathwise else f"no gradient passes through a draw of `{law.op.name}`"
    names = analysis.dependence.landing(group) if group.prior is not None else ()
    for there, here in pairwise(names):
        arrow = analysis.dependence.joined.edges[there, here]["arrow"]
        chain = None if arrow is None else analysis.chains.get(arrow.address)
        for step in chain.steps if chain is not None else ():
            forward = (arrow.source == here) is not step.node.inverse
            exact = step.node.op.density_along(forward, step.event) == "exact" and not step.resizes
            if step.node.op.missing(forward) or not exact or _draws(step, forward):
                stuck = stuck or f"`{step.name}` cannot be undone to where the draw came from"
        if arrow is None:
            stuck = stuck or f"`{group.name}` is a part of a joint state"
    if stuck is not None:
        yield Diagnostic(
            "DGM732",
            f"`gradient = sticking` needs log q as a function of the draw of `{group.name}` alone, and {stuck}",
            term.address,
            "no such function",
            (Label(law.address, "this posterior"),),
            help=("leave `gradient = sticking` out",),
        )


def _draws(step: StepFacts, forward: bool) -> bool:
    """Whether a step is random in a direction."""
    return bool(step.node.op.draws(step.event) if forward else step.node.op.inverse_draws(step.event))


def _law_of(analysis: Analysis, group: Group) -> str:
    return group.prior.address if group.prior else analysis.graph.variables[group.name].address
