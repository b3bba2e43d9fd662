"""Steps that draw: what they add is minus the log-density of the draw, so that the mean density is the event's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

import dgmspec
from dgmspec.core.steps import AbstractStep
from dgmspec.core.types import REAL, Type, category, integers
from dgmspec.modules.compiled import CompiledModel
from dgmspec.modules.initial import initial_value
from dgmspec.modules.surjections import _apart, _laid
from dgmspec.ops.nets import Mlp
from dgmspec.ops.stochastic import Dequantize, Variational
from dgmspec.ops.surjections import Argmax, Augment
from dgmspec.runtime.selfcheck import check_step
from tests.flows import compiled
from tests.zoo import randomise

DOUBLE = torch.float64


def text(x: str, z: str, steps: str) -> str:
    return (
        f"dgm 1\nmodel M {{ observe x : {x}; latent z : {z} ~ normal(0, 1)\n flow x -> z {{ {steps} }}\n loss = nll }}"
    )


def model_of(x: str, z: str, steps: str) -> CompiledModel:
    return compiled(text(x, z, steps))


def grid(model: CompiledModel, points: int) -> tuple[Tensor, Tensor]:
    """A quadrature over the draws of `log_prob`: (points^n, n) values and the logs of their weights."""
    (draw,) = (entry.draw for entry in model.program("log_prob").draws)
    assert draw is not None
    if draw.law == "normal":
        nodes, weights = np.polynomial.hermite_e.hermegauss(points)
        weights = weights / math.sqrt(2 * math.pi)
    else:
        nodes, weights = np.polynomial.legendre.leggauss(points)
        nodes, weights = (nodes + 1) / 2, weights / 2
    n = math.prod(draw.shape)
    values = torch.cartesian_prod(*[torch.from_numpy(nodes)] * n).reshape(-1, n)
    logs = torch.cartesian_prod(*[torch.from_numpy(weights).log()] * n).reshape(-1, n).sum(1)
    return values.reshape(-1, *draw.shape), logs


def log_density(model: CompiledModel, x: Tensor, points: int) -> Tensor:
    """log E exp(one draw's log_prob) over the draws, which is the density of x itself."""
    values, logs = grid(model, points)
    (name,) = (entry.name for entry in model.program("log_prob").draws)
    rows = [model.run("log_prob", {"x": row.expand(len(values), *row.shape), name: values})["log_prob"] for row in x]
    return torch.logsumexp(torch.stack(rows) + logs, 1)


def labels(k: int, *shape: int) -> Tensor:
    """All events of labels or whole numbers 0..k-1."""
    n = math.prod(shape)
    return torch.cartesian_prod(*[torch.arange(k).double()] * n).reshape(-1, *shape)


@pytest.mark.parametrize(
    ("x", "z", "steps", "events", "points"),
    [
        ("integer(0..3)[1]", "real[1]", "dequantize(variational(mlp(4))); logit; elementwise(affine)", (4, 1), 200),
        (
            "integer(0..2)[2]",
            "real[2]",
            "dequantize(variational(mlp(4), scalar = bernstein(4))); logit; linear(plu)",
            (3, 2),
            40,
        ),
        ("category(2)", "real[2]", "argmax(net = mlp(4)); linear(plu)", (2,), 40),
        ("category(4)[1]", "real[2]", "argmax(code = binary, net = mlp(4)); flatten; linear(plu)", (4, 1), 40),
        ("category(2)[1, 1, 1]", "real[2]", "argmax(net = conv(2)); flatten; linear(plu)", (2, 1, 1, 1), 40),
    ],
)
def test_the_masses_of_all_events_sum_to_one(x: str, z: str, steps: str, events: tuple[int, ...], points: int) -> None:
    model = model_of(x, z, steps)
    total = torch.logsumexp(log_density(model, labels(*events), points), 0).exp()
    torch.testing.assert_close(total, torch.tensor(1.0, dtype=DOUBLE), rtol=2e-3, atol=0)


def test_the_mass_of_digits_of_no_label_is_what_the_bound_misses() -> None:
    model = model_of("category(3)[1]", "real[2]", "argmax(code = binary); flatten")
    total = torch.logsumexp(log_density(model, labels(3, 1), 40), 0).exp()
    torch.testing.assert_close(total, torch.tensor(0.75, dtype=DOUBLE), rtol=2e-3, atol=0)
    x = model.sample(400, seed=0)
    assert set(x.unique().tolist()) == {0.0, 1.0, 2.0}


def test_the_density_behind_augmented_coordinates_integrates_to_one() -> None:
    model = model_of(
        "real[1]", "real[2]", "augment(1, net = mlp(4)); coupling(rqs(4), mask = half, net = mlp(8)); linear(plu)"
    )
    x = torch.linspace(-9, 9, 241, dtype=DOUBLE)[:, None]
    density = log_density(model, x, 60).exp()
    torch.testing.assert_close(torch.trapezoid(density, x[:, 0]), torch.tensor(1.0, dtype=DOUBLE), rtol=1e-3, atol=0)
    assert model.density == "lower bound" and model.log_prob(x, seed=0).mean() < density.log().mean()


@pytest.mark.parametrize(
    ("x", "latent", "step"),
    [
        ("real[2]", "z : real[1] ~ normal(0, 1)", "inverse augment(1, net = mlp(4))"),
        ("real[2]", "z : category(2) ~ categorical([0.3, 0.7])", "inverse argmax(net = mlp(4))"),
        ("real[2]", "z : category(3) ~ categorical([0.3, 0.5, 0.2])", "inverse argmax(code = binary, net = mlp(4))"),
        ("interval(0, 3)[1]", "z : integer(0..2)[1] ~ beta_binomial(2, 3)", "inverse dequantize(variational(mlp(4)))"),
    ],
)
def test_data_at_the_end_that_draws_have_a_density_that_integrates_to_one(x: str, latent: str, step: str) -> None:
    model = compiled(f"dgm 1\nmodel M {{ observe x : {x}; latent {latent}\n flow x -> z {{ {step} }} }}")
    shares = (torch.arange(600, dtype=DOUBLE) + 0.5) / 600
    low, high = (0.0, 3.0) if x.startswith("interval") else (-12.0, 12.0)
    size = model.type_of("x").size
    grid = low + (high - low) * torch.cartesian_prod(*[shares] * size).reshape(-1, size)
    with torch.no_grad():
        mass = model.log_prob(grid).exp().mean() * (high - low) ** size
    assert float(mass) == pytest.approx(1, abs=4e-3) and model.density == "exact"
    samples = model.sample(4000, seed=0)
    with torch.no_grad():
        density = model.log_prob(grid).exp()
    mean = (density[:, None] * grid).sum(0) / density.sum()
    deviation = ((density[:, None] * grid**2).sum(0) / density.sum() - mean**2).sqrt()
    assert ((samples.mean(0) - mean).abs() < 4.5 * deviation / 4000**0.5 + 0.01).all()


def test_a_learned_law_of_the_draws_tightens_the_bound_to_the_probability() -> None:
    """The flow has its mass at the cells' left ends, where uniform draws seldom fall."""
    steps = "dequantize(variational(mlp(16))); logit; shift_scale(2, 2)"
    torch.manual_seed(0)
    model = model_of("integer(0..3)[1]", "real[1]", steps)
    plain = model_of("integer(0..3)[1]", "real[1]", steps.replace("variational(mlp(16))", "uniform"))
    for parameter in model.parameters():
        parameter.data.mul_(0.1)
    x = labels(4, 1)
    exact = log_density(plain, x, 200)
    torch.testing.assert_close(log_density(model, x, 200), exact, rtol=1e-4, atol=1e-4)
    many = x.repeat(256, 1)
    uniform = plain.log_prob(many, seed=1).reshape(256, 4).mean(0)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for step in range(150):
        optimizer.zero_grad()
        (-model.log_prob(many, seed=step)).mean().backward()
        optimizer.step()
    learned = model.log_prob(many, seed=1).reshape(256, 4).mean(0)
    assert (learned <= exact + 0.02).all()
    assert (exact - learned).mean() < 0.3 * (exact - uniform).mean()


@pytest.mark.parametrize(
    ("before", "after"),
    [((), (5,)), ((3,), (3, 5)), ((2, 3), (5, 2, 3)), ((4, 2, 3), (20, 2, 3))],
)
def test_labels_are_laid_out_as_rows_and_channels(before: tuple[int, ...], after: tuple[int, ...]) -> None:
    event = Type(category(5), before)
    values = torch.randn(2, 5, *before)
    laid = _laid(values, event)
    assert laid.shape == (2, *after)
    torch.testing.assert_close(_apart(laid, 5, event), values)


def test_argmax_returns_every_label_however_close_the_draws() -> None:
    model = dgmspec.compile(dgmspec.parse(text("category(7)[3]", "real[21]", "argmax(net = mlp(8)); flatten")))
    randomise(model, scale=20.0)
    assert model.dtype == torch.float32
    x = torch.randint(0, 7, (512, 3))
    assert torch.equal(model.decode(model.encode(x, seed=0)).long(), x)


def test_steps_that_draw_refuse_what_they_cannot_shape() -> None:
    def codes(x: str, steps: str) -> set[str]:
        found = dgmspec.diagnose(text(x, "real[*]", steps)).diagnostics
        return {d.code for d in found if d.severity == "error"}

    assert codes("integer(0..3)[2]", "dequantize(variational(mlp(4), scalar = affine)); logit") == {"DGM440"}
    assert codes("integer(0..3)[2]", "dequantize(variational(mlp(4), scalar = leaky_relu)); logit") == {"DGM441"}
    assert codes("real[2]", "augment(1, mlp(4), scalar = exp)") == {"DGM441"}
    assert codes("real", "augment(1)") == {"DGM304"}
    assert codes("category(3)[2]", "dequantize(uniform); logit") == {"DGM341"}
    assert codes("integer(0..3)[2]", "argmax") == {"DGM347"}
    assert codes("category(3)[2]", "actnorm") == {"DGM311"}
    assert codes("circle[2]", "augment(1)") == {"DGM313"}


@pytest.mark.parametrize(
    ("op", "event"),
    [
        (Argmax(net=Mlp(hidden=(4,))), Type(category(3), (2,))),
        (Argmax(code="binary"), Type(category(5), (1, 2, 2))),
        (Augment(count=2, net=Mlp(hidden=(4,))), Type(REAL, (3,))),
        (Dequantize(law=Variational(net=Mlp(hidden=(4,)))), Type(integers(0, 5), (3,))),
    ],
    ids=lambda value: str(value)[:30],
)
def test_verification_holds_of_steps_that_draw(op: AbstractStep, event: Type) -> None:
    own = {spec.name: initial_value(spec, 0, spec.name) for spec in op.parameters(event, None)}
    found = check_step(op, own, event, complete=True)
    assert found and all(finding.holds for finding in found)
