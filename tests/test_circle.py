"""Angles: bijections that join the circle's ends, laws on it, flows on a torus, refusals of maps of the line."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import special, stats

import dgmspec
from dgmspec.core.scalars import AbstractScalar
from dgmspec.core.types import CIRCLE
from dgmspec.modules.distributions.circle import log_scaled_bessel
from dgmspec.modules.registry import scalar_twin
from dgmspec.modules.scalar.circle import wrap
from dgmspec.ops.scalar import Additive, Moebius, Rqs
from dgmspec.runtime.densities import log_density
from dgmspec.runtime.toys import torus
from tests.flows import compiled

TURNING = [Rqs(bins=5), Rqs(bins=4, knots="uniform"), Additive(), Moebius()]
TORUS = Path(__file__).parents[1] / "specs" / "torus.dgm"


def lattice(count: int) -> torch.Tensor:
    """The middles of count² equal cells of the torus."""
    angles = (torch.arange(count, dtype=torch.float64) + 0.5) / count * 2 * math.pi - math.pi
    return torch.cartesian_prod(angles, angles)


@pytest.mark.parametrize("op", TURNING, ids=str)
@pytest.mark.parametrize("scale", [0.0, 1.0, 4.0])
def test_a_bijection_of_the_circle(op: AbstractScalar, scale: float) -> None:
    twin, raw = scalar_twin(op), scale * torch.randn(len(op.raw(CIRCLE)), 500, dtype=torch.float64)
    x = (torch.rand(500, dtype=torch.float64) * 2 - 1) * math.pi
    x.requires_grad_()
    y, ladj = twin.forward(op, raw, x, CIRCLE)
    (slope,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(ladj.expand_as(x), slope.log(), rtol=1e-8, atol=1e-8)
    back, ladj_back = twin.inverse(op, raw, y.detach(), CIRCLE)
    torch.testing.assert_close(wrap(back - x), torch.zeros_like(x), rtol=0, atol=1e-8)
    torch.testing.assert_close(ladj_back.expand_as(x), -ladj.expand_as(x), rtol=1e-6, atol=1e-6)
    assert (y.abs() <= math.pi).all() and (back.abs() <= math.pi).all()
    if not scale:
        torch.testing.assert_close(y, x)


@pytest.mark.parametrize("op", TURNING, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_ends_of_the_circle_are_one_point(op: AbstractScalar, dtype: torch.dtype) -> None:
    twin, raw = scalar_twin(op), torch.randn(len(op.raw(CIRCLE)), 1, dtype=dtype)
    ends = torch.tensor([-math.pi, math.pi], dtype=dtype)
    for way in (twin.forward, twin.inverse):
        value, ladj = way(op, raw, ends, CIRCLE)
        eps = 100 * torch.finfo(dtype).eps
        assert wrap(value[0] - value[1]).abs() < eps * ladj.exp().max()
        ladj = ladj.expand(2)
        torch.testing.assert_close(ladj[0], ladj[1], rtol=10 * eps, atol=10 * eps)


def test_a_circle_turns_once() -> None:
    # The lift of the map rises by exactly one turn: increments around the circle add up to 2π.
    x = torch.linspace(-math.pi, math.pi, 2_000, dtype=torch.float64)
    for op in TURNING:
        y, _ = scalar_twin(op).forward(op, torch.randn(len(op.raw(CIRCLE)), 1, dtype=torch.float64), x, CIRCLE)
        steps = wrap(y.diff())
        assert (steps > 0).all() and steps.sum().item() == pytest.approx(2 * math.pi)


@pytest.mark.parametrize("kappa", [1e-3, 0.5, 30.0, 1000.0])
def test_the_scaled_bessel_function(kappa: float) -> None:
    assert log_scaled_bessel(kappa) == pytest.approx(math.log(special.ive(0, kappa)), abs=1e-13)


@pytest.mark.parametrize("kappa", [0.3, 8.0, 200.0])
def test_von_mises_is_that_of_scipy(kappa: float) -> None:
    text = f"dgm 1\nmodel M {{ observe x : circle[2] ~ von_mises(2, {kappa}) }}"
    model = dgmspec.compile(dgmspec.parse(text))
    x = torch.rand(50, 2) * 6 - 3
    expected = stats.vonmises.logpdf(x.double().numpy(), kappa, loc=2).sum(1)
    np.testing.assert_allclose(model.log_prob(x).numpy(), expected, rtol=1e-4, atol=1e-4)
    samples = model.sample(4_000, seed=0)
    assert (samples.abs() <= math.pi + 1e-6).all()
    turned = wrap(samples.flatten() - 2).numpy()
    assert stats.kstest(turned, lambda v: stats.vonmises.cdf(v, kappa)).pvalue > 1e-3


def test_the_flow_on_the_torus_is_normalised_and_continuous() -> None:
    text = TORUS.read_text()
    model = compiled(text, params={"depth": 1}, scale=0.1)
    with torch.no_grad():
        mass = model.log_prob(lattice(300)).exp().mean() * (2 * math.pi) ** 2
        assert float(mass) == pytest.approx(1, abs=1e-4)
        free = torch.rand(20, dtype=torch.float64) * 6 - 3
        for axis in (0, 1):
            ends = [torch.stack((torch.full_like(free, end), free), 1) for end in (-math.pi, math.pi)]
            low, high = (model.log_prob(rows.flip(1) if axis else rows) for rows in ends)
            torch.testing.assert_close(low, high, rtol=1e-7, atol=1e-7)


def test_the_torus_set_is_normalised() -> None:
    points = lattice(200).numpy()
    assert np.exp(log_density("torus", points)).mean() * (2 * math.pi) ** 2 == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("step", "code"),
    [
        ("elementwise(affine)", "DGM313"),
        ("elementwise(quadratic_spline)", "DGM313"),
        ("actnorm", "DGM313"),
        ("autoregressive(affine, net = made(8))", "DGM313"),
        ("permute(reverse)", "DGM302"),
    ],
)
def test_maps_and_priors_of_the_line_are_refused(step: str, code: str) -> None:
    text = f"dgm 1\nmodel M {{ observe x : circle[2]; latent z : real[2] ~ normal(0, 1)\nflow x -> z {{ {step} }} }}"
    assert code in {d.code for d in dgmspec.diagnose(text).diagnostics}


def test_moebius_belongs_to_the_circle() -> None:
    text = "dgm 1\nmodel M { observe x : real[2]; latent z : real[2]; flow x -> z { elementwise(moebius) } }"
    assert "DGM303" in {d.code for d in dgmspec.diagnose(text).diagnostics}


@pytest.mark.slow
def test_the_torus_is_learned() -> None:
    spec = dgmspec.load(TORUS)
    model = dgmspec.compile(spec, seed=0)
    data = torch.from_numpy(torus(20_000, seed=1)).float()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for step in range(1_500):
        rows = torch.randint(len(data), (512,), generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        model.loss({"x": data[rows]}).total.backward()
        optimizer.step()
    held = torus(20_000, seed=2)
    with torch.no_grad():
        gap = log_density("torus", held).mean() - model.log_prob(torch.from_numpy(held).float()).mean().item()
        mass = model.double().log_prob(lattice(400)).exp().mean() * (2 * math.pi) ** 2
    assert -0.01 < gap < 0.05
    assert float(mass) == pytest.approx(1, abs=1e-3)
