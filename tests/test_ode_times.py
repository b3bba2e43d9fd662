"""The times of an `ode`: ends that are learned, and densities and draws at moments between them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch.autograd.functional import jacobian

import dgmspec
from dgmspec.modules.continuous.moment import at_moment
from dgmspec.modules.continuous.view import arrow_of
from dgmspec.modules.runner import UnavailableError
from dgmspec.runtime.rundir import RunError
from tests.odes import DOUBLE, compiled, ode, points

FIXED, CLOSE = "rk4(steps = 24)", "dopri5(rtol = 1e-10, atol = 1e-10)"


@pytest.mark.parametrize("gradient", ["direct", "checkpoint", "adjoint"])
@pytest.mark.parametrize("solver", [FIXED, CLOSE])
@pytest.mark.parametrize("over", ["t in 0..T", "t in T..0", "t in 1 - T..1 + T"])
def test_the_gradient_of_a_learned_time_is_that_of_the_formula(gradient: str, solver: str, over: str) -> None:
    """dy/dt = -y scales by exp(-τ) over the time τ: ∂ log p / ∂τ = exp(-2τ) |x|² - d."""
    text = ode("velocity(y) = -y", f"solver = {solver}", f"gradient = {gradient}", over=over, members="learn T = 0.7")
    model, x = dgmspec.compile(dgmspec.parse(text), dtype=DOUBLE), points(4, 2)
    slope = {"t in 0..T": 1.0, "t in T..0": -1.0, "t in 1 - T..1 + T": 2.0}[over]
    log_prob = model.log_prob(x)
    log_prob.sum().backward()  # type: ignore[no-untyped-call]
    time = slope * 0.7
    exact = slope * (math.exp(-2 * time) * x.square().sum(1) - 2).sum()
    found = model.get_parameter("M/T").grad
    assert found is not None
    torch.testing.assert_close(found, exact, rtol=1e-6, atol=1e-6)
    normal = -0.5 * (x * math.exp(-time)).square().sum(1) - math.log(2 * math.pi)
    torch.testing.assert_close(log_prob.detach(), normal - 2 * time, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("gradient", ["direct", "adjoint"])
@pytest.mark.parametrize("solver", [FIXED, CLOSE])
def test_the_gradient_of_a_learned_time_that_nets_read_is_that_of_differences(gradient: str, solver: str) -> None:
    text = ode(
        "velocity(y, t) = mlp(6, 6, time = concatsquash)",
        f"solver = {solver}",
        f"gradient = {gradient}",
        over="t in s..s + exp(a)",
        members="learn s = -0.2; learn a = 0.1",
        loss="nll + kinetic",
    )
    model, x = compiled(text), points(4, 2)
    model.loss(x).total.backward()  # type: ignore[no-untyped-call]
    for name in ("s", "a"):
        parameter = model.get_parameter(f"M/{name}")
        with torch.no_grad():
            ends = [float(model.loss(x).total) for h in (1e-5, -2e-5) if parameter.add_(h) is not None]
            parameter.add_(1e-5)
        assert parameter.grad is not None
        assert math.isclose(float(parameter.grad), (ends[0] - ends[1]) / 2e-5, rel_tol=1e-5, abs_tol=1e-6), name


def test_nets_read_a_learned_time_as_a_part_of_the_way() -> None:
    """From 0 at the earlier end to 1 at the later one, whatever they are: as with the same times written out."""
    for learned, fixed in (("T..2 * T", "1.5..3.0"), ("2 * T..T", "3.0..1.5")):
        body = ("velocity(y, t) = mlp(6, 6)", "solver = rk4(steps = 5)")
        first = compiled(ode(*body, over=f"t in {learned}", members="learn T : positive = 1.5"), scale=0.0)
        second = compiled(ode(*body, over=f"t in {fixed}"), scale=0.0)
        torch.testing.assert_close(first.log_prob(points(3, 2)), second.log_prob(points(3, 2)))
        assert arrow_of(first).times == pytest.approx(arrow_of(second).times)


@pytest.mark.parametrize(
    ("declared", "over", "proved"),
    [
        ("learn T : positive", "0..T", True),
        ("learn T : positive", "T..0", True),
        ("learn T : positive", "T..3 * T", True),
        ("learn T = 1", "0..exp(T)", True),
        ("learn T = 1", "0..T", False),
        ("learn T : positive", "1..T", False),
    ],
)
def test_that_time_passes_is_proved_or_assumed(declared: str, over: str, proved: bool) -> None:
    model = compiled(ode("velocity(y) = -y", over=f"t in {over}", members=declared), scale=0.0)
    (step,) = model.graph.steps.values()
    facts = step.op.facts(model.type_of("x"), None)
    said = f"the ends of `{over}` differ: time passes"
    assert (said in facts.proved) == proved and (said in facts.assumed) != proved


@pytest.mark.parametrize("over", ["t in 0..T", "t in T..0"])
def test_flow_matching_over_a_learned_time(over: str) -> None:
    text = ode("velocity(y, t) = mlp(6)", over=over, members="learn T : positive = 2", loss="flow_matching")
    learned, fixed = (compiled(t, scale=0.0) for t in (text, text.replace("T..0", "2.0..0").replace("0..T", "0..2.0")))
    pair = [model.loss(points(9, 2), seed=0).total.detach() for model in (learned, fixed)]
    torch.testing.assert_close(*pair)


@pytest.mark.parametrize(
    ("over", "members", "words"),
    [
        ("t in 0..T", "learn T : positive[2]", "one number"),
        ("t in 0..c", "given c : real", "the same for all rows"),
        ("t in T..T", "learn T : positive", "no time passes"),
        ("t in 0..inf", "", "finite"),
    ],
)
def test_times_that_are_none(over: str, members: str, words: str) -> None:
    text = ode("velocity(y) = -y", over=over, members=members, context="c" if "given" in members else "")
    found = [d for d in dgmspec.diagnose(text).diagnostics if d.severity == "error"]
    assert [d.code for d in found] == ["DGM603"] and words in found[0].message


# ---- moments between the ends ---------------------------------------------------------------------------------------

FLOW = "flow x -> z { elementwise(affine) }"
MOVING = "velocity(y, t) = mlp(6, 6, time = gated)"


@pytest.mark.parametrize("arrow", ["x -> z", "z -> x"])
@pytest.mark.parametrize("over", ["t in 0..2", "t in 2..0", "t in 0..T"])
def test_the_density_at_a_moment_is_carried_to_the_ends(arrow: str, over: str) -> None:
    """log p_t(y_t) = log p(x) - log|det ∂y_t/∂x|, with paths from the samples of one seed; both ends included."""
    members = "learn T : positive = 2" if "T" in over else ""
    model = compiled(ode(MOVING, "solver = rk4(steps = 40)", over=over, members=members).replace("x -> z", arrow))
    x, first = model.sample(3, seed=0), arrow_of(model).times[0]
    start = first if arrow == "x -> z" else arrow_of(model).times[1]
    torch.testing.assert_close(model.sample(3, seed=0, t=start), x)
    torch.testing.assert_close(model.log_prob(x, t=start), model.log_prob(x))
    before, after = (model.sample(3, seed=0, t=t) for t in (0.7, 0.8))
    slope = arrow_of(model).velocity(0.75, (before + after) / 2)
    torch.testing.assert_close((after - before) / 0.1, slope, rtol=1e-2, atol=1e-2)

    def moved(z: torch.Tensor) -> torch.Tensor:
        """The state at 0.7 of the path from the prior's z, by the program that draws it."""
        cut = at_moment(model, 0.7)
        (noise,) = [i.name for i in cut.program("sample").draws]
        return cut.run("sample", {noise: z})[next(iter(cut.program("sample").outputs))]

    z = points(3, 2)
    jacobians = torch.stack([jacobian(lambda v: moved(v[None])[0], row) for row in z])  # type: ignore[no-untyped-call]
    normal = -0.5 * z.square().sum(1) - math.log(2 * math.pi)
    density = model.log_prob(moved(z), t=0.7)
    torch.testing.assert_close(density, normal - torch.linalg.slogdet(jacobians)[1], rtol=1e-5, atol=1e-5)


def test_a_moment_of_an_arrow_between_flows_with_a_context() -> None:
    """The density at a moment takes what lies towards the prior, and the draws what leads from it."""
    text = """dgm 1
model M {
    given c : real
    observe x : real[2]
    latent u : real[2]
    latent v : real[2]
    latent z : real[2] ~ normal(0, 1)
    flow x -> u { elementwise(affine) }
    ode u -> v | c over t in 0..1 { velocity(y, t) = c * mix(y, t) + mix(y, t); net mix(y, t) = mlp(5, 5)
        solver = rk4(steps = 30) }
    flow v -> z { elementwise(affine) }
    loss = nll
}
"""
    model, given = compiled(text), {"c": torch.tensor([0.3], dtype=DOUBLE)}
    grid = torch.cartesian_prod(*(torch.linspace(-12, 12, 121, dtype=DOUBLE),) * 2)
    with torch.no_grad():
        y, density = model.sample(2000, given, seed=0, t=0.4), model.log_prob(grid, given, t=0.4)
        entropy = float((density * density.exp()).sum() * 0.2**2)
        assert y.shape == (2000, 2) and abs(float(density.exp().sum() * 0.2**2) - 1) < 1e-4
        assert abs(float(model.log_prob(y, given, t=0.4).mean()) - entropy) < 0.08  # E log p by both


def test_moments_that_are_none() -> None:
    text = ode("velocity(y) = -y")
    model, flow = compiled(text), compiled(text.replace("ode x -> z over t in 0..1 { velocity(y) = -y }", FLOW))
    with pytest.raises(ValueError, match=r"runs from 0 to 1, and 1\.5 lies outside"):
        model.sample(2, t=1.5)
    with pytest.raises(UnavailableError, match="no time to stop at"):
        flow.log_prob(points(2, 2), t=0.5)
    with pytest.raises(UnavailableError, match="only log_prob and sample"):
        at_moment(model, 0.5).encode(points(2, 2))


def test_a_learned_time_without_a_value_is_refused() -> None:
    found = dgmspec.diagnose(ode("velocity(y) = -y", over="t in 0..log(a)", members="learn a")).diagnostics
    assert [d.code for d in found if d.severity == "error"] == ["DGM453"]


def test_a_model_that_learns_nothing_is_not_trained(tmp_path: Path) -> None:
    text = ode("velocity(y) = -y") + "train M { data = two_moons(n = 50); steps = 2 }\n"
    with pytest.raises(RunError, match="nothing to train"):
        dgmspec.train(dgmspec.parse(text), out=tmp_path / "run")
