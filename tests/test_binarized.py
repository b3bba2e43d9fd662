"""Grey levels that become bits: once, or again at each step of training."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import parquet

import dgmspec
from dgmspec import cli
from dgmspec.core.types import BINARY, REAL, Type, category
from dgmspec.ops.data.base import Bits
from dgmspec.ops.data.files import Npz
from dgmspec.runtime.data import AbstractTable, Context, DataError, open_source
from dgmspec.runtime.feed import Feed
from tests.test_files import idx

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 2, 3)).astype(np.uint8)
IMAGES[:, 0, 0], IMAGES[:, 0, 1] = 0, 255
FLAT = {"x": Type(BINARY, (6,))}
IMAGE = {"x": Type(BINARY, (1, 2, 3))}
SPEC = """dgm 1
data images = idx("images.gz", flat = true, binarize = dynamic)
model VAE {
    observe x : binary[6]
    latent z : real[2] ~ normal(0, 1)
    generate x | z ~ bernoulli(mlp(4))
    infer z | x ~ normal(mlp(4))
    loss = elbo
}
train VAE { data = images; steps = 4; batch = 8; validate = holdout(0.2, every = 2) }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images compressed and plain, labels, and images of floats."""
    found = tmp_path_factory.mktemp("idx")
    (found / "images.gz").write_bytes(gzip.compress(idx(IMAGES)))
    (found / "images").write_bytes(idx(IMAGES))
    (found / "labels").write_bytes(idx(np.arange(40, dtype=np.uint8) % 3))
    (found / "floats").write_bytes(idx(IMAGES.astype(np.float64), 0x0E))
    (found / "m.dgm").write_text(SPEC)
    return found


def opened(folder: Path, path: str = "images.gz", seed: int = 0, **arguments: object) -> AbstractTable:
    return open_source("idx", {"path": path, "flat": True, **arguments}, FLAT, Context(seed, folder))


def test_a_threshold_is_half_the_brightest_level(folder: Path) -> None:
    bits = opened(folder, binarize="threshold").whole()["x"]
    assert np.array_equal(bits, IMAGES.reshape(-1, 6) >= 128)


@pytest.mark.parametrize("how", ["stochastic", "dynamic"])
@pytest.mark.parametrize("stream", [False, True])
def test_bits_are_drawn_by_the_seed_with_the_levels_as_probabilities(folder: Path, how: str, stream: bool) -> None:
    path = "images" if stream else "images.gz"
    drawn = [opened(folder, path, seed, binarize=how, stream=stream).whole()["x"] for seed in range(200)]
    again = opened(folder, path, 3, binarize=how, stream=stream).whole()["x"]
    assert np.array_equal(again, drawn[3]) and not np.array_equal(drawn[2], drawn[3])
    assert (drawn[0][:, 0] == 0).all() and (drawn[0][:, 1] == 1).all()
    shares = IMAGES.reshape(-1, 6) / 255
    error = (np.mean(drawn, 0) - shares) / np.sqrt(np.maximum(shares * (1 - shares), 1e-9) / 200)
    assert np.abs(error).max() < 5


def test_training_draws_the_bits_of_each_step_and_tests_on_fixed_ones(folder: Path) -> None:
    model = dgmspec.compile(dgmspec.load(folder / "m.dgm"))
    train, test = opened(folder, binarize="dynamic").split([0.8, 0.2], 0)
    assert np.array_equal(test.whole()["x"], test.whole()["x"])
    assert not np.array_equal(test.whole()["x"], test.reseeded(1).whole()["x"])
    steps = list(Feed(model, train, 32, seed=0).walk(0, 200))
    assert len(steps) == 200 and {float(v) for v in torch.cat([s["x"] for s in steps]).unique()} == {0.0, 1.0}
    # One batch is all of the rows, in another order each time: what differs in a pixel's sum is the draw.
    shares = torch.from_numpy(train.levels.whole()["x"] / 255).float()
    sums = torch.stack([step["x"].sum(0) for step in steps])
    assert (sums[:, 2:].std(0) > 0).all()
    z = (sums.mean(0) - shares.sum(0)) / ((shares * (1 - shares)).sum(0) / 200).sqrt().clamp(min=1e-6)
    assert z.abs().max() < 5
    # A resumed run and every process see what one run alone does.
    resumed = list(Feed(model, train, 32, seed=0).walk(150, 152))
    torch.testing.assert_close(resumed[1]["x"], steps[151]["x"])
    share = next(Feed(model, train, 32, seed=0).walk(7, 8, 10, 12))
    torch.testing.assert_close(share["x"], steps[7]["x"][10:22])


def test_labels_stay_and_files_of_other_numbers_are_refused(folder: Path) -> None:
    declared = {**FLAT, "label": Type(category(3))}
    arguments = {"path": "images", "flat": True, "variables": (("label", "labels"),), "binarize": "stochastic"}
    both = open_source("idx", arguments, declared, Context(0, folder)).whole()
    assert np.array_equal(both["label"], np.arange(40) % 3) and set(np.unique(both["x"])) == {0, 1}
    with pytest.raises(DataError, match=r"column \[0, 0, 1\].* is 255, and grey levels are 0\.\.1"):
        open_source("idx", {"path": "floats", "binarize": "dynamic"}, IMAGE, Context(0, folder))
    with pytest.raises(DataError, match="shape"):
        open_source("idx", {"path": "images", "binarize": "dynamic"}, {"x": Type(BINARY, (6,))}, Context(0, folder))
    with pytest.raises(DataError, match=r"declared `binary`, and `x` is real\[6\]"):
        open_source("idx", {"path": "images", "binarize": "dynamic"}, {"x": Type(REAL, (6,))}, Context(0, folder))


@pytest.mark.parametrize(
    ("source", "arguments"),
    [
        ("npy", {"path": "levels.npy", "white": 255.0}),
        ("npy", {"path": "shares.npy", "stream": True}),
        ("npz", {"path": "levels.npz"}),
        ("images", {"path": "pictures", "flat": True}),
        ("csv", {"path": "levels.csv", "white": 255.0}),
        ("csv", {"path": "shares.csv", "stream": True}),
        ("parquet", {"path": "levels.parquet"}),
    ],
)
def test_every_source_of_levels_gives_bits(source: str, arguments: dict[str, object], sources: Path) -> None:
    """Whole numbers and fractions, in every kind of file; real columns beside them stay as they are."""
    tabular = source in ("csv", "parquet", "npz")
    declared = FLAT | ({"c": Type(REAL)} if tabular else {})
    threshold = open_source(source, {**arguments, "binarize": "threshold"}, declared, Context(0, sources)).whole()
    assert np.array_equal(threshold["x"], IMAGES.reshape(-1, 6) >= 128)
    assert not tabular or np.allclose(threshold["c"], np.arange(40) / 4)
    drawn = open_source(source, {**arguments, "binarize": "dynamic"}, declared, Context(0, sources))
    assert drawn.redrawn == {"x": drawn.redrawn["x"]} and drawn.redrawn["x"] in (1.0, 255.0)
    bits, shares = drawn.whole()["x"], IMAGES.reshape(-1, 6) / 255
    assert (bits[:, 0] == 0).all() and (bits[:, 1] == 1).all()
    assert abs((bits - shares).sum()) < 5 * np.sqrt((shares * (1 - shares)).sum())


def test_bits_of_one_variable_are_asked_for_in_its_place(folder: Path) -> None:
    text = SPEC.replace("binarize = dynamic", "x = binarize(stochastic)")
    spec = dgmspec.parse(text)
    assert "x = binarize(stochastic)" in spec.text() and dgmspec.parse(spec.text()) == spec
    assert not dgmspec.diagnose(text).diagnostics
    own = opened(folder, bits={"x": Bits(how="stochastic")})
    assert np.array_equal(own.whole()["x"], opened(folder, binarize="stochastic").whole()["x"]) and not own.redrawn
    over = opened(folder, binarize="threshold", bits={"x": Bits(how="dynamic", white=300.0)})
    assert over.redrawn == {"x": 300.0}
    dark = opened(folder, bits={"x": Bits(how="threshold", white=510.0)}).whole()["x"]
    assert np.array_equal(dark, IMAGES.reshape(-1, 6) >= 255)


def test_variables_of_one_file_become_bits_each_in_its_way(tmp_path: Path) -> None:
    levels = IMAGES.reshape(-1, 6)
    np.savez(tmp_path / "two.npz", a=levels, b=levels, c=levels)
    own = (("a", Bits(how="threshold")), ("b", Bits(how="dynamic")))
    source = Npz(path="two.npz", variables=own, binarize="stochastic")
    declared = dict.fromkeys("abc", Type(BINARY, (6,)))
    table = open_source("npz", source.arguments(), declared, Context(0, tmp_path))
    found, held = table.whole(), table.levels.whole()
    assert np.array_equal(found["a"], levels >= 128) and np.array_equal(held["a"], found["a"])
    assert table.redrawn == {"b": 255.0} and np.array_equal(held["b"], levels)
    assert set(np.unique(found["b"])) == {0, 1} and np.array_equal(held["c"], found["c"])


@pytest.mark.parametrize(
    ("written", "code", "said"),
    [
        ("y = binarize(stochastic)", "DGM810", "no data variable"),
        ("x = binarize(often)", "DGM230", "`threshold`, `stochastic`, `dynamic`"),
        ("x = binarize()", "DGM233", "how"),
        ("x = binarize(stochastic, white = 0)", "DGM234", "white"),
        ("x = threshold", "DGM230", "a way to make bits"),
    ],
)
def test_what_cannot_be_binarised_is_refused(written: str, code: str, said: str) -> None:
    (found,) = dgmspec.diagnose(SPEC.replace("binarize = dynamic", written)).diagnostics
    assert found.code == code and said in " ".join([found.message, *found.help, *found.notes])


def test_a_variable_of_numbers_is_not_made_bits(folder: Path) -> None:
    text = SPEC.replace("binarize = dynamic", "x = binarize(dynamic)").replace("binary[6]", "unit[6]")
    assert "DGM804" in {d.code for d in dgmspec.diagnose(text).diagnostics}
    with pytest.raises(DataError, match=r"declared `binary`, and `y` is no data variable"):
        opened(folder, bits={"y": Bits(how="dynamic")})


def test_what_levels_are_white_is_never_guessed(sources: Path) -> None:
    with pytest.raises(DataError, match="int64, which do not tell how bright") as wrong:
        open_source("npy", {"path": "levels.npy", "binarize": "dynamic"}, FLAT, Context(0, sources))
    assert "`white = 255`" in wrong.value.help
    with pytest.raises(DataError, match=r"line 2, column `x\[1\]` .* is 255, and grey levels are 0\.\.1"):
        open_source("csv", {"path": "levels.csv", "binarize": "dynamic"}, FLAT, Context(0, sources))
    with pytest.raises(DataError, match="`white` is the brightest level of `binarize`"):
        open_source("csv", {"path": "levels.csv", "white": 255.0}, FLAT, Context(0, sources))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same levels, as whole numbers and as shares of the brightest, in files of every kind."""
    found = tmp_path_factory.mktemp("levels")
    flat, other = IMAGES.reshape(-1, 6), np.arange(40) / 4
    np.save(found / "levels.npy", flat.astype(np.int64))
    np.save(found / "shares.npy", flat / 255)
    np.savez(found / "levels.npz", x=flat, c=other)
    names = [f"x[{i}]" for i in range(6)]
    for name, levels in (("levels", flat), ("shares", flat / 255)):
        rows = [",".join(map(repr, [*row, c])) for row, c in zip(levels.tolist(), other.tolist(), strict=True)]
        (found / f"{name}.csv").write_text("\n".join([",".join([*names, "c"]), *rows]) + "\n")
    columns = {name: flat[:, i] for i, name in enumerate(names)} | {"c": other}
    parquet.write_table(pa.table(columns), found / "levels.parquet")
    (found / "pictures").mkdir()
    for i, image in enumerate(IMAGES):
        Image.fromarray(image).save(found / "pictures" / f"{i:02}.png")
    return found


def test_the_command_line_states_it_and_tests_on_whole_files(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["train", str(folder / "m.dgm"), "-o", str(tmp_path / "run")]) == 0
    assert "dynamic binarisation" in capsys.readouterr().out
    found = []
    for extra in ([], ["--whole"], ["--whole", "--seed", "5"]):
        assert cli.run(["eval", str(tmp_path / "run"), "--json", *extra]) == 0
        found.append(json.loads(capsys.readouterr().out)["result"])
    assert [figures["rows"] for figures in found] == [8, 40, 40]
    assert found[0]["binarization"] == "dynamic" and found[1]["nll_nats"] != found[2]["nll_nats"]
