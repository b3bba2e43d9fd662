"""What is known of each flow of a model, as data: one row a step, totals, and what is possible, proved or assumed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from dgmspec.checks.analysis import Analysis, ChainFacts, StepFacts
from dgmspec.checks.costs import total
from dgmspec.checks.law_rows import LawRow, law_rows
from dgmspec.checks.statements import TRIANGULAR, classes, dense_from, possible, proved
from dgmspec.core.jacobian import Dependency, Fact, Jacobian, Structure
from dgmspec.graph.graph import Graph
from dgmspec.graph.infer import arriving
from dgmspec.graph.words import describe_formula

__all__ = ["ExplainTable", "FlowTable", "Row", "explain_table"]

_ORDER_UP_TO: Final = 4
_LOG_DETS: Final = ("0", "O(1)", "O(c)", "O(d)", "O(dk)", "O(d²)", "O(c³)", "O(d³)")


@dataclass(frozen=True)
class Row:
    """One step, or the totals: every cell as it is printed, the parameters as a number."""

    number: int
    step: str
    jacobian: str
    log_det: str
    forward: str
    inverse: str
    parameters: int


@dataclass(frozen=True)
class FlowTable:
    """One flow: its ends with their types, its rows and totals, and the statements about the whole."""

    source: str
    target: str
    source_type: str
    target_type: str
    relation: str
    density: str
    sampling: str
    rows: tuple[Row, ...]
    totals: Row
    possible: str
    proved: tuple[str, ...]
    assumed: tuple[str, ...]
    checked: tuple[str, ...]
    classes: str
    kernels: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExplainTable:
    """All flows of a model, and its conditional laws; `unknown` lists flows whose types are not all known. `density` is
    what log p of the data is where there are such laws."""

    model: str
    flows: tuple[FlowTable, ...]
    unknown: tuple[str, ...] = ()
    laws: tuple[LawRow, ...] = ()
    density: str = ""

    def data(self) -> dict[str, Any]:
        """The table for JSON."""
        return {"format_version": 1, **asdict(self)}


def explain_table(graph: Graph) -> ExplainTable:
    """The table of a typed graph."""
    analysis = Analysis(graph)
    flows = tuple(_flow(analysis, chain) for chain in analysis.chains.values())
    unknown = tuple(f"{a.source} -> {a.target}" for a in graph.arrows.values() if a.address not in analysis.chains)
    laws = tuple(law_rows(analysis)) if graph.complete else ()
    first = next(iter(graph.observed), None)
    density = analysis.density(first) if laws and first is not None else ""
    return ExplainTable(graph.name, flows, unknown, laws, density)


def _flow(analysis: Analysis, chain: ChainFacts) -> FlowTable:
    arrow = chain.arrow
    ends = [analysis.graph.type_of(analysis.graph.variables[name].value) for name in (arrow.source, arrow.target)]
    parts = [part for name in (arrow.source, arrow.target) for part in analysis.graph.variables[name].parts or (name,)]
    observed = [name for name in parts if name in analysis.graph.observed]
    density = analysis.density(observed[0]) if observed else _along(chain)
    assumed = tuple(dict.fromkeys(reason for step in chain.steps for reason in step.facts.assumed))
    return FlowTable(
        source=arrow.source,
        target=arrow.target,
        source_type=str(ends[0]),
        target_type=str(ends[1]),
        relation=_relation(analysis, chain),
        density=density,
        sampling=_sampling(analysis, chain),
        rows=tuple(_row(i, step) for i, step in enumerate(chain.steps, 1)),
        totals=_totals(chain),
        possible=possible(chain),
        proved=proved(chain, assumed),
        assumed=assumed,
        checked=tuple(dict.fromkeys(check for step in chain.steps for check in step.facts.checked)),
        classes=classes(chain, assumed),
        kernels=tuple(filter(None, map(_kernel, chain.steps))),
    )


def _kernel(step: StepFacts) -> str:
    """The law along a step's time, as formulas."""
    found = step.node.op.kernel(step.event)
    if found is None:
        return ""
    formulas = ", ".join(f"{name} = {describe_formula(formula)}" for name, formula in found.formulas)
    said = f"{found.said}{f': {formulas}' if formulas else ''}"
    return f"{said}; log-SNR from {found.log_snr[0]:.4g} to {found.log_snr[1]:.4g}"


def _sampling(analysis: Analysis, chain: ChainFacts) -> str:
    """How samples come out of the arrow: those of a noising arrow by a sampler, from the prior at its end."""
    if any(step.node.op.sampled for step in chain.steps):
        return "in steps" if analysis.priors(chain.arrow.target) else "none without a prior"
    if any(step.node.op.random and step.cost.forward.kind == "solver" for step in chain.steps):
        return "in steps"
    return "to a tolerance" if any(way.kind == "iterative" for way in chain.direction(along=False)) else "exact"


def _relation(analysis: Analysis, chain: ChainFacts) -> str:
    """Whether the image is the whole support at the end."""
    arrived = arriving(analysis.graph, chain.steps[-1].node)
    return "onto" if arrived == chain.steps[-1].after and not chain.widenings else "into"


def _along(chain: ChainFacts) -> str:
    kinds = {step.node.op.density_along(not step.node.inverse, step.event) for step in chain.steps}
    return "lower bound" if "lower bound" in kinds else "estimate" if "estimate" in kinds else "exact"


# ---- rows -----------------------------------------------------------------------------------------------------------


def _row(number: int, step: StepFacts) -> Row:
    return Row(
        number,
        step.label,
        _unmapped(step) if _unmaps(step) else _structure(step.jacobian),
        step.cost.log_det,
        str(step.cost.forward),
        str(step.cost.inverse),
        step.size,
    )


def _unmaps(step: StepFacts) -> bool:
    """Whether a step is no map between events of one size, so that it has no Jacobian."""
    return step.resizes or step.node.op.balances


def _unmapped(step: StepFacts) -> str:
    return "none, many to one" if step.node.op.folds and not step.node.inverse else "none, it draws"


def _structure(jacobian: Jacobian) -> str:
    """``triangular (0,1)``, ``diagonal, constant``, ``permutation``, ``dense, constant``."""
    structure = jacobian.structure
    if structure in TRIANGULAR and jacobian.dependency is not None:
        order = triangular_order(jacobian.dependency)
        words = f"triangular ({','.join(map(str, order))})" if len(order) <= _ORDER_UP_TO else structure.value
    else:
        words = structure.value
    if structure not in (Structure.IDENTITY, Structure.PERMUTATION):
        if jacobian.orthogonal is Fact.YES:
            words += ", orthogonal"
        elif jacobian.constant is Fact.YES:
            words += ", constant"
    return words


def triangular_order(dependency: Dependency) -> list[int]:
    """An order of the coordinates in which each depends on earlier ones alone; the smallest first where several are."""
    placed, order, left = 0, list[int](), list(range(len(dependency.rows)))
    while left:
        ready = next(i for i in left if not dependency.rows[i] & ~placed & ~(1 << i))
        order.append(ready)
        placed |= 1 << ready
        left.remove(ready)
    return order


def _totals(chain: ChainFacts) -> Row:
    forward, inverse = (total(chain.direction(along=along)) for along in (True, False))
    known = [step.cost.log_det for step in chain.steps]
    log_det = max(known, key=_rank)
    structure = _structure(chain.whole)
    full = dense_from(chain)
    if chain.whole.structure is Structure.DENSE and full is not None and full > 1:
        structure = f"dense from step {full}"
    count = len(chain.steps)
    label = f"all {count} steps" if count > 1 else "the step"
    unmapping = next((step for step in chain.steps if _unmaps(step)), None)
    if unmapping is not None:
        structure = _unmapped(unmapping)
    return Row(count, label, structure, log_det, str(forward), str(inverse), sum(step.size for step in chain.steps))


def _rank(log_det: str) -> tuple[int, bool]:
    """Orders costs: by the power of d first, once a batch before once a sample."""
    order, once, _ = log_det.partition(", once a batch")
    return (_LOG_DETS.index(order) if order in _LOG_DETS else len(_LOG_DETS), not once)
