"""Data that stream: the same rows, checks, splits and figures as in memory, and an order that resumes exactly."""

from __future__ import annotations

import gzip
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

import dgmspec
from dgmspec.core.types import REAL, Type, category, integers
from dgmspec.runtime.data import AbstractTable, Context, DataError, lines, open_source, streamed
from dgmspec.runtime.data import files as array_files
from dgmspec.runtime.data import images as image_files
from dgmspec.runtime.interrupts import Interrupted
from dgmspec.runtime.train import Run, resume_run

ROWS = 500
POINTS = np.random.default_rng(0).normal(size=(ROWS, 2))
KINDS = np.arange(ROWS) % 3
BOTH = {"x": Type(REAL, (2,)), "c": Type(category(3))}
MAPPED = (("x", ("px", "py")), ("c", "kind"))
LEVELS = {"x": Type(integers(0, 255), (1, 2, 3))}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few hundred bytes, and a few of them held at a time."""
    for module in (array_files, image_files, lines):
        monkeypatch.setattr(module, "BLOCK_BYTES", 700)
    monkeypatch.setattr(lines, "_CHUNK", 64)
    monkeypatch.setattr(streamed, "HELD_BYTES", 3000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The same rows in every format."""
    write_parts(tmp_path, POINTS)
    np.save(tmp_path / "x.npy", POINTS)
    np.save(tmp_path / "fortran.npy", np.asfortranarray(POINTS))
    np.save(tmp_path / "c.npy", KINDS)
    images = np.random.default_rng(1).integers(0, 256, size=(ROWS, 2, 3)).astype(np.uint8)
    header = bytes([0, 0, 8, 3]) + np.array(images.shape, ">u4").tobytes()
    (tmp_path / "images.idx").write_bytes(header + images.tobytes())
    (tmp_path / "images.gz").write_bytes(gzip.compress(header + images.tobytes()))
    (tmp_path / "png").mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "png" / f"{i:04}.png")
    return tmp_path


def write_parts(folder: Path, points: np.ndarray) -> None:
    """A CSV and a Parquet file, and both in three parts."""
    columns = {"px": points[:, 0], "note": ['a "quoted,\n" word'] * ROWS, "kind": KINDS, "py": points[:, 1]}
    for kind, bounds in {"events": [0, ROWS], "parts": [0, 100, 117, ROWS]}.items():
        for part, (start, stop) in enumerate(pairwise(bounds)):
            table = pa.table({name: list(column[start:stop]) for name, column in columns.items()})
            for ending in ("parquet", "csv"):
                inside = folder / (f"events.{ending}" if kind == "events" else f"{ending}/part-{part + 1}.{ending}")
                inside.parent.mkdir(exist_ok=True)
                if ending == "parquet":
                    parquet.write_table(table, inside, row_group_size=40)
                else:
                    rows = zip(*(table[name].to_pylist() for name in columns), strict=True)
                    quoted = '"a ""quoted,\n"" word"'
                    body = "".join(f"{a!r},{quoted},{k},{b!r}\n" for a, _, k, b in rows)
                    inside.write_text(",".join(columns) + "\n" + body)


SOURCES = {
    "csv": (BOTH, {"path": "events.csv", "variables": MAPPED}),
    "csv of parts": (BOTH, {"path": "csv/", "variables": MAPPED}),
    "parquet": (BOTH, {"path": "events.parquet", "variables": MAPPED}),
    "parquet of parts": (BOTH, {"path": "parquet/", "variables": MAPPED}),
    "npy": (BOTH, {"path": "x.npy", "variables": (("c", "c.npy"),)}),
    "npy by columns": ({"x": BOTH["x"]}, {"path": "fortran.npy"}),
    "idx": (LEVELS, {"path": "images.idx"}),
    "images": (LEVELS, {"path": "png"}),
}


def opened(folder: Path, case: str, stream: bool) -> AbstractTable:
    declared, arguments = SOURCES[case]
    return open_source(case.split()[0], {**arguments, "stream": stream}, declared, Context(folder=folder))


@pytest.mark.parametrize("case", SOURCES)
def test_a_stream_holds_the_rows_of_the_table_in_memory(case: str, folder: Path) -> None:
    whole, stream = opened(folder, case, False), opened(folder, case, True)
    assert stream.streams and not whole.streams
    assert len(whole.sizes) == 1 and len(stream.sizes) > 3
    assert stream.rows == whole.rows == ROWS
    assert stream.row_bytes == whole.row_bytes
    held, read = whole.whole(), stream.whole()
    for name in held.columns:
        assert np.array_equal(held[name], read[name]) and held[name].dtype == read[name].dtype
        assert np.array_equal(stream.head(70)[name], held[name][:70])
        batches = [batch[name] for batch in stream.batches(11)]
        assert max(map(len, batches)) <= 11 and np.array_equal(np.concatenate(batches), held[name])


def test_streams_are_split_into_disjoint_parts_by_the_seed(folder: Path) -> None:
    stream = opened(folder, "parquet of parts", True)
    parts = stream.split((0.7, 0.1, 0.2), seed=3)
    again = stream.split((0.7, 0.1, 0.2), seed=3)
    rows = [part.whole()["x"] for part in parts]

    assert all(part.streams for part in parts)
    assert [part.rows for part in parts] == [350, 50, 100]
    assert np.array_equal(np.sort(np.concatenate(rows), axis=0), np.sort(POINTS, axis=0))
    assert all(np.array_equal(a, b.whole()["x"]) for a, b in zip(rows, again, strict=True))
    assert not np.array_equal(rows[2], stream.split((0.7, 0.1, 0.2), seed=4)[2].whole()["x"])
    some = parts[0].sample(60, seed=0)
    assert some.rows == 60 and not some.streams
    assert np.isin(some["x"][:, 0], rows[0][:, 0]).all()


def test_small_blocks_share_out_their_rows(folder: Path) -> None:
    """Blocks of one row or two give every part its share all the same."""
    parquet.write_table(pa.table({"x": POINTS[:, 0]}), folder / "tiny.parquet", row_group_size=1)
    table = open_source("parquet", {"path": "tiny.parquet", "stream": True}, {"x": Type(REAL)}, Context(folder=folder))
    parts = table.split((0.5, 0.05, 0.45), seed=0)

    assert [part.rows for part in parts] == pytest.approx([250, 25, 225], abs=1)
    assert sum(part.rows for part in parts) == ROWS


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "memory"])
def test_a_bad_value_is_named_with_its_part_row_and_column(stream: bool, folder: Path) -> None:
    broken = POINTS.copy()
    broken[117 + 16, 1] = np.nan
    write_parts(folder, broken)
    for case, where in {
        "parquet of parts": f"row 17, column `py` of {folder / 'parquet' / 'part-3.parquet'}",
        "csv of parts": f"row 17, column `py` of {folder / 'csv' / 'part-3.csv'}",
        "parquet": f"row 134, column `py` of {folder / 'events.parquet'}",
    }.items():
        with pytest.raises(DataError) as error:
            opened(folder, case, stream)
        assert error.value.code == "DGM852"
        assert error.value.message.startswith(where) and error.value.message.endswith("is missing (NaN)")


def test_lines_are_counted_as_an_editor_counts_them(folder: Path) -> None:
    text = (folder / "events.csv").read_text().splitlines(keepends=True)
    text[602] = text[602].rpartition(",")[0] + ",oops\n"
    (folder / "events.csv").write_text("".join(text))
    with pytest.raises(DataError, match=r"line 603, column `py` .* holds no number but `oops`"):
        opened(folder, "csv", True)


def test_what_cannot_stream_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"images.gz is compressed and cannot be streamed"):
        open_source("idx", {"path": "images.gz", "stream": True}, LEVELS, Context(folder=folder))
    monkeypatch.setattr("dgmspec.runtime.data.tables.LARGE_BYTES", 100)
    with pytest.raises(DataError, match=r"a row group of .* holds 40 rows, .* too much to stream"):
        opened(folder, "parquet", True)


def test_folders_of_parts_hold_parts_alone(folder: Path) -> None:
    (folder / "csv" / "readme.txt").write_text("notes")
    (folder / "csv" / ".hidden").write_text("passed over")
    with pytest.raises(DataError, match=r"readme.txt is no .csv file"):
        opened(folder, "csv of parts", True)
    with pytest.raises(DataError, match="is a folder"):
        open_source("parquet", {"path": "parquet", "variables": MAPPED}, BOTH, Context(folder=folder))
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no .parquet files"):
        open_source("parquet", {"path": "empty/", "variables": MAPPED}, BOTH, Context(folder=folder))


def test_large_sources_stream_by_themselves(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not open_source("csv", SOURCES["csv"][1], BOTH, Context(folder=folder)).streams
    monkeypatch.setattr(streamed, "LARGE_BYTES", 10_000)
    assert open_source("csv", SOURCES["csv"][1], BOTH, Context(folder=folder)).streams
    assert not opened(folder, "csv", False).streams


# ---- training -------------------------------------------------------------------------------------------------------

SPEC = """dgm 1
data events = parquet("parquet/", x = ["px", "py"], c = "kind", stream = {stream})
model M {{
    observe x : real[2]
    given c : category(3)
    latent z : real[2] ~ normal(0, 1)
    flow x -> z | c {{ actnorm; coupling(affine, mask = half, net = mlp(8)) }}
    loss = nll
}}
train M {{ data = events; steps = 40; batch = 32; precision = float64; validate = holdout(0.1, every = 10) }}
"""


def trained(folder: Path, out: Path, stream: str = "true") -> Run:
    return dgmspec.train(dgmspec.parse(SPEC.format(stream=stream)), out=out, folder=folder)


def test_a_run_on_a_stream_resumes_exactly(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = trained(folder, tmp_path / "whole")
    with monkeypatch.context() as patched, pytest.raises(Interrupted):
        stop = iter([None] * 23 + [KeyboardInterrupt])
        patched.setattr("dgmspec.runtime.interrupts.Interrupts.check", lambda self: _raise(next(stop)))
        trained(folder, tmp_path / "stopped")
    resumed = resume_run(tmp_path / "stopped")

    for name, weight in whole.model.state_dict().items():
        assert np.array_equal(weight, resumed.model.state_dict()[name])
    assert resumed.report["test"] == whole.report["test"]


def _raise(error: type[BaseException] | None) -> None:
    if error is not None:
        raise error


def test_figures_of_a_stream_are_those_of_its_rows(folder: Path, tmp_path: Path) -> None:
    run = trained(folder, tmp_path / "r")
    assert dgmspec.evaluate(run.path) == pytest.approx({"density": run.report["density"], **run.report["test"]})
    assert run.report["test"]["rows"] == 50 and run.report["streamed"]["validation_rows"] == 50
    assert "streamed 400 training rows; each validation on 50 held-out rows" in run.summary()
    memory = trained(folder, tmp_path / "m", "false")
    assert abs(memory.report["test"]["nll_nats"] - run.report["test"]["nll_nats"]) < 0.3
    assert "streamed" not in memory.report and (run.path / "samples.png").exists()


def test_a_process_reads_its_share_of_every_batch(folder: Path) -> None:
    from dgmspec.runtime.feed import Feed

    table = opened(folder, "parquet", True)
    model = dgmspec.compile(dgmspec.Spec(dgmspec.parse(SPEC.format(stream="true")).models["M"]))
    whole = list(Feed(model, table, 32, seed=0).walk(0, 20))
    shares = [list(Feed(model, table, 32, seed=0).walk(0, 20, offset, 16)) for offset in (0, 16)]

    for step, first, second in zip(whole, *shares, strict=True):
        for name in step:
            assert np.array_equal(step[name], np.concatenate([first[name], second[name]]))


# ---- larger than memory ---------------------------------------------------------------------------------------------

LARGE = """dgm 1
data events = parquet("large.parquet", x = ["x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7"])
model M {
    observe x : real[8]
    latent z : real[8] ~ normal(0, 1)
    flow x -> z { actnorm; coupling(affine, mask = half, net = mlp(16)); linear(plu) }
    loss = nll
}
train M { data = events; steps = 400; batch = 4096; validate = holdout(0.01, every = 200) }
"""


@pytest.mark.slow
def test_five_gigabytes_train_in_under_two(tmp_path: Path) -> None:
    """The peak resident memory of the whole process, libraries and all."""
    rows, group = 80_000_000, 250_000
    names = [f"x{i}" for i in range(8)]
    random = np.random.default_rng(0)
    schema = pa.schema([(name, pa.float64()) for name in names])
    path = tmp_path / "large.parquet"
    with parquet.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for _ in range(rows // group):
            points = random.normal(size=(8, group)) * np.arange(1, 9)[:, None] + 3
            writer.write_table(pa.table(dict(zip(names, points, strict=True))), row_group_size=group)
    assert path.stat().st_size > 5e9
    (tmp_path / "large.dgm").write_text(LARGE)
    code = (
        "import resource, sys; from pathlib import Path; import dgmspec\n"
        "run = dgmspec.train(dgmspec.load('large.dgm'), out='run', folder='.')\n"
        "print(run.report['test']['nll_nats'], run.report['test']['rows'])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True)
    figures, peak = done.stdout.split("\n")[-3:-1]
    nll, tested = figures.split()
    entropy = 4 * np.log(2 * np.pi * np.e) + np.log(np.arange(1, 9)).sum()

    print(f"peak {int(peak) / 1e9:.2f} GB, test {float(nll):.3f} nats, entropy {entropy:.3f}")
    assert int(tested) == rows // 100 and abs(float(nll) - entropy) < 0.5
    assert int(peak) < 2e9
