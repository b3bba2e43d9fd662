"""Velocities that are gradients of nets: the traces of their Jacobians from the layers, against autograd's."""

from __future__ import annotations

import pytest
import torch

import dgmspec
from dgmspec.modules.compiled import CompiledModel
from tests.odes import compiled, ode, points

NETS = [
    ("mlp(7)", "closed form"),
    ("mlp(7, activation = gelu)", "closed form"),
    ("mlp(7, activation = softplus, time = gated)", "closed form"),
    ("mlp(7, activation = relu)", "closed form"),
    ("mlp(7, 5, activation = tanh)", "tangents"),
    ("mlp(7, 5, time = concatsquash)", "tangents"),
    ("mlp(6, 4, 5, activation = elu)", "tangents"),
]


def potential(net: str, energy: str = "E(y, t)", trace: str = "exact") -> CompiledModel:
    text = ode(
        f"velocity(y, t) = 0.3 * y - k * grad({energy}, y)",
        f"net E(y, t) : real = {net}",
        "solver = rk4(steps = 2)",
        f"trace = {trace}",
        size=3,
        members="learn k : positive = 1.2",
    )
    return compiled(text)


@pytest.mark.parametrize(("net", "kind"), NETS)
def test_the_trace_of_a_gradient_is_that_of_its_jacobian(net: str, kind: str) -> None:
    """Values to 1e-12 and gradients of the likelihood, against the derivatives of an energy that has no short way."""
    short, long, x = potential(net), potential(net, "E(y, t) + 0 * E(y, t)"), points(4, 3)
    (step,) = short.graph.steps.values()
    assert step.op.at(short.type_of("x")).plan.kind == kind  # type: ignore[attr-defined]
    (other,) = long.graph.steps.values()
    assert other.op.at(long.type_of("x")).plan.formula is None  # type: ignore[attr-defined]
    found, expected = short.log_prob(x), long.log_prob(x)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    for model, value in ((short, found), (long, expected)):
        value.sum().backward()  # type: ignore[no-untyped-call]
        assert model.training is False
    for (name, one), two in zip(short.named_parameters(), long.parameters(), strict=True):
        if two.grad is not None and one.grad is not None:
            torch.testing.assert_close(one.grad, two.grad, rtol=1e-9, atol=1e-10, msg=name)


def test_the_estimate_of_a_gradient_is_unbiased() -> None:
    exact, drawn, x = potential("mlp(7, 5)"), potential("mlp(7, 5)", trace="hutchinson(gaussian)"), points(2, 3)
    with torch.no_grad():
        found = drawn.log_prob(x.repeat(4000, 1), seed=0).reshape(4000, 2)
        error = found.mean(0) - exact.log_prob(x)
    assert (error.abs() < 4 * found.std(0) / 4000**0.5).all() and (found.std(0) > 1e-3).all()


def test_a_wide_state_is_traced_by_the_closed_form() -> None:
    """One hidden layer: exact at any size, without a derivative for each coordinate; more layers are estimated."""
    text = ode("velocity(y) = -grad(E(y), y)", "net E(y) : real = mlp(8)", size=40)
    for source, said in ((text, "closed form"), (text.replace("mlp(8)", "mlp(8, 8)"), "rademacher probe")):
        model = dgmspec.compile(dgmspec.parse(source))
        (step,) = model.graph.steps.values()
        assert said in step.op.cost(model.type_of("x"), None).log_det
