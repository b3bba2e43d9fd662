"""Checks of a typed graph: one file an analysis, in one ordered table. They only read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from dgmspec.checks.analysis import Analysis
from dgmspec.checks.choices import check_choices
from dgmspec.checks.costs import check_costs
from dgmspec.checks.inference import check_inference
from dgmspec.checks.invertibility import check_invertibility
from dgmspec.checks.jacobian import check_jacobian
from dgmspec.checks.multiscale import check_batches, check_conditional_priors
from dgmspec.checks.noising import check_noising
from dgmspec.checks.objective import check_objective
from dgmspec.checks.origins import check_origins
from dgmspec.checks.parts import check_parts
from dgmspec.checks.remarks import check_remarks
from dgmspec.checks.rows import check_rows
from dgmspec.checks.sampling import check_sampling
from dgmspec.checks.supports import check_supports
from dgmspec.checks.training import check_training
from dgmspec.core.diagnostics import Diagnostic, has_errors
from dgmspec.graph.graph import Graph
from dgmspec.graph.plans import SamplePlan, TrainPlan

__all__ = ["CHECKS", "Analysis", "check_graph"]

Check = Callable[[Analysis], Iterable[Diagnostic]]

CHECKS: Final[tuple[tuple[Check, bool], ...]] = (
    (check_origins, False),
    (check_inference, False),
    (check_supports, False),
    (check_parts, False),
    (check_conditional_priors, False),
    (check_objective, False),
    (check_choices, False),
    (check_rows, False),
    (check_invertibility, True),
    (check_costs, True),
    (check_remarks, True),
    (check_batches, True),
    (check_noising, True),
    (check_jacobian, True),
)
"""In the order of their findings: what the model means, whether it is right, what it costs, what looks unintended.

Those marked True advise on a model that is right, so they wait until it is."""


def check_graph(graph: Graph, *plans: TrainPlan | SamplePlan) -> list[Diagnostic]:
    """Everything the checks find in a typed graph and in the blocks for it, in the order of discovery."""
    analysis = Analysis(graph)
    found: list[Diagnostic] = []
    for check, waits in CHECKS:
        if not waits or (graph.complete and not has_errors(found)):
            found += check(analysis)
    for plan in plans:
        found += check_training(analysis, plan) if isinstance(plan, TrainPlan) else check_sampling(analysis, plan)
    return list(dict.fromkeys(found))
