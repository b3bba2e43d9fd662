"""Columns whose spread drowns in the precision of the model: a warning that names the file and the column."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dgmspec import cli
from dgmspec.core.types import CIRCLE, POSITIVE, REAL, Type, integers
from dgmspec.runtime.data import Context, from_arrays, open_source

SINGLE = np.dtype(np.float32)
FAR = np.array([[0.0, 1e9 - 3], [1.0, 1e9 + 3], [0.5, 1e9]])


def messages(values: np.ndarray, type_: Type, read: np.dtype = SINGLE) -> list[str]:  # type: ignore[type-arg]
    return [found.message for found in from_arrays({"x": values}, {"x": type_}, read).remarks]


def test_a_column_is_named_with_its_range() -> None:
    assert messages(FAR, Type(REAL, (2,))) == [
        "column [1] of `x` runs from 999999997 to 1000000003, where the numbers of float32 are 64 apart"
    ]
    assert messages(FAR[:, 1], Type(POSITIVE))[0].startswith("`x` runs from")
    assert messages(FAR[:, [1, 1, 1]], Type(REAL, (3,)))[0].endswith("apart, and 2 more of `x` likewise")


@pytest.mark.parametrize(
    ("values", "type_", "read"),
    [
        (FAR, Type(REAL, (2,)), np.dtype(np.float64)),
        (np.full(3, 1e9), Type(REAL), SINGLE),  # has no spread to lose
        (np.arange(3) + 2**23, Type(integers(0, 2**24)), SINGLE),
        (np.array([3.0, 3.0001]), Type(CIRCLE), SINGLE),
        (np.array([20.0, 20.5]), Type(REAL), SINGLE),
        (np.array([1.0, 1e9, 1e9 + 1]), Type(REAL), SINGLE),
    ],
    ids=["float64", "constant", "integers", "angles", "fine", "wide"],
)
def test_others_are_taken_in_silence(values: np.ndarray, type_: Type, read: np.dtype) -> None:  # type: ignore[type-arg]
    assert not messages(values, type_, read)


@pytest.mark.parametrize("stream", [False, True])
def test_all_blocks_of_a_file_count(stream: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dgmspec.runtime.data.lines.BLOCK_BYTES", 64)
    monkeypatch.setattr("dgmspec.runtime.data.lines._CHUNK", 32)
    seconds = [1.7e9 + i for i in range(60)]
    for name, last in (("far", []), ("wide", [0.0])):
        rows = "".join(f"0.5,{value:.0f}\n" for value in [*seconds, *last])
        (tmp_path / f"{name}.csv").write_text(f"a,time\n{rows}")
    context = Context(folder=tmp_path, read=SINGLE)
    arguments = {"variables": (("x", ("a", "time")),), "stream": stream}
    far, wide = (
        open_source("csv", {"path": f"{name}.csv", **arguments}, {"x": Type(REAL, (2,))}, context)
        for name in ("far", "wide")
    )
    assert far.streams is stream
    assert [found.message for found in far.remarks] == [
        f"column `time` of {tmp_path}/far.csv runs from 1700000000 to 1700000059, where the numbers of float32 are "
        "128 apart"
    ]
    assert not wide.remarks


SPEC = """dgm 1
model M {
    observe x : real[2]
    latent z : real[2] ~ normal(0, 1)
    flow x -> z { actnorm }
    loss = nll
}
train M { data = csv("far.csv", x = ["a", "time"]); steps = 1; batch = 8 }
"""


def test_a_run_says_it_and_keeps_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f"{i % 7},{1_700_000_000 + i}\n" for i in range(40))
    (tmp_path / "far.csv").write_text(f"a,time\n{rows}")
    (tmp_path / "m.dgm").write_text(SPEC)
    assert cli.run(["train", str(tmp_path / "m.dgm"), "--out", str(tmp_path / "r")]) == 0
    shown = capfd.readouterr()
    assert "warning[DGM854]: column `time` of" in shown.err and "help: subtract an offset" in shown.err
    assert "warning[DGM854]: column `time` of" in shown.out
    (found,) = json.loads((tmp_path / "r" / "report.json").read_text())["warnings"]
    assert found["code"] == "DGM854" and "1700000039" in found["message"]
