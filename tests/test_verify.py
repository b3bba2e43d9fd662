"""Verification: true models pass, every kind of lie is caught and named, and the command line says so."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import dgmspec
from dgmspec import cli
from dgmspec.core.jacobian import Dependency, Fact, Jacobian, Structure
from dgmspec.core.steps import AbstractStep
from dgmspec.core.types import REAL, UNIT, Type
from dgmspec.modules import registry
from dgmspec.modules.distributions.line import TWINS as LAWS
from dgmspec.modules.structure import TWINS
from dgmspec.modules.twin import DistributionTwin, StepContext, StepTwin
from dgmspec.runtime import wholes
from dgmspec.runtime.quadrature import integrate
from dgmspec.runtime.selfcheck import check_step
from dgmspec.runtime.verify import Verification, verify, verify_run
from dgmspec.runtime.wholes import check_whole
from tests.zoo import noises, small

DOUBLE = torch.float64
SPECS = sorted((Path(__file__).parent.parent / "specs").glob("*.dgm"))
TINY = """dgm 1
model M {
    observe x : real[2]
    latent z : real[2] ~ normal(0, 1)
    flow x -> z { actnorm; repeat 2 as k { coupling(affine, mask = alternate(k), net = mlp(8)) } }
    loss = nll
}
train M { data = two_moons(n = 1_000); steps = 20; batch = 64; validate = holdout(0.2, every = 10) }
"""


def violated(found: Verification) -> set[str]:
    return {finding.claim for finding in found.findings if not finding.holds}


def verified(text: str) -> Verification:
    return verify(dgmspec.compile(dgmspec.parse(text)))


# ---- the truth ------------------------------------------------------------------------------------------------------


DEAR = {"bnaf", "flow_matching", "glow", "nsf_ar", "ot_cnf", "realnvp_image", "reflow", "sos", "umnn"}
"""Specs that take seconds each: their inverses are solved for, or their density over the plane is."""


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, id=p.stem, marks=[pytest.mark.slow] if p.stem in DEAR else []) for p in SPECS if not noises(p)],
)
def test_every_spec_is_verified(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wholes, "BUDGET", 80_000)
    monkeypatch.setattr(wholes, "WITNESSES", 5_000)
    spec = small(dgmspec.load(path))
    model = dgmspec.compile(spec, model=next(iter(spec.models)))
    found = verify(model)
    assert found.holds, found.text()
    claims = {finding.claim for finding in found.findings if finding.error is not None}
    of_steps = {"type", "inverse", "log-determinant", "dependency", "support"} if model.graph.steps else set()
    of_laws = {"prior support", "density label"} if model.density not in ("none", "unnormalised") else set()
    assert of_steps | of_laws <= claims


MODELS = {
    "scalar event, gamma prior": "observe x : real; latent z : positive ~ gamma(2, 1); flow x -> z { softplus }",
    "bounded data": "observe x : unit[2]; latent z : real[2] ~ normal(0, 1); flow x -> z { logit; actnorm }",
    "heavy tails": "observe x : real; latent z : real ~ student_t(1); flow x -> z { shift_scale(1, 2) }",
    "a prior alone": "observe x : unit[2] ~ beta(2, 3)",
    "a context": "observe x : real[2]; given c : real[3]; latent z : real[2] ~ normal(0, 1)\n"
    "flow x -> z | c { coupling(affine, mask = half, net = mlp(8)); permute(reverse) }",
    "two observed variables": "observe x : real; observe y : positive; latent u : real ~ normal(0, 1)\n"
    "latent v : real ~ normal(0, 2); flow x -> u { shift_scale(1, 2) }; flow y -> v { inverse exp }",
    "undone": "observe x : positive[2]; latent z : real[2] ~ normal(0, 1); flow z -> x { inverse { actnorm }; exp }",
}


@pytest.mark.parametrize("name", MODELS)
def test_the_mass_of_true_models_is_one(name: str) -> None:
    found = verified(f"dgm 1\nmodel M {{ {MODELS[name]} }}")
    assert found.holds, found.text()
    assert {f.claim for f in found.findings if f.error is not None} >= {"samples", "normalisation", "sampler"}


def test_what_cannot_be_tried_is_said() -> None:
    found = verified("dgm 1\nmodel M { observe x : real[2]; latent z : real[2]; flow x -> z { actnorm } }")
    assert found.holds
    untried = {f.claim: f.reason for f in found.findings if f.error is None}
    assert "prior" in untried["normalisation"] and "not tried" in found.text()


def test_a_lower_bound_may_leave_mass_out_but_not_add_any() -> None:
    text = "dgm 1\nmodel M { observe x : unit; latent z : real ~ normal(0, 1); flow x -> z { logit(alpha = 0.1) } }"
    found = verified(text)
    assert found.holds and "lower bound" in found.text()


def test_assumptions_stand_in_the_table() -> None:
    text = "dgm 1\nmodel M { observe x : real[2]; latent z : real[2] ~ normal(0, 1); flow x -> z { linear(dense) } }"
    assert " assumed    `linear(dense)` is invertible" in verified(text).text()


# ---- lies about a step ----------------------------------------------------------------------------------------------


class AbstractShear(AbstractStep):
    """y = (x_0, 2 x_1): everything that is claimed of it beyond that is a lie."""

    def infer_type(self, x: Type, c: Type | None) -> Type:
        return x

    def infer_input(self, y: Type, c: Type | None) -> Type:
        return y

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        return Jacobian(Structure.DIAGONAL, Dependency.diagonal(2), Fact.YES, Fact.NO, Fact.NO)


class Plain(AbstractShear):
    """The truth."""

    name = "plain"


class UnitDeterminant(AbstractShear):
    """Claims to preserve volume."""

    name = "unit_determinant"

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        return Jacobian(Structure.DIAGONAL, Dependency.diagonal(2), Fact.YES, Fact.YES, Fact.NO)


class Orthogonal(AbstractShear):
    """Claims an orthogonal Jacobian."""

    name = "orthogonal"

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        return Jacobian(Structure.DIAGONAL, Dependency.diagonal(2), Fact.YES, Fact.UNKNOWN, Fact.YES)


class Bent(AbstractShear):
    """y = sinh(x) claims a constant Jacobian."""

    name = "bent"


class WrongShape(AbstractShear):
    """Claims to give three coordinates."""

    name = "wrong_shape"

    def infer_type(self, x: Type, c: Type | None) -> Type:
        return x.with_shape((2, 1))


class WrongSupport(AbstractShear):
    """Claims to end in the unit square."""

    name = "wrong_support"

    def infer_type(self, x: Type, c: Type | None) -> Type:
        return x.with_support(UNIT)


class HalfInverse(AbstractShear):
    """y = |x| with the inverse of the positive half: right on the way there for half of the line alone."""

    name = "half_inverse"

    def jacobian(self, x: Type, c: Type | None) -> Jacobian:
        return Jacobian(Structure.DIAGONAL, Dependency.diagonal(2))


SCALE = torch.tensor([1.0, 2.0], dtype=DOUBLE)


def _scaled(op: Any, p: Any, x: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    return x * SCALE, torch.tensor(math.log(2), dtype=DOUBLE)


def _unscaled(op: Any, p: Any, y: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    return y / SCALE, torch.tensor(-math.log(2), dtype=DOUBLE)


def _sinh(op: Any, p: Any, x: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    return torch.sinh(x), torch.cosh(x).log().sum(1)


def _asinh(op: Any, p: Any, y: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    return torch.asinh(y), -torch.asinh(y).cosh().log().sum(1)


def _folded(op: Any, p: Any, x: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    return x.abs(), torch.tensor(0.0, dtype=DOUBLE)


def _unfolded(op: Any, p: Any, y: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
    return y, torch.tensor(0.0, dtype=DOUBLE)


LIES: dict[type[AbstractStep], tuple[set[str], StepTwin]] = {
    Plain: (set(), StepTwin(_scaled, _unscaled)),
    UnitDeterminant: ({"unit determinant"}, StepTwin(_scaled, _unscaled)),
    Orthogonal: ({"orthogonal"}, StepTwin(_scaled, _unscaled)),
    Bent: ({"constant"}, StepTwin(_sinh, _asinh)),
    WrongShape: ({"type"}, StepTwin(_scaled, _unscaled)),
    WrongSupport: ({"support"}, StepTwin(_scaled, _unscaled)),
    HalfInverse: ({"inverse"}, StepTwin(_folded, _unfolded)),
}


@pytest.mark.parametrize("lie", LIES, ids=lambda c: c.name)
def test_a_lie_of_a_step_is_caught_and_named(lie: type[AbstractStep], monkeypatch: pytest.MonkeyPatch) -> None:
    claims, twin = LIES[lie]
    monkeypatch.setitem(registry._FOUND, lie, twin)
    found = check_step(lie(), {}, Type(REAL, (2,)), complete=True)
    assert {finding.claim for finding in found if not finding.holds} == claims


# ---- lies inside a model --------------------------------------------------------------------------------------------


def step_lie(monkeypatch: pytest.MonkeyPatch, name: str, change: Callable[[StepTwin], StepTwin]) -> None:
    cls = next(cls for cls in TWINS if cls.name == name)
    monkeypatch.setitem(registry._FOUND, cls, change(TWINS[cls]))


def law_lie(monkeypatch: pytest.MonkeyPatch, name: str, change: Callable[[DistributionTwin], DistributionTwin]) -> None:
    cls = next(cls for cls in LAWS if cls.name == name)
    monkeypatch.setitem(registry._FOUND, cls, change(LAWS[cls]))


def _shifted(run: Any, by: float) -> Any:
    def shift(op: Any, p: Any, x: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
        y, log_det = run(op, p, x, ctx)
        return y, log_det + by

    return shift


def test_a_lying_log_determinant_is_caught_at_the_step_and_in_the_total_mass(monkeypatch: pytest.MonkeyPatch) -> None:
    def change(twin: StepTwin) -> StepTwin:
        return replace(twin, forward=_shifted(twin.forward, 0.1), inverse=_shifted(twin.inverse, -0.1))

    step_lie(monkeypatch, "actnorm", change)
    found = verified(TINY)
    assert violated(found) == {"log-determinant", "normalisation"}
    (mass,) = [f for f in found.findings if f.claim == "normalisation"]
    assert mass.error == pytest.approx(math.exp(0.1) - 1, abs=1e-3)
    assert "M/x->z/0 (actnorm)" in found.text() and "VIOLATED" in found.text()


def test_a_density_that_does_not_integrate_to_one_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def change(twin: DistributionTwin) -> DistributionTwin:
        return DistributionTwin(lambda *a: twin.log_prob(*a) - 0.05, twin.draw)

    law_lie(monkeypatch, "normal", change)
    assert violated(verified(TINY)) == {"normalisation"}


def test_a_sampler_of_another_law_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def change(twin: DistributionTwin) -> DistributionTwin:
        return DistributionTwin(twin.log_prob, lambda *a: 1.2 * twin.draw(*a))

    law_lie(monkeypatch, "normal", change)
    assert violated(verified(TINY)) == {"sampler"}


def test_a_density_that_says_exact_and_draws_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "dgm 1\nmodel M { observe x : integer(0..3)[3]; latent z : real[3] ~ normal(0, 1)\n"
    model = dgmspec.compile(dgmspec.parse(text + "flow x -> z { dequantize(uniform); logit } }"), dtype=DOUBLE)
    assert all(f.holds for f in check_whole(model, 0))
    monkeypatch.setattr(type(model), "density", "exact")
    assert [f.claim for f in check_whole(model, 0) if not f.holds][-1] == "density label"


# ---- quadrature -----------------------------------------------------------------------------------------------------


def test_quadrature_knows_its_own_error() -> None:
    def disc(points: Tensor) -> Tensor:
        return ((points**2).sum(1, keepdim=True) < 1).double() / math.pi

    everywhere = torch.full((2,), math.inf, dtype=DOUBLE)
    box = torch.tensor([-1.3, -1.1], dtype=DOUBLE), torch.tensor([1.2, 1.4], dtype=DOUBLE)
    found = integrate(disc, *box, (-everywhere, everywhere), 2e-3, 200_000)
    assert abs(float(found.value[0]) - 1) < 2 * found.error < 0.01


# ---- runs and the command line --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short run."""
    folder = tmp_path_factory.mktemp("verify")
    (folder / "tiny.dgm").write_text(TINY)
    assert cli.run(["train", str(folder / "tiny.dgm"), "--out", str(folder / "run"), "-q"]) == 0
    return folder / "run"


def test_a_run_is_verified_with_its_weights_on_held_out_rows(run: Path) -> None:
    found = verify_run(run)
    assert found.holds and "8 held-out rows" in found.points


def test_a_saved_model_is_verified_without_data(run: Path) -> None:
    found = verify_run(run / "model")
    assert found.holds and "weights as they are" in found.points


def test_the_command_line_verifies_specs_and_runs(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["verify", str(SPECS[0].with_stem("realnvp")), "--set", "depth=2"]) == 0
    text = capsys.readouterr().out
    assert " proved " in text and " checked " in text and " assumed    nothing" in text
    assert cli.run(["verify", str(run), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)["result"]
    assert data["format_version"] == 1 and data["holds"] and data["flows"][0]["proved"]
    assert {finding["status"] for finding in data["checked"]} == {"checked"}
    assert cli.run(["verify", str(run), "--set", "depth=2"]) == 2
    assert cli.run(["verify", str(run.parent)]) == 2


def test_a_lie_fails_the_command(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step_lie(monkeypatch, "actnorm", lambda t: replace(t, inverse=_shifted(t.inverse, math.inf)))
    assert cli.run(["verify", str(run), "--json"]) == 1
    data = json.loads(capsys.readouterr().out)["result"]
    assert not data["holds"] and any(f["status"] == "violated" and f["error"] is None for f in data["checked"])


def test_a_run_of_a_joint_state_is_verified_at_its_rows(tmp_path: Path) -> None:
    (tmp_path / "m.dgm").write_text(
        'dgm 1\ndata rows = npz("rows.npz")\nmodel M {\nobserve a : real\nobserve b : real\n'
        "latent z : real[2] ~ normal(0, 1)\nflow [a, b] -> z { linear(plu) }\nloss = nll\n}\n"
        "train M { data = rows; steps = 1; batch = 8; validate = holdout(0.4) }\n"
    )
    np.savez(tmp_path / "rows.npz", a=np.arange(20.0), b=np.arange(20.0) % 3)
    assert cli.run(["train", str(tmp_path / "m.dgm"), "--out", str(tmp_path / "run"), "-q"]) == 0
    found = verify_run(tmp_path / "run")
    assert found.holds and "held-out rows" in found.points


def test_progress_is_shown_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("dgmspec.runtime.progress.LINE_SECONDS", 0.0)
    model = dgmspec.compile(dgmspec.parse("dgm 1\nmodel M { observe x : real ~ normal(0, 1) }"))
    verify(model)
    assert not capsys.readouterr().err
    verify(model, visible=True)
    assert "verify M 5/5" in capsys.readouterr().err
