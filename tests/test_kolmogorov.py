"""The Kolmogorov-Fokker-Planck equation: residuals of derived laws, solutions on a grid, what `verify` says of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.image import imread

import dgmspec
from dgmspec import cli
from dgmspec.modules.compiled import CompiledModel
from dgmspec.modules.paths import coefficients
from dgmspec.modules.paths import process as simulating
from dgmspec.runtime.findings import Finding
from dgmspec.runtime.kolmogorov import check, gridded
from dgmspec.runtime.kolmogorov.volumes import Box, binned, solve

SPECS = Path(__file__).parent.parent / "specs"
VP = (
    "observe x : real[2]; latent z : real[2] ~ normal(0, 1); "
    "sde x -> z over t in 0..1 { drift(x, t) = -(1 + 9 * t) / 2 * x; diffusion(t) = sqrt(1 + 9 * t) }"
)
KERNEL = (
    "observe x : real; latent z : real ~ normal(0, 1); "
    "perturb x -> z over t in 0..1 { kernel(x, t) ~ normal((1 - t) * x, t) }"
)


def model(members: str) -> CompiledModel:
    return dgmspec.compile(dgmspec.parse(f"dgm 1\nmodel M {{ {members} }}\n"), dtype=torch.float64)


def forwards(
    drift: str, diffusion: str, rest: str = "", size: str = "real", prior: str = "normal(0, 1)"
) -> CompiledModel:
    head = "diffusion(x, t)" if "x" in diffusion else "diffusion(t)"
    law = f"drift(x, t) = {drift}; {head} = {diffusion}{'; ' * bool(rest)}{rest}"
    return model(f"latent a : {size} ~ {prior}; observe b : {size}; sde a -> b over t in 0..1 {{ {law} }}")


def found(of: CompiledModel, rows: Any = None) -> dict[str, Finding]:
    return {finding.claim: finding for finding in check.check_processes(of, 0, rows)[0]}


def test_a_noising_law_without_a_formula_is_simulated_as_losses_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds; a tenth too much noise is seen."""
    case = model(
        "observe x : real; latent z : real ~ normal(0, 1); "
        "sde x -> z over t in 0..1 { drift(x, t) = x - x^3; diffusion(t) = 0.7; learn score(x, t) = mlp(4) }"
    )
    assert found(case)["simulation"].holds and found(case, {"x": torch.randn(8)})["simulation"].holds
    right = check.noised

    def loud(op: Any, law: Any, x: torch.Tensor, t: torch.Tensor, noise: Any) -> torch.Tensor:
        return right(op, law, x, t, {name: 1.1 * value for name, value in noise.items()})

    monkeypatch.setattr(check, "noised", loud)
    assert not found(case)["simulation"].holds


# ---- right laws hold ------------------------------------------------------------------------------------------------


def test_derived_laws_leave_nothing_over() -> None:
    cases = {
        "vp": model(VP),
        "kernel": model(KERNEL),
        "offset": forwards("[-2, 0.5] * x + [t, 1]", "[0.3, 1 + t]", size="real[2]", prior="normal([1, 0], 0.2)"),
    }
    for name, case in cases.items():
        assert found(case)["Fokker-Planck"].error < 1e-9, name  # type: ignore[operator]
    assert found(cases["vp"])["simulation"].holds and "simulation" not in found(cases["kernel"])
    rows = {"x": torch.randn(5, 2)}
    assert found(cases["vp"], rows)["Fokker-Planck"].holds


@pytest.mark.parametrize(
    "law",
    [
        ("x - x^3", "0.7"),
        pytest.param(("-x", "0.2 + 0.3 * abs(x)"), marks=pytest.mark.slow),
        ("-x", "0.5 * x", "calculus = stratonovich", "real", "normal(1, 0.2)"),
        pytest.param(
            ("[sin(3 * x[1]), -x[0]] - 0.5 * x", "[0.4, 0.6 + t]", "", "real[2]", "normal([0.5, -0.5], 0.3)"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_simulations_follow_the_equation_on_a_grid(law: tuple[str, ...]) -> None:
    assert found(forwards(*law))["simulation"].holds


MIXED = {
    "oscillator": (
        "latent a0 : real ~ normal(1, 0.3); latent b0 : real ~ normal(0, 0.2); observe a : real; observe b : real; "
        "sde [a0, b0] -> [a, b] over t in 0..1 { drift(a, b, t) = [b, -4 * a - b + t]; diffusion(t) = [0, 0.8] }"
    ),
    "shared noises": (
        "latent a : real[2] ~ normal([1, 0], 0.3); observe b : real[2]; sde a -> b over t in 0..1 { "
        "drift(x, t) = [[-2, 1], [0, -1]] @ x; diffusion(t) = [[0.5, 0.2], [0, 0.4 + t]]; solver = srk(steps = 50) }"
    ),
    "noising": (
        "observe x : real; latent v : real; infer v ~ normal(0, 0.1); latent z : real[2] ~ normal(0, [1, 0.5]); "
        "sde [x, v] -> z over t in 0..1 { drift(x, v, t) = [16 * v, -4 * x - 16 * v]; diffusion(t) = [0, sqrt(8)] }"
    ),
}
"""Laws whose kernel has matrices."""


@pytest.mark.parametrize(
    "name", ["noising", *(pytest.param(name, marks=pytest.mark.slow) for name in ("oscillator", "shared noises"))]
)
def test_laws_whose_coordinates_mix_are_tried(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = model(MIXED[name])
    right = found(case)
    assert right["Fokker-Planck"].error < 1e-8 and right["simulation"].holds, right  # type: ignore[operator]
    real = check.joint_at

    def wrong(*args: Any) -> Any:
        here = real(*args)
        return replace(here, factor=1.02 * here.factor)

    monkeypatch.setattr(check, "joint_at", wrong)
    assert not found(case)["Fokker-Planck"].holds


def test_what_a_grid_does_not_serve_is_said() -> None:
    bent = MIXED["oscillator"].replace("-4 * a - b + t", "-a^3")
    (finding,) = found(model(bent)).values()
    assert finding.status == "not tried" and "`a`" in finding.reason
    shared = MIXED["shared noises"].replace("@ x", "@ tanh(x)")
    assert "share" in found(model(shared))["Fokker-Planck"].reason
    fast = forwards("[20 * x[1], -20 * tanh(x[0])]", "0.05", "solver = euler_maruyama(steps = 8)", "real[2]")
    assert "too small" in found(fast)["simulation"].reason


def test_larger_events_are_not_tried() -> None:
    (finding,) = found(forwards("-x^3", "1", size="real[3]")).values()
    assert finding.status == "not tried" and "two coordinates" in finding.reason


def test_a_simulation_that_leaves_the_numbers_is_refuted_with_what_to_do() -> None:
    """By long steps a steep drift sends paths from side to side and away."""
    steep, rest = ("-x^3", "1"), "solver = euler_maruyama(steps = 12)"
    noising = (
        "observe x : real; latent z : real ~ normal(0, 1); "
        "sde x -> z over t in 0..1 { drift(x, t) = -x^3; diffusion(t) = 1; solver = euler_maruyama(steps = 12); "
        "learn score(x, t) = mlp(4) }"
    )
    for case, rows in (
        (forwards(*steep, rest, prior="normal(0, 50)"), None),
        (model(noising), {"x": 50 * torch.randn(99)}),
    ):
        finding = found(case, rows)["simulation"]
        assert finding.error == math.inf and "12 steps of euler_maruyama leaves the numbers" in finding.step
        assert "more `steps`" in finding.step


# ---- wrong ones do not ----------------------------------------------------------------------------------------------


def wrong_kernel(real: Callable[..., Any]) -> Callable[..., Any]:
    def at(*args: Any) -> Any:
        here = real(*args)
        return here._replace(sigma=here.sigma * 1.01)

    return at


def test_a_wrong_kernel_is_found_and_fails_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """One per cent too much noise in the kernel of an exact case."""
    monkeypatch.setattr(coefficients, "at", wrong_kernel(coefficients.at))
    assert not found(model(VP))["Fokker-Planck"].holds
    assert cli.run(["verify", str(SPECS / "ou.dgm")]) == 1


@pytest.mark.parametrize("law", [("-x", "1"), ("x - x^3", "0.7")])
def test_a_wrong_scheme_is_found(monkeypatch: pytest.MonkeyPatch, law: tuple[str, str]) -> None:
    """Noise that is a sixth too large, beside the derived law and beside the equation on a grid."""
    of, (right,) = forwards(*law, "solver = srk(steps = 100)"), [simulating.STEPS[simulating.Srk]]
    assert found(of)["simulation"].holds

    def loud(process: Any, x: Any, t: float, h: float, dw: Any, dz: Any) -> Any:
        return right(process, x, t, h, 7 / 6 * dw, 7 / 6 * dz)

    monkeypatch.setitem(simulating.STEPS, simulating.Srk, loud)
    assert not found(of)["simulation"].holds


def test_the_calculus_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Stratonovich equation solved on the grid without its correction, as Itô's."""
    of = forwards("0 * x", "0.8 * x", "calculus = stratonovich", prior="normal(1, 0.1)")
    monkeypatch.setattr(gridded, "_ito", lambda op, event, law: gridded.at_once(law.drift))
    assert not found(of)["simulation"].holds


# ---- the grid -------------------------------------------------------------------------------------------------------


def test_the_grid_solves_the_ornstein_uhlenbeck_equation() -> None:
    """Masses stay positive and whole; in the plane, each coordinate has its moments, up to Δx² / 4 in the variance."""
    box = Box((-3.5, -3.5), (3.5, 3.5), (100, 100))
    start = np.exp(-0.5 * ((box.points() - [1.0, -1.0]) ** 2 / 0.3).sum(-1))
    solved = solve(
        lambda x, t: -np.array([1.0, 2.0]) * x,
        lambda x, t: np.full_like(x, 0.8),
        box,
        start / start.sum(),
        np.linspace(0, 1, 41),
        steady=True,
    )
    end = solved[-1]
    assert end.min() > -1e-12 and end.sum() == pytest.approx(1, abs=1e-12)
    for axis, (rate, at) in enumerate(((1.0, 1.0), (2.0, -1.0))):
        x, mass = box.points()[..., axis], end
        mean, variance = at * math.exp(-rate), 0.3 * math.exp(-2 * rate) - 0.64 * math.expm1(-2 * rate) / (2 * rate)
        assert (mass * x).sum() == pytest.approx(mean, abs=2e-3)
        assert (mass * x**2).sum() - (mass * x).sum() ** 2 == pytest.approx(variance, rel=2e-2)


def test_points_beyond_the_box_are_counted() -> None:
    counts = binned(np.array([[-9.0], [0.1], [9.0]]), [np.linspace(-1, 1, 5)])
    assert counts.tolist() == [1, 0, 1, 1]


# ---- on the command line --------------------------------------------------------------------------------------------


def test_verify_prints_the_rows_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "wells.png"
    assert cli.run(["verify", str(SPECS / "double_well.dgm"), "--picture", str(picture)]) == 0
    assert "simulation" in capsys.readouterr().out and imread(picture).std() > 0.05
    assert cli.run(["verify", str(SPECS / "linear.dgm"), "--picture", str(picture)]) == 2
