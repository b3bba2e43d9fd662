"""Bounds on log p(x) from draws of the latent variables, with divergences in closed form where they are known.

A draw of every latent group from its posterior q gives log w = log p(x | z) + Σ_g [log p(z_g) - log q(z_g)]. Its mean
is the evidence lower bound, whose sum over g is minus a sum of divergences; one of these is taken in closed form where
the pair of laws has one, stands on one variable without an arrow between, and the prior reads nothing that depends on
the draw of z_g itself. Then for that group no draw enters.
Reference: Kingma and Welling 2014, "Auto-encoding variational Bayes"; Burda, Grosse and Salakhutdinov 2016,
"Importance weighted autoencoders".

Discrete variables, where they are few, take all their values: those with a posterior are weighted by it in an evidence
lower bound, all others are summed over inside the logarithm. Other discrete draws get the gradient of the score
function, with the mean of the other draws of the row as baseline.
Reference: Kool, van Hoof and Welling 2019, "Buy 4 REINFORCE samples, get a baseline for free!"

A gradient that sticks to the draw leaves out that of log q in its parameters, whose mean is 0: log q is worked out from
the draw with every parameter held, behind a flow by undoing the flow.
Reference: Roeder, Wu and Duvenaud 2017, "Sticking the landing"; Vaitl, Nicoli, Nakajima and Kessel 2022, "Gradients
should stay on path: better estimators of the reverse- and forward KL divergence for normalizing flows".
"""

from __future__ import annotations

from dataclasses import replace

from dgmspec.algebra.nodes import AbstractExpr, Argument, Call, Name, Number, expr, multiply
from dgmspec.core.losses import AbstractBound
from dgmspec.graph.graph import LossTerm, Prior
from dgmspec.graph.losses import STEP
from dgmspec.graph.words import law_label
from dgmspec.program.densities import Terms, every_value, followed, observed, weigh
from dgmspec.program.listing import MissingValueError
from dgmspec.program.program import Entry, Slot
from dgmspec.program.routes import Component
from dgmspec.program.walk import Walk

__all__ = ["bound_term"]


def bound_term(terms: Terms, term: LossTerm) -> Slot:
    """Minus the bound, a mean over the batch."""
    assert isinstance(term.op, AbstractBound)
    bound = _Bound(terms, term.op, [term.binds] if term.binds else [])
    bound.weigh()
    bound.walk.finish()
    if term.op.pooled == "log_mean_exp" or (term.op.divergence_weight() == 1.0 and not term.op.free_nats()):
        entries = bound.pooled(bound.walk.ledger)
        terms.ledger += entries
        return terms.listing.mean(term.address, terms.listing.total(entries), -1)
    return _weighted(terms, term, bound)


def _weighted(terms: Terms, term: LossTerm, bound: _Bound) -> Slot:
    """-E[log p(x | z)] + β Σ_g max(KL_g, λ), each a mean over the batch."""
    listing, weight, floor = terms.listing, bound.op.divergence_weight(), bound.op.free_nats()
    formula: AbstractExpr = expr(0)
    slots: dict[str, Slot] = {}
    for index, (group, own) in enumerate(bound.by_group().items()):
        entries, name = bound.pooled(own), f"t{index}"
        terms.ledger += entries
        slots[name] = listing.mean(term.address, listing.total(entries), -1)
        part: AbstractExpr = Name(id=name)
        if group in bound.latent:
            if floor:
                part = Call(name="max", args=(Argument(value=part), Argument(value=Number(value=floor))))
            part = multiply(expr(weight), "*", part)
        formula = formula + part
    if isinstance(weight, AbstractExpr):
        slots[STEP] = listing.input("step", STEP)
    return listing.formula(term.address, formula, slots)


class _Bound:
    """One walk over the draws, whose ledger sums to log w; `latent` are the names of the groups that were drawn."""

    def __init__(self, terms: Terms, op: AbstractBound, names: list[str]) -> None:
        graph, routes = terms.graph, terms.routes
        self.op, self.listing, self.dependence = op, terms.listing, routes.dependence
        self.components = observed(graph, routes, names)
        seen = [v.name for c in self.components for v in c.observed]
        every = [] if op.origin == "prior" else routes.dependence.summed(seen, op.pooled == "average")
        self.walk = Walk(graph, routes, terms.listing, 1, op.origin, op.copies, every, updates=True)
        self.walk.take(v for v in graph.variables.values() if v.role in ("observe", "given"))
        sums = op.pooled == "log_mean_exp"
        self.summed = {self.dependence.of[v.name].name for v in every if sums or v.posterior is None}

    @property
    def latent(self) -> set[str]:
        return {component.name for component in self.walk.started}

    def weigh(self) -> None:
        """Every contribution to log w."""
        for component in self.components:
            weigh(self.walk, component)
        for component in followed(self.walk):
            if self.op.origin == "prior":
                continue
            if self._in_closed_form(component):
                self.walk.ledger.append(_divergence(self.walk, component))
                continue
            weigh(self.walk, component)
            if component.posterior is not None and component.name not in self.summed:
                if self.op.sticks():
                    self._stick(component.name, component.posterior)
                else:
                    self.walk.log_prob(component.posterior, -1)
        if self.op.origin == "prior":
            self.walk.ledger = [entry for entry in self.walk.ledger if entry.group not in self.latent]

    def _stick(self, name: str, law: Prior) -> None:
        """-log q as a function of where the draw arrives, every parameter of q held: through the flow behind the draw
        it is worked out from there backwards, in place of what the way forward has added."""
        names = self.dependence.landing(self.dependence.groups[name])
        start, end = (self.walk.graph.variables[n].value for n in (names[0], names[-1]))
        back = self.walk.back(end, start) if start != end else self.walk
        passed = {entry.address for entry in back.ledger} if back is not self.walk else set()
        back.log_prob(law, -1, detached=True)
        if back is not self.walk:
            self.walk.ledger = [e for e in self.walk.ledger if e.address not in passed] + back.ledger

    def _in_closed_form(self, component: Component) -> bool:
        if self.op.pooled != "average" or self.op.sticks() or component.name in self.summed:
            return False
        return self.dependence.closed_divergence(self.dependence.groups[component.name], self.summed)

    def by_group(self) -> dict[str, list[Entry]]:
        """The contributions by the group of variables that they belong to."""
        found: dict[str, list[Entry]] = {}
        for entry in self.walk.ledger:
            found.setdefault(entry.group, []).append(entry)
        return found

    # ---- draws made one ---------------------------------------------------------------------------------------------

    def pooled(self, entries: list[Entry]) -> list[Entry]:
        """Contributions as one number a row: each by itself where the bound is a mean, else their sum."""
        entries = list(entries)
        scores, weights = self._scores(), self._weights()
        if self.op.pooled == "average" and not scores and not self.summed:
            return [replace(e, slot=self._pool(e.slot, [], weights)) for e in entries]
        slot = self._pool(self.listing.total(entries), scores, weights)
        names = ", ".join(dict.fromkeys(e.group for e in entries))
        return [
            Entry(entries[0].address, f"bound of {names}", "log_prob", 1, slot, "", "", entries[0].group, "lower bound")
        ]

    def _pool(self, slot: Slot, scores: list[Entry], weights: list[Entry]) -> Slot:
        """Over all values of discrete variables first, then over the draws."""
        listing, copies = self.listing, self.op.copies
        if listing.copies[slot] > copies and self.summed:
            slot = listing.pool("log_sum_exp", [slot], self.walk.states)
        elif listing.copies[slot] > copies:
            slot = listing.pool("expectation", [slot, listing.total(weights)], self.walk.states)
        if scores and listing.copies[slot] > 1:
            inputs = (slot, listing.total(scores))
            if listing.copies[inputs[1]] > copies:
                raise MissingValueError(f"a posterior whose draws jump reads what `{self.op.name}` sums over")
            slot = listing.add(1, target="score", address="", inputs=inputs, copies=copies)[0]
        return listing.pool(self.op.pooled, [slot], copies) if listing.copies[slot] > 1 else slot

    def _weights(self) -> list[Entry]:
        """The posteriors' log-densities of the variables that take all their values and have one."""
        every = [c for c in self.walk.started if every_value(self.walk, c) and c.name not in self.summed]
        return [self._aside(c.posterior) for c in every if c.posterior is not None]

    def _scores(self) -> list[Entry]:
        """The log-densities of posteriors whose draws pass no gradient."""
        if self.op.origin == "prior":
            return []
        drawn = [c.posterior for c in self.walk.started if not every_value(self.walk, c)]
        return [self._aside(law) for law in drawn if law is not None and not law.op.pathwise]

    def _aside(self, law: Prior) -> Entry:
        """A law's log-density that is no part of the ledger."""
        entry = self.walk.log_prob(law)
        self.walk.ledger.remove(entry)
        return entry


def _divergence(walk: Walk, component: Component) -> Entry:
    """KL(posterior ‖ prior) as an entry of the ledger."""
    prior, posterior = component.prior, component.posterior
    assert prior is not None and posterior is not None
    q, p = walk.parameters_of(posterior), walk.parameters_of(prior)
    names = (*(f"q/{n}" for n in q), *(f"p/{n}" for n in p))
    type_ = walk.type_of(walk.graph.variables[prior.variable].value)
    line = {"op": posterior.op, "second": prior.op, "names": names, "type": type_}
    inputs = (walk.any_rows(), *q.values(), *p.values())
    slot = walk.listing.add(1, target="divergence", address=posterior.address, inputs=inputs, **line)[0]
    label = f"KL({law_label(walk.graph, posterior)} ‖ {law_label(walk.graph, prior)})"
    return Entry(posterior.address, label, "kl", -1, slot, "", "O(d)", component.name, "lower bound")
