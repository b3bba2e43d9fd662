"""Several processes: the same run as one process makes, to rounding."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dgmspec.runtime.rundir import RunDirectory
from tests.workers import finish, start, together, until

FLOW = """
dgm 1
model M {
    observe x : integer(0..7)[2]
    latent z : real[2] ~ normal(0, 1)
    flow x -> z {
        dequantize(uniform)
        logit
        actnorm
        autoregressive(affine, net = made(8))
        coupling(affine, mask = half, net = mlp(8))
    }
    loss = nll
}
train M {
    data = npy("x.npy", w = "w.npy")
    weights = "w"
    steps = 40
    batch = 63
    optimizer = adam(lr = 1e-2)
    schedule = cosine(warmup = 5)
    clip = 0.5
    ema = 0.9
    validate = holdout(0.2, every = 10)
    precision = float64
}
"""


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The spec in a folder with its data."""
    folder = tmp_path_factory.mktemp("spec")
    np.save(folder / "x.npy", np.random.default_rng(0).integers(0, 8, size=(500, 2)))
    np.save(folder / "w.npy", np.random.default_rng(1).exponential(size=500))
    (folder / "m.dgm").write_text(FLOW)
    return folder / "m.dgm"


@pytest.fixture(scope="module")
def alone(spec: Path) -> Path:
    """The run of one process."""
    out = spec.parent / "alone"
    finish(start(spec.parent / "log", "train", spec, "--out", out), spec.parent / "log")
    return out


def group(
    folder: Path, *arguments: str | Path, count: int = 2, codes: tuple[int, ...] = (0,), **environment: str
) -> list[str]:
    """Run a command line in several processes of one group; returns what each printed."""
    logs = [folder / f"log{rank}" for rank in range(count)]
    workers = [
        start(log, *arguments, environment={**told, **environment})
        for log, told in zip(logs, together(count), strict=True)
    ]
    return [finish(worker, log, *codes) for worker, log in zip(workers, logs, strict=True)]


def alike(run: Path, alone: Path, rounding: float = 1e-9) -> None:
    """The loss curves, the weights and the figures of both runs agree to rounding."""
    curves = [[(r["step"], r["loss"], r.get("validation")) for r in RunDirectory(p).metrics()] for p in (run, alone)]
    np.testing.assert_allclose(np.array(curves[0], float), np.array(curves[1], float), rtol=rounding)
    for name in ("checkpoints/last.safetensors", "model/weights.safetensors"):
        found, expected = load_file(run / name), load_file(alone / name)
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            torch.testing.assert_close(found[key], value, rtol=rounding, atol=rounding)
    reports = [json.loads((path / "report.json").read_text()) for path in (run, alone)]
    assert reports[0]["test"] == pytest.approx(reports[1]["test"], rel=rounding)
    assert reports[0]["best_step"] == reports[1]["best_step"]


VQ = """dgm 1
data rows = npy("x.npy")
model M {
    observe x : real[4]
    latent z : category(4)[2] ~ categorical(1)
    generate x | z ~ normal(mlp(8), 0.5)
    infer z | x ~ nearest(mlp(8), dim = 2, decay = 0.9, restart = 0.0)
    loss = elbo + vq(0.25)
}
train M { data = rows; steps = 12; batch = 30; precision = float64 }
"""


def test_codes_are_the_running_means_of_all_processes(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(90, 4)))
    (tmp_path / "m.dgm").write_text(VQ)
    finish(start(tmp_path / "log", "train", tmp_path / "m.dgm", "--out", tmp_path / "one"), tmp_path / "log")
    group(tmp_path, "train", tmp_path / "m.dgm", "--out", tmp_path / "two")
    one, two = (load_file(tmp_path / name / "model" / "weights.safetensors") for name in ("one", "two"))
    assert any(key.endswith("codes") for key in one)
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=1e-9, atol=1e-9)


def test_two_processes_make_the_run_of_one(spec: Path, alone: Path, tmp_path: Path) -> None:
    """A batch of 63 rows is divided into 31 and 32; draws, actnorm's start, clipping, the scale of the weights and
    validation are global."""
    printed = group(tmp_path, "train", spec, "--out", tmp_path / "r")
    alike(tmp_path / "r", alone)
    assert "40 steps" in printed[0] and "wrote" in printed[0] and not printed[1]


LONG = FLOW.replace("steps = 40", "steps = 4_000")


def running(folder: Path, spec: Path) -> tuple[list[Any], list[Path]]:
    """Two processes that train for long, once steps were read; with their logs."""
    (folder / "long.dgm").write_text(LONG)
    for name in ("x.npy", "w.npy"):
        (folder / name).write_bytes((spec.parent / name).read_bytes())
    logs = [folder / f"log{rank}" for rank in range(2)]
    workers = [
        start(log, "train", folder / "long.dgm", "--out", folder / "r", environment=told)
        for log, told in zip(logs, together(2), strict=True)
    ]
    until(workers[0], lambda: len(RunDirectory(folder / "r").metrics()) > 2)
    return workers, logs


def test_all_processes_stop_after_the_same_step_when_one_is_asked_to(spec: Path, tmp_path: Path) -> None:
    workers, logs = running(tmp_path, spec)
    os.kill(workers[1].pid, signal.SIGINT)
    printed = [finish(worker, log, 130) for worker, log in zip(workers, logs, strict=True)]
    _, counters = RunDirectory(tmp_path / "r").load_checkpoint("last")
    assert f"stopped at step {counters['step']} of 4000; go on with\n    dgmspec train --resume" in printed[0]
    assert counters["step"] > 20 and not printed[1]


@pytest.mark.slow
def test_a_process_that_ends_is_said_by_the_others(spec: Path, tmp_path: Path) -> None:
    workers, logs = running(tmp_path, spec)
    workers[1].kill()
    assert "another process of this run has ended; go on with\n    dgmspec train --resume" in finish(
        workers[0], logs[0], 2
    )
    assert RunDirectory(tmp_path / "r").load_checkpoint("last")[1]["step"] == 0


def test_weights_divided_among_processes_make_the_run_of_one(spec: Path, alone: Path, tmp_path: Path) -> None:
    """FSDP: masked weights keep their zeros where other tensors stand for them, and a stop gathers all parts."""
    group(tmp_path, "train", spec, "--out", tmp_path / "r", ACCELERATE_USE_FSDP="true")
    alike(tmp_path / "r", alone)


# ---- samples and figures --------------------------------------------------------------------------------------------


def test_samples_and_figures_of_two_processes_are_those_of_one(alone: Path, tmp_path: Path) -> None:
    """Chunks begin at the same samples, so that samples agree to the bit; three chunks are drawn in two rounds."""
    group(tmp_path, "sample", alone, "-n", "9000", "--seed", "3", "-o", tmp_path / "two.npz")
    log = tmp_path / "log"
    finish(start(log, "sample", alone, "-n", "9000", "--seed", "3", "-o", tmp_path / "one.npy"), log)
    one, two = np.load(tmp_path / "one.npy"), np.load(tmp_path / "two.npz")["x"]
    assert one.shape == (9000, 2) and one.dtype == np.int64 and np.array_equal(one, two)
    printed = group(tmp_path, "eval", alone, "--json")
    figures = json.loads(printed[0])["result"]
    report = json.loads((alone / "report.json").read_text())
    assert figures == pytest.approx({"density": report["density"], **report["test"]}) and not printed[1]
