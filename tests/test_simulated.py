"""Training on rows that a callable draws: a simulator's pairs, without end."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import dgmspec
from dgmspec.core.types import REAL, Type, category
from dgmspec.runtime.data import DataError, Simulator
from dgmspec.runtime.feed import SimulatedFeed
from dgmspec.runtime.rundir import RunError
from dgmspec.runtime.steps import Steps
from dgmspec.runtime.train import Run, resume_run

SPEC = """dgm 1
model NPE {
    observe theta : real[2]
    given x : real[3]
    latent z : real[2] ~ normal(0, 1)
    flow z -> theta | x {
        coupling(affine, mask = half, net = mlp(8))
        coupling(affine, mask = alternate(1), net = mlp(8))
    }
    loss = nll
}
train NPE { steps = 20; batch = 32; standardize = true; validate = holdout(0.2, every = 10) }
"""
A = torch.tensor([[1.0, 0.0], [0.5, 1.0], [0.0, 2.0]])


def pairs(n: int, generator: torch.Generator) -> dict[str, Tensor]:
    """θ normal about 100, and x = A θ + noise."""
    theta = 100 + 10 * torch.randn(n, 2, generator=generator)
    return {"theta": theta, "x": theta @ A.T + torch.randn(n, 3, generator=generator)}


def stream(n: int, generator: torch.Generator) -> Iterator[dict[str, Any]]:
    """The same as batches of an iterator, drawn by numpy."""
    numbers = np.random.default_rng(generator.initial_seed())
    while True:
        theta = 100 + 10 * numbers.normal(size=(n, 2))
        yield {"theta": theta, "x": theta @ A.numpy().T + numbers.normal(size=(n, 3))}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A short run on the simulator."""
    return dgmspec.train(dgmspec.parse(SPEC), data=pairs, out=tmp_path_factory.mktemp("runs") / "r")


def test_a_run_draws_its_own_rows(finished: Run) -> None:
    report = finished.report
    assert report["simulated"] == {"training_rows": 20 * 32, "validation_rows": 4 * 32}
    assert report["test"]["rows"] == 4 * 32 and math.isfinite(report["test"]["nll_nats"])
    assert "simulated 640 training rows; each validation on 128 others" in finished.summary()
    # Scales are those of the first rows of the training, which are the rows of its first steps.
    simulator = Simulator(pairs, {n: finished.model.type_of(n) for n in ("theta", "x")}, 32, 0)
    rows = simulator.table("training", 20).whole()
    state = finished.model.state_dict()
    mean = state["NPE/theta/standardize/mean"].double().numpy()
    np.testing.assert_allclose(mean, rows["theta"].mean(0, dtype=np.float64), rtol=1e-5)
    first = next(SimulatedFeed(finished.model, simulator.table("training", 1)).walk(0, 1))
    assert np.array_equal(first["x"], rows["x"][:32])


def test_held_out_rows_are_others_and_stay_the_same(finished: Run) -> None:
    types = {n: finished.model.type_of(n) for n in ("theta", "x")}
    simulator = Simulator(pairs, types, 32, 0)
    parts = [simulator.table(name, 4).whole()["x"] for name in ("training", "validation", "test")]
    assert len(np.unique(np.concatenate(parts), axis=0)) == 3 * 4 * 32
    figures = dgmspec.evaluate(finished.path, data=pairs)
    assert figures["nll_nats"] == pytest.approx(finished.report["test"]["nll_nats"], rel=1e-6)
    assert dgmspec.evaluate(finished.path, data=pairs, seed=5)["nll_nats"] != figures["nll_nats"]
    with pytest.raises(RunError, match="leave `whole` out"):
        dgmspec.evaluate(finished.path, data=pairs, whole=True)


@pytest.mark.parametrize("simulate", [pairs, stream])
def test_a_stopped_run_goes_on_with_the_rows_that_would_have_come(
    simulate: Any, finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, step = dgmspec.parse(SPEC), Steps.step
    whole = finished if simulate is pairs else dgmspec.train(spec, data=simulate, out=tmp_path / "whole")

    def stopping(self: Any, rows: Any) -> Tensor:
        loss = step(self, rows)
        if self.fit.step == 13:
            raise KeyboardInterrupt
        return loss

    with monkeypatch.context() as patched:
        patched.setattr(Steps, "step", stopping)
        with pytest.raises(KeyboardInterrupt):
            dgmspec.train(spec, data=simulate, out=tmp_path / "r")
    with pytest.raises(RunError, match="a callable given from Python; give the same again"):
        resume_run(tmp_path / "r")
    resumed = resume_run(tmp_path / "r", data=simulate)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name
    assert resumed.report["test"] == whole.report["test"]


def test_every_process_takes_its_part_of_the_batch(finished: Run) -> None:
    simulator = Simulator(pairs, {n: finished.model.type_of(n) for n in ("theta", "x")}, 32, 0)
    feed = SimulatedFeed(finished.model, simulator.table("training", 1))
    whole = list(feed.walk(3, 6))
    parts = [list(feed.walk(3, 6, offset, share)) for offset, share in ((0, 10), (10, 22))]
    for batch, first, second in zip(whole, *parts, strict=True):
        torch.testing.assert_close(batch["x"], torch.cat([first["x"], second["x"]]))


TYPES = {"x": Type(REAL, (2,)), "k": Type(category(3))}


def given(**columns: Any) -> Any:
    """A callable whose second batch is these columns."""
    good = {"x": np.zeros((4, 2)), "k": np.ones(4)}
    counted = iter((good, {**good, **columns}))
    return lambda n, generator: next(counted)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"x": np.array([[0, 0], [0, np.nan], [0, 0], [0, 0]])}, "row 1, column [1] of `x` is missing (NaN)"),
        ({"x": np.zeros((4, 3))}, "`x` is declared real[2], shape [2], but its data have the shape [3] a row"),
        ({"k": np.array([0, 1, 2, 3])}, "row 3 of `k` is 3, outside the labels 0..2"),
        ({"y": np.zeros(4)}, "the model has no data variable `y`"),
        ({"x": np.zeros((3, 2)), "k": np.ones(3)}, "it has 3 rows (help: give the 4 rows"),
        ({"k": np.ones(3)}, "one common number of rows"),
        ({"k": ["a", "b", "c", "d"]}, "are not numbers"),
    ],
)
def test_a_wrong_batch_is_named(columns: Any, said: str) -> None:
    with pytest.raises(DataError, match="batch 2 of the training: .*" + re.escape(said)):
        Simulator(given(**columns), TYPES, 4, 0).table("training", 2).whole()


def test_wrong_callables_are_named(tmp_path: Path) -> None:
    def missing(n: int, generator: torch.Generator) -> dict[str, Any]:
        return {"x": np.zeros((n, 2))}

    def ending(n: int, generator: torch.Generator) -> Iterator[dict[str, Any]]:
        yield {"x": np.zeros((n, 2)), "k": np.zeros(n)}

    for simulate, said in (
        (missing, "batch 1 of the training: there are no data for `k`"),
        (ending, "end before batch 2 of the training"),
        (lambda n, generator: (np.zeros(n), np.zeros(n)), "batch 1 of the training is a tuple, no dict"),
    ):
        with pytest.raises(DataError, match=said):
            Simulator(simulate, TYPES, 4, 0).table("training", 2).whole()
    with pytest.raises(DataError, match="cannot be called with two arguments"):
        Simulator(lambda n: {}, TYPES, 4, 0)  # type: ignore[arg-type, misc]
    spec = dgmspec.parse(SPEC.replace("steps = 20", "epochs = 2"))
    with pytest.raises(RunError, match="without end: write `steps"):
        dgmspec.train(spec, data=pairs, out=tmp_path / "r")
