"""Training: what a run leaves, that a stopped run goes on as if it had not stopped, and that mistakes are said."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import dgmspec
from dgmspec.graph.plans import lower_train
from dgmspec.runtime import train as training
from dgmspec.runtime.data import DataError
from dgmspec.runtime.interrupts import Interrupted
from dgmspec.runtime.likelihood import Validation
from dgmspec.runtime.processes import Processes
from dgmspec.runtime.rows import open_parts
from dgmspec.runtime.rundir import RunDirectory, RunError
from dgmspec.runtime.sample import sample
from dgmspec.runtime.steps import Steps
from dgmspec.runtime.train import Run, resume_run

FLOW = """
dgm 1
param width = 8
model M {
    observe x : real[2]
    latent z : real[2] ~ normal(0, 1)
    flow x -> z {
        actnorm
        repeat 2 as k { coupling(affine, mask = alternate(k), net = mlp(width, dropout = 0.2)) }
    }
    loss = nll
}
train M {
    data = two_moons(n = 2_000)
    steps = 80
    batch = 64
    optimizer = adam(lr = 5e-3)
    schedule = cosine(warmup = 5)
    clip = 1.0
    ema = 0.9
    validate = holdout(0.2, every = 20)
}
"""

LEVELS = """
dgm 1
model L {
    observe x : integer(0..3)[4]
    given c : category(3)
    latent z : real[4] ~ normal(0, 1)
    flow x -> z | c { dequantize(uniform); logit; coupling(affine, mask = half, net = mlp(8)) }
    loss = nll
}
train L { steps = 30; batch = 32; validate = holdout(0.1, every = 10) }
"""

TARGET = """
dgm 1
model T {
    latent z : real[2] ~ normal(0, 1)
    observe x : real[2] ~ exp(-dot(x, x) / 8)
    flow z -> x { linear(diagonal) }
    loss = reverse_kl
}
train T { steps = 300; batch = 64; optimizer = adam(lr = 2e-2) }
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A short run on a toy set."""
    return dgmspec.train(dgmspec.parse(FLOW), out=tmp_path_factory.mktemp("runs") / "flow")


def levels(rows: int = 300) -> dict[str, Any]:
    """Integer rows with labels."""
    generator = np.random.default_rng(0)
    label = generator.integers(3, size=rows)
    return {"x": (generator.integers(0, 2, size=(rows, 4)) + label[:, None]).clip(0, 3), "c": label}


# ---- what a run leaves ----------------------------------------------------------------------------------------------


def test_a_run_leaves_its_folder(finished: Run) -> None:
    names = {str(p.relative_to(finished.path)) for p in finished.path.rglob("*") if p.is_file()}
    assert {
        "bundle.dgm", "config.json", "metrics.csv", "checkpoints/last.safetensors", "checkpoints/best.safetensors",
        "model/weights.safetensors", "samples.png", "loss.png", "density.png", "report.json",
    } <= names  # fmt: skip
    assert not [name for name in names if name.endswith(".part")]
    rows = RunDirectory(finished.path).metrics()
    assert [row["step"] for row in rows if "validation" in row] == [20, 40, 60, 80]


def test_the_report_says_what_was_measured(finished: Run) -> None:
    report = json.loads((finished.path / "report.json").read_text())
    assert report == json.loads(json.dumps(finished.report))
    assert {"format_version", "model", "density", "seconds", "steps", "best_step", "parameters", "validation", "test",
            "baselines", "verdict", "versions"} <= report.keys()  # fmt: skip
    test = report["test"]
    assert test["gap_to_entropy_nats"] == pytest.approx(test["nll_nats"] - test["entropy_nats"])
    assert test["bits_per_dim"] == pytest.approx(test["nll_nats"] / (2 * np.log(2)))
    assert finished.failure is None
    assert f"{test['gap_to_entropy_nats']:.4f} ± {test['gap_stderr']:.4f}" in finished.summary()


def test_the_model_read_back_is_the_selected_one(finished: Run) -> None:
    x = torch.randn(50, 2)
    found = dgmspec.load_model(finished.path / "model").log_prob(x)
    torch.testing.assert_close(found, finished.model.log_prob(x), rtol=0, atol=0)
    again = dgmspec.evaluate(finished.path)
    assert again == pytest.approx({"density": "exact", **finished.report["test"]})


def test_the_bundle_says_everything_and_compiles_to_the_same_model(finished: Run) -> None:
    text = (finished.path / "bundle.dgm").read_text()
    assert "affine(clamp = 5.0)" in text and "precision = float32" in text and "seed = 0" in text
    bundle = dgmspec.parse(text)
    assert bundle.text() == text
    plain, full = dgmspec.compile(dgmspec.parse(FLOW), seed=3), dgmspec.compile(bundle, seed=3)
    assert {k: v.tolist() for k, v in plain.state_dict().items()} == {
        k: v.tolist() for k, v in full.state_dict().items()
    }
    plan, _ = lower_train(bundle, bundle.items[-1])
    first, _ = lower_train(dgmspec.parse(FLOW), dgmspec.parse(FLOW).items[-1])
    assert plan is not None and first is not None
    assert {k: v for k, v in vars(plan).items() if k != "written"} == {
        k: v for k, v in vars(first).items() if k != "written"
    }


def test_overrides_reach_the_bundle(tmp_path: Path) -> None:
    run = dgmspec.train(dgmspec.parse(FLOW), out=tmp_path / "r", params={"width": 4}, seed=7)
    text = (run.path / "bundle.dgm").read_text()
    assert "param width = 4" in text and "seed = 7" in text


def test_samples_do_not_depend_on_the_batch(finished: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = sample(finished.path, 700, seed=3)
    monkeypatch.setattr("dgmspec.runtime.drawn.CHUNK", 100)
    torch.testing.assert_close(sample(finished.path, 700, seed=3), whole)
    torch.testing.assert_close(sample(finished.path, 50, seed=3), whole[:50])


# ---- data -----------------------------------------------------------------------------------------------------------


def test_integers_with_labels_are_tested_beside_baselines(tmp_path: Path) -> None:
    run = dgmspec.train(dgmspec.parse(LEVELS), data=levels(), out=tmp_path / "r")
    assert run.report["test"]["rows"] == 30 and run.report["test"]["dequantisations"] == 10
    assert run.report["baselines"].keys() == {"histogram", "mixture", "gaussian"}
    assert run.report["density"] == "lower bound"
    assert all(name in run.summary() for name in ("histogram", "mixture", "gaussian"))
    with pytest.raises(RunError, match="arrays given from Python"):
        dgmspec.evaluate(run.path)
    again = dgmspec.evaluate(run.path, data=levels())
    assert again == pytest.approx({"density": "lower bound", **run.report["test"]})


def test_validation_and_test_take_the_same_share() -> None:
    spec = dgmspec.parse(LEVELS)
    model = dgmspec.compile(dgmspec.Spec(*spec.items[:1]))
    plan, _ = lower_train(spec, spec.items[1])
    parts = open_parts(model, plan, levels(1000))
    assert [part.rows for part in (parts.train, parts.validation, parts.test)] == [800, 100, 100]
    validate = Validation(model, parts.validation, 0, Processes())
    assert validate() == validate()


def test_a_loss_that_draws_its_own_points_needs_no_data(tmp_path: Path) -> None:
    run = dgmspec.train(dgmspec.parse(TARGET), out=tmp_path / "r")
    scale = run.model.sample(4000, seed=0).std(0)
    torch.testing.assert_close(scale, torch.full((2,), 2.0), rtol=0.1, atol=0)
    assert run.report["test"] == {} and run.report["loss"] < 0.2


def test_what_is_no_spec_or_no_data_is_said(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"train takes a Spec, not str: read one by dgmspec.load\(path\)"):
        dgmspec.train("m.dgm")  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"not ndarray .*data=\{'x': array\}"):
        dgmspec.train(dgmspec.parse(FLOW), data=np.zeros((8, 2)), out=tmp_path / "r")  # type: ignore[arg-type]


def test_wrong_data_are_refused(tmp_path: Path) -> None:
    spec = dgmspec.parse(LEVELS)
    with pytest.raises(DataError, match="DGM852"):
        dgmspec.train(spec, data=levels() | {"c": np.full(300, 3)}, out=tmp_path / "a")
    with pytest.raises(DataError, match="DGM851"):
        dgmspec.train(spec, data=levels() | {"x": np.zeros((300, 5))}, out=tmp_path / "b")
    with pytest.raises(DataError, match="DGM853"):
        dgmspec.train(spec, data={"x": levels()["x"]}, out=tmp_path / "c")
    with pytest.raises(DataError, match="leaves none to train on"):
        dgmspec.train(dgmspec.parse(LEVELS.replace("holdout(0.1", "holdout(0.5")), data=levels(), out=tmp_path / "d")
    with pytest.raises(DataError, match="DGM853"):
        dgmspec.train(spec, out=tmp_path / "e")
    assert not list(tmp_path.iterdir())


# ---- stopping and going on ------------------------------------------------------------------------------------------


def interrupting(at: int) -> Any:
    """Progress that asks the process to stop once `at` steps are done."""

    class Reporter:
        def advance(self, done: int, **figures: float) -> None:
            if done >= at:
                os.kill(os.getpid(), signal.SIGINT)

    @contextmanager
    def show(label: str, total: int, visible: bool = True) -> Iterator[Reporter]:
        yield Reporter()

    return show


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(
    finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.get_rng_state()
    with monkeypatch.context() as patched:
        patched.setattr(training, "show_progress", interrupting(20))
        with pytest.raises(Interrupted, match=r"stopped at step 20 of 80.*\n.*--resume"):
            dgmspec.train(dgmspec.parse(FLOW), out=tmp_path / "r")
    assert torch.equal(torch.get_rng_state(), generator)
    assert not (tmp_path / "r" / "report.json").exists()
    run = resume_run(tmp_path / "r")
    for name, value in finished.model.state_dict().items():
        assert torch.equal(run.model.state_dict()[name], value), name
    timeless = [{k: v for k, v in row.items() if k != "seconds"} for row in RunDirectory(run.path).metrics()]
    assert timeless == [
        {k: v for k, v in row.items() if k != "seconds"} for row in RunDirectory(finished.path).metrics()
    ]
    assert run.report["test"] == finished.report["test"]


def test_a_stop_between_readings_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = FLOW.replace("    validate = holdout(0.2, every = 20)\n", "")
    whole = dgmspec.train(dgmspec.parse(text), out=tmp_path / "whole")
    step = Steps.step

    def stopping(self: Any, rows: Any) -> torch.Tensor:
        loss = step(self, rows)
        if self.fit.step == 33:
            raise KeyboardInterrupt
        return loss

    with monkeypatch.context() as patched:
        patched.setattr(Steps, "step", stopping)
        with pytest.raises(Interrupted):
            dgmspec.train(dgmspec.parse(text), out=tmp_path / "r")
    run = resume_run(tmp_path / "r")
    assert run.report["steps"] == 80
    for name, value in whole.model.state_dict().items():
        assert torch.equal(run.model.state_dict()[name], value), name


def test_early_stopping_keeps_the_best(tmp_path: Path) -> None:
    text = FLOW.replace("steps = 80", "steps = 4_000; stop = patience(2)").replace("lr = 5e-3", "lr = 0.2")
    run = dgmspec.train(dgmspec.parse(text), out=tmp_path / "r")
    rows = [row for row in RunDirectory(run.path).metrics() if "validation" in row]
    best = min(rows, key=lambda row: row["validation"])
    assert run.report["steps"] == best["step"] + 40 < 4000
    assert run.report["best_step"] == best["step"] and run.report["validation"] == best["validation"]


# ---- settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "dtype"),
    [("precision = float64", torch.float64), ("precision = bf16", torch.float32), ("optimizer = adamw", torch.float32)],
)
def test_precisions_and_optimisers(setting: str, dtype: torch.dtype, tmp_path: Path) -> None:
    text = FLOW.replace("    optimizer = adam(lr = 5e-3)\n", "").replace("steps = 80", f"steps = 6; {setting}")
    run = dgmspec.train(dgmspec.parse(text.replace("n = 2_000", "n = 300")), out=tmp_path / "r")
    assert run.model.dtype is dtype and np.isfinite(run.report["test"]["nll_nats"])


def test_epochs_count_passes(tmp_path: Path) -> None:
    run = dgmspec.train(dgmspec.parse(LEVELS.replace("steps = 30", "epochs = 2")), data=levels(), out=tmp_path / "r")
    assert run.report["steps"] == 2 * (240 // 32)


def test_which_model_is_trained() -> None:
    spec = dgmspec.parse(FLOW)
    with pytest.raises(RunError, match="no train block"):
        dgmspec.train(dgmspec.Spec(*spec.items[:2]))
    with pytest.raises(RunError, match="trains no model `N`"):
        dgmspec.train(spec, model="N")


def test_a_folder_with_a_run_is_not_written_over(finished: Run) -> None:
    with pytest.raises(RunError, match="holds a run already"):
        dgmspec.train(dgmspec.parse(FLOW), out=finished.path)
