"""The whole pipeline: text → spec → graph → typed graph → checks → passes → programs → CompiledModel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from dgmspec.core.diagnostics import SpecError, has_errors
from dgmspec.frontend import Diagnosis, check, diagnose, diagnose_file
from dgmspec.graph.lower import lower
from dgmspec.passes.table import Level, optimise
from dgmspec.program.build import build_programs
from dgmspec.spec import Spec, load, parse
from dgmspec.spec.defaults import with_defaults

if TYPE_CHECKING:
    import torch

    from dgmspec.modules.compiled import CompiledModel

__all__ = ["Diagnosis", "Spec", "check", "compile", "diagnose", "diagnose_file", "expect_spec", "load", "parse"]

Dump = Callable[[str, Any], None]


def compile(
    spec: Spec,
    model: str | None = None,
    params: Mapping[str, Any] | None = None,
    nets: Mapping[str, torch.nn.Module] | None = None,
    seed: int = 0,
    optimize: Level = "O1",
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    dump: Dump = lambda stage, result: None,
) -> CompiledModel:
    """A spec's model (the only one where `model` is None) as a torch module; raises SpecError with all that is wrong.

    `params` overrides params, `nets` supplies external nets, `seed` decides the initial weights, `optimize` the passes
    ("O0" none, "O1" all). `dump` is called with the name and the result of each stage.
    """
    expect_spec("compile", spec)
    # Text and objects are the same thing, so one door reads both: findings always point into the canonical text.
    spec = spec.with_params(**params) if params else spec
    dump("spec", spec)
    found = diagnose(spec.text(), spec.sources)
    dump("diagnosis", found)
    if has_errors(found.diagnostics):
        raise SpecError(found.diagnostics, found.texts)

    graph = found.graphs[_chosen(spec, model)]
    dump("typed graph", graph)
    graph = optimise(graph, optimize, dump)
    programs = build_programs(graph)
    dump("programs", programs)

    from dgmspec.modules.bundle import Bundle
    from dgmspec.modules.compiled import CompiledModel

    # What is saved says everything: a later release with other defaults reads the same model.
    full = with_defaults(spec)
    bundle = Bundle(full.text(), graph.name, full.sources, seed, optimize, tuple(nets or ()))
    compiled = CompiledModel(graph, programs, seed, nets, bundle, dtype, device, optimize != "O0")
    if compiled.empirical:  # sources that come with the language, whose readers take a second to import
        from dgmspec.runtime.recording import record_built_in

        record_built_in(compiled, seed)
    dump("model", compiled)
    return compiled


def expect_spec(verb: str, spec: object) -> None:
    """TypeError where a text, a path or a model is given in place of a spec."""
    if not isinstance(spec, Spec):
        raise TypeError(
            f"{verb} takes a Spec, not {type(spec).__name__}: read one by dgmspec.load(path) or parse(text)"
        )


def _chosen(spec: Spec, model: str | None) -> str:
    """The model of that name, or the only one; raises SpecError where that leaves it open."""
    graph, wrong = lower(spec, model)
    if graph.name not in spec.models:
        raise SpecError(wrong)
    return graph.name
