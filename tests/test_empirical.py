"""A law that draws rows of data: what it draws, what it keeps, what has no density, and a flow from data to data."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import dgmspec
from dgmspec import lang
from dgmspec.core.types import REAL, Type
from dgmspec.modules.compiled import CompiledModel, UnavailableError
from dgmspec.modules.registry import distribution_twin
from dgmspec.modules.twin import StepContext
from dgmspec.ops.data.builtin import TwoMoons
from dgmspec.ops.distributions import Empirical
from dgmspec.runtime.data import DataError
from dgmspec.runtime.interrupts import Interrupted
from dgmspec.runtime.rundir import RunError
from dgmspec.runtime.steps import Steps
from dgmspec.runtime.toys import TOYS
from dgmspec.runtime.train import resume_run
from dgmspec.runtime.verify import verify
from dgmspec.spec import override

SPECS = Path(__file__).parent.parent / "specs"
ODE = "ode z -> x over t in 0..1 { velocity(y, t) = mlp(8); solver = rk4(steps = 4) }"


def text(law: str, top: str = "", loss: str = "flow_matching", train: str = "", arrow: str = ODE) -> str:
    """A whole file: data in the plane, reached from rows of data."""
    block = f"train M {{ {train} }}\n" if train else ""
    members = f"    observe x : real[2]\n    latent z : real[2] ~ {law}\n    {arrow}\n    loss = {loss}\n"
    return f"dgm 1\n{top}model M {{\n{members}}}\n{block}"


def compiled(law: str, top: str = "", seed: int = 0) -> CompiledModel:
    return dgmspec.compile(dgmspec.parse(text(law, top)), seed=seed, dtype=torch.float64)


@pytest.fixture(scope="module")
def model() -> CompiledModel:
    return compiled("empirical(two_moons(n = 50))")


# ---- what it draws --------------------------------------------------------------------------------------------------


def test_draws_are_rows_each_as_likely_as_any_other(model: CompiledModel) -> None:
    """The velocity is zero at the start, so samples are draws."""
    rows = model.get_parameter("M/z/prior/rows")
    drawn = model.sample(20_000, seed=0)
    same = (drawn[:, None, :] == rows[None]).all(2)
    assert bool((same.sum(1) == 1).all())
    counts = same.sum(0).double()
    assert float(((counts - 400) ** 2 / 400).sum()) < 49 + 5 * (2 * 49) ** 0.5  # chi-squared, five deviations


def test_a_draw_depends_on_seed_and_index_alone(model: CompiledModel) -> None:
    whole = model.sample(300, seed=4)
    torch.testing.assert_close(torch.cat([model.sample(7, seed=4), model.sample(293, seed=4, start=7)]), whole)
    assert not torch.equal(model.sample(300, seed=5), whole)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_draw_of_noise_names_a_row(dtype: torch.dtype) -> None:
    """Also a uniform number next to one, where its product with the count is rounded up."""
    model = compiled("empirical(two_moons(n = 3))").to(dtype)
    noise = torch.tensor([0.0, 1 / 3, 0.9, 1 - torch.finfo(dtype).eps / 2, 1.0], dtype=dtype)
    drawn = model.run("sample", {"M/z/prior/row": noise})["x"]
    torch.testing.assert_close(drawn, model.get_parameter("M/z/prior/rows")[[0, 1, 2, 2, 2]].detach())


def test_fewer_rows_than_there_is_room_for(model: CompiledModel) -> None:
    other = compiled("empirical(two_moons(n = 50))")
    other.set_rows("z", np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert {tuple(row) for row in other.sample(100, seed=0).tolist()} == {(1.0, 2.0), (3.0, 4.0)}
    for wrong in (np.zeros((51, 2)), np.zeros((0, 2)), np.zeros((3, 3)), np.full((3, 2), np.nan)):
        with pytest.raises(ValueError, match="`z`"):
            other.set_rows("z", wrong)
    with pytest.raises(ValueError, match="no row of data"):
        other.set_rows("x", np.zeros((3, 2)))


def test_a_source_with_more_rows_gives_a_random_part() -> None:
    kept = compiled("empirical(two_moons(n = 400), rows = 100)").get_parameter("M/z/prior/rows")
    whole = compiled("empirical(two_moons(n = 400))").get_parameter("M/z/prior/rows")
    at = (kept[:, None] == whole[None]).all(2).double()
    assert bool((at.sum(1) == 1).all()) and float(at[:, :100].sum()) < 60  # not the first hundred


def test_a_law_and_the_data_may_have_one_source_and_different_rows(model: CompiledModel) -> None:
    rows = model.get_parameter("M/z/prior/rows").detach().numpy()
    assert not (rows[:, None] == TOYS["two_moons"](50, seed=0)[None]).all(2).any()
    seeded = compiled("empirical(two_moons(n = 50, seed = 0))").get_parameter("M/z/prior/rows").detach().numpy()
    np.testing.assert_array_equal(seeded, TOYS["two_moons"](50, seed=0))


def test_rows_may_be_the_law_of_what_is_observed() -> None:
    spec = dgmspec.parse("dgm 1\nmodel M { observe x : real[2] ~ empirical(two_moons(n = 9)) }\n")
    plain = dgmspec.compile(spec, dtype=torch.float64)
    assert plain.density == "none" and plain.sample(4, seed=0).shape == (4, 2)


def test_the_mean_is_that_of_the_rows_that_are_there() -> None:
    op, rows = Empirical(source=TwoMoons()), torch.tensor([[1.0, 2.0], [3.0, 6.0], [9.0, 9.0]])
    mean = distribution_twin(op).mean
    assert mean is not None
    found = mean(op, {"rows": rows, "count": torch.tensor(2.0)}, StepContext(Type(REAL, (2,))), rows)
    torch.testing.assert_close(found, torch.tensor([2.0, 4.0]))


# ---- rows that are labels, and steps behind them --------------------------------------------------------------------


def test_whole_numbers_start_a_flow_through_steps_of_their_own() -> None:
    spec = dgmspec.parse(
        "dgm 1\ndata small = digits(flat = true)\nmodel M {\n    observe x : real[64]\n"
        "    latent w : integer(0..16)[64] ~ empirical(small, rows = 30)\n    latent z : real[64]\n"
        "    flow w -> z { dequantize(uniform); logit }\n"
        "    ode z -> x over t in 0..1 { velocity(y, t) = mlp(8); solver = euler(steps = 1) }\n"
        "    loss = flow_matching\n}\n"
    )
    model = dgmspec.compile(spec, dtype=torch.float64)
    levels = (torch.sigmoid(model.sample(20, seed=0)) * 17).floor()
    rows = model.get_parameter("M/w/prior/rows")
    assert bool((levels[:, None] == rows[None]).all(2).any(1).all())
    assert bool(torch.isfinite(model.loss(torch.zeros(5, 64), seed=0).total))


# ---- no density -----------------------------------------------------------------------------------------------------


def test_there_is_no_density_and_it_is_said(model: CompiledModel) -> None:
    assert model.density == "none"
    for call in (lambda: model.log_prob(torch.zeros(2, 2)), lambda: model.sample_and_log_prob(2)):
        with pytest.raises(UnavailableError, match="row of data, which has no density: train by `flow_matching`"):
            call()
    table = dgmspec.diagnose(text("empirical(two_moons)")).explain("M")
    assert "log_prob none" in table
    verified = verify(model)
    assert verified.holds
    reasons = {f.claim: f.reason for f in verified.findings if f.error is None}
    assert "no density" in reasons["samples"] and "no density" in reasons["normalisation"]


@pytest.mark.parametrize(
    "members",
    [
        f"latent z : real[2] ~ empirical(two_moons); {ODE}; loss = nll",
        f"latent z : real[2] ~ empirical(two_moons); {ODE}; loss = flow_matching + 0.1 * kinetic",
        f"latent z : real[2] ~ empirical(two_moons); {ODE}; loss = reverse_kl",
        "latent z : real[2] ~ empirical(two_moons); generate x | z ~ normal(mlp(8)); infer z | x ~ normal(mlp(8)); "
        "loss = elbo",
        "latent z : real[2] ~ normal(0, 1); generate x | z ~ normal(mlp(8)); infer z ~ empirical(two_moons); "
        "loss = elbo",
    ],
)
def test_what_needs_a_density_of_rows_is_refused_with_a_way_out(members: str) -> None:
    target = " ~ exp(-dot(x, x))" if "reverse_kl" in members else ""
    found = dgmspec.diagnose(f"dgm 1\nmodel M {{ observe x : real[2]{target}; {members} }}\n").diagnostics
    errors = [d for d in found if d.severity == "error"]
    assert [d.code for d in errors] == ["DGM740"]
    said = " ".join(errors[0].help)
    assert all(word in said for word in ("flow_matching", "mixture", "kernel"))


@pytest.mark.parametrize(
    ("law", "top", "code"),
    [
        ("empirical(digits(flat = true))", "", "DGM804"),
        ("empirical(d)", 'data d = csv("a.csv", z = ["a", "b", "c"])\n', "DGM804"),
        ("empirical(d)", 'data d = csv("a.csv", y = ["a", "b"])\n', "DGM810"),
        ('empirical(npy("../a.npy"))', "", "DGM811"),
        ("empirical(nowhere)", "", "DGM230"),
        ("empirical", "", "DGM233"),
        ("empirical(two_moons, rows = 0)", "", "DGM234"),
    ],
)
def test_rows_that_do_not_fit_are_refused_before_a_file_is_opened(law: str, top: str, code: str) -> None:
    assert [d.code for d in dgmspec.diagnose(text(law, top)).diagnostics if d.severity == "error"] == [code]


# ---- files, runs, bundles -------------------------------------------------------------------------------------------

FILE, END = (
    'data start = npy("start.npy")\n',
    "data = two_moons(n = 200); steps = 6; batch = 32; validate = holdout(0.2)",
)


def test_rows_of_a_file_are_recorded_when_training_begins_and_kept(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    np.save(tmp_path / "start.npy", rows)
    spec = dgmspec.parse(text("empirical(start, rows = 100)", FILE, train=END))
    model = dgmspec.compile(spec)
    for call in (lambda: model.sample(3), lambda: model.loss(torch.zeros(3, 2))):
        with pytest.raises(UnavailableError, match=r"not recorded yet: train the model, or call model\.set_rows"):
            call()
    assert verify(model).holds
    run = dgmspec.train(spec, folder=tmp_path, out=tmp_path / "run")
    np.testing.assert_array_equal(run.model.get_parameter("M/z/prior/rows")[:40].detach().numpy(), rows)
    assert float(run.model.get_parameter("M/z/prior/count")) == 40
    assert run.report["density"] == "none" and run.report["test"] == {}
    assert "best validation loss" in run.summary() and "nats" not in run.summary()
    (tmp_path / "start.npy").unlink()  # neither the folder of the run nor a bundle needs the file again
    loaded = dgmspec.load_model(run.model.save(tmp_path / "bundle"))
    torch.testing.assert_close(loaded.sample(9, seed=1), run.model.sample(9, seed=1), rtol=0, atol=0)
    assert dgmspec.evaluate(tmp_path / "run") == {}
    with pytest.raises(DataError, match=r"start\.npy"):
        dgmspec.train(spec, folder=tmp_path, out=tmp_path / "other")


def test_a_file_elsewhere_is_named_by_the_data(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.full((5, 2), 7.0))
    spec = dgmspec.parse(text("empirical(start)", FILE, train=END))
    run = dgmspec.train(spec, paths={"start": tmp_path / "rows.npy"}, out=tmp_path / "run")
    assert float(run.model.get_parameter("M/z/prior/count")) == 5
    with pytest.raises(RunError, match="did you mean `start`"):
        dgmspec.train(spec, paths={"strat": tmp_path / "rows.npy"}, out=tmp_path / "other")


def test_arrays_from_python_stand_for_both_ends(tmp_path: Path) -> None:
    spec = dgmspec.parse(text("empirical(start)", FILE, train="steps = 2; batch = 8"))
    arrays = {"x": np.zeros((30, 2)), "z": np.ones((4, 2))}
    run = dgmspec.train(spec, data=arrays, out=tmp_path / "run")
    assert float(run.model.get_parameter("M/z/prior/count")) == 4
    with pytest.raises(DataError, match="DGM851"):
        dgmspec.train(spec, data=arrays | {"z": np.ones((4, 3))}, out=tmp_path / "other")


def test_a_resumed_run_is_the_whole_run_bit_by_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "start.npy", np.random.default_rng(1).normal(size=(40, 2)))
    spec = dgmspec.parse(text("empirical(start, rows = 20)", FILE, train=END))
    whole = dgmspec.train(spec, folder=tmp_path, out=tmp_path / "whole").model.state_dict()

    step = Steps.step

    def stopping(self: Any, rows: Any) -> torch.Tensor:
        loss = step(self, rows)
        if self.fit.step == 3:
            raise KeyboardInterrupt
        return loss

    with monkeypatch.context() as patched:
        patched.setattr(Steps, "step", stopping)
        with pytest.raises(Interrupted):
            dgmspec.train(spec, folder=tmp_path, out=tmp_path / "part")
    (tmp_path / "start.npy").unlink()
    resumed = resume_run(tmp_path / "part").model.state_dict()
    assert resumed.keys() == whole.keys() and all(torch.equal(resumed[k], whole[k]) for k in whole)


# ---- both spellings, and the spec -----------------------------------------------------------------------------------


def test_from_python_as_from_text() -> None:
    spec = dgmspec.parse(text("empirical(start, rows = 50)", "data start = two_moons(n = 100)\n"))
    assert dgmspec.parse(spec.text()) == spec and dgmspec.Spec.from_json(spec.model_dump_json()) == spec
    member = next(m for m in spec.models["M"].members if getattr(m, "name", "") == "z")
    assert member == lang.latent("z", lang.real[2], prior=lang.empirical(lang.sym("start"), rows=50))


def moved(model: CompiledModel) -> tuple[float, float, np.ndarray]:
    """How far samples lie from the nearest of the eight centres, at the median; how many lie within three standard
    deviations of one; and the share of each centre."""
    x = model.sample(2000, seed=0).double().numpy()
    angles = np.arange(8) * np.pi / 4
    centres = 4 / np.sqrt(2) * np.stack([np.cos(angles), np.sin(angles)], 1)
    distances = np.linalg.norm(x[:, None] - centres, axis=2)
    nearest, shares = distances.min(1), np.bincount(distances.argmin(1), minlength=8) / len(x)
    return float(np.median(nearest)), float((nearest < 3 * 0.5 / np.sqrt(2)).mean()), shares


def test_the_spec_begins_at_its_rows_and_learns_towards_the_data(tmp_path: Path) -> None:
    quick = {"steps": "4", "width": "16", "train.batch": "64", "train.steps": "150", "train.schedule": "none"}
    quick |= {"train.optimizer": "adam(lr = 1e-2)", "train.data": "eight_gaussians(n = 1_000)"}
    spec = override(dgmspec.load(SPECS / "data_to_data.dgm"), quick)
    assert isinstance(spec, dgmspec.Spec)
    untrained = dgmspec.compile(spec)
    run = dgmspec.train(spec, out=tmp_path / "run")
    assert run.report["density"] == "none"
    assert moved(run.model)[0] < 0.6 * moved(untrained)[0]
    with torch.no_grad():
        back = run.model.encode(run.model.sample(50, seed=3))
    rows = run.model.get_parameter("DataToData/z/prior/rows")
    assert float(torch.cdist(back, rows).min(1).values.max()) < 1e-2


@pytest.mark.slow
def test_a_model_without_rows_imports_no_readers() -> None:
    code = "import sys, dgmspec; dgmspec.compile(dgmspec.load(sys.argv[1])); assert 'sklearn' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, str(SPECS / "linear.dgm")], check=True)


@pytest.mark.slow
def test_the_trained_spec_carries_moons_to_eight_gaussians(tmp_path: Path) -> None:
    spec = dgmspec.load(SPECS / "data_to_data.dgm")
    model = dgmspec.train(spec, out=tmp_path / "run").model
    near, shares = moved(model)[1:]
    print(f"\n{near:.1%} within three standard deviations of a centre, shares {np.round(shares, 3)}")
    assert near > 0.87 > 0.2 > moved(dgmspec.compile(spec))[1]
    assert shares.min() > 0.09 and shares.max() < 0.16
