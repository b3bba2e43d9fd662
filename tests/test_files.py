"""Data from files: what is read, and what is refused with its file, its row and its column."""

from __future__ import annotations

import gzip
import importlib
import inspect
import json
import pickle
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

import dgmspec
from dgmspec import cli
from dgmspec.core.types import REAL, Type, category, integers
from dgmspec.ops import library
from dgmspec.ops.data import AbstractFile
from dgmspec.ops.data.files import AbstractNamed
from dgmspec.runtime.data import Context, DataError, Dataset, open_source
from dgmspec.spec.defaults import with_defaults

PLANE = Type(REAL, (2,))
LABEL = Type(category(3))
BOTH = {"x": PLANE, "c": LABEL}
MAPPED = (("x", ("px", "py")), ("c", "kind"))
POINTS = np.random.default_rng(0).normal(size=(40, 2))
KINDS = np.arange(40) % 3


def lines() -> list[str]:
    return ["px,kind,py", *(f"{a!r},{k},{b!r}" for (a, b), k in zip(POINTS.tolist(), KINDS, strict=True))]


def write_csv(folder: Path, name: str = "events.csv", **changed: str) -> None:
    """The table as CSV; `line17 = "…"` puts other text in that line."""
    rows = lines()
    for line, text in changed.items():
        rows[int(line.removeprefix("line")) - 1] = text
    (folder / name).write_text("\n".join(rows) + "\n")


def write_parquet(folder: Path, **changed: object) -> None:
    columns = {"px": POINTS[:, 0], "kind": KINDS, "py": POINTS[:, 1]} | changed
    parquet.write_table(pa.table(columns), folder / "events.parquet")


def idx(array: np.ndarray, kind: int = 0x08) -> bytes:
    header = bytes([0, 0, kind, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def opened(folder: Path, name: str, declared: dict[str, Type], **arguments: object) -> Dataset:
    return open_source(name, arguments, declared, Context(folder=folder))


def refused(folder: Path, name: str, declared: dict[str, Type], **arguments: object) -> DataError:
    with pytest.raises(DataError) as error:
        opened(folder, name, declared, **arguments)
    return error.value


# ---- tables ---------------------------------------------------------------------------------------------------------


def test_tables_give_the_columns_that_variables_take(tmp_path: Path) -> None:
    write_csv(tmp_path)
    write_parquet(tmp_path)
    for name in ("csv", "parquet"):
        data = opened(tmp_path, name, BOTH, path=f"events.{name}", variables=MAPPED)

        assert np.array_equal(data["x"], POINTS) and np.array_equal(data["c"], KINDS)


def test_truths_of_parquet_are_labels(tmp_path: Path) -> None:
    write_parquet(tmp_path, kind=[True, False] * 20)
    data = opened(tmp_path, "parquet", BOTH, path="events.parquet", variables=MAPPED)

    assert data["c"].tolist() == [1, 0] * 20


def test_variables_without_a_mapping_take_columns_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x[1];c;x[0]\n1;2;3\n4;0;6\n")
    data = opened(tmp_path, "csv", BOTH, path="a.csv", delimiter="semicolon")

    assert data["x"].tolist() == [[3, 1], [6, 4]] and data["c"].tolist() == [2, 0]


def test_columns_fill_an_event_in_row_major_order(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b,c,d\n1,2,3,4\n")
    names = (("x", ("a", "b", "c", "d")),)
    data = opened(tmp_path, "csv", {"x": Type(REAL, (2, 2))}, path="a.csv", variables=names)

    assert data["x"].tolist() == [[[1, 2], [3, 4]]]


FAULTS = {
    "nan": ("nan,1,2.0", "DGM852", "line 17, column `px` of {} (line 1 is the header) is missing (NaN)"),
    "infinite": ("1.0,1,inf", "DGM852", "line 17, column `py` of {} (line 1 is the header) is inf"),
    "empty": ("1.0,,2.0", "DGM852", "line 17, column `kind` of {} is empty (line 1 is the header)"),
    "text": ("1.0,1,abc", "DGM852", "line 17, column `py` of {} holds no number but `abc` (line 1 is the header)"),
    "missing value": ("1.0,NA,2.0", "DGM852", "line 17, column `kind` of {} holds no number but `NA`"),
    "truth": ("1.0,true,2.0", "DGM852", "line 17, column `kind` of {} holds no number but `true`"),
    "label": ("1.0,3,2.0", "DGM852", "column `kind` of {} (line 1 is the header) is 3, outside the labels 0..2"),
    "fraction": ("1.0,0.5,2.0", "DGM852", "line 17, column `kind` of {} (line 1 is the header) is 0.5, outside"),
    "short": ("1.0,1", "DGM851", "line 17 of {} has 2 fields and the header 3"),
    "long": ("1.0,1,2,3", "DGM851", "line 17 of {} has 4 fields and the header 3"),
    "blank": ("", "DGM851", "line 17 of {} is empty"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_bad_line_is_named_with_its_column(case: str, tmp_path: Path) -> None:
    text, code, message = FAULTS[case]
    write_csv(tmp_path, line17=text)
    error = refused(tmp_path, "csv", BOTH, path="events.csv", variables=MAPPED)

    assert error.code == code
    assert message.format(tmp_path / "events.csv") in error.message


HEADERS = {
    "misspelt": ("pX,kind,py", "no column `px` for `x`", "did you mean `pX`"),
    "absent": ("px,kind,mass", "no column `py` for `x`", "It has `px`, `kind`, `mass`"),
    "separated otherwise": ("px;kind;py", "no column `px` for `x`", "semicolons: write `delimiter = semicolon`"),
    "ambiguous": ("px,py,py", "2 columns `py`", "a name of its own"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_a_bad_header_is_told(case: str, tmp_path: Path) -> None:
    header, message, help_ = HEADERS[case]
    write_csv(tmp_path, line1=header)
    error = refused(tmp_path, "csv", {"x": PLANE}, path="events.csv", variables=MAPPED[:1])

    assert error.code == "DGM853" and message in error.message and help_ in error.help


def test_tables_of_nothing_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "header.csv").write_text("px,kind,py\n")
    (tmp_path / "bare.csv").write_text("1.5,0,2\n1.0,1,3\n")
    (tmp_path / "latin.csv").write_bytes("px,kind,py\n1,2,é\n".encode("latin-1"))
    (tmp_path / "mac.csv").write_bytes(b"px,kind,py\r1,2,3\r")
    (tmp_path / "quote.csv").write_text('px,kind,py\n1,2,3\n1,2,"3\n1,2,3\n')
    for name, said in {
        "empty": "no header",
        "header": "no rows",
        "bare": "line 1 of",
        "latin": "it is not UTF-8 text: byte 0xe9 cannot be read",
        "mac": "end with carriage returns alone",
        "quote": "a quote in the row that begins in line 3 of",
    }.items():
        assert said in refused(tmp_path, "csv", BOTH, path=f"{name}.csv", variables=MAPPED).message


def test_parquet_refuses_nulls_texts_and_values_outside(tmp_path: Path) -> None:
    holes: list[float | None] = POINTS[:, 0].tolist()
    holes[16] = None
    wrong = KINDS.copy()
    wrong[16] = 7
    nan = POINTS[:, 1].copy()
    nan[16] = np.nan
    for changed, said in (
        ({"px": pa.array(holes)}, "row 17, column `px` of {} is null (the first row is 1)"),
        ({"py": nan}, "row 17, column `py` of {} (the first row is 1) is missing (NaN)"),
        ({"kind": wrong}, "row 17, column `kind` of {} (the first row is 1) is 7, outside the labels 0..2"),
        ({"kind": ["a"] * 40}, "column `kind` of {} holds string values, not numbers"),
    ):
        write_parquet(tmp_path, **changed)
        error = refused(tmp_path, "parquet", BOTH, path="events.parquet", variables=MAPPED)
        assert error.code == "DGM852" and said.format(tmp_path / "events.parquet") in error.message


def test_reading_tables_leaves_no_thread_behind(tmp_path: Path) -> None:
    """A reader that outlives the interpreter would abort the process after its work is done."""
    write_csv(tmp_path)
    write_parquet(tmp_path)
    code = (
        "import sys; from pathlib import Path; from dgmspec.core.types import *; from dgmspec.runtime.data import *\n"
        "for n in ('csv', 'parquet'):\n"
        "    given = {'path': 'events.' + n, 'variables': (('x', ('px', 'py')),)}\n"
        "    open_source(n, given, {'x': Type(REAL, (2,))}, Context(folder=Path(sys.argv[1])))\n"
    )
    for _ in range(3):
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, cwd=Path(__file__).parent.parent)


# ---- arrays ---------------------------------------------------------------------------------------------------------


def test_arrays_of_numpy(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", POINTS.astype(">f4"))
    np.save(tmp_path / "c.npy", KINDS.astype(np.uint8))
    np.savez(tmp_path / "both.npz", train=POINTS, c=KINDS, other=np.array([object()]))
    data = opened(tmp_path, "npy", BOTH, path="x.npy", variables=(("c", "c.npy"),))
    both = opened(tmp_path, "npz", BOTH, path="both.npz", variables=(("x", "train"),))

    assert np.array_equal(data["x"], POINTS.astype("f4")) and data["x"].dtype.isnative
    assert np.array_equal(data["c"], KINDS)
    assert np.array_equal(both["x"], POINTS) and np.array_equal(both["c"], KINDS)
    np.savez(tmp_path / "wrong.npz", x=POINTS, kinds=KINDS + 9)
    with pytest.raises(DataError, match=r"^DGM852: row 1 of `kinds` in .*wrong\.npz \(the first row is 1\) is"):
        opened(tmp_path, "npz", BOTH, path="wrong.npz", variables=(("c", "kinds"),))


def test_idx_images_and_labels_compressed_or_not(tmp_path: Path) -> None:
    images = np.arange(4 * 6, dtype=np.uint8).reshape(4, 2, 3)
    (tmp_path / "images.gz").write_bytes(gzip.compress(idx(images)))
    (tmp_path / "labels").write_bytes(idx(np.array([0, 2, 1, 0], np.uint8)))
    (tmp_path / "floats").write_bytes(idx(POINTS, 0x0E))
    declared = {"x": Type(integers(0, 255), (1, 2, 3)), "label": LABEL}
    both = opened(tmp_path, "idx", declared, path="images.gz", variables=(("label", "labels"),))
    flat = opened(tmp_path, "idx", {"x": Type(integers(0, 255), (6,))}, path="images.gz", flat=True)

    assert np.array_equal(both["x"], images[:, None]) and both["label"].tolist() == [0, 2, 1, 0]
    assert np.array_equal(flat["x"], images.reshape(4, 6))
    assert np.array_equal(opened(tmp_path, "idx", {"x": PLANE}, path="floats")["x"], POINTS)


def test_array_values_are_named_by_row_and_place(tmp_path: Path) -> None:
    broken = POINTS.copy()
    broken[16, 1] = np.nan
    np.save(tmp_path / "x.npy", broken)
    error = refused(tmp_path, "npy", {"x": PLANE}, path="x.npy")

    where = f"row 17, column [1] of {tmp_path / 'x.npy'} (the first row is 1)"
    assert error.code == "DGM852" and error.message == f"{where} is missing (NaN)"


def test_array_shapes_are_compared_and_the_file_is_named(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((5, 3)))
    error = refused(tmp_path, "npy", {"x": PLANE}, path="x.npy")

    assert error.code == "DGM851" and "shape [2]" in error.message and "shape [3] a row" in error.message
    assert str(tmp_path / "x.npy") in error.message


def test_every_variable_needs_one_file(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", POINTS)
    two = refused(tmp_path, "npy", BOTH, path="x.npy")
    none = refused(tmp_path, "npy", {"x": PLANE}, path="x.npy", variables=(("x", "x.npy"),))

    assert "it may be any of `x`, `c`" in two.message and 'c = "…"' in two.help
    assert "all of `x` have files of their own" in none.message


# ---- images ---------------------------------------------------------------------------------------------------------


def write_images(folder: Path, modes: str = "RGB RGB", size: tuple[int, int] = (3, 2)) -> None:
    folder.mkdir()
    for i, mode in enumerate(modes.split()):
        Image.new(mode, size, (i, 10, 20) if mode == "RGB" else i).save(folder / f"{i}.png")


def test_images_of_a_folder_have_channels_first(tmp_path: Path) -> None:
    write_images(tmp_path / "colour")
    write_images(tmp_path / "grey", "L L L")
    (tmp_path / "grey" / ".hidden").write_text("passed over")
    colour = opened(tmp_path, "images", {"x": Type(integers(0, 255), (3, 2, 3))}, path="colour")
    grey = opened(tmp_path, "images", {"x": Type(integers(0, 255), (6,))}, path="grey", flat=True)

    assert colour["x"][1, :, 0, 0].tolist() == [1, 10, 20]
    assert grey["x"].tolist() == [[0] * 6, [1] * 6, [2] * 6]


def test_images_of_another_size_mode_or_kind_are_named(tmp_path: Path) -> None:
    declared = {"x": Type(integers(0, 255), (1, 2, 3))}
    write_images(tmp_path / "mixed", "L RGB")
    write_images(tmp_path / "palette", "P")
    write_images(tmp_path / "dark", "L L")
    Image.new("L", (3, 2), 7).save(tmp_path / "dark" / "2.png")
    assert "1.png is 3 × 2, 3 channels of 8 bits" in refused(tmp_path, "images", declared, path="mixed").message
    assert "its mode is P" in refused(tmp_path, "images", declared, path="palette").message
    levels = refused(tmp_path, "images", {"x": Type(integers(0, 6), (1, 2, 3))}, path="dark")
    assert f"`2.png`, column [0, 0, 0] of {tmp_path / 'dark'} is 7" in levels.message

    (tmp_path / "dark" / "note.txt").write_text("no image")
    assert "note.txt is no PNG file" in refused(tmp_path, "images", declared, path="dark").message
    (tmp_path / "none").mkdir()
    assert "holds no PNG files" in refused(tmp_path, "images", declared, path="none").message


def deep(path: Path) -> None:
    """A PNG of 2 × 2 colours with 16 bits a channel, which pillow does not write."""
    header = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 26)), (b"IEND", b""))
    chunks = (struct.pack(">I", len(p)) + t + p + struct.pack(">I", zlib.crc32(t + p)) for t, p in parts)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (deep, "its RGB channels have 16 bits, of which 8 would be read"),
        (lambda path: Image.new("L", (2, 2)).save(path, transparency=0), "one of its colours stands for transparent"),
        (
            lambda path: Image.new("L", (2, 2)).save(path, save_all=True, append_images=[Image.new("L", (2, 2), 9)]),
            "it is an animation",
        ),
    ],
    ids=["deep", "transparent", "animated"],
)
def test_nothing_is_left_out_of_an_image(write: Callable[[Path], None], said: str, tmp_path: Path) -> None:
    (tmp_path / "some").mkdir()
    write(tmp_path / "some" / "0.png")
    error = refused(tmp_path, "images", {"x": Type(integers(0, 255), (3, 2, 2))}, path="some")
    assert error.code == "DGM853" and f"0.png cannot be read as PNG: {said}" in error.message


# ---- damage and places ----------------------------------------------------------------------------------------------


def cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


def foreign(data: bytes) -> bytes:
    return b"something else" + data[14:]


def longer(data: bytes) -> bytes:
    return data + b"\0"


@pytest.mark.parametrize(
    ("file", "harm"),
    [(f, h) for f in ("x.npy", "x.npz", "x.parquet", "x.idx", "x.gz", "png") for h in (cut, foreign)]
    + [("x.npy", longer), ("x.idx", longer)],
    ids=lambda v: v if isinstance(v, str) else v.__name__,
)
def test_damaged_files_are_refused_by_name(file: str, harm: Callable[[bytes], bytes], tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", POINTS)
    np.savez(tmp_path / "x.npz", x=POINTS)
    parquet.write_table(pa.table({"x[0]": POINTS[:, 0], "x[1]": POINTS[:, 1]}), tmp_path / "x.parquet")
    (tmp_path / "x.idx").write_bytes(idx(POINTS, 0x0E))
    (tmp_path / "x.gz").write_bytes(gzip.compress(idx(POINTS, 0x0E)))
    write_images(tmp_path / "png", "L", (64, 64))
    source = {"x.idx": "idx", "x.gz": "idx", "png": "images"}.get(file, file.removeprefix("x."))
    declared = Type(integers(0, 255), (1, 64, 64)) if file == "png" else PLANE
    assert opened(tmp_path, source, {"x": declared}, path=file).rows
    broken = tmp_path / (file if file != "png" else "png/0.png")
    broken.write_bytes(harm(broken.read_bytes()))
    error = refused(tmp_path, source, {"x": declared}, path=file)

    assert error.code == "DGM853" and str(broken) in error.message and "cannot be read as" in error.message


def test_a_file_of_another_kind_is_called_what_it_is(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", POINTS)
    np.savez(tmp_path / "x.npz", x=POINTS)
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"a,b\n1,2\n"))
    (tmp_path / "x.csv").write_bytes("a,b\n1,2\n".encode("utf-16"))
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(POINTS))
    for source, file, what in (
        ("csv", "x.gz", "a file compressed by gzip"),
        ("csv", "x.csv", "text in UTF-16"),
        ("npz", "x.npy", "an array of NumPy"),
        ("npy", "x.npz", "a zip archive"),
        ("npy", "x.pkl", "a pickle, and nothing is unpickled"),
    ):
        error = refused(tmp_path, source, {"x": PLANE}, path=file)
        assert error.code == "DGM853" and f"{tmp_path / file} cannot be read as" in error.message
        assert f"it is {what}" in error.message and error.help


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)

    assert "Python objects" in refused(tmp_path, "npy", {"x": PLANE}, path="x.npy").message


def test_paths_stay_inside_the_folder(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    np.save(tmp_path / "x.npy", POINTS)
    (inner / "link.npy").symlink_to(tmp_path / "x.npy")
    (inner / "loop.npy").symlink_to(inner / "loop.npy")
    np.save(inner / "points.npy", POINTS)
    for path in ("../x.npy", str(tmp_path / "x.npy"), "link.npy"):
        assert "leads outside" in refused(inner, "npy", {"x": PLANE}, path=path).message
    assert refused(inner, "npy", {"x": PLANE}, path="loop.npy").code == "DGM853"
    assert "did you mean `points.npy`" in refused(inner, "npy", {"x": PLANE}, path="point.npy").help


# ---- the language ---------------------------------------------------------------------------------------------------

SPEC = """dgm 1

data events = {data}

model M {{
    observe x : real[2]
    given c : category(3)
    latent z : real[2] ~ normal(0, 1)
    flow x -> z | c {{ elementwise(affine) }}
    loss = nll
}}

train M {{
    data = events
    steps = 5
    validate = holdout(0.2)
}}
"""
GOOD = 'csv("events.csv", x = ["px", "py"], c = "kind")'


def codes(data: str) -> list[str]:
    return [d.code for d in dgmspec.diagnose(SPEC.format(data=data)).diagnostics]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (GOOD, []),
        ('csv("events.csv", delimiter = tab, x = ["px", "py"])', []),
        ('npz("a.npz", x = "k")', []),
        ('images("folder", flat = true)', []),
        ('csv("events.csv", y = ["px", "py"])', ["DGM810"]),
        ('csv("events.csv", z = ["px", "py"])', ["DGM810"]),
        ('csv("events.csv", x = ["px", "py", "pz"])', ["DGM804"]),
        ('csv("events.csv", c = ["px", "py"])', ["DGM804"]),
        ('csv("../events.csv")', ["DGM811"]),
        ('csv("/events.csv")', ["DGM811"]),
        ('npy("x.npy", c = "../c.npy")', ["DGM811"]),
        ('csv("events.csv", delimeter = tab)', ["DGM232"]),
        ('csv("events.csv", delimiter = pipe)', ["DGM230"]),
        ('csv("events.csv", x = 3)', ["DGM234"]),
        ('csv("events.csv", x = "px", x = "py")', ["DGM208"]),
        ('csv("")', ["DGM234"]),
        ("csv", ["DGM233"]),
    ],
)
def test_check_reads_the_text_alone(data: str, found: list[str]) -> None:
    assert list(dict.fromkeys(codes(data))) == found


def test_a_misspelt_variable_is_named_with_the_nearest() -> None:
    text = SPEC.format(data='csv("a.csv", label = "kind", x = ["px", "py"])').replace("given c", "given labels")
    said = dgmspec.diagnose(text.replace("| c", "| labels")).diagnostics

    assert [d.code for d in said] == ["DGM810"] and said[0].help == ("did you mean `labels`?",)


def test_defaults_are_written_out_and_text_and_objects_agree() -> None:
    spec = dgmspec.parse(SPEC.format(data=GOOD))
    full = with_defaults(spec).text()

    for argument in ("delimiter = comma", "stream = auto", "binarize = none"):
        assert argument in full
    assert dgmspec.parse(full).text() == full


def test_a_source_declares_what_its_reader_takes() -> None:
    homes = {"csv": "tables", "parquet": "tables", "npy": "files", "npz": "files", "idx": "files", "images": "images"}
    for cls in library():
        if issubclass(cls, AbstractFile):
            reader = getattr(importlib.import_module(f"dgmspec.runtime.data.{homes[cls.name]}"), cls.name)
            _, _, *taken = inspect.signature(reader).parameters.values()
            bits = {"binarize": "none", "white": None}  # of all sources alike, when their rows have been read
            bits |= {"bits": {}} if issubclass(cls, AbstractNamed) else {}
            assert cls(path="a").arguments() == {"path": "a", **{p.name: p.default for p in taken}, **bits}


# ---- the commands ---------------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spec beside its table; commands run elsewhere."""
    (tmp_path / "spec").mkdir()
    (tmp_path / "work").mkdir()
    (tmp_path / "spec" / "m.dgm").write_text(SPEC.format(data=GOOD))
    write_csv(tmp_path / "spec")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def test_a_run_reads_its_file_again_and_elsewhere(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["train", "../spec/m.dgm", "--out", "run", "-q"]) == 0
    assert cli.run(["eval", "run", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)["result"]
    (project / "moved").mkdir()
    (project / "spec" / "events.csv").rename(project / "moved" / "events.csv")
    assert cli.run(["eval", "run"]) == 1
    said = capsys.readouterr().err
    assert "there is no file `events.csv`" in said and "for a file elsewhere, give `--data events=PATH`" in said
    for place in ("../moved/events.csv", "../moved"):
        assert cli.run(["eval", "run", "--json", "--data", f"events={place}"]) == 0
        assert json.loads(capsys.readouterr().out)["result"] == first


def test_a_given_variable_that_nothing_reads_needs_no_data(project: Path) -> None:
    text = SPEC.format(data='csv("events.csv", x = ["px", "py"])').replace(" | c", "")
    (project / "spec" / "m.dgm").write_text(text)
    assert cli.run(["train", "../spec/m.dgm", "--out", "run", "-q"]) == 0
    assert (project / "work" / "run" / "samples.png").exists() and cli.run(["report", "run", "-q"]) == 0


MISTAKES = [
    ({"line17": "nan,1,2.0"}, [], 1, "line 17, column `px`"),
    ({"line1": "pX,kind,py"}, [], 1, "did you mean `pX`"),
    ({"line17": "1.0,9,2.0"}, [], 1, "is 9, outside the labels 0..2"),
    ({}, ["--data", "evnts=a.csv"], 2, "did you mean `events`"),
    ({}, ["--data", "events"], 2, "write NAME=PATH"),
    ({}, ["--data", "events=missing.csv"], 1, "there is no file missing.csv"),
]


@pytest.mark.parametrize(("changed", "options", "code", "said"), MISTAKES)
def test_mistakes_in_data_end_a_command_with_one_message(
    changed: dict[str, str], options: list[str], code: int, said: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_csv(project / "spec", **changed)

    assert cli.run(["train", "../spec/m.dgm", "-q", *options]) == code
    shown = capsys.readouterr()
    assert said in shown.err and "Traceback" not in shown.err and "bug in dgmspec" not in shown.err


BROKEN = [
    ('csv("a.csv", x = ["px", "py"], c = "kind")', "a.csv", b"", 1, "a.csv has no header: it is empty"),
    (
        'csv("a.csv", x = ["px", "py"], c = "kind")',
        "a.csv",
        b"1,2,3\n4,5,6\n",
        1,
        "holds numbers, `1,2,3`, where",
    ),
    ('csv("a.csv", x = ["px", "py"], c = "kind")', "a.csv", b"px,kind,py\n1,0,x\n", 1, "line 2, column `py`"),
    ('parquet("a.parquet")', "a.parquet", b"PAR1 cut short", 1, "a.parquet cannot be read as Parquet"),
    ('npy("a.npy", c = "a.npy")', "a.npy", b"\x93NUMPY\x01", 1, "a.npy cannot be read as npy"),
    ('npy("a.npy", c = "a.npy")', "a.npy", b"", 1, "a.npy cannot be read as npy"),
    ('idx("a.idx", c = "a.idx")', "a.idx", b"\0\0\x08\x01\0\0\0\x09abc", 1, "announces 9 bytes"),
    ('npz("a.npz")', "a.npz", b"PK", 1, "a.npz cannot be read as npz"),
    ('npy("folder", c = "folder")', "folder/x", b"", 2, "folder"),
    ('npz("b.npz")', "a.npz", b"", 1, "did you mean `a.npz`?"),
    ('cvs("a.csv")', "a.csv", b"", 1, "did you mean `csv`?"),
]


@pytest.mark.parametrize(("source", "file", "content", "code", "said"), BROKEN, ids=range(len(BROKEN)))
def test_a_file_that_cannot_be_read_ends_a_command_with_one_message(
    source: str, file: str, content: bytes, code: int, said: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = project / "spec" / file
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(content)
    (project / "spec" / "m.dgm").write_text(SPEC.format(data=source))

    assert cli.run(["train", "../spec/m.dgm", "-q"]) == code
    shown = capsys.readouterr().err
    assert said in shown and "Traceback" not in shown and "bug in dgmspec" not in shown


def test_a_wrong_shape_ends_a_command_with_one_message(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(project / "spec" / "a.npz", x=np.zeros((9, 3)), c=np.zeros(9, int))
    (project / "spec" / "m.dgm").write_text(SPEC.format(data='npz("a.npz")'))

    assert cli.run(["train", "../spec/m.dgm", "-q"]) == 1
    assert "error[DGM851]: `x` is declared real[2], shape [2], but its data in" in capsys.readouterr().err


def test_readers_of_tables_and_images_are_imported_only_when_used() -> None:
    code = (
        "import sys, dgmspec.runtime.train\nfrom dgmspec.runtime.data import *\n"
        "from dgmspec.core.types import REAL, Type\n"
        "open_source('two_moons', {'n': 9}, {'x': Type(REAL, (2,))}, Context())\n"
        "assert 'dgmspec.runtime.data.tables' not in sys.modules and 'dgmspec.runtime.data.images' not in sys.modules\n"
        "assert 'pyarrow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent.parent)
