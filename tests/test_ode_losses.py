"""Losses about an `ode`: integrals along its paths, and flow matching."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.func import jacrev, vmap

import dgmspec
from dgmspec import lang
from dgmspec.modules.compiled import CompiledModel
from dgmspec.runtime.rundir import RunError
from dgmspec.runtime.toys import TOYS
from tests.odes import DOUBLE, compiled, ode, points

FINE = "solver = rk4(steps = 64)"


def by_hand(model: CompiledModel, x: Tensor, arrow: str) -> tuple[float, float]:
    """∫ ‖v‖² dt and ∫ ‖∂v/∂y‖² dt along the path of each row by the trapezoidal rule, for v = M @ y + b."""
    matrix, shift = model.get_parameter("M/A").detach(), model.get_parameter("M/b").detach()
    steps = torch.linspace(0, 1, 2001, dtype=DOUBLE)
    augmented = torch.zeros(3, 3, dtype=DOUBLE)
    augmented[:2, :2], augmented[:2, 2] = matrix, shift
    ones = torch.ones(len(x), 1, dtype=DOUBLE)
    sign = 1 if arrow == "x -> z" else -1
    squares = []
    for t in steps:
        y = torch.cat([x, ones], 1) @ torch.linalg.matrix_exp(sign * t * augmented).T
        squares.append((y[:, :2] @ matrix.T + shift).square().sum(1).mean())
    return float(torch.trapezoid(torch.stack(squares), steps)), float(matrix.square().sum())


@pytest.mark.parametrize("arrow", ["x -> z", "z -> x"])
def test_kinetic_and_jacobian_are_integrals_along_the_paths_of_data(arrow: str) -> None:
    text = ode(
        "velocity(y) = A @ y + b",
        FINE,
        members="learn A : real[2, 2]; learn b : real[2]",
        loss="nll + kinetic + jacobian",
    )
    model, x = compiled(text.replace("x -> z", arrow)), points(5, 2)
    found = model.loss(x).terms
    kinetic, jacobian = by_hand(model, x, arrow)
    assert math.isclose(float(found["kinetic"].detach()), kinetic, rel_tol=1e-5)
    assert math.isclose(float(found["jacobian"].detach()), jacobian, rel_tol=1e-9)
    torch.testing.assert_close(found["nll"], -model.log_prob(x).mean())


@pytest.mark.parametrize(("net", "size"), [("mlp(6)", 7), ("mlp(6, 6)", 3), ("mlp(6, 6)", 6)])
def test_the_norm_of_the_jacobian_is_exact_or_unbiased(net: str, size: int) -> None:
    """Over a time so short that the path stands still, against the Jacobian at the start."""
    text = ode(f"velocity(y) = {net}", "solver = euler(steps = 1)", size=size, over="t in 0..1e-6", loss="jacobian")
    model, x = compiled(text), points(1, size)

    def velocity(at: Tensor) -> Tensor:
        return (model.encode(at.unsqueeze(0))[0] - at) / 1e-6

    real = float(jacrev(velocity)(x[0]).detach().square().sum()) * 1e-6
    rows = 20_000 if size == 6 else 1
    drawn = model.loss(x.expand(rows, size), seed=0).terms["jacobian"].detach()
    assert math.isclose(float(drawn), real, rel_tol=0.05 if size == 6 else 1e-4)


@pytest.mark.parametrize("arrow", ["x -> z", "z -> x"])
@pytest.mark.parametrize("times", ["t in 0..1", "t in 2..0"])
def test_flow_matching_of_two_normals_has_its_known_minimum(arrow: str, times: str) -> None:
    """x, z ~ N(0, I): v* = (2s - 1) y / (s² + (1 - s)²), and E ‖z - x - v*‖² = d π / 2."""
    low, high = (0, 1) if times == "t in 0..1" else (2, 0)
    s = f"((t - {low}) / {high - low})" if high > low else f"(({low} - t) / {low - high})"
    best = f"velocity(y, t) = (2 * {s} - 1) / ({s}^2 + (1 - {s})^2) / {abs(high - low)} * y"
    if high < low:
        best = best.replace("velocity(y, t) = ", "velocity(y, t) = -")
    text = ode(best, over=times, loss="flow_matching").replace("x -> z", arrow)
    model, x = dgmspec.compile(dgmspec.parse(text), dtype=DOUBLE), points(40_000, 2)
    found = float(model.loss(x, seed=1).total) * (high - low) ** 2
    assert abs(found - math.pi) < 0.05
    # The solve carries N(0, I) to itself.
    moved = model.encode(x[:4000])
    assert abs(float(moved.square().mean()) - 1) < 0.05


@pytest.mark.parametrize("path", ["linear", "cosine", "vp"])
def test_the_speed_of_a_path_is_its_derivative(path: str) -> None:
    from dgmspec.modules.continuous.losses import _curves
    from dgmspec.ops.continuous.losses import FlowMatching

    r = torch.linspace(0.05, 0.95, 7, dtype=DOUBLE)
    op = FlowMatching(path=path)  # type: ignore[arg-type]
    values, slopes = _curves(op, r)
    for place in (0, 1):
        real = vmap(jacrev(lambda at, i=place: _curves(op, at.reshape(1))[0][i][0]))(r)
        torch.testing.assert_close(slopes[place], real)
    if path != "linear":
        torch.testing.assert_close(values[0] ** 2 + values[1] ** 2, torch.ones_like(r))


def test_minibatch_ot_pairs_at_the_least_cost() -> None:
    from dgmspec.modules.continuous.losses import _nearest

    x, y = points(6, 2), points(6, 2, seed=1)
    order = _nearest(x, y)
    assert sorted(order.tolist()) == list(range(6))
    best = float((x - y[order]).square().sum())
    for seed in range(200):
        other = torch.randperm(6, generator=torch.Generator().manual_seed(seed))
        assert best <= float((x - y[other]).square().sum()) + 1e-12


@pytest.mark.parametrize(("arrow", "sign"), [("x -> z", "-"), ("z -> x", "")])
def test_minibatch_ot_leaves_data_beside_their_context(arrow: str, sign: str) -> None:
    """x = 100 c, so a velocity of 100 c misses the lines from z by z: E ‖z‖² = 1, where the rows stay together."""
    text = ode(f"velocity(y, t) = {sign}100 * c + 0 * y", size=1, members="given c : real", context="c")
    model = compiled(text.replace("x -> z", arrow).replace("= nll", "= flow_matching(coupling = minibatch_ot)"))
    c = points(400, 1)[:, 0]
    assert 0.6 < float(model.loss({"x": 100 * c[:, None], "c": c}, seed=0).total) < 1.5


def test_minibatch_ot_pairs_rows_of_the_same_context() -> None:
    from dgmspec.modules.continuous.losses import _nearest

    x, y, label = points(8, 2), points(8, 2, seed=1), torch.tensor([0.0, 1, 0, 1, 1, 0, 1, 0])
    order = _nearest(x, y, label)
    for value in (0, 1):
        rows = (label == value).nonzero().squeeze(1)
        assert torch.equal(order[rows], rows[_nearest(x[rows], y[rows])])


def test_flow_matching_between_a_flow_and_a_prior_leaves_the_flow_alone() -> None:
    text = """dgm 1
model M {
    observe x : real[2]
    latent u : real[2]
    latent z : real[2] ~ normal(0, 1)
    flow x -> u { elementwise(affine) }
    ode z -> u over t in 0..1 { velocity(y, t) = mlp(8, 8) }
    loss = flow_matching(vp, coupling = minibatch_ot)
}
"""
    model = compiled(text)
    model.loss(points(8, 2), seed=0).total.backward()  # type: ignore[no-untyped-call]
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == ("velocity" in name), name


@pytest.mark.parametrize(
    ("loss", "code"), [("kinetic", "DGM651"), ("nll + 0.1 * jacobian", "DGM651"), ("flow_matching", "DGM651")]
)
def test_terms_about_an_ode_need_one(loss: str, code: str) -> None:
    text = ode("velocity(y) = -y", loss=loss).replace(
        "ode x -> z over t in 0..1 { velocity(y) = -y }", "flow x -> z { actnorm }"
    )
    assert code in [d.code for d in dgmspec.diagnose(text).diagnostics]


# ---- rectification --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arrow", ["x -> z", "z -> x"])
@pytest.mark.parametrize("times", ["t in 0..1", "t in 2..0"])
def test_reflow_of_a_linear_teacher_is_its_integral(arrow: str, times: str) -> None:
    """dy/dt = a y carries z to k z with k = exp(±a T), and the student b y is held against the line between them."""
    low, high = (0, 1) if times == "t in 0..1" else (2, 0)
    text = ode("velocity(y) = a * y", FINE, size=1, members="learn a = 0.7", over=times, loss="reflow")
    model, span = dgmspec.compile(dgmspec.parse(text.replace("x -> z", arrow)), dtype=DOUBLE), high - low

    def exact(teacher: float, student: float) -> float:
        first, last = (1.0, math.exp(teacher * span)) if arrow == "z -> x" else (math.exp(-teacher * span), 1.0)
        s = torch.linspace(0, 1, 4001, dtype=DOUBLE)
        missed = student * (first + s * (last - first)) - (last - first) / span
        return float(torch.trapezoid(missed.square(), s))

    with torch.no_grad():
        model.get_parameter("M/a").fill_(-0.4)
        kept = float(model.loss(points(200_000, 1), seed=0).total)
        model.take_copies()
        taken = float(model.loss(points(200_000, 1), seed=0).total)
    assert math.isclose(kept, exact(0.7, -0.4), rel_tol=0.02)
    assert math.isclose(taken, exact(-0.4, -0.4), rel_tol=0.02)


STRAIGHT = ode("velocity(y, t) = mlp(48, 48, time = fourier(4, scale = 1))", "solver = rk4(steps = 8)").replace(
    "x -> z", "z -> x"
)
FIRST, SECOND = (STRAIGHT.replace("= nll", f"= {loss}") for loss in ("flow_matching", "reflow(rk4(steps = 4))"))


def fit(model: CompiledModel, steps: int) -> None:
    x = torch.as_tensor(TOYS["eight_gaussians"](20_000), dtype=torch.float32)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for step in range(steps):
        optimizer.zero_grad()
        start = 128 * step % 19_000
        model.loss(x[start : start + 128], seed=0, step=step).total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def test_rectified_paths_are_straighter_and_no_longer() -> None:
    def measured(model: CompiledModel) -> tuple[float, float]:
        """How far one Euler step misses, and the transport cost of the flow's pairs."""
        z = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            carried = model.decode(z)
            once = model.with_solver(lang.euler(1)).decode(z)
        return float((once - carried).square().sum(1).mean()), float((carried - z).square().sum(1).mean())

    first, second = (dgmspec.compile(dgmspec.parse(text)) for text in (FIRST, SECOND))
    fit(first, 300)
    second.load_state_dict(first.state_dict(), strict=False)
    second.take_copies()
    fit(second, 300)
    (bent, cost), (straight, after) = measured(first), measured(second)
    assert straight < 0.2 * bent
    assert after < 1.02 * cost


def test_reflow_begins_with_a_run_and_keeps_its_teacher(tmp_path: Path) -> None:
    block = "train M { steps = 3; batch = 16 }\n"
    data = {"x": TOYS["eight_gaussians"](64)}
    second = dgmspec.parse((SECOND + block).replace(" M ", " R "))
    with pytest.raises(RunError, match="--init RUN"):
        dgmspec.train(second, data=data, out=tmp_path / "none")
    plain = dgmspec.train(dgmspec.parse(FIRST + block), data=data, out=tmp_path / "first")
    rectified = dgmspec.train(second, data=data, out=tmp_path / "second", init=plain.path)
    # What was learned from is kept with the run, so that a resumed one learns from the same.
    kept = dgmspec.load_model(rectified.path / "model")
    assert set(kept.copies) and not any(kept.get_parameter(key).requires_grad for key in kept.copies)
    for key, source in kept.copies.items():
        first, own = plain.model.get_parameter(source.replace("R/", "M/", 1)), kept.get_parameter(source)
        assert torch.equal(kept.get_parameter(key), first) and not (own.requires_grad and torch.equal(own, first))
    other = dgmspec.parse((SECOND + block).replace("mlp(48, 48", "mlp(48, 47"))
    with pytest.raises(RunError, match=r"is \(48, 48\) there and \(47, 48\) here|another model"):
        dgmspec.train(other, data=data, out=tmp_path / "other", init=plain.path)
