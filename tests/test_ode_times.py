"""The times of an `ode`: ends that are learned, and densities and draws at moments between them."""

from __future__ import annotations

import math

import pytest
import torch

import dgmspec
from dgmspec.modules.continuous.view import arrow_of
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
