"""Runs that survive: kills at any instant, losses that are no numbers, full disks, files that are not theirs."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import dgmspec
from dgmspec.runtime import loop as looping
from dgmspec.runtime.interrupts import ONE_REQUEST, Interrupted, Interrupts, resumable
from dgmspec.runtime.rundir import RunDirectory, RunError
from dgmspec.runtime.steps import Steps
from dgmspec.runtime.train import resume_run
from tests.workers import finish, start, until

FLOW = """
dgm 1
model M {
    observe x : real[2]
    latent z : real[2] ~ normal(0, 1)
    flow x -> z {
        actnorm
        repeat 2 as k { coupling(affine, mask = alternate(k), net = mlp(8, dropout = 0.2)) }
    }
    loss = nll
}
train M {
    data = npy("x.npy")
    steps = 200
    batch = 64
    optimizer = adam(lr = 5e-3)
    schedule = cosine(warmup = 5)
    clip = 1.0
    ema = 0.9
    validate = holdout(0.2, every = 10)
}
"""


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The spec in a folder with its data."""
    folder = tmp_path_factory.mktemp("spec")
    rows = np.random.default_rng(0).normal(size=(500, 2)).cumsum(1)
    np.save(folder / "x.npy", rows.astype(np.float32))
    (folder / "m.dgm").write_text(FLOW)
    return folder / "m.dgm"


@pytest.fixture(scope="module")
def whole(spec: Path) -> Path:
    """The run that nothing disturbs."""
    out = spec.parent / "whole"
    finish(start(spec.parent / "log", "train", spec, "--out", out), spec.parent / "log")
    return out


# ---- killed ---------------------------------------------------------------------------------------------------------


def going_on(spec: Path, out: Path) -> tuple[str | Path, ...]:
    """The command that starts a run, or goes on with it."""
    return ("train", "--resume", out) if (out / "config.json").exists() else ("train", spec, "--out", out)


def same(run: Path, whole: Path) -> None:
    """Both runs ended alike, bit for bit; only the clock may differ."""
    for name in ("checkpoints/last.safetensors", "checkpoints/best.safetensors", "model/weights.safetensors"):
        found, expected = load_file(run / name), load_file(whole / name)
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert torch.equal(found[key], value), (name, key)
    timeless = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in RunDirectory(path).metrics()]
        for path in (run, whole)
    ]
    assert timeless[0] == timeless[1] and len(timeless[0]) == 20
    reports = [json.loads((path / "report.json").read_text()) for path in (run, whole)]
    assert all(reports[0][key] == reports[1][key] for key in ("test", "steps", "best_step", "validation", "loss"))


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_a_killed_run_goes_on_bit_for_bit(spec: Path, whole: Path, tmp_path: Path) -> None:
    out, log = tmp_path / "r", tmp_path / "log"
    moments: tuple[Callable[[], bool], ...] = (
        (out / "checkpoints" / "last.safetensors.part").exists,
        lambda: "\n100.0," in read(out / "metrics.csv"),
    )
    for moment in moments:
        process = start(log, *going_on(spec, out), often=True)
        until(process, moment)
        process.kill()
        finish(process, log, -signal.SIGKILL)
    finish(start(log, *going_on(spec, out)), log)
    same(out, whole)


SAVING_OFTEN = (
    "import sys, dgmspec.runtime.loop as l; l.SAVE_SECONDS = 0.0; from dgmspec.cli import run; sys.exit(run())"
)


@pytest.mark.slow
def test_twenty_kills_at_random_instants(spec: Path, whole: Path, tmp_path: Path) -> None:
    """Of real command lines, some as they are and some saving at every reading: anywhere from the first instant on, and
    while a given file is being written."""
    generator, met = random.Random(0), 0
    while met < 20:
        out = tmp_path / f"r{met}"
        while not (out / "report.json").exists():
            process = _real(going_on(spec, out), often=generator.random() < 0.8)
            _wait(process, out, generator)
            met += process.poll() is None
            process.kill()
            _, errors = process.communicate(timeout=300)
            assert process.returncode in (0, -signal.SIGKILL), errors.decode()
            if met >= 20:
                break
        if not (out / "report.json").exists():
            last = _real(going_on(spec, out), often=False)
            _, errors = last.communicate(timeout=300)
            assert last.returncode == 0, errors.decode()
        same(out, whole)


def _real(arguments: tuple[Any, ...], often: bool) -> subprocess.Popen[bytes]:
    """A command line as a user's; one that saves `often` reads its arguments in the same way."""
    start = ["-c", SAVING_OFTEN] if often else ["-m", "dgmspec"]
    command = [sys.executable, *start, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)


def _wait(process: subprocess.Popen[bytes], out: Path, generator: random.Random) -> None:
    """Until a random instant: of the whole, after the folder is there, or while a file is being written."""
    names = ("checkpoints/last.safetensors.part", "checkpoints/best.safetensors.part", "config.json.part", "")
    seen = out / generator.choice(names)
    before = read(out / "metrics.csv")
    if generator.random() < 0.2:
        time.sleep(generator.uniform(0, 10))
        return
    skipped = generator.randrange(8)
    while process.poll() is None and skipped >= 0:
        if seen.exists() and (seen != out or read(out / "metrics.csv") != before):
            skipped -= 1
        time.sleep(0.002)
    time.sleep(generator.choice((0, generator.uniform(0, 0.2))))


# ---- numbers that are none ------------------------------------------------------------------------------------------


def rows(count: int = 300) -> dict[str, Any]:
    return {"x": np.random.default_rng(0).normal(size=(count, 2)).astype(np.float32)}


def small(old: str = "", new: str = "") -> dgmspec.Spec:
    """The model on arrays, with a change to its text."""
    text = FLOW.replace('    data = npy("x.npy")\n', "").replace("steps = 200", "steps = 60")
    assert old in text
    return dgmspec.parse(text.replace(old, new))


def test_a_loss_that_is_no_number_is_traced_to_its_step_its_term_and_its_contribution(tmp_path: Path) -> None:
    spec = small("adam(lr = 5e-3)", "sgd(lr = 1e30)")
    spec = dgmspec.parse(spec.text().replace("clip = 1.0", ""))
    with pytest.raises(RunError) as raised:
        dgmspec.train(spec, data=rows(), out=tmp_path / "r")
    assert re.fullmatch(
        r"the loss became \S+ at step 2, in the term `nll`, first in the log-determinant of `coupling\(affine, .*\)` "
        r"\(M/x->z/1\[k=0\]/0, run forward\), in \d+ of 64 rows\n"
        r"kept in .*/checkpoints: last\.safetensors \(step 0\)\n"
        r"train anew with a lower learning rate than 1e\+30, or `clip = 1.0`; .* data",
        str(raised.value),
    )
    assert RunDirectory(tmp_path / "r").load_checkpoint("last")[1]["step"] == 0


@pytest.mark.parametrize("saving", [0.0, 60.0])
def test_the_steps_since_the_checkpoint_are_done_again(
    saving: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One row is far out; it is drawn at a step which the trace finds, however long ago a checkpoint was written."""
    monkeypatch.setattr(looping, "SAVE_SECONDS", saving)
    data = rows()
    data["x"][7] = 3e38
    plan = small("    clip = 1.0\n", "")
    with pytest.raises(RunError, match=r"at step \d+, in the term `nll`, first in the log-") as raised:
        dgmspec.train(
            dgmspec.parse(plan.text().replace("actnorm", "elementwise(affine)")), data=data, out=tmp_path / "r"
        )
    assert "in 1 of 64 rows" in str(raised.value)
    tensors, counters = RunDirectory(tmp_path / "r").load_checkpoint("last")
    assert all(bool(torch.isfinite(value).all()) for value in tensors.values() if value.is_floating_point())
    assert counters["step"] in (0, 10, 20, 30, 40, 50)


def test_a_gradient_that_is_no_number_is_told_from_a_loss(tmp_path: Path) -> None:
    """The loss of a net's output is finite where its derivative is not: sqrt at 0."""
    spec = dgmspec.parse(
        "dgm 1\nmodel R { observe x : real[1]\n given c : real[1]\n latent z : real[1] ~ normal(0, 1)\n"
        "flow x -> z | sqrt(abs(c * w)) { elementwise(affine, net = mlp(4)) }\n learn w : real = 1\n loss = nll }\n"
        "train R { steps = 5; batch = 8 }"
    )
    data = {"x": np.ones((8, 1)), "c": np.zeros((8, 1))}
    with pytest.raises(RunError, match=r"the loss of step 1 is [\d.]+, but its gradient is not finite, first at `R/w`"):
        dgmspec.train(spec, data=data, out=tmp_path / "r")


WILD = """dgm 1
model Prey {
    observe x : real[2]
    latent z : real[2] ~ normal(0, 1)
    sde x -> z over t in 0..5 {
        drift(x, t) = [x[0] * (1 - x[1]), x[1] * (x[0] - 1)]
        diffusion(t) = 0.3
        learn score(x, t) = mlp(4)
        solver = euler_maruyama(steps = 8)
    }
    loss = ism
}
train Prey { steps = 3; batch = 32; optimizer = adam(lr = 1e-4) }
"""


def test_a_process_that_leaves_the_numbers_is_named_with_what_to_do(tmp_path: Path) -> None:
    """Far out, steps that are too long send populations away."""
    data = {"x": 3 + np.abs(rows(64)["x"])}
    with pytest.raises(RunError) as raised:
        dgmspec.train(dgmspec.parse(WILD), data=data, out=tmp_path / "r")
    assert re.fullmatch(
        r"the loss became \S+ at step 1, in the term `ism`, first along `Prey/x->z`: the process by 8 steps of "
        r"euler_maruyama leaves the numbers, after \|x\| = \S+, at t = [\d.]+ in row \d+\n"
        r"kept in .*/checkpoints: last\.safetensors \(step 0\)\n"
        r"give its `solver` more `steps`, which are too long for what the drift does there; .* data within bounds",
        str(raised.value),
    )


# ---- disks ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 96 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", place], check=False).returncode
    ):
        pytest.skip("only root may mount a disk")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_is_said_and_nothing_is_lost(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looping, "SAVE_SECONDS", 0.0)
    reading = looping.Loop.read

    def filling(self: Any, *rest: Any) -> None:
        if self.fit.step == 30:
            with suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as file:
                for _ in range(100):
                    file.write(b"\0" * 4096)
        reading(self, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(looping.Loop, "read", filling)
        with pytest.raises(
            RunError, match=r"(?s)cannot write .*No space left on device; .*go on with\n    dgmspec train --resume"
        ):
            dgmspec.train(small(), data=rows(), out=small_disk / "r")
    assert not list((small_disk / "r").rglob("*.part"))
    assert RunDirectory(small_disk / "r").load_checkpoint("last")[1]["step"] == 20
    with pytest.raises(RunError, match="No space left on device"):
        resume_run(small_disk / "r", data=rows())
    (small_disk / "filler").unlink()
    shutil.copytree(small_disk / "r", small_disk.parent / "moved")
    whole = dgmspec.train(small(), data=rows(), out=small_disk.parent / "whole")
    resumed = resume_run(small_disk.parent / "moved", data=rows())
    assert resumed.report["test"] == whole.report["test"]


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot write to .*file/r: Not a directory; choose another folder with --out"):
        dgmspec.train(small(), data=rows(), out=tmp_path / "file" / "r")


# ---- files that are not the run's -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was interrupted."""
    out = tmp_path_factory.mktemp("stopped") / "r"
    stopping_at(small(), out, 33)
    return out


def stopping_at(spec: dgmspec.Spec, out: Path, step: int) -> None:
    """Start a run on arrays and press ctrl-C in that step."""
    update = Steps.update

    def interrupted(self: Any) -> None:
        update(self)
        if self.fit.step == step:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Steps, "update", interrupted)
        with pytest.raises(Interrupted, match=rf"stopped at step {step} of 60; go on with\n    dgmspec train --resume"):
            dgmspec.train(spec, data=rows(), out=out)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def foreign(path: Path) -> None:
    save_file({"a": torch.zeros(2)}, path)


def later(path: Path) -> None:
    save_file(load_file(path), path, {"format": "dgmspec-checkpoint", "version": "7", "counters": "{}"})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, "last.safetensors is damaged: .*; put back a copy of it, or train anew"),
        (lambda path: path.write_bytes(b""), "last.safetensors is damaged"),
        (lambda path: path.write_bytes(b"\x10" + b"\0" * 7 + b"not a header"), "last.safetensors is damaged"),
        (foreign, "last.safetensors was not written by dgmspec; put back"),
        (later, "last.safetensors has format 7, and this release reads 1"),
        (Path.unlink, "has no checkpoint `last`; put back a copy of it, or train anew in another folder"),
    ],
)
def test_a_checkpoint_that_cannot_be_read(
    damage: Callable[[Path], Any], message: str, stopped: Path, tmp_path: Path
) -> None:
    shutil.copytree(stopped, tmp_path / "r")
    damage(tmp_path / "r" / "checkpoints" / "last.safetensors")
    before = {path: path.read_bytes() for path in (tmp_path / "r").rglob("*") if path.is_file()}
    with pytest.raises(RunError, match=message):
        resume_run(tmp_path / "r", data=rows())
    assert {path: path.read_bytes() for path in (tmp_path / "r").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("mlp(8", "mlp(9", r"another model or another training: `\S+` is \(8, 1\) there and \(9, 1\) here"),
        ("repeat 2", "repeat 3", r"another model or another training: it has no `\S+`"),
        ("repeat 2", "repeat 1", r"another model or another training: `\S+` has no place here"),
        ("precision = float32", "precision = float64", "is float32 there and float64 here"),
        ("ema = 0.9\n", "", "`average/.*` has no place here"),
    ],
)
def test_a_checkpoint_of_another_model(old: str, new: str, message: str, stopped: Path, tmp_path: Path) -> None:
    shutil.copytree(stopped, tmp_path / "r")
    bundle = tmp_path / "r" / "bundle.dgm"
    text = bundle.read_text()
    assert old in text
    bundle.write_text(text.replace(old, new))
    with pytest.raises(RunError, match=message):
        resume_run(tmp_path / "r", data=rows())


def test_folders_that_hold_no_run_or_one_of_a_later_release(stopped: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no folder of a dgmspec run"):
        resume_run(tmp_path)
    (tmp_path / "bundle.dgm").write_text("dgm 1\n")
    with pytest.raises(RunError, match="was stopped before it began: train anew with --out"):
        resume_run(tmp_path)
    shutil.copytree(stopped, tmp_path / "r")
    config = tmp_path / "r" / "config.json"
    config.write_text(config.read_text().replace('"format_version": 1', '"format_version": 9'))
    with pytest.raises(RunError, match="has run format 9, and this release reads 1: use the release"):
        resume_run(tmp_path / "r", data=rows())
    with pytest.raises(RunError, match="is not finished: go on with\n    dgmspec train --resume"):
        dgmspec.sample(stopped, 2)


def test_metrics_that_were_cut_short_are_mended(stopped: Path, tmp_path: Path) -> None:
    shutil.copytree(stopped, tmp_path / "r")
    with (tmp_path / "r" / "metrics.csv").open("a") as file:
        file.write("40.0,1.5,2.0,\n50.0,1.")
    run = resume_run(tmp_path / "r", data=rows())
    assert [row["step"] for row in RunDirectory(run.path).metrics()] == [10, 20, 30, 40, 50, 60]
    (run.path / "metrics.csv").unlink()  # nothing is left to train, and the rest is written again
    assert resume_run(run.path, data=rows()).report["loss"] is None
    (run.path / "metrics.csv").write_text("step,seconds,loss\n1,2,x\n")
    with pytest.raises(RunError, match=r"metrics.csv is damaged: .*; put back a copy of it"):
        resume_run(run.path, data=rows())


# ---- stopped --------------------------------------------------------------------------------------------------------


def test_a_second_stop_does_not_wait_and_saves_nothing() -> None:
    with Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)  # a launcher passes on what the terminal sent already
        interrupts.asked -= 2 * ONE_REQUEST
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert interrupts.forced


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
@pytest.mark.parametrize("spared", [False, True])
def test_a_closed_terminal_asks_for_a_stop_but_under_nohup(spared: bool) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if spared else signal.SIG_DFL)
    try:
        with Interrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGHUP)
            assert interrupts.pending is not spared
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_stop_that_nobody_saved_for_says_how_to_go_on() -> None:
    with pytest.raises(Interrupted, match="the last checkpoint is kept: go on with X"), resumable("go on with X"):
        raise KeyboardInterrupt
    with pytest.raises(Interrupted, match="stopped at step 3"), resumable("go on with X"):
        raise Interrupted("stopped at step 3")
