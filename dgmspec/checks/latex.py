"""A model's equations in LaTeX: its variables, its arrows as compositions, its log-density and its loss."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from dgmspec.algebra.nodes import AbstractExpr, Sum
from dgmspec.checks.analysis import Analysis, Leg
from dgmspec.checks.drawing import law, step_label
from dgmspec.checks.latex_formulas import escaped, expression, numeral, symbol
from dgmspec.core.distributions import AbstractDistribution
from dgmspec.core.losses import AbstractPosteriorLoss
from dgmspec.core.op import AbstractOp
from dgmspec.core.types import SupportKind, Type, Unknown, number
from dgmspec.graph.dependence import Group
from dgmspec.graph.graph import (
    ArrowNode,
    FormulaNode,
    Graph,
    LearnedNode,
    LossTerm,
    NetNode,
    Prior,
    ValueId,
    VariableNode,
)
from dgmspec.graph.words import describe

__all__ = ["latex"]

_ROLES: Final = {"observe": "observed", "latent": "latent", "given": "given"}
_COMPOSED: Final = r" \circ "
_SETS: Final = {
    SupportKind.CIRCLE: r"\mathbb{T}",
    SupportKind.SIMPLEX: r"\Delta",
    SupportKind.CHOLESKY: r"\mathcal{L}_{+}",
}
"""The circle, the simplex, and lower triangular matrices with a positive diagonal."""
_RELATION: Final = {"exact": "=", "estimate": r"\approx", "lower bound": r"\geq"}


def latex(graph: Graph) -> str:
    """The equations of a typed graph as one ``align*``, for a document with amsmath and amssymb."""
    analysis = Analysis(graph)
    names = _maps(graph)
    rows = [
        *(_variable(graph, v) for v in graph.variables.values()),
        *(_learned(node) for node in graph.learned.values()),
        *(row for arrow in graph.arrows.values() for row in _arrow(graph, arrow, names[arrow.address])),
        *(row for v in graph.observed.values() for row in _density(analysis, v, names)),
        *_loss(graph),
    ]
    body = " \\\\\n".join(f"    {row}" for row in rows)
    return f"% {graph.name}\n\\begin{{align*}}\n{body}\n\\end{{align*}}\n"


# ---- variables ------------------------------------------------------------------------------------------------------


def _variable(graph: Graph, variable: VariableNode) -> str:
    type_ = graph.type_of(variable.value)
    x = symbol(variable.name)
    said = f"{x} &\\in {'?' if isinstance(type_, Unknown) else _set(type_)}"
    if variable.prior is not None:
        said += rf",\quad {_given(graph, variable.prior)} \sim {_law(variable.prior.op)}"
    if variable.posterior is not None:
        said += rf",\quad q({_given(graph, variable.posterior)}) = {_law(variable.posterior.op)}"
    if variable.target is not None:
        said += rf",\quad {x} \sim \exp\left({expression(variable.target.log_density)}\right) / Z"
    return rf"{said} && \text{{{_ROLES[variable.role]}}}"


def _learned(node: LearnedNode) -> str:
    known = "?" if isinstance(node.type, Unknown) else _set(node.type)
    return rf"{symbol(node.name)} &\in {known} && \text{{learned}}"


def _law(op: AbstractDistribution) -> str:
    """A distribution of numbers and formulas as mathematics; one of other distributions in words."""
    values = [getattr(op, name) for name in type(op).model_fields]
    if not values or not all(isinstance(value, (int, float, AbstractExpr)) for value in values):
        return rf"\text{{{escaped(law(op))}}}"
    shown = [expression(v) if isinstance(v, AbstractExpr) else _value(v) for v in values]
    return rf"\operatorname{{{escaped(op.name)}}}\left({', '.join(shown)}\right)"


def _value(value: float) -> str:
    """A number of a law or a bound, π among them."""
    return {math.pi: r"\pi", -math.pi: r"-\pi"}.get(value) or numeral(number(value))


def _set(type_: Type) -> str:
    support, size = type_.support, r" \times ".join(map(str, type_.shape))
    if support.kind is SupportKind.CONTINUOUS:
        if math.isinf(support.low) and math.isinf(support.high):
            base = r"\mathbb{R}"
        else:
            base = f"({_value(support.low)}, {_value(support.high)})"
    elif support.kind in _SETS:
        base = _SETS[support.kind]
    else:
        between = r"\ldots, " if support.high > support.low + 1 else ""
        base = rf"\{{{int(support.low)}, {between}{int(support.high)}\}}"
    return f"{base}^{{{size}}}" if size else base


# ---- arrows and densities -------------------------------------------------------------------------------------------


def _maps(graph: Graph) -> dict[str, str]:
    """A letter for each arrow's map."""
    if len(graph.arrows) == 1:
        return dict.fromkeys(graph.arrows, "f")
    return {address: f"f^{{({number})}}" for number, address in enumerate(graph.arrows, 1)}


def _arrow(graph: Graph, arrow: ArrowNode, f: str) -> Iterator[str]:
    """``z = f(x) = (f_K ∘ … ∘ f_1)(x)``, then every step in words."""
    x, z = symbol(arrow.source), symbol(arrow.target)
    given = "" if arrow.context is None else rf";\, {_context(graph, arrow)}"
    count = len(arrow.steps)
    if not count:
        yield f"{z} &= {x}"
        return
    factors = [f"{f}_{{{k}}}" for k in range(count, 0, -1)]
    shown = factors if count <= 4 else [factors[0], r"\cdots", *factors[-2:]]
    composed = f" = ({_COMPOSED.join(shown)})({x})" if count > 1 else f" = {f}_{{1}}({x})"
    yield f"{z} &= {f}({x}{given}){composed}"
    for k, address in enumerate(arrow.steps, 1):
        yield rf"{f}_{{{k}}} &: \text{{{escaped(step_label(graph.steps[address]))}}}"
        if solved := graph.steps[address].op.dynamics():
            state, time, rate, (low, high) = solved
            y, t = symbol(state), symbol(time)
            yield rf"\frac{{d {y}}}{{d {t}}} &= {expression(rate)},\quad {t} \colon {_time(low)} \to {_time(high)}"
        if noisy := graph.steps[address].op.stochastics():
            state, time, drift, diffusion, (low, high) = noisy
            y, t = symbol(f"[{state}]" if ", " in state else state), symbol(time)
            moved = rf"d {y} &= {_factor(drift)}\, d {t} + {_factor(diffusion)}\, d W"
            yield rf"{moved},\quad {t} \colon {_time(low)} \to {_time(high)}"
        yield from _kernel(graph, address)
    written = dict.fromkeys(found for address in arrow.steps for found in _written(graph.steps[address].op))
    for name, equations in written:
        lines = r",\; ".join(rf"{symbol(v)} \leftarrow {expression(value)}" for v, value in equations)
        yield rf"\text{{{escaped(name)}}} &: {lines}"


def _factor(formula: AbstractExpr) -> str:
    said = expression(formula)
    return rf"\left({said}\right)" if isinstance(formula, Sum) else said


def _kernel(graph: Graph, address: str) -> Iterator[str]:
    """The law along a noising arrow, with its coefficients where they have formulas."""
    step = graph.steps[address]
    event = graph.type_of(step.source)
    found = step.op.kernel(event) if isinstance(event, Type) else None
    if found is None or not found.formulas:
        return
    x, t = symbol(graph.values[step.source].variable or "x"), symbol(found.time)
    names = dict(found.formulas)
    shift = " + m" if "m" in names else ""
    yield rf"{x}_{{{t}}} &= \alpha\, {x}{shift} + \sigma\, \varepsilon,\quad \varepsilon \sim \mathcal{{N}}(0, I)"
    for name, value in names.items():
        yield rf"{_COEFFICIENTS.get(name, name)} &= {expression(value)}"


_COEFFICIENTS: Final = {"α": r"\alpha", "σ": r"\sigma", "σ^2": r"\sigma^{2}"}


def _time(end: float | AbstractExpr) -> str:
    """When an arrow starts or ends: a number, or a formula of learned ones."""
    return expression(end) if isinstance(end, AbstractExpr) else number(end)


def _written(op: AbstractOp) -> Iterator[tuple[str, tuple[tuple[str, AbstractExpr], ...]]]:
    """The maps of the author's own in an operation and those that it holds, with their updates."""
    if equations := op.equations():
        yield op.name, equations
    for field in type(op).model_fields:
        held = getattr(op, field)
        if isinstance(held, AbstractOp):
            yield from _written(held)


def _context(graph: Graph, arrow: ArrowNode) -> str:
    """What conditions an arrow: the variables that it reads."""
    names = _read(graph, arrow.context) if arrow.context is not None else []
    return ", ".join(map(symbol, names)) or "c"


def _read(graph: Graph, value: ValueId) -> list[str]:
    """The variables that a value is made of by nets, formulas and a step, as one that standardises, in order."""
    if (name := graph.values[value].variable) is not None:
        return [name]
    nodes: list[NetNode | FormulaNode] = [*graph.nets.values(), *graph.formulas.values()]
    makers = {node.target: node.inputs for node in nodes}
    ends = [(step.source, step.target) for step in graph.steps.values() if value in (step.source, step.target)]
    beside = [graph.values[end].variable for pair in ends for end in pair if end != value]
    found = [name for source in makers.get(value, ()) for name in _read(graph, source)]
    return list(dict.fromkeys(found or [name for name in beside if name]))


def _given(graph: Graph, law: Prior) -> str:
    r"""What a law is about: ``x \mid z``."""
    names = [graph.values[value].variable for value in law.context]
    bar = rf" \mid {', '.join(symbol(name) for name in names if name)}" if any(names) else ""
    return f"{symbol(law.variable)}{bar}"


def _bound(analysis: Analysis, variable: VariableNode, latents: list[Group]) -> str:
    r"""log p(x) ≥ E_q [log p(x | z) + log p(z) - log q(z | x)], an entry for each law, and for arrows between them."""
    laws = [variable.prior, *(group.prior for group in latents)]
    said = " + ".join(rf"\log p({_given(analysis.graph, law)})" for law in laws if law is not None)
    for group in latents:
        if group.posterior is None or group.prior is None:
            continue
        start, end = symbol(group.posterior.variable), symbol(group.prior.variable)
        if start != end:
            said += rf" + \log\left|\det \frac{{\partial {end}}}{{\partial {start}}}\right|"
        said += rf" - \log q({_given(analysis.graph, group.posterior)})"
    return rf"\log p({symbol(variable.name)}) &\geq \mathbb{{E}}_{{q}}\left[{said}\right]"


def _density(analysis: Analysis, variable: VariableNode, names: dict[str, str]) -> Iterator[str]:
    """The change of variables from an observed variable to its prior, with h_0 where an arrow starts."""
    legs, kind = analysis.walk(variable.name, "log_prob"), analysis.density(variable.name)
    if legs is None or kind == "none":
        return
    if not legs and (latents := analysis.sampled([variable.name])):
        if not any(step.op.density == "lower bound" for step in analysis.graph.steps.values()):
            yield _bound(analysis, variable, latents)
        return
    if not legs:  # the law of the variable stands beside its type
        if (law := variable.prior) is not None and law.inputs:
            k = ", ".join(symbol(v.name) for v in analysis.dependence.enumerated([variable.name], inferred=True))
            x, laws = symbol(variable.name), rf"p({_given(analysis.graph, law)})"
            yield rf"\log p({x}) &= \log \sum_{{{k}}} p({k})\, {laws}" if k else rf"\log p({x}) &= \log {laws}"
        return
    prior = symbol(analysis.priors(variable.name)[0].name)
    read = [name for leg in legs if leg.arrow.context for name in _read(analysis.graph, leg.arrow.context)]
    x, given = symbol(variable.name), map(symbol, dict.fromkeys((*analysis.graph.givens, *read)))
    bar = rf" \mid {', '.join(given)}" if read or analysis.graph.givens else ""
    said = rf"\log p({x}{bar}) &{_RELATION[kind]} \log p({prior})"
    for leg in legs:
        f, count = names[leg.arrow.address], len(leg.arrow.steps)
        h = "h" if len(names) == 1 else f.replace("f", "h")
        sign = "+" if leg.along else "-"
        each, before, over = ("k", "k-1", rf"\sum_{{k=1}}^{{{count}}} ") if count > 1 else ("1", "0", "")
        partial = rf"\frac{{\partial {f}_{{{each}}}}}{{\partial {h}_{{{before}}}}}"
        said += rf" {sign} {over}\log\left|\det {partial}\right|"
    yield said
    yield from _branches(analysis, legs, names)
    for leg in legs:
        f = names[leg.arrow.address]
        h = "h" if len(names) == 1 else f.replace("f", "h")
        source, target = symbol(leg.arrow.source), symbol(leg.arrow.target)
        count = len(leg.arrow.steps)
        between = rf"{h}_{{k}} = {f}_{{k}}({h}_{{k-1}}),\quad {h}_{{{count}}} = {target}"
        yield rf"{h}_{{0}} &= {source},\quad " + (between if count > 1 else rf"{target} = {f}_{{1}}({h}_{{0}})")


def _branches(analysis: Analysis, legs: list[Leg], names: dict[str, str]) -> Iterator[str]:
    """The steps that draw or forget, and what they add besides the determinant where the draw is fixed."""
    for leg in legs:
        chain, f = analysis.chains.get(leg.arrow.address), names[leg.arrow.address]
        for k, step in enumerate(chain.steps if chain else (), 1):
            if step.node.op.balances:
                h = "h" if len(names) == 1 else f.replace("f", "h")
                change = f"E({h}_{{{k}}}) - E({h}_{{{k - 1}}})"
                yield rf"\text{{of }} {f}_{{{k}}} &: {change} \text{{ in place of the log-determinant}}"
            elif step.node.op.stochastic(step.event):
                forgets = step.node.op.folds is not step.node.inverse
                what = r"\log P(\text{what it forgets})" if forgets else r"-\log P(\text{what it draws})"
                yield rf"\text{{of }} {f}_{{{k}}} &: \text{{the determinant of a branch, and }} {what}"


# ---- the loss -------------------------------------------------------------------------------------------------------


def _loss(graph: Graph) -> Iterator[str]:
    if graph.loss is not None:
        terms = {name: _term(graph, term) for name, term in graph.loss.terms.items()}
        yield rf"\mathcal{{L}} &= {expression(graph.loss.formula, terms)}"


def _term(graph: Graph, term: LossTerm) -> str:
    """A term by what it declares: the sign, over whose points the mean runs, and what is subtracted."""
    x = symbol(term.binds if term.binds in graph.variables else next(iter(graph.variables), "x"))
    walk, sign = getattr(term.op, "walk", None), getattr(term.op, "sign", 1)
    if walk in (None, "arrow"):
        return rf"\text{{{escaped(describe(term.op))}}}"
    points = rf"{x} \sim \text{{data}}" if walk == "log_prob" else rf"{x} \sim p"
    if isinstance(term.op, AbstractPosteriorLoss):
        rest = ", ".join(symbol(name) for name in graph.observed if name != term.binds)
        return rf"-\mathbb{{E}}_{{{x}, {rest} \sim \text{{data}}}}\left[\log q({x} \mid {rest})\right]"
    target = graph.variables[term.binds].target if term.binds in graph.variables else None
    against = getattr(term.op, "against_target", False) and target is not None
    inside = rf"\log p({x})" + (rf" - \left({expression(target.log_density)}\right)" if against and target else "")
    return rf"{'-' if sign < 0 else ''}\mathbb{{E}}_{{{points}}}\left[{inside}\right]"
