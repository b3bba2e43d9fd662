"""The rows of a run: its data opened, split by the seed, and where they came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dgmspec.core.diagnostics import Diagnostic
from dgmspec.graph.plans import TrainPlan
from dgmspec.modules.compiled import CompiledModel
from dgmspec.ops.data import AbstractFile, AbstractToy
from dgmspec.ops.training import Holdout
from dgmspec.runtime.data import (
    AbstractTable,
    DataError,
    FromPython,
    Places,
    Simulator,
    from_arrays,
    mean_weight,
    open_source,
    precision,
)
from dgmspec.runtime.report import Toy
from dgmspec.runtime.rundir import RunError

__all__ = ["Parts", "open_parts"]

DRAWN_ROWS: Final = 10_000
"""Of rows that a callable draws, the first so many (in whole batches) give statistics, and as many are held out at most
for validation and for the test."""


@dataclass(frozen=True)
class Parts:
    """The rows for training, for validation and for the one test at the end; None where there is no such part.

    `toy` says which known density the rows follow, if one: the test is then the gap to it on fresh points. `remarks`
    are warnings about the rows.
    """

    train: AbstractTable | None = None
    validation: AbstractTable | None = None
    test: AbstractTable | None = None
    toy: Toy | None = None
    remarks: tuple[Diagnostic, ...] = ()


def open_parts(
    model: CompiledModel,
    plan: TrainPlan,
    data: FromPython | None,
    places: Places | None = None,
    whole: bool = False,
) -> Parts:
    """The parts of a plan's data, or of those given in their place; no rows where the loss draws its own points.

    `places` says where the files of the data lie; `whole`, that all rows are for the test.
    """
    read = precision(model.dtype)
    reads = model.program("loss").events
    if callable(data):
        return _simulated(Simulator(data, reads, plan.batch, plan.seed, read, plan.weights), plan, whole)
    if data is not None:
        arrays = {name: array for name, array in data.items() if name not in model.empirical}
        given = from_arrays(arrays, reads, read, plan.weights)
        return Parts(test=given) if whole else _split(given, plan, None)
    if not reads:
        return Parts()
    if plan.data is None:
        names = ", ".join(f"`{name}`" for name in reads)
        raise DataError(
            "DGM853",
            f"training {model.graph.name} needs data for {names}",
            "write `data = …` in the train block, or pass arrays: `train(spec, data={'x': array})`, or what draws them",
        )
    reads_folder = isinstance(plan.data, AbstractFile) and plan.data.reads_folder
    context = (places or Places()).context(plan.data_name, _seed(plan), reads_folder, read)
    opened = open_source(plan.data.name, plan.data.arguments(), reads, context, plan.weights)
    return Parts(test=opened) if whole else _split(opened, plan, _toy(model, plan))


def _seed(plan: TrainPlan) -> int:
    """The seed of the data's own draws: theirs, or the run's."""
    own = getattr(plan.data, "seed", None)
    return plan.seed if own is None else int(own)


def _toy(model: CompiledModel, plan: TrainPlan) -> Toy | None:
    """The known density that the only observed variable follows."""
    if not isinstance(plan.data, AbstractToy) or len(model.observed) != 1 or model.givens:
        return None
    constants = {name: value for name, value in plan.data.arguments().items() if name != "n"}
    return Toy(plan.data.name, constants, _seed(plan))


def _simulated(simulator: Simulator, plan: TrainPlan, whole: bool) -> Parts:
    """The first rows that training draws, and others that are held out: the share that `holdout` says of all that
    training draws, up to `DRAWN_ROWS`."""
    if plan.steps is None:
        raise RunError(
            f"`epochs` counts passes over rows, and a callable gives rows without end: write `steps = …` in the train "
            f"block of {plan.model}"
        )
    if whole:
        raise RunError("a callable gives rows without end, so there are no whole rows to test on: leave `whole` out")
    most = max(1, DRAWN_ROWS // plan.batch)
    train = simulator.table("training", min(plan.steps, most))
    if not isinstance(plan.validate, Holdout):
        return Parts(train)
    held, steps = plan.validate.fraction, plan.steps
    validation, test = (
        simulator.table(name, max(1, min(round(share * steps), most)))
        for name, share in (("validation", held), ("test", plan.validate.test or held))
    )
    return Parts(train, validation, test)


def _split(data: AbstractTable, plan: TrainPlan, toy: Toy | None) -> Parts:
    """Training, validation and test rows; a toy set needs no test rows."""
    if not isinstance(plan.validate, Holdout):
        return Parts(train=data, toy=toy, remarks=data.remarks)
    held = plan.validate.fraction
    tested = 0.0 if toy else plan.validate.test or held
    if held + tested >= 1:
        raise DataError(
            "DGM851",
            f"holding out {held:g} of the rows, and {tested:g} for the test, leaves none to train on",
            "hold out a smaller fraction: `holdout(0.1)`",
        )
    fractions = [1 - held - tested, held, *([tested] if tested else [])]
    train, validation, *test = parts = data.split(fractions, plan.seed)
    for part, name in zip(parts, ("training", "validation", "test"), strict=False):
        if not part.streams:  # what streams is looked at when it is read
            mean_weight(part, f"the {name} rows")
    return Parts(train, validation, test[0] if test else None, toy, data.remarks)
