"""Pictures of an ode arrow in motion, and what they are made of: paths, velocities, densities at any time."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from PIL import Image

import dgmspec
from dgmspec import cli
from dgmspec.modules.compiled import CompiledModel
from dgmspec.modules.continuous.view import arrow_of, starts_of
from dgmspec.runtime import motion
from dgmspec.runtime.rundir import RunError

SPIRAL = "velocity(y, t) = [-0.5 * y[0] - 2 * y[1], 2 * y[0] - 0.5 * y[1]]; solver = dopri5"


def model(body: str = SPIRAL, size: str = "real[2]", arrows: str = "", over: str = "0..1") -> CompiledModel:
    arrows = arrows or f"latent z : {size} ~ normal(0, 1); ode x -> z over t in {over} {{ {body} }}"
    text = f"dgm 1\nmodel M {{ observe x : {size}; {arrows}; loss = nll }}\n"
    return dgmspec.compile(dgmspec.parse(text), dtype=torch.float64)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("PATHS", 12), ("TIMES", 7), ("PANELS", 3), ("FRAMES", 4), ("POINTS", 20)):
        monkeypatch.setattr(motion, name, value)


def test_an_arrow_runs_between_its_ends() -> None:
    """A linear spiral, whose state at any time is a matrix exponential of its start."""
    made = model(over="0.5..1.5")
    arrow, x = arrow_of(made), torch.randn(5, 2, dtype=torch.float64)
    assert arrow.times == (0.5, 1.5) and arrow.name == "M/x->z"
    matrix = torch.tensor([[-0.5, -2.0], [2.0, -0.5]], dtype=torch.float64)
    torch.testing.assert_close(arrow.velocity(0.7, x), x @ matrix.t())
    states = arrow.paths(starts_of(made, "x", x), [0.5, 0.8, 1.5])
    for state, t in zip(states, (0.5, 0.8, 1.5), strict=True):
        torch.testing.assert_close(state, x @ torch.linalg.matrix_exp((t - 0.5) * matrix).t(), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(states[-1], made.encode(x))


@pytest.mark.parametrize("over", ["0..1", "1..0"])
def test_the_density_of_a_path_changes_by_the_trace(over: str) -> None:
    made = model(over=over)
    arrow, x = arrow_of(made), torch.randn(6, 2, dtype=torch.float64)
    start, end = arrow.times
    torch.testing.assert_close(arrow.log_prob(start, x), made.log_prob(x))
    middle = arrow.paths(x, [start, 0.5])[1]
    torch.testing.assert_close(arrow.log_prob(0.5, middle), made.log_prob(x) + (0.5 - start), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(arrow.log_prob(end, x), -0.5 * x.square().sum(1) - np.log(2 * np.pi))


def test_the_density_of_an_estimated_trace_is_exact() -> None:
    made = model("velocity(y, t) = mlp(6, 6); solver = rk4(steps = 4); trace = hutchinson")
    x = torch.randn(4, 2, dtype=torch.float64)
    estimates = made.log_prob(x.repeat(2_000, 1), seed=0).reshape(2_000, 4)
    error = estimates.mean(0) - arrow_of(made).log_prob(0.0, x)
    assert (error.abs() < 5 * estimates.std(0) / 2_000**0.5 + 1e-6).all()


def test_an_arrow_after_a_flow_starts_where_the_flow_ends() -> None:
    flow, ode = "flow x -> u { elementwise(affine) }", f"ode u -> z over t in 0..1 {{ {SPIRAL} }}"
    arrows = f"latent u : real[2]; latent z : real[2] ~ normal(0, 1); {flow}; {ode}"
    made, x = model(arrows=arrows), torch.randn(5, 2, dtype=torch.float64)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.7)
    arrow, starts = arrow_of(made), starts_of(made, "x", x)
    assert not torch.allclose(starts, x)
    torch.testing.assert_close(arrow.paths(starts, [0.0, 1.0])[1], made.encode(x))


@pytest.mark.parametrize("what", motion.PICTURES)
def test_pictures_of_the_plane(what: str, tmp_path: Path, few: None) -> None:
    model().save(tmp_path / "m")
    path = motion.draw_motion(tmp_path / "m", what)
    assert path.parent == tmp_path / "m" and imread(path)[..., :3].std() > 0.03


@pytest.mark.parametrize("before", ["x -> z", "z -> x", "x -> u"])
def test_the_density_of_an_arrow_wherever_the_prior_is(before: str, tmp_path: Path, few: None) -> None:
    arrow = f"ode {before} over t in 0..1 {{ {SPIRAL} }}"
    between = "latent u : real[2]; flow u -> z { elementwise(affine) }; " if "u" in before else ""
    model(arrows=f"latent z : real[2] ~ normal(0, 1); {between}{arrow}").save(tmp_path / "m")
    assert imread(motion.draw_motion(tmp_path / "m", "density"))[..., :3].std() > 0.03


@pytest.mark.parametrize("size", ["real", "real[3]"])
def test_paths_of_states_of_other_sizes(size: str, tmp_path: Path, few: None) -> None:
    model("velocity(y, t) = -y * t; solver = rk4(steps = 4)", size).save(tmp_path / "m")
    assert imread(motion.draw_motion(tmp_path / "m", "trajectories"))[..., :3].std() > 0.03
    with pytest.raises(RunError, match="is one of the plane"):
        motion.draw_motion(tmp_path / "m", "field")


def test_a_moving_density(tmp_path: Path, few: None, capsys: pytest.CaptureFixture[str]) -> None:
    model().save(tmp_path / "m")
    arguments = ["show", str(tmp_path / "m"), "--what", "density", "-o", str(tmp_path / "d.gif"), "--json"]
    assert cli.run(arguments) == 0
    assert json.loads(capsys.readouterr().out)["result"] == {"what": "density", "wrote": str(tmp_path / "d.gif")}
    with Image.open(tmp_path / "d.gif") as moving:
        assert moving.n_frames == 4


FLOW = "latent z : real[2] ~ normal(0, 1); flow x -> z { elementwise(affine) }"
GIVEN = f"given c : real; latent z : real[2] ~ normal(0, 1); ode x -> z | c over t in 0..1 {{ {SPIRAL} }}"


@pytest.mark.parametrize(
    ("arrows", "what", "name", "message"),
    [
        (FLOW, "field", "f.png", "M has no `ode` arrows"),
        (GIVEN, "field", "f.png", "M is conditional"),
        ("", "field", "f.gif", r"a picture of field is written as \.png"),
    ],
    ids=["no arrow", "conditional", "ending"],
)
def test_what_cannot_be_drawn(arrows: str, what: str, name: str, message: str, tmp_path: Path, few: None) -> None:
    model(arrows=arrows).save(tmp_path / "m")
    with pytest.raises(RunError, match=message):
        motion.draw_motion(tmp_path / "m", what, tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_picture_is_asked_for_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["show", str(tmp_path / "m.dgm"), "-o", "x.png"]) == 2
    assert "--what" in capsys.readouterr().err


def test_a_run_that_loses_a_path_says_where(tmp_path: Path) -> None:
    """y' = k y² leaves every bound at t = 1 / (k y) on fixed steps, which go on with numbers that are none."""
    text = """dgm 1
    model M {
        observe x : real[2]
        latent z : real[2] ~ normal(0, 1)
        learn k : positive = 40
        ode x -> z over t in 0..1 { velocity(y, t) = k * y^2; solver = rk4(steps = 20) }
        loss = nll
    }
    train M { steps = 3; batch = 16 }
    """
    data = np.abs(np.random.default_rng(0).normal(size=(64, 2))) + 1
    with pytest.raises(RunError, match=r"stops being finite at t = 0\.\d+ in row \d+: .* grows at most linearly"):
        dgmspec.train(dgmspec.parse(text), data={"x": data}, out=tmp_path / "run")
