"""The half of the pipeline that needs no tensor: text → spec → graph → typed graph → checks. Mistakes are values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dgmspec.checks import check_graph
from dgmspec.checks.explain import explain
from dgmspec.core.diagnostics import Diagnostic, Span, has_errors, locate
from dgmspec.core.fixes import apply_fixes, safe_fixes
from dgmspec.core.source_map import SourceMap
from dgmspec.graph.dropping import dropped
from dgmspec.graph.graph import Graph
from dgmspec.graph.indexed import as_written
from dgmspec.graph.infer import infer
from dgmspec.graph.lower import check_definitions, lower
from dgmspec.graph.plans import SamplePlan, TrainPlan, lower_sample, lower_train
from dgmspec.graph.standardizing import standardized
from dgmspec.graph.unused import check_hiding, check_unused
from dgmspec.spec import Diagnosis as Reading
from dgmspec.spec import Spec, override
from dgmspec.spec import diagnose as read
from dgmspec.spec.model import Sample, Train
from dgmspec.spec.remains import Remains
from dgmspec.spec.sources import Sources
from dgmspec.syntax.allow import filtered
from dgmspec.syntax.idioms import with_idioms
from dgmspec.syntax.tree import Tree

__all__ = ["Diagnosis", "check", "diagnose", "diagnose_file", "examine", "repair"]


@dataclass(frozen=True)
class Diagnosis:
    """All that could be said about a text: its spec and the typed graph of each model where they exist, and findings.

    `texts` are the texts that spans point into by source, `names` what to call these sources in messages.
    """

    tree: Tree
    spec: Spec | None
    source_map: SourceMap
    diagnostics: tuple[Diagnostic, ...]
    texts: Mapping[str, str]
    names: Mapping[str, str] = field(default_factory=dict)
    graphs: Mapping[str, Graph] = field(default_factory=dict)

    def explain(self, model: str) -> str:
        """The table of a model's steps: structures, costs, what is proved and what assumed."""
        return explain(self.graphs[model])


@dataclass(frozen=True)
class Repair:
    """A text after its safe fixes, what is found in it then, and how many fixes were applied."""

    text: str
    found: Diagnosis
    count: int


def diagnose(text: str, sources: Sources | None = None, *, name: str = "") -> Diagnosis:
    """Everything that can be said about a text without a tensor; never raises for what is in it.

    `sources` is the folder of the files it may use, or their texts by path; `name` is what messages call the text.
    """
    return _further(read(text, sources, name=name), {}, {"": name} if name else {})


def diagnose_file(text: str, path: Path | None, values: Mapping[str, str] | None = None) -> Diagnosis:
    """`diagnose` for the text of a file, with overrides written as in a text (``{"depth": "4"}``)."""
    found = read(text, path.parent if path else None, name=path.name if path else "")
    return _further(found, values or {}, {"": str(path) if path else "<stdin>"})


def repair(text: str, path: Path | None, values: Mapping[str, str] | None = None) -> Repair:
    """The text of a file with the safe fixes of its findings applied, in rounds, as long as each leaves less to find.

    A round is kept if it leaves fewer errors, or as many errors and fewer warnings. Fixes that do not hold together
    are tried one by one.
    """
    state = Repair(text, diagnose_file(text, path, values), 0)
    while True:
        fixes = safe_fixes(state.found.diagnostics)
        for chosen in (fixes, *([fix] for fix in fixes if len(fixes) > 1)):
            after, count = apply_fixes(state.text, chosen)
            found = diagnose_file(after, path, values) if count else state.found
            if _burden(found) < _burden(state.found):
                state = Repair(after, found, state.count + count)
                break
        else:
            return state


def _burden(found: Diagnosis) -> tuple[int, int]:
    """How many errors and how many warnings were found."""
    severities = [d.severity for d in found.diagnostics]
    return severities.count("error"), severities.count("warning")


def check(spec: Spec) -> Sequence[Diagnostic]:
    """Everything that can be said against a spec, its findings located in its canonical text."""
    return diagnose(spec.text(), spec.sources).diagnostics


def examine(spec: Spec, rest: Remains | None = None) -> tuple[dict[str, Graph], list[Diagnostic]]:
    """The typed graph of every model, and what lowering, inference and the checks find in the whole file.

    Of what remains of a text with errors, the models that an error touches are lowered only.
    """
    graphs, found = dict[str, Graph](), [*check_hiding(spec), *check_definitions(spec)]
    plans = list[TrainPlan | SamplePlan]()
    found += check_unused(spec) if rest is None else []
    for item in spec.items:
        if isinstance(item, (Train, Sample)):
            plan, wrong = lower_train(spec, item) if isinstance(item, Train) else lower_sample(spec, item)
            plans += [] if plan is None else [plan]
            found += wrong
    for model in spec.models:
        graph, lowered = lower(spec, model)
        if rest is None or model in rest.sound:
            own = [plan for plan in plans if plan.model == model]
            graphs[model], inferred = infer(_as_trained(graph, [plan for plan in own if isinstance(plan, TrainPlan)]))
            lowered = [*lowered, *inferred, *check_graph(graphs[model], *own)]
        found += as_written(spec.models[model], lowered)
    return graphs, found


def _as_trained(graph: Graph, plans: Sequence[TrainPlan]) -> Graph:
    """The graph with what a train block asks of it."""
    if any(plan.standardize for plan in plans):
        graph = standardized(graph)
    share = max((plan.drop or 0.0 for plan in plans), default=0.0)
    return dropped(graph, share) if share else graph


def _further(found: Reading, values: Mapping[str, str], names: Mapping[str, str]) -> Diagnosis:
    """The rooms behind the spec, for a text that has one."""
    spec, graphs, more = found.spec, dict[str, Graph](), list[Diagnostic]()
    if spec is not None and values:
        changed = override(spec, values)
        spec, more = (changed, more) if isinstance(changed, Spec) else (None, [*changed])
    if spec is not None:
        graphs, more = examine(spec)
    more = [locate(d, found.source_map) for d in more]
    if found.remains is not None:
        further = (locate(d, found.source_map) for d in examine(found.remains.spec, found.remains)[1])
        more += [d for d in further if not found.remains.follows(d, found.texts)]
    located = dict.fromkeys((*found.diagnostics, *more))
    complete = spec is not None and not values and not has_errors(located)
    shown = filtered(with_idioms(located, found.texts), found.texts, complete=complete)
    ordered = tuple(sorted(shown, key=_position))
    return Diagnosis(found.tree, spec, found.source_map, ordered, found.texts, names, graphs)


def _position(diagnostic: Diagnostic) -> tuple[bool, str, int]:
    at = diagnostic.at
    return (False, at.source, at.start) if isinstance(at, Span) else (True, "", 0)


Spec.checker = check
