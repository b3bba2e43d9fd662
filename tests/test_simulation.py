"""An `sde` that runs forwards: schemes against closed forms and fine paths, its law, what is refused, what is keyed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor
from typer.testing import CliRunner

import dgmspec
from dgmspec import cli, lang
from dgmspec.algebra.paths.affine import Times
from dgmspec.algebra.paths.slopes import own_slope
from dgmspec.core.types import REAL, Type
from dgmspec.modules.compiled import CompiledModel, UnavailableError
from dgmspec.modules.expressions import as_tensor, prepare
from dgmspec.modules.paths.process import STEPS, process_of
from dgmspec.ops.paths.schemes import Srk
from dgmspec.ops.paths.simulation import Simulation
from tests.orders import FINE, end, increments, order, scheme_of
from tests.paths import formula


def text(drift: str, diffusion: str, rest: str = "", size: str = "real", prior: str = "normal(0, 1)") -> str:
    head = "diffusion(x, t)" if "x" in diffusion else "diffusion(t)"
    return (
        f"dgm 1\nmodel M {{\n latent x0 : {size} ~ {prior}\n observe y : {size}\n"
        f" sde x0 -> y over t in 0..1 {{ drift(x, t) = {drift}; {head} = {diffusion}{'; ' * bool(rest)}{rest} }}\n}}\n"
    )


def model(drift: str, diffusion: str, rest: str = "", **options: Any) -> CompiledModel:
    return dgmspec.compile(dgmspec.parse(text(drift, diffusion, rest, **options)), dtype=torch.float64)


def step_of(found: CompiledModel) -> Simulation:
    op = found.simulation().op
    assert isinstance(op, Simulation)
    return op


# ---- strong orders --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"), [("euler_maruyama", 0.5), ("milstein", 1.0), ("heun", 1.0)], ids=lambda v: str(v)
)
@pytest.mark.parametrize("calculus", ["ito", "stratonovich"])
def test_strong_orders_on_geometric_brownian_motion(name: str, expected: float, calculus: str) -> None:
    """x_1 = x_0 exp(a - b²/2 + b W_1) in Itô's calculus, exp(a + b W_1) in Stratonovich's."""
    op = step_of(model("0.5 * x", "0.8 * x", f"calculus = {calculus}"))
    w = increments(FINE)[0].sum(0)
    exact = torch.exp(0.5 - (0.32 if calculus == "ito" else 0.0) + 0.8 * w)
    assert order(op, scheme_of(name), exact) == pytest.approx(expected, abs=0.15)


@pytest.mark.parametrize(("name", "expected"), [("euler_maruyama", 1.0), ("heun", 1.0), ("srk", 1.5)])
def test_strong_orders_with_additive_noise(name: str, expected: float) -> None:
    """Against a fine path of the same motion: a drift that bends, a diffusion that changes with time."""
    op = step_of(model("sin(3 * x) - x", "0.5 + t"))
    exact = end(op, scheme_of("srk"), FINE)
    assert order(op, scheme_of(name), exact) == pytest.approx(expected, abs=0.2)


# ---- the derivative of the diffusion --------------------------------------------------------------------------------

FORMULAS = (
    "0.3 * x",
    "sqrt(1 + x^2) * exp(-t)",
    "abs(x) + 0.1",
    "[0.1 * x[0], 0.2 * x[1]^2]",
    "0.2 * tanh(x) + [0.1, 0.3]",
    "[sin(x[0] * x[1]), x[0] + x[1]^3]",
)


@pytest.mark.parametrize("written", FORMULAS)
def test_the_derived_slope_is_that_of_autograd(written: str) -> None:
    found = own_slope(formula(written), (("x", (2,)),), Times("t", 0.0, 1.0))
    x = torch.randn(7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def value(one: Tensor) -> Tensor:
        return as_tensor(prepare(formula(written))({"x": one[None], "t": 0.3}, one), one).expand(1, 2)[0]

    jacobian = torch.func.vmap(torch.func.jacrev(value))(x)
    derived = as_tensor(prepare(found.formula)({"x": x, "t": 0.3}, x), x).expand(7, 2)
    torch.testing.assert_close(derived, torch.diagonal(jacobian, dim1=1, dim2=2))
    others = jacobian - torch.diag_embed(torch.diagonal(jacobian, dim1=1, dim2=2))
    assert found.own is (float(others.abs().max()) == 0)


# ---- laws -----------------------------------------------------------------------------------------------------------


@settings(max_examples=8, deadline=None)
@given(st.floats(-2, 2), st.floats(-1, 1), st.floats(0.2, 2), st.floats(-2, 2), st.floats(0.1, 2))
def test_the_law_of_an_affine_process_is_derived(a: float, b: float, g: float, loc: float, scale: float) -> None:
    """The density at any time is normal with the moments of dm = a m + b, dv = 2 a v + g²."""
    found = model(f"({a}) * x + ({b})", f"{g}", prior=f"normal({loc}, {scale})")
    x = torch.linspace(-3, 3, 7, dtype=torch.float64)
    for t in (0.4, 1.0):
        grown = math.expm1(a * t) / a if abs(a) > 1e-9 else t
        twice = math.expm1(2 * a * t) / (2 * a) if abs(a) > 1e-9 else t
        mean, variance = math.exp(a * t) * loc + b * grown, math.exp(2 * a * t) * scale**2 + g * g * twice
        exact = -((x - mean) ** 2) / (2 * variance) - 0.5 * math.log(2 * math.pi * variance)
        torch.testing.assert_close(found.log_prob(x, t=t), exact, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "solver", ["exact(steps = 3)", "euler_maruyama(steps = 200)", "heun(steps = 40)", "srk(steps = 20)"]
)
def test_simulation_has_the_derived_moments(solver: str) -> None:
    """Samples at the middle and the end against the density, whose coordinates differ."""
    found = model(
        "[-3, 1] * x + [2, t]", "[0.5, 1 + t]", f"solver = {solver}", size="real[2]", prior="normal([1, -1], 0.3)"
    )
    for t in (0.35, 1.0):
        op = step_of(found.until(t))
        moments = op.model_copy(update={"until": t}).marginal((2,))
        assert moments is not None
        x = found.sample(20_000, seed=1, t=t)
        for i in range(2):
            assert float(x[:, i].mean()) == pytest.approx(moments[0][i], abs=5 * moments[1][i] / 141 + 5e-3)
            assert float(x[:, i].std()) == pytest.approx(moments[1][i], rel=0.025)


def test_samples_are_the_same_in_any_batch() -> None:
    found = model("x - x^3", "0.5 * x", size="real[3]")
    whole = found.sample(600, seed=3)
    torch.testing.assert_close(found.sample(100, seed=3, start=300), whole[300:400], rtol=0, atol=0)
    assert not torch.equal(found.sample(100, seed=4, start=300), whole[300:400])


def test_a_path_passes_through_its_samples() -> None:
    """The states of `paths` are what `sample` draws at their times; between two of them the last step is cut short."""
    found = model("x - x^3", "0.5", "solver = srk(steps = 8)")
    times, states = found.paths(5, seed=2, start=10)
    torch.testing.assert_close(states[0], found.sample(5, seed=2, start=10, t=0.0))
    for i in (3, 8):
        torch.testing.assert_close(states[i], found.sample(5, seed=2, start=10, t=float(times[i])))
    between = found.sample(5, seed=2, start=10, t=float(times[3]) + 1e-9)
    assert float((between - states[3]).abs().max()) < 1e-3
    with pytest.raises(ValueError, match=r"not within 0\.\.1"):
        found.sample(1, t=2.0)


def test_the_default_scheme_follows_the_law() -> None:
    chosen = [step_of(model(*law)).settings.solver for law in (("-x", "1"), ("-x^3", "1"), ("-x", "1 + x^2"))]
    assert [scheme.name for scheme in chosen if scheme is not None] == ["exact", "srk", "milstein"]
    mixed = model("-x", "[x[0] * x[1], 1]", size="real[2]")
    solver = step_of(mixed).settings.solver
    assert solver is not None and solver.name == "euler_maruyama"


def test_what_the_law_does_not_have_is_said() -> None:
    found = model("x - x^3", "1")
    assert found.density == "none"
    with pytest.raises(UnavailableError, match="not affine"):
        found.log_prob(torch.zeros(1, dtype=torch.float64))
    uniform = model("-x", "1", prior="logistic(0, 1)")
    with pytest.raises(UnavailableError, match="normal start"):
        uniform.log_prob(torch.zeros(1, dtype=torch.float64))
    with pytest.raises(UnavailableError, match="a sampler runs along"):
        found.sample(2, method=lang.ddim(steps=5))
    flow = "observe x : real; latent z : real ~ normal(0, 1); flow x -> z { elementwise(affine) }"
    other = dgmspec.compile(dgmspec.parse(f"dgm 1\nmodel M {{ {flow} }}\n"))
    with pytest.raises(UnavailableError, match="no time to stop at"):
        other.until(0.5)


def test_paths_that_leave_the_numbers_are_an_error() -> None:
    with pytest.raises(ValueError, match="paths left the numbers: give its `solver` more `steps`"):
        model("-x^3", "1", "solver = euler_maruyama(steps = 12)", prior="normal(0, 50)").sample(500, seed=0)


@pytest.mark.parametrize("loss", ["infer z | x ~ normal(x, 1); loss = elbo", "loss = mc(2)"])
def test_a_loss_behind_paths_that_leave_the_numbers_says_where(loss: str) -> None:
    """By steps that are too long for its drift the state is thrown from side to side, farther each time."""
    law = "drift(z, t) = -4e3 * z; diffusion(t) = 1; solver = euler_maruyama(steps = 20)"
    members = (
        "latent z : real ~ normal(0, 1); latent u : real; observe x : real; "
        f"sde z -> u over t in 0..1 {{ {law} }}; generate x | u ~ normal(u, 1); {loss}"
    )
    error = dgmspec.compile(dgmspec.parse(f"dgm 1\nmodel M {{ {members} }}\n")).lost(torch.zeros(3), seed=0)
    assert error is not None and error.reason == "process" and 0 < error.t <= 1
    assert "20 steps of euler_maruyama leaves the numbers" in str(error) and "more `steps`" in str(error)


@pytest.mark.parametrize(
    ("law", "code"),
    [
        (("-x^3", "1", "solver = exact"), "DGM654"),
        (("-x", "x", "solver = srk"), "DGM654"),
        (("-x", "0"), "DGM644"),
        (("[x[0], x[1], 0]", "1"), "DGM312"),
        (("-x", "1", "learn score(x, t) = mlp(8)"), "DGM641"),
        (("-x", "1", "times = uniform"), "DGM641"),
    ],
)
def test_refusals(law: tuple[str, ...], code: str) -> None:
    assert code in {d.code for d in dgmspec.diagnose(text(*law)).diagnostics}


def test_coordinates_mixed_in_the_diffusion_are_refused_by_milstein() -> None:
    found = dgmspec.diagnose(text("-x", "[x[0] * x[1], 1]", "solver = milstein", size="real[2]"))
    assert [d.code for d in found.diagnostics] == ["DGM654"]


def test_the_program_compiles_to_one_graph() -> None:
    found = model("x - x^3", "0.5 * x", "solver = milstein(steps = 4)", size="real[2]")
    compiled = found.compiled(fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled.sample(5, seed=0), found.sample(5, seed=0))


# ---- the specs ------------------------------------------------------------------------------------------------------

SPECS = Path(__file__).parent.parent / "specs"


def spec(name: str) -> CompiledModel:
    return dgmspec.compile(dgmspec.load(SPECS / f"{name}.dgm"), dtype=torch.float64)


def test_the_ornstein_uhlenbeck_spec_has_its_moments() -> None:
    """m_t = 1 - 2 e^(-2t), v_t = 0.04 e^(-4t) + (1 - e^(-4t)) / 16: of the density, and of samples drawn in steps."""
    found = spec("ou")
    stepped = dgmspec.compile(
        dgmspec.parse((SPECS / "ou.dgm").read_text().replace("= σ\n", "= σ\n        solver = srk(steps = 40)\n")),
        dtype=torch.float64,
    )
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)
    for t in (0.3, 2.0):
        mean, variance = 1 - 2 * math.exp(-2 * t), 0.04 * math.exp(-4 * t) - math.expm1(-4 * t) / 16
        exact = -((x - mean) ** 2) / (2 * variance) - 0.5 * math.log(2 * math.pi * variance)
        torch.testing.assert_close(found.log_prob(x, t=t), exact, rtol=1e-10, atol=1e-10)
        for drawn in (found, stepped):
            y = drawn.sample(10_000, seed=0, t=t)
            assert float(y.mean()) == pytest.approx(mean, abs=5 * (variance / 10_000) ** 0.5 + 1e-3)
            assert float(y.var()) == pytest.approx(variance, rel=0.08)


def test_the_double_well_reaches_its_boltzmann_density() -> None:
    """The histogram of ends beside exp(-β V), V = x⁴/4 - x²/2, by a chi-squared test over 24 cells."""
    x = spec("double_well").sample(12_000, seed=0).numpy()
    edges = np.linspace(-1.6, 1.6, 25)
    fine = np.linspace(-4, 4, 8001)
    mass = np.exp(-4 * (fine**4 / 4 - fine**2 / 2))
    share = np.histogram(fine, np.concatenate(([-9], edges, [9])), weights=mass / mass.sum())[0]
    counts = np.histogram(x, np.concatenate(([-9], edges, [9])))[0]
    assert stats.chisquare(counts, share * len(x)).pvalue > 1e-3


def test_the_langevin_equation_leaves_its_density_as_it_is() -> None:
    """A start at the banana stays there: two-sample tests of both coordinates and of what bends them."""
    found = spec("langevin_sde")
    op, event = step_of(found), Type(REAL, (2,))
    z = torch.randn(6000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = torch.stack((z[:, 0], z[:, 0] ** 2 / 2 + z[:, 1] / 2), 1)
    law, y, h = process_of(op, event), x, 0.05
    noise = torch.Generator().manual_seed(1)
    for i in range(60):
        first, second = (torch.randn(x.shape, dtype=torch.float64, generator=noise) for _ in range(2))
        dw = h**0.5 * first
        y = STEPS[Srk](law, y, i * h, h, dw, dw / 2 + (h / 12) ** 0.5 * second)
    for of in (lambda v: v[:, 0], lambda v: v[:, 1], lambda v: v[:, 1] - v[:, 0] ** 2 / 2):
        assert stats.ks_2samp(of(x).numpy(), of(y).numpy()).pvalue > 1e-3
    assert float((y - x).abs().mean()) > 0.3


# ---- on the command line --------------------------------------------------------------------------------------------


def test_the_command_line_samples_and_draws_a_process(tmp_path: Path) -> None:
    runner, path = CliRunner(), str(SPECS / "ou.dgm")
    early = runner.invoke(cli.app, ["sample", path, "-n", "3", "--t", "0"])
    assert early.exit_code == 0 and float(early.stdout.split()[1]) == pytest.approx(-1, abs=1)
    late = runner.invoke(cli.app, ["sample", path, "--t", "3"])
    assert late.exit_code and "not within 0..2" in str(late.exception)
    other = runner.invoke(cli.app, ["sample", str(SPECS / "langevin.dgm"), "--t", "1"])
    assert other.exit_code and "no time to stop at" in str(other.exception)
    picture = tmp_path / "paths.png"
    assert runner.invoke(cli.app, ["show", path, "--what", "trajectories", "-o", str(picture)]).exit_code == 0
    assert picture.stat().st_size > 1000
