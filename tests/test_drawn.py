"""Samples written a chunk at a time: every form holds the same numbers, and a file appears when it is whole."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import dgmspec
from dgmspec.runtime import drawn as drawing
from dgmspec.runtime.drawn import Drawn, write_csv, write_samples
from dgmspec.runtime.processes import Processes
from dgmspec.runtime.rundir import RunError
from dgmspec.runtime.shares import rows_at_once

TWO = """
dgm 1
model T {
    observe x : real[2]
    observe y : integer(0..7)
    latent z : real[2] ~ normal(0, 1)
    latent w : real ~ normal(0, 1)
    flow x -> z { actnorm }
    flow y -> w { dequantize(uniform); logit }
    loss = nll(x) + nll(y)
}
"""


def drawn(monkeypatch: pytest.MonkeyPatch, count: int = 25, text: str = TWO) -> Drawn:
    monkeypatch.setattr(drawing, "CHUNK", 10)
    return Drawn(dgmspec.compile(dgmspec.parse(text)), count, 1, {}, Processes())


def test_every_form_holds_the_same_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = drawn(monkeypatch)
    expected = samples.model.sample(25, seed=1)
    assert [len(chunk["x"]) for chunk in samples.chunks()] == [10, 10, 5]
    write_samples(samples, tmp_path / "s.npz")
    found = np.load(tmp_path / "s.npz")
    np.testing.assert_array_equal(found["y"], expected["y"].long().numpy())
    torch.testing.assert_close(torch.from_numpy(found["x"]), expected["x"])
    write_samples(samples, tmp_path / "s.csv")
    lines = (tmp_path / "s.csv").read_text().splitlines()
    table = io.StringIO()
    write_csv(samples, table)
    assert lines == table.getvalue().splitlines() and lines[0] == "x[0],x[1],y" and len(lines) == 26
    np.testing.assert_allclose(np.array([line.split(",") for line in lines[1:]], float)[:, :2], found["x"], rtol=1e-6)
    with pytest.raises(RunError, match=r"\.npy holds one variable and there are 2"):
        write_samples(samples, tmp_path / "s.npy")
    assert {path.name for path in tmp_path.iterdir()} == {"s.npz", "s.csv"}


@pytest.mark.parametrize(("size", "rows"), [(2, 4096), (784, 1280), (12_288, 256)])
def test_fewer_rows_of_large_events_pass_at_once(size: int, rows: int) -> None:
    text = (
        f"dgm 1\nmodel M {{ observe x : real[{size}]; latent z : real[*] ~ normal(0, 1); flow x -> z {{ actnorm }} }}"
    )
    assert rows_at_once(dgmspec.compile(dgmspec.parse(text)), 4096) == rows


def test_an_array_grows_chunk_by_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = [line for line in TWO.replace(" + nll(y)", "").splitlines() if " y" not in line and " w " not in line]
    samples = drawn(monkeypatch, text="\n".join(kept))
    write_samples(samples, tmp_path / "s.npy")
    found = np.load(tmp_path / "s.npy")
    torch.testing.assert_close(torch.from_numpy(found), samples.model.sample(25, seed=1))


def test_a_disk_that_fills_leaves_the_file_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "s.csv").write_text("old")

    def failing(self: Drawn, start: int, rows: int, contexts: Any) -> Any:
        if start:
            raise OSError(28, "No space left on device")
        return chunk(self, start, rows, contexts)

    chunk = Drawn._chunk
    monkeypatch.setattr(Drawn, "_chunk", failing)
    with pytest.raises(RunError, match=r"cannot write .*No space left on device"):
        write_samples(drawn(monkeypatch), tmp_path / "s.csv")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]
