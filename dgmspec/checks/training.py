"""Training plans against the model: is there a loss, are there data, are they of the variables' types?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dgmspec.checks.analysis import Analysis
from dgmspec.checks.scores import check_kept_chains
from dgmspec.core.address import Address, child
from dgmspec.core.diagnostics import Diagnostic, Label, did_you_mean
from dgmspec.core.losses import AbstractArrowLoss, AbstractLoss, AbstractRateLoss
from dgmspec.core.types import BINARY, Support, SupportKind, Type
from dgmspec.graph.dropping import dropping
from dgmspec.graph.graph import Loss, StepNode, VariableNode
from dgmspec.graph.plans import TrainPlan
from dgmspec.graph.standardizing import unstandardized


def check_training(analysis: Analysis, plan: TrainPlan) -> Iterator[Diagnostic]:
    """DGM755, 756, 804, 805, 806, 808, 809, 810, 812, 813, 817."""
    if plan.stop is not None and plan.validate is None:
        yield Diagnostic(
            "DGM809",
            "`stop` waits for the validation loss, and nothing is validated",
            child(plan.address, "stop"),
            "never triggered",
            help=("add `validate = holdout(0.1)`",),
        )
    if not analysis.graph.complete:
        return
    loss = analysis.graph.loss
    if loss is None:
        yield Diagnostic(
            "DGM806",
            f"`{plan.model}` is trained here, but has no loss",
            plan.address,
            "no loss",
            (Label(analysis.graph.name, "this model"),),
            help=("write `loss = nll` in the model",),
        )
        return
    reads = any(isinstance(term.op, AbstractLoss) and term.op.reads_data for term in loss.terms.values())
    yield from _data(analysis, plan, loss, reads)
    if plan.weights is not None:
        yield from _weights(analysis, plan, loss, reads)
    if plan.standardize:
        yield from _standardizing(analysis, plan, reads)
    yield from check_kept_chains(analysis, plan)
    able = [step for step in analysis.graph.steps.values() if plan.drop and dropping(step, plan.drop)]
    if plan.drop and not any(_about(analysis, step) for step in able):
        yield _undropped(analysis, plan, bool(able))


def _data(analysis: Analysis, plan: TrainPlan, loss: Loss, reads: bool) -> Iterator[Diagnostic]:
    """Data where the loss reads some, with a column for each variable; none where it draws its own points."""
    terms = " and ".join(dict.fromkeys(f"`{term.op.name}`" for term in loss.terms.values()))
    if reads and plan.data is None:
        yield Diagnostic(
            "DGM805",
            f"{terms} averages over observations, and this block names no data",
            plan.address,
            "no data",
            help=(
                "write `data = two_moons`, or another source that `dgmspec list data` shows; "
                "or train from Python with `dgmspec.train(spec, data={…})`",
            ),
        )
    elif not reads and plan.data is not None:
        yield Diagnostic(
            "DGM808",
            f"{terms} draws its own points, so the data are never read",
            child(plan.address, "data"),
            "never read",
            help=("leave `data` out",),
        )
    elif plan.data is not None:
        yield from _columns(analysis, plan)


def _weights(analysis: Analysis, plan: TrainPlan, loss: Loss, reads: bool) -> Iterator[Diagnostic]:
    """DGM817: the weights have a column of their own, and every term that reads rows is a mean over them."""
    at, name = child(plan.address, "weights"), plan.weights
    known = analysis.graph.variables.get(name or "")
    columns = None if plan.data is None else plan.data.columns()
    if not reads:
        message = "`weights` say how much rows of the data count, and this loss reads none"
        yield Diagnostic("DGM817", message, at, "nothing to weigh", help=("leave `weights` out",))
        return
    if known is not None:
        yield Diagnostic(
            "DGM817",
            f"`{name}` is a variable of `{analysis.graph.name}`, and weights have a column of their own",
            at,
            "a variable",
            (Label(known.address, "declared here"),),
            help=("name another column, one that is no variable",),
        )
    elif columns is not None and name not in columns:
        listed = ", ".join(f"`{column}`" for column in columns)
        yield Diagnostic(
            "DGM817",
            f"`{plan.data.name}` gives {listed}, and no column `{name}`",
            at,
            "no such column",
            help=('take data from a file with such a column, `csv("rows.csv")`, or from Python',),
        )
    for term in loss.terms.values():
        if isinstance(term.op, AbstractLoss) and (why := term.op.unweighted()):
            labels = (Label(term.address.rpartition("/")[0], "in this loss"),)
            message = f"`weights` weigh the terms of single rows, and `{term.op.name}` {why}"
            yield Diagnostic("DGM817", message, at, "cannot weigh this", labels, help=("leave `weights` out",))


def _about(analysis: Analysis, step: StepNode) -> bool:
    """Whether a term of the loss is about the step alone: a density reads every context."""
    loss = analysis.graph.loss
    ops = [term.op for term in loss.terms.values()] if loss else []
    about = [op for op in ops if isinstance(op, AbstractArrowLoss) and not isinstance(op, AbstractRateLoss)]
    return any(op.fits(step.op) for op in about)


def _undropped(analysis: Analysis, plan: TrainPlan, able: bool) -> Diagnostic:
    """Nothing reads a context that could be left out, or the loss is one of densities, which leave nothing out."""
    if able:
        return Diagnostic(
            "DGM813",
            "`drop` leaves out a context in losses about one arrow, such as `dsm` or `flow_matching`, and this loss "
            "has none",
            child(plan.address, "drop"),
            "leaves nothing out",
            help=("train by such a loss, or leave `drop` out",),
        )
    arrows = [a for a in analysis.graph.arrows.values() if a.context is not None]
    return Diagnostic(
        "DGM813",
        "`drop` leaves out the context that nets of a noising arrow or of an `ode` read, and "
        + (f"`{plan.model}` has none with a context" if not arrows else "the context here is that of another arrow"),
        child(plan.address, "drop"),
        "no context to drop",
        tuple(Label(arrow.address, "this arrow needs its context") for arrow in arrows[:1]),
        help=("give the arrow one, such as `sde x -> z | y over t in 0..1`, or leave `drop` out",),
    )


def _standardizing(analysis: Analysis, plan: TrainPlan, reads: bool) -> Iterator[Diagnostic]:
    """Each observed variable is real, at the end of one flow, and there are rows to take statistics from."""
    at = child(plan.address, "standardize")
    if not reads:
        message = "`standardize` takes statistics from training rows, and this loss reads none"
        yield Diagnostic("DGM812", message, at, "nothing to record", help=("leave `standardize` out",))
        return
    for variable in analysis.graph.variables.values():
        why = unstandardized(analysis.graph, variable) if variable.role == "observe" else None
        if why is not None:
            yield Diagnostic(
                "DGM812",
                f"`standardize` {why}",
                at,
                "cannot be standardised",
                (Label(child(variable.address, "type"), "declared here"),),
                help=("leave `standardize` out; the flow's own first steps can map the data to a common scale",),
            )


def _columns(analysis: Analysis, plan: TrainPlan) -> Iterator[Diagnostic]:
    """Each observed and given variable has a column of its type, as far as that is known before a file is opened."""
    wanted = {v.name: v for v in analysis.graph.variables.values() if v.role in ("observe", "given")}
    at = child(plan.address, "data")
    source = child(plan.data_name, "value") if plan.data_name else at
    yield from check_columns(analysis, plan.data, wanted, at, source, plan.weights)


def check_columns(
    analysis: Analysis,
    data: Any,
    wanted: Mapping[str, VariableNode],
    at: Address,
    source: Address,
    weights: str | None = None,
) -> Iterator[Diagnostic]:
    """DGM804, 810: a data source, used `at` a place and written at `source`, against the variables that it fills;
    `weights` is the column of it that is none of them."""
    yield from _mapping(analysis, data, wanted, source, weights)
    columns = data.columns()
    if columns is None:
        return
    given = assign({name: type_ for name, type_ in columns.items() if name != weights}, list(wanted))
    for variable in wanted.values():
        if variable.name not in given:
            listed = ", ".join(f"{name} : {type_}" for name, type_ in columns.items())
            yield Diagnostic(
                "DGM804",
                f"the data have no column for `{variable.name}`",
                at,
                "too few columns",
                (Label(variable.address, "needs one"),),
                notes=(f"they have {listed}",),
                help=(f"leave `{variable.name}` out, or use data with a column for it",),
            )
            continue
        column, declared = columns[given[variable.name]], analysis.graph.type_of(variable.value)
        if isinstance(declared, Type) and not fits(column, declared):
            yield _mismatch(data.name, variable, declared, column, at)


def _mapping(
    analysis: Analysis, data: Any, wanted: Mapping[str, VariableNode], source: Address, weights: str | None
) -> Iterator[Diagnostic]:
    """Each name that the source's arguments give columns to is a variable, and gets as many columns as it needs, or
    that of the weights."""
    for name, width in data.mapping().items():
        at = child(source, name)
        if name == weights:
            continue
        if name not in wanted:
            near = did_you_mean(name, (*wanted, *type(data).model_fields))
            listed = ", ".join(f"`{variable}`" for variable in wanted)
            yield Diagnostic(
                "DGM810",
                f"`{data.name}` gives data to `{name}`, which is no data variable of `{analysis.graph.name}`",
                at,
                "no such variable",
                help=(f"did you mean `{near}`?" if near else f"it has {listed}",),
            )
            continue
        declared = analysis.graph.type_of(wanted[name].value)
        if width is not None and isinstance(declared, Type) and declared.size != width:
            yield Diagnostic(
                "DGM804",
                f"`{name}` is {declared}, {_count(declared.size, 'number')} a row, and is given "
                + _count(width, "column"),
                at,
                _count(width, "column"),
                (Label(child(wanted[name].address, "type"), f"declared {declared} here"),),
                help=(f"name {_count(declared.size, 'column')} for `{name}`, or declare another shape",),
            )
        if name in data.bits() and isinstance(declared, Type) and declared.support != BINARY:
            yield Diagnostic(
                "DGM804",
                f"`binarize` makes bits of levels, and `{name}` is {declared}",
                at,
                "gives bits",
                (Label(child(wanted[name].address, "type"), f"declared {declared} here"),),
                help=(f"declare `{wanted[name].role} {name} : {declared.with_support(BINARY)}`",),
            )


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'s' * (number != 1)}"


def assign(columns: Mapping[str, Type], variables: list[str]) -> dict[str, str]:
    """Variables with their columns: by name first, then the rest in order."""
    found = {name: name for name in variables if name in columns}
    rest = iter([name for name in columns if name not in found])
    for name in variables:
        if name not in found and (column := next(rest, None)) is not None:
            found[name] = column
    return {name: found[name] for name in variables if name in found}


def fits(column: Type, declared: Type) -> bool:
    """Whether every row of the column is a value of the declared type."""
    return column.shape == declared.shape and _within(column.support, declared.support)


def _within(column: Support, declared: Support) -> bool:
    if column.kind is declared.kind is SupportKind.SIMPLEX:
        return True
    return declared.contains(column)


def _mismatch(source: str, variable: VariableNode, declared: Type, column: Type, at: str) -> Diagnostic:
    redeclared = f"declare `{variable.role} {variable.name} : {column}`"
    if column.support.kind is SupportKind.INTEGER and declared.support.continuous:
        redeclared += " and begin the flow with `dequantize(uniform)`"
    return Diagnostic(
        "DGM804",
        f"the data give {column} where `{variable.name}` is {declared}",
        at,
        f"`{source}` gives {column}",
        (Label(child(variable.address, "type"), f"declared {declared} here"),),
        help=(redeclared,),
    )
