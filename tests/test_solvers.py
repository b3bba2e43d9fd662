"""The solvers: their orders, both directions, rows that do not see each other, gradients, and what goes wrong."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from functools import cache
from itertools import combinations_with_replacement

import numpy as np
import pytest
import torch
import torchdiffeq
from torch import Tensor

from dgmspec.algebra.tableaux import TABLEAUX, Tableau
from dgmspec.modules.solvers import Adaptive, Field, Fixed, Gradient, Solver, SolverError, integrate, locate, trajectory

PAIRS = [name for name, tableau in TABLEAUX.items() if tableau.adaptive]
GRADIENTS = ("direct", "adjoint", "checkpoint")
D = 3


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


# ---- the methods ----------------------------------------------------------------------------------------------------

Tree = tuple["Tree", ...]


@cache
def trees(size: int) -> tuple[Tree, ...]:
    """The rooted trees of so many nodes."""

    def forests(left: int, most: int) -> Iterator[tuple[Tree, ...]]:
        if not left:
            yield ()
        for part in range(min(left, most), 0, -1):
            for count in range(left // part, 0, -1):
                for rest in forests(left - count * part, part - 1):
                    for chosen in combinations_with_replacement(trees(part), count):
                        yield (*chosen, *rest)

    return tuple(forests(size - 1, size - 1))


def nodes(tree: Tree) -> int:
    return 1 + sum(map(nodes, tree))


def density(tree: Tree) -> int:
    return nodes(tree) * math.prod(map(density, tree))


def misses(tableau: Tableau, weights: tuple[float, ...], size: int, share: float = 1.0, whole: float = 1.0) -> float:
    """How far the order conditions of trees of that size are from holding at a share of the step."""
    count = tableau.stages + 1
    a = np.zeros((count, count))
    for i, row in enumerate((*tableau.a, tableau.b), 1):
        a[i, : len(row)] = row

    def stage_values(tree: Tree) -> np.ndarray:
        return math.prod((a @ stage_values(part) for part in tree), start=np.ones(count))

    given = np.array([*weights, 0.0][:count])
    return max(abs(given @ stage_values(t) - whole * share**size / density(t)) for t in trees(size))


def test_there_are_as_many_trees_as_there_should_be() -> None:
    assert [len(trees(n)) for n in range(1, 9)] == [1, 1, 2, 4, 9, 20, 48, 115]


@pytest.mark.parametrize("tableau", TABLEAUX.values(), ids=lambda t: t.name)
def test_coefficients_meet_the_order_conditions(tableau: Tableau) -> None:
    """Of the method up to its order and not beyond, of the error up to the embedded one, of the middle as promised."""
    assert all(misses(tableau, tableau.b, size) < 1e-13 for size in range(1, tableau.order + 1))
    assert misses(tableau, tableau.b, tableau.order + 1) > 1e-7
    if tableau.adaptive:
        assert all(misses(tableau, tableau.error, size, whole=0.0) < 1e-13 for size in range(1, tableau.embedded + 1))
        assert misses(tableau, tableau.error, tableau.embedded + 1, whole=0.0) > 1e-7
        middle = min(4, tableau.order)
        assert all(misses(tableau, tableau.middle, size, share=0.5) < 1e-13 for size in range(1, middle + 1))


def wave(t: float | Tensor, y: Tensor, p: object) -> tuple[Tensor, Tensor]:
    """y' = y cos t, solved by y0 exp(sin t); its trace is d cos t."""
    rate = torch.cos(torch.as_tensor(t, dtype=y.dtype)).reshape(-1, 1)
    return y * rate, (y.shape[1] * rate).squeeze(1).expand(y.shape[0])


@pytest.mark.parametrize("tableau", TABLEAUX.values(), ids=lambda t: t.name)
def test_the_measured_order_is_the_order(tableau: Tableau) -> None:
    y, steps = random(4, D), 4 if tableau.order == 8 else 16
    exact = y * math.exp(math.sin(2.0))
    errors = []
    for n in (steps, 2 * steps):
        found = integrate(wave, y, 0.0, 2.0, {}, Fixed(tableau.name, n))
        errors.append(max((found.y - exact).abs().max(), (found.integrals[0] - D * math.sin(2.0)).abs().max()))
        assert found.evaluations == n * tableau.stages
    slope = math.log2(errors[0] / errors[1])
    assert tableau.order - 0.35 < slope < tableau.order + 1.2


# ---- the solution ---------------------------------------------------------------------------------------------------


def linear(t: float | Tensor, y: Tensor, p: object) -> tuple[Tensor, Tensor]:
    matrix: Tensor = p["matrix"]
    return y @ matrix.t(), matrix.trace().expand(y.shape[0])


@pytest.mark.parametrize("method", PAIRS)
@pytest.mark.parametrize(("t0", "t1"), [(0.5, 1.75), (1.75, 0.5)])
def test_a_linear_equation_to_the_tolerance_in_both_directions(method: str, t0: float, t1: float) -> None:
    torch.manual_seed(0)
    y, matrix, tolerance = random(5, D), random(D, D), 1e-3 if method == "heun" else 1e-7
    found = integrate(linear, y, t0, t1, {"matrix": matrix}, Adaptive(method, tolerance, tolerance))
    exact = y @ torch.linalg.matrix_exp((t1 - t0) * matrix).t()
    torch.testing.assert_close(found.y, exact, rtol=20 * tolerance, atol=20 * tolerance)
    expected = ((t1 - t0) * matrix.trace()).expand(5)
    torch.testing.assert_close(found.integrals[0], expected, rtol=1e-12, atol=1e-12)


def net(t: float | Tensor, y: Tensor, p: object) -> tuple[Tensor, Tensor, Tensor]:
    """One hidden layer of y and t; its trace and its squared length are the rates. `unused` is."""
    inner, outer = p["inner"], p["outer"]
    shift = torch.as_tensor(t, dtype=y.dtype).reshape(-1, 1) * inner[:, D]
    a = torch.tanh(y @ inner[:, :D].t() + shift)
    value = a @ outer.t()
    return value, (1 - a.square()) @ (outer.t() * inner[:, :D]).sum(1), value.square().sum(1)


def weights() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {"inner": random(12, D + 1), "outer": random(D, 12) / 3, "unused": random(2)}


@pytest.mark.parametrize("method", PAIRS)
def test_there_and_back_again(method: str) -> None:
    y, p, tolerance = random(20, D), weights(), 1e-4 if method == "heun" else 1e-6
    solver = Adaptive(method, tolerance, tolerance)
    there = integrate(net, y, 0.0, 1.0, p, solver, rates=2)
    back = integrate(net, there.y, 1.0, 0.0, p, solver, rates=2)
    assert (back.y - y).abs().max() < 10 * tolerance
    assert (back.integrals[0] + there.integrals[0]).abs().max() < 10 * tolerance


@pytest.mark.parametrize("method", ["bosh3", "dopri5", "dopri8"])
def test_torchdiffeq_says_the_same(method: str) -> None:
    y, p, tolerance = random(6, D), weights(), 1e-7

    def flat(t: Tensor, state: Tensor) -> Tensor:
        slope = net(t, state[:, :D], p)
        return torch.cat((slope[0], slope[1][:, None], slope[2][:, None]), 1)

    start = torch.cat((y, torch.zeros(6, 2, dtype=y.dtype)), 1)
    times = torch.tensor([0.0, 1.5], dtype=y.dtype)
    theirs = torchdiffeq.odeint(flat, start, times, rtol=tolerance, atol=tolerance, method=method)[1]
    ours = integrate(net, y, 0.0, 1.5, p, Adaptive(method, tolerance, tolerance), rates=2)
    found = torch.cat((ours.y, torch.stack(ours.integrals, 1)), 1)
    assert (found - theirs).abs().max() < 50 * tolerance
    steps = integrate(net, y, 0.0, 1.5, p, Fixed("rk4", 10), rates=2)
    grid = torch.linspace(0, 1.5, 11, dtype=y.dtype)
    theirs = torchdiffeq.odeint(flat, start, grid, method="rk4", options={"perturb": False})[-1]
    # Theirs is the 3/8 rule, of the same order.
    assert (torch.cat((steps.y, torch.stack(steps.integrals, 1)), 1) - theirs).abs().max() < 1e-3


def test_evaluations_are_the_calls_of_the_field() -> None:
    calls = 0

    def counted(t: float | Tensor, y: Tensor, p: object) -> tuple[Tensor, ...]:
        nonlocal calls
        calls += 1
        return net(t, y, p)

    y, p = random(5, D), weights()
    for solver in (Fixed("rk4", 3), Adaptive("dopri5"), Adaptive("heun", 1e-3, 1e-3), Adaptive("dopri8", 1e-9, 1e-9)):
        for inner in (p, {**p, "inner": p["inner"].clone().requires_grad_()}):
            calls = 0
            assert integrate(counted, y, 0.0, 1.0, inner, solver, rates=2).evaluations == calls
        calls = 0
        assert trajectory(counted, y, [0.0, 0.3, 0.5, 1.0], p, solver, rates=2).evaluations == calls


# ---- rows -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", PAIRS)
def test_a_row_does_not_depend_on_its_batch_mates(method: str) -> None:
    """Not by a bit among as many, however hard the others are; and alone to rounding."""
    p, solver = weights(), Adaptive(method, 1e-4, 1e-4)
    y, hard = random(8, D), 50 * random(8, D)
    mates = torch.cat((y[:3], hard[3:]))
    whole, mixed = (integrate(net, values, 0.0, 1.0, p, solver, rates=2) for values in (y, mates))
    assert torch.equal(whole.y[:3], mixed.y[:3])
    assert all(torch.equal(a[:3], b[:3]) for a, b in zip(whole.integrals, mixed.integrals, strict=True))
    alone = integrate(net, y[1:2], 0.0, 1.0, p, solver, rates=2)
    torch.testing.assert_close(alone.y[0], whole.y[1], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(alone.integrals[0][0], whole.integrals[0][1], rtol=1e-12, atol=1e-12)


def test_values_are_the_same_with_and_without_gradients() -> None:
    y, p = random(8, D), weights()
    wanted = {name: value.clone().requires_grad_() for name, value in p.items()}
    plain, walked = (integrate(net, y, 0.0, 1.0, q, Adaptive("dopri5"), rates=2) for q in (p, wanted))
    assert torch.equal(plain.y, walked.y) and torch.equal(plain.integrals[0], walked.integrals[0])


# ---- gradients ------------------------------------------------------------------------------------------------------


def gradients(solver: Solver, gradient: Gradient, **options: bool) -> list[Tensor]:
    """Of a loss that reads y and both integrals, with respect to y, all weights and both ends."""
    torch.manual_seed(2)
    y, p = random(7, D).requires_grad_(), {name: value.requires_grad_() for name, value in weights().items()}
    t0, t1 = (torch.tensor(t, dtype=torch.float64, requires_grad=True) for t in (0.2, 1.1))
    found = integrate(net, y, t0, t1, p, solver, gradient, rates=2, **options)
    loss = 1e-3 * (found.y.square().sum(1) + found.integrals[0].sin() + 0.1 * found.integrals[1]).mean()
    wanted = (y, *p.values(), t0, t1)
    return [
        torch.zeros_like(v) if g is None else 1e3 * g
        for g, v in zip(torch.autograd.grad(loss, wanted, allow_unused=True), wanted, strict=True)
    ]


@pytest.mark.parametrize("method", TABLEAUX)
@pytest.mark.parametrize("gradient", ["adjoint", "checkpoint"])
def test_on_fixed_steps_gradients_agree_to_rounding(method: str, gradient: Gradient) -> None:
    solver = Fixed(method, 4)
    for found, expected in zip(gradients(solver, gradient), gradients(solver, "direct"), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", ["dopri5", "tsit5", "dopri8"])
@pytest.mark.parametrize("seminorm", [True, False])
def test_the_adjoint_agrees_with_direct_gradients(method: str, seminorm: bool) -> None:
    solver = Adaptive(method, 1e-10, 1e-10)
    adjoint, direct = gradients(solver, "adjoint", seminorm=seminorm), gradients(solver, "direct")
    for found, expected in zip(adjoint, direct, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_adaptive_gradients_are_those_of_the_steps_taken() -> None:
    """At a loose tolerance too: nothing leaks through the choice of steps, and doing them again gives the same."""
    solver = Adaptive("bosh3", 1e-2, 1e-2)
    for found, expected in zip(gradients(solver, "checkpoint"), gradients(solver, "direct"), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    for found, expected in zip(gradients(solver, "direct"), gradients(Fixed("dopri8", 20), "direct"), strict=True):
        torch.testing.assert_close(found, expected, rtol=0.05, atol=0.02)


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("solver", [Fixed("rk4", 40), Adaptive("dopri5", 1e-9, 1e-9)], ids=["fixed", "adaptive"])
def test_gradients_of_a_linear_equation(gradient: Gradient, solver: Solver) -> None:
    matrix, y = (0.5 * random(D, D)).requires_grad_(), random(4, D).requires_grad_()
    found = integrate(linear, y, 1.0, 0.0, {"matrix": matrix}, solver, gradient)
    exact = y @ torch.linalg.matrix_exp(-matrix).t()
    loss, expected = found.y.sin().sum() + found.integrals[0].sum(), exact.sin().sum() - 4 * matrix.trace()
    for a, b in zip(torch.autograd.grad(loss, (y, matrix)), torch.autograd.grad(expected, (y, matrix)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_second_derivatives_are_direct_or_refused() -> None:
    matrix, y = (0.5 * random(D, D)).requires_grad_(), random(2, D).requires_grad_()

    def end(gradient: Gradient, solver: Solver) -> Tensor:
        return integrate(linear, y, 0.0, 1.0, {"matrix": matrix}, solver, gradient).y.pow(3).sum()

    for solver in (Fixed("rk4", 60), Adaptive("dopri8", 1e-9, 1e-9)):
        exact = (y @ torch.linalg.matrix_exp(matrix).t()).pow(3).sum()
        results = []
        for loss in (end("direct", solver), exact):
            (first,) = torch.autograd.grad(loss, y, create_graph=True)
            results.append(torch.autograd.grad(first.square().sum(), matrix)[0])
        torch.testing.assert_close(*results, rtol=1e-5, atol=1e-5)
        for gradient in ("adjoint", "checkpoint"):
            with pytest.raises(RuntimeError, match="gradient = direct"):
                torch.autograd.grad(end(gradient, solver), y, create_graph=True)


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("solver", [Fixed("rk4", 2), Adaptive("dopri5", 1e-3, 1e-3)], ids=["fixed", "adaptive"])
def test_a_velocity_without_parameters_or_state(gradient: Gradient, solver: Solver) -> None:
    """Every part of the adjoint's equation may be missing."""
    y, unused = random(3, D).requires_grad_(), random(2).requires_grad_()
    found = integrate(lambda t, y, p: (torch.ones_like(y),), y, 0.0, 1.0, {"unused": unused}, solver, gradient, rates=0)
    torch.testing.assert_close(found.y, y + 1)
    got, none = torch.autograd.grad(found.y.sum(), (y, unused), allow_unused=True)
    assert torch.equal(got, torch.ones_like(y)) and (none is None or not none.any())


def test_gradients_run_in_the_precision_of_the_forward_pass() -> None:
    """What is done again under autocast is done as it was."""
    p = {name: value.float().requires_grad_() for name, value in weights().items()}
    y, results = random(5, D).float(), []

    def field(t: float | Tensor, y: Tensor, p: object) -> tuple[Tensor]:
        return ((y @ p["inner"][:, :D].t()).float().tanh() @ p["outer"].float().t(),)

    for gradient in ("direct", "checkpoint"):
        with torch.autocast("cpu", torch.bfloat16):
            loss = integrate(field, y, 0.0, 1.0, p, Fixed("rk4", 3), gradient, rates=0).y.float().square().sum()
        results.append(torch.autograd.grad(loss, p["inner"])[0])
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-5)


# ---- fixed steps are straight-line code -----------------------------------------------------------------------------


def test_fixed_steps_compile_as_one_graph() -> None:
    y, p = random(5, D), {name: value.requires_grad_() for name, value in weights().items()}

    def loss(y: Tensor, inner: Tensor, outer: Tensor) -> Tensor:
        found = integrate(net, y, 0.0, 1.0, {"inner": inner, "outer": outer}, Fixed("dopri5", 2), rates=2)
        return (found.y.square().sum(1) + found.integrals[0]).sum()

    compiled = torch.compile(loss, backend="eager", fullgraph=True)
    inputs = (y, p["inner"], p["outer"])
    torch.testing.assert_close(compiled(*inputs), loss(*inputs))
    for a, b in zip(*(torch.autograd.grad(f(*inputs), inputs[1:]) for f in (compiled, loss)), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("solver", [*(Fixed(m, n) for m in TABLEAUX for n in (1, 7)), *map(Adaptive, PAIRS)], ids=str)
def test_no_stage_lies_beyond_the_ends(solver: Solver, dtype: torch.dtype) -> None:
    """A velocity may be undefined there; the last time is the end itself, not one rounding short of it."""
    for t0, t1 in ((0.1, 0.7), (0.7, 0.1)):
        seen: list[float] = []

        def field(t: float | Tensor, y: Tensor, p: object, seen: list[float] = seen) -> tuple[Tensor]:
            seen.extend(torch.as_tensor(t, dtype=torch.float64).reshape(-1).tolist())
            return (torch.cos(torch.as_tensor(t, dtype=y.dtype)).reshape(-1, 1) * y,)

        integrate(field, torch.ones(2, 1, dtype=dtype), t0, t1, {}, solver, rates=0)
        low, high = (float(torch.tensor(t, dtype=dtype)) if isinstance(solver, Adaptive) else t for t in (0.1, 0.7))
        assert min(seen) >= low and max(seen) <= high and seen[0] == (low if t0 < t1 else high)
        if isinstance(solver, Adaptive):
            assert seen[-1] == (high if t0 < t1 else low)


def test_nothing_happens_in_no_time() -> None:
    y = random(3, D)
    found = integrate(net, y, 0.4, 0.4, weights(), Adaptive("dopri5"), rates=2)
    assert torch.equal(found.y, y) and found.evaluations == 0 and not any(v.any() for v in found.integrals)


# ---- states at given times ------------------------------------------------------------------------------------------

TIMES = [0.2, 0.21, 0.5, 0.7, 0.9, 0.99, 1.3]


@pytest.mark.parametrize("times", [TIMES, TIMES[::-1]], ids=["rising", "falling"])
@pytest.mark.parametrize(
    ("solver", "tolerance"),
    [
        (Fixed("rk4", 20), 1e-4),
        (Adaptive("bosh3", 1e-6, 1e-6), 1e-4),
        (Adaptive("dopri5", 1e-8, 1e-8), 1e-5),
        (Adaptive("tsit5", 1e-8, 1e-8), 1e-5),
        (Adaptive("dopri8", 1e-7, 1e-7), 1e-3),
    ],
    ids=str,
)
def test_a_trajectory_passes_through_the_solutions(times: list[float], solver: Solver, tolerance: float) -> None:
    y, p = random(5, D), weights()
    found = trajectory(net, y, times, p, solver, rates=2)
    assert torch.equal(found.y[0], y) and found.y.shape == (len(times), 5, D)
    for i, t in enumerate(times[1:], 1):
        exact = integrate(net, y, times[0], t, p, Fixed("dopri8", 20), rates=2)
        assert (found.y[i] - exact.y).abs().max() < tolerance
        assert (found.integrals[0][i] - exact.integrals[0]).abs().max() < 5 * tolerance
    assert torch.equal(found.y[-1], integrate(net, y, times[0], times[-1], p, solver, rates=2).y)


def test_times_cost_nothing_where_steps_are_interpolated_and_none_on_the_grid() -> None:
    y, p, few = random(5, D), weights(), [0.0, 1.0]
    many = [i / 100 for i in range(101)]
    for solver in (Adaptive("dopri5"), Fixed("rk4", 100)):
        costs = [trajectory(net, y, times, p, solver, rates=2).evaluations for times in (few, many)]
        assert costs[0] == costs[1]


def test_interpolation_is_of_order_four() -> None:
    """Between steps twice as long the error is about 32 times as large, and its slope has no jumps worth the name."""
    y, errors = torch.ones(1, 1, dtype=torch.float64), []
    for tolerance in (1e-5, 1e-8):
        times = [2 * i / 50 for i in range(51)]
        found = trajectory(wave, y, times, {}, Adaptive("dopri5", tolerance, tolerance))
        exact = torch.tensor([math.exp(math.sin(t)) for t in times], dtype=y.dtype)
        errors.append(float((found.y.flatten() - exact).abs().max()))
    assert errors[0] < 1e-3 and errors[1] < 3e-6


def test_trajectories_are_differentiable() -> None:
    matrix = (0.3 * random(D, D)).requires_grad_()
    y = random(4, D)
    found = trajectory(linear, y, [0.0, 0.4, 1.0], {"matrix": matrix}, Adaptive("dopri5", 1e-9, 1e-9))
    exact = torch.stack([y @ torch.linalg.matrix_exp(t * matrix).t() for t in (0.0, 0.4, 1.0)])
    (a,), (b,) = (torch.autograd.grad(values.sin().sum(), matrix) for values in (found.y, exact))
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("times", [[], [0.0], [0.0, 0.5, 0.4], [0.0, 0.0], [0.0, math.nan]])
def test_times_rise_or_fall(times: list[float]) -> None:
    with pytest.raises(ValueError, match="rise or fall"):
        trajectory(net, random(2, D), times, weights(), Fixed("rk4", 2), rates=2)


# ---- what goes wrong ------------------------------------------------------------------------------------------------


def explosion(t: float | Tensor, y: Tensor, p: object) -> tuple[Tensor]:
    """y' = y²: infinite at 1 / y0."""
    return (y.square(),)


def undefined(t: float | Tensor, y: Tensor, p: object) -> tuple[Tensor]:
    return (torch.where(y > 1, math.nan, 1.0).to(y.dtype),)


def jumpy(t: float | Tensor, y: Tensor, p: object) -> tuple[Tensor]:
    return (torch.where(y > 0.5, -1e14, 1.0).to(y.dtype),)


FAILURES: list[tuple[Field, str, int, float]] = [
    (explosion, "step", 1, 0.5),
    (undefined, "nonfinite", 2, 0.1),
    (jumpy, "step", 1, 0.3),
]


@pytest.mark.parametrize(("field", "reason", "row", "t"), FAILURES, ids=lambda v: getattr(v, "__name__", None))
@pytest.mark.parametrize("method", ["dopri5", "tsit5", "dopri8"])
def test_a_failure_says_where(field: Field, reason: str, row: int, t: float, method: str) -> None:
    start = {explosion: [0.1, 2.0, 0.5], undefined: [0.0, -1.0, 0.9], jumpy: [-2.0, 0.2, -1.0]}[field]
    y = torch.tensor(start, dtype=torch.float64)[:, None]
    with pytest.raises(SolverError) as caught:
        integrate(field, y, 0.0, 1.0, {}, Adaptive(method, 1e-4, 1e-4), rates=0)
    error = caught.value
    assert (error.reason, error.row) == (reason, row) and error.t == pytest.approx(t, abs=0.02)
    at = error.at("M/x->z")
    assert str(at).startswith("M/x->z: ") and error.remedy in str(at) and f"sample {row}" in str(at)
    assert str(copy.copy(at)) == str(at)


def test_too_many_steps() -> None:
    with pytest.raises(SolverError, match=r"30 steps end at t = .*sample 0.*max_steps") as caught:
        integrate(wave, random(1, D), 0.0, 2000.0, {}, Adaptive("dopri5", max_steps=30))
    assert caught.value.reason == "steps" and 0 < caught.value.t < 2000


def test_a_failure_of_the_way_back_says_so() -> None:
    """A decay is held at its fixed point forwards; backwards, its growth is to be followed."""
    rate, y = torch.tensor(-60.0, dtype=torch.float64, requires_grad=True), random(3, D)

    def field(t: float | Tensor, y: Tensor, p: object) -> tuple[Tensor]:
        return (p["rate"] * y,)

    solver = Adaptive("dopri5", 1e-3, 1e-3, max_steps=50)
    end = integrate(field, y, 0.0, 2.0, {"rate": rate}, solver, "adjoint", rates=0).y
    with pytest.raises(SolverError, match="solving the adjoint equation backwards, 50 steps"):
        end.sum().backward()


def test_fixed_steps_are_looked_at_afterwards() -> None:
    y = torch.tensor([[0.1], [2.0], [0.5]], dtype=torch.float64)
    assert not integrate(explosion, y, 0.0, 20.0, {}, Fixed("rk4", 50), rates=0).y.isfinite().all()
    error = locate(explosion, y, 0.0, 20.0, {}, Fixed("rk4", 50), rates=0)
    assert error is not None and error.row == 1 and 0.4 < error.t < 4
    assert locate(explosion, y[:1], 0.0, 1.0, {}, Fixed("rk4", 50), rates=0) is None


@pytest.mark.parametrize(("solver", "expected"), [
    (Fixed("rk4", 8), Fixed("rk4", 16)),
    (Adaptive("dopri5", 1e-5, 1e-4), Adaptive("dopri5", 1e-6, 1e-5)),
])  # fmt: skip
def test_refined(solver: Solver, expected: Solver) -> None:
    finer: Callable[[], Solver] = solver.refined
    assert repr(finer()) == repr(expected) or finer().rtol == pytest.approx(expected.rtol)
