"""Train and sample blocks lowered: their settings evaluated into the library's operations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from dgmspec.algebra.evaluate import evaluate
from dgmspec.algebra.nodes import AbstractExpr, Argument, Name, Vector
from dgmspec.core.address import Address, child
from dgmspec.core.diagnostics import Diagnostic, Label
from dgmspec.core.op import AbstractOp
from dgmspec.core.usual import usual
from dgmspec.graph.arguments import Caller
from dgmspec.graph.findings import Findings, Reported, meant
from dgmspec.graph.scope import FileScope, lower_scope
from dgmspec.ops import find, signature
from dgmspec.spec.model import Sample, Setting, Spec, Train, Variable

__all__ = ["FREE", "SamplePlan", "TrainPlan", "lower_sample", "lower_train"]

FREE: Final = "free"
"""What stands for a coordinate that is not known."""

_AS_SETTING: Final = {"DGM232": "DGM801", "DGM234": "DGM803"}


@dataclass(frozen=True)
class TrainPlan:
    """One train block, every setting with its value or its default (the fields of the library's `train` block).

    `data`, `optimizer`, `schedule`, `validate` and `stop` hold operations of the library, or None. `data_name` is the
    file's name of the data, where it has one; `weights` that of their column of weights.
    """

    address: Address
    model: str
    data: Any
    data_name: str | None
    weights: str | None
    steps: int | None
    epochs: int | None
    batch: int
    optimizer: Any
    schedule: Any
    clip: float | None
    ema: float | None
    accumulate: int
    precision: str
    compile: bool
    standardize: bool
    drop: float | None
    validate: Any
    stop: Any
    seed: int
    written: frozenset[str] = frozenset()
    """The settings that the block states itself."""


@dataclass(frozen=True)
class SamplePlan:
    """One sample block."""

    address: Address
    model: str
    method: Any
    count: int
    seed: int
    guidance: float | None = None
    given: Mapping[str, Any] = field(default_factory=dict)
    """The values of given variables: a number, or nested tuples of numbers."""
    known: Mapping[str, Any] = field(default_factory=dict)
    """Coordinates of observed variables that samples keep, likewise, NaN where they are `free`."""


def lower_train(
    spec: Spec, train: Train, params: Mapping[str, Any] | None = None
) -> tuple[TrainPlan | None, list[Diagnostic]]:
    """The plan of a train block, and what was found; None where the block cannot be understood."""
    findings = Findings()
    at = f"train {train.model}"
    try:
        op = _block(spec, train, at, params, findings)
    except Reported:
        return None, findings.found
    _length(op, train, at, findings)
    fields = {name: getattr(op, name) for name in type(op).model_fields}
    fields["validate"] = fields.pop("validation")
    data = next((s.value for s in train.settings if s.name == "data"), None)
    written = frozenset(setting.name for setting in train.settings)
    name = data.id if isinstance(data, Name) else None
    return TrainPlan(address=at, model=train.model, data_name=name, written=written, **fields), findings.found


def lower_sample(
    spec: Spec, sample: Sample, params: Mapping[str, Any] | None = None
) -> tuple[SamplePlan | None, list[Diagnostic]]:
    """The plan of a sample block, and what was found; None where the block cannot be understood."""
    findings = Findings()
    at = f"sample {sample.model}"
    try:
        named, kept, rest = _named(spec, sample, "given"), _named(spec, sample, "observe"), sample.settings
        rest = tuple(s for s in rest if s not in (*named, *kept))
        op = _block(spec, sample.model_copy(update={"settings": rest}), at, params, findings)
        given = {s.name: _constant(spec, s.value, child(at, s.name), params, findings) for s in named}
        known = {s.name: _partly(spec, s.value, child(at, s.name), params, findings) for s in kept}
    except Reported:
        return None, findings.found
    fields = {name: getattr(op, name) for name in type(op).model_fields}
    return SamplePlan(address=at, model=sample.model, given=given, known=known, **fields), findings.found


def _named(spec: Spec, sample: Sample, role: str) -> tuple[Setting, ...]:
    """The settings that are values of the model's variables of a role; the library's settings come first."""
    cls, model = find("block", sample.kind), spec.models.get(sample.model)
    known = {parameter.name for parameter in signature(cls)} if cls is not None else set()
    members = model.members if model is not None else ()
    names = {m.name for m in members if isinstance(m, Variable) and m.role == role} - known
    return tuple(s for s in sample.settings if s.name in names)


def _partly(
    spec: Spec, written: AbstractExpr, at: Address, params: Mapping[str, Any] | None, findings: Findings
) -> Any:
    """A value some of whose numbers are `free`, NaN."""
    if written == Name(id=FREE):
        return math.nan
    if isinstance(written, Vector):
        return tuple(_partly(spec, item, at, params, findings) for item in written.items)
    return _constant(spec, written, at, params, findings)


def _constant(
    spec: Spec, written: AbstractExpr, at: Address, params: Mapping[str, Any] | None, findings: Findings
) -> Any:
    """The value of a formula over params."""
    scope = lower_scope(spec, params, Findings())
    with findings.refusals_at(at):
        return evaluate(Caller(findings, scope.constants, scope.functions).formula(written, at), {})


def _block(
    spec: Spec, block: Train | Sample, at: Address, params: Mapping[str, Any] | None, findings: Findings
) -> AbstractOp:
    """The block as an operation of the library whose arguments are its settings."""
    if block.model not in spec.models:
        findings.refuse(
            "DGM201",
            f"the file has no model `{block.model}`",
            at,
            label="no such model",
            help=meant(block.model, list(spec.models)),
        )
    scope = lower_scope(spec, params, Findings())
    cls = find("block", block.kind)
    assert cls is not None, f"the library has no block {block.kind}"
    known = [parameter.name for parameter in signature(cls)]
    stray = [setting for setting in block.settings if setting.name not in known]
    for setting in stray:
        _unknown(block, setting, child(at, setting.name), known, findings)
    inner = Findings()
    caller = Caller(inner, scope.constants, scope.functions)
    settings = [setting for setting in block.settings if setting not in stray]
    args = tuple(Argument(name=s.name, value=_data(s, scope)) for s in settings)
    try:
        op = caller.build(cls, args, at)
    finally:
        for diagnostic in inner.found:
            findings.add(_placed(diagnostic, at, settings, scope))
    if stray:
        raise Reported
    return op


def _placed(diagnostic: Diagnostic, at: Address, settings: list[Setting], scope: FileScope) -> Diagnostic:
    """A finding of the block's call as one of its settings; what is wrong in a named data source is said there."""
    if diagnostic.at in {child(at, setting.name) for setting in settings}:
        diagnostic = replace(diagnostic, code=_AS_SETTING.get(diagnostic.code, diagnostic.code))
    for setting in settings:
        place, value = child(at, setting.name), setting.value
        inside = isinstance(diagnostic.at, str) and f"{diagnostic.at}/".startswith(f"{place}/")
        if inside and setting.name == "data" and isinstance(value, Name) and value.id in scope.data:
            assert isinstance(diagnostic.at, str)
            return replace(diagnostic, at=child(value.id, "value") + diagnostic.at.removeprefix(place))
    return diagnostic


def _data(setting: Setting, scope: FileScope) -> AbstractExpr:
    """A setting's value; the file's own data source by name is what its declaration says."""
    if setting.name == "data" and isinstance(setting.value, Name) and setting.value.id in scope.data:
        return scope.data[setting.value.id].value
    return setting.value


def _unknown(block: Train | Sample, setting: Setting, at: Address, known: list[str], findings: Findings) -> None:
    findings.report(
        "DGM801",
        f"a {block.kind} block has no setting `{setting.name}`",
        at,
        label="unknown setting",
        notes=(f"its settings are {', '.join(known)}",),
        help=usual(block.kind, setting.name) or meant(setting.name, known) or ("leave it out",),
    )


def _length(op: Any, train: Train, at: Address, findings: Findings) -> None:
    """`steps` or `epochs`, one of the two."""
    written = {setting.name for setting in train.settings}
    if {"steps", "epochs"} <= written:
        findings.report(
            "DGM802",
            "`steps` and `epochs` both say how long to train",
            child(at, "epochs"),
            label="a second length",
            labels=(Label(child(at, "steps"), "the first length"),),
            help=("leave one of the two out",),
        )
    elif op.steps is None and op.epochs is None:
        findings.report(
            "DGM802",
            "nothing says how long to train",
            at,
            label="no length",
            help=("write `steps = 5_000` or `epochs = 20`",),
        )
