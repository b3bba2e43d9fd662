"""Pictures: PNG files that hold what they should, whatever the shape of the data."""

import struct
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.image import imread

from dgmspec.runtime.canvas import Grid
from dgmspec.runtime.curves import draw_loss
from dgmspec.runtime.densities import log_density
from dgmspec.runtime.pictures import draw_density, draw_samples
from dgmspec.runtime.toys import two_moons


def size(path):
    """Width and height that the PNG's header states."""
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", head[16:24])


SHAPES = [(), (1,), (2,), (3,), (6,), (16,), (64,), (5, 7), (1, 8, 8), (3, 6, 9), (5, 2, 2)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_samples_of_any_shape(tmp_path, shape):
    rng = np.random.default_rng(0)
    path = tmp_path / "samples.png"
    draw_samples(rng.normal(size=(70, *shape)), rng.integers(0, 17, size=(90, *shape)), shape, path)

    width, height = size(path)
    assert width >= 500 and height >= 300
    assert imread(path)[..., :3].std() > 0.05
    assert [file.name for file in tmp_path.iterdir()] == ["samples.png"]


@pytest.mark.parametrize("shape", [(), (2,), (3,), (64,)], ids=str)
@pytest.mark.parametrize("broken", ["some", "all"])
def test_samples_that_are_not_finite_do_not_stop_the_picture(tmp_path, shape, broken):
    data = np.random.default_rng(0).normal(size=(200, *shape))
    samples = data.copy()
    samples[: 5 if broken == "some" else None] = np.nan
    draw_samples(samples, data, shape, tmp_path / "samples.png")

    assert size(tmp_path / "samples.png")


def test_constant_data_have_a_frame(tmp_path):
    for shape in [(), (2,), (4,), (64,)]:
        draw_samples(np.zeros((20, *shape)), np.zeros((20, *shape)), shape, tmp_path / "samples.png")

        assert size(tmp_path / "samples.png")
    draw_samples(np.full((20, 2), 9e15), np.full((20, 2), 9e15), (2,), tmp_path / "samples.png")
    draw_loss([{"step": step, "loss": 4e30} for step in range(9)], tmp_path / "loss.png")


def test_loss_curves(tmp_path):
    rows = [
        {"step": s, "seconds": 0.1 * s, "loss": 3 + 1 / s} | ({"validation": 3.2} if s % 50 == 0 else {})
        for s in range(1, 401)
    ]
    draw_loss(rows, tmp_path / "loss.png")
    with_both = imread(tmp_path / "loss.png")
    draw_loss([{"step": r["step"], "loss": r["loss"]} for r in rows], tmp_path / "loss.png")

    assert size(tmp_path / "loss.png") == (910, 546)
    assert np.abs(with_both - imread(tmp_path / "loss.png")).max() > 0.3


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"step": 1, "loss": 2.0}],
        [{"step": 1, "loss": float("nan")}, {"step": 2, "loss": "", "validation": None}],
        [{"step": 1, "validation": 2.0}, {"step": 5, "validation": 1.0}],
    ],
)
def test_short_and_empty_runs_have_a_curve(tmp_path, rows):
    draw_loss(rows, tmp_path / "loss.png", unit="bits")

    assert size(tmp_path / "loss.png")


def test_one_reading_is_seen(tmp_path):
    draw_loss([{"step": 20, "loss": 2.0}], tmp_path / "loss.png")
    left = imread(tmp_path / "loss.png")[:, 120:600, :3]  # right of the axis, left of the legend

    assert (np.ptp(left, axis=2) > 0.3).any()


def test_density_maps(tmp_path):
    data = two_moons(2_000)
    grid = Grid.around(data, 60)
    log_p = log_density("two_moons", grid.points, noise=0.1)
    draw_density(log_p, grid, data, tmp_path / "density.png")
    draw_density(log_p, grid, data, tmp_path / "both.png", log_density("two_moons", grid.points))
    for value in (-np.inf, np.nan, 1e5):
        draw_density(np.full(3_600, value), grid, data, tmp_path / "nothing.png")

    assert size(tmp_path / "both.png")[0] > size(tmp_path / "density.png")[0]
    assert size(tmp_path / "nothing.png")


def test_grid_runs_along_the_first_coordinate_first():
    grid = Grid((0.0, 4.0, 10.0, 12.0), 2)

    assert np.array_equal(grid.points, [[1, 10.5], [3, 10.5], [1, 11.5], [3, 11.5]])


def test_equal_input_gives_equal_files(tmp_path):
    data = np.random.default_rng(0).normal(size=(50, 2))
    for name in ("a.png", "b.png"):
        draw_samples(data, data, (2,), tmp_path / name)

    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_drawing_leaves_pyplot_alone():
    code = "import sys, dgmspec.runtime.pictures; print('matplotlib.pyplot' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert found.strip() == "False"
