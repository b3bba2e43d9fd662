"""Paths derived from drift and diffusion, from steps, from kernels: against closed forms and against the moment ODE."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dgmspec
from dgmspec.algebra.closures import closure, number_at
from dgmspec.algebra.evaluate import evaluate
from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.algebra.paths.affine import NotAffine, Times
from dgmspec.algebra.paths.closed import closed_form
from dgmspec.algebra.paths.derive import of_drift, of_kernel
from dgmspec.core.diagnostics import Refusal
from dgmspec.spec.unresolve import formula_text
from tests.paths import KNOWN, chain, drifting, formula, kernel
from tests.strategies import formulas

each_known = pytest.mark.parametrize("name", KNOWN)
SHARES = (1e-6, 1e-4, 0.01, 0.2, 0.5, 0.77, 0.999, 1.0)


@each_known
def test_derived_kernels_are_the_closed_forms(name: str) -> None:
    known = KNOWN[name]()
    curve, span = known.path.curves[0], known.path.high - known.path.low
    for share in SHARES:
        t = known.path.low + share * span
        assert math.exp(2 * curve.log_alpha(t)) == pytest.approx(known.alpha2(t), rel=1e-10)
        assert math.exp(curve.log_variance(t)) == pytest.approx(known.sigma2(t), rel=1e-10)
        assert curve.mean(t) == pytest.approx(0, abs=1e-13)


@each_known
def test_the_log_snr_falls_by_the_diffusion_over_the_variance(name: str) -> None:
    path = KNOWN[name]().path
    curve, process = path.curves[0], path.processes[0]
    for share in (0.05, 0.3, 0.8):
        t = path.low + share * (path.high - path.low)
        h = 1e-5 * t
        slope = (curve.log_snr(t + h) - curve.log_snr(t - h)) / (2 * h)
        assert slope == pytest.approx(-number_at(process.spread, "t", t) / curve.sigma(t) ** 2, rel=1e-6)


@each_known
def test_times_are_found_by_their_log_snr(name: str) -> None:
    path = KNOWN[name]().path
    low = path.low + 1e-4 * (path.high - path.low)
    for share in (0.01, 0.4, 0.9):
        t = path.low + share * (path.high - path.low)
        assert path.time_at(path.log_snr(t), low, path.high) == pytest.approx(t, rel=1e-9)


@each_known
def test_transitions_compose(name: str) -> None:
    curve, path = KNOWN[name]().path.curves[0], KNOWN[name]().path
    s, t = (path.low + share * (path.high - path.low) for share in (0.3, 0.8))
    step = curve.between(s, t)
    assert step.alpha * curve.alpha(s) == pytest.approx(curve.alpha(t), rel=1e-12)
    whole = step.alpha**2 * curve.sigma(s) ** 2 + step.sigma**2
    assert whole == pytest.approx(curve.sigma(t) ** 2, rel=1e-11)


@each_known
def test_the_posterior_is_that_of_bayes(name: str) -> None:
    """Precisions add: that of x_s given x_0, and what x_t tells of x_s."""
    path = KNOWN[name]().path
    curve, (s, t) = path.curves[0], (path.low + share * (path.high - path.low) for share in (0.3, 0.8))
    step, found = curve.between(s, t), curve.posterior(s, t)
    precision = curve.sigma(s) ** -2 + (step.alpha / step.sigma) ** 2
    assert found.sigma == pytest.approx(precision**-0.5, rel=1e-9)
    assert found.end == pytest.approx(step.alpha / step.sigma**2 / precision, rel=1e-9)
    assert found.start == pytest.approx(curve.alpha(s) / curve.sigma(s) ** 2 / precision, rel=1e-9)
    told = curve.mean(s) / curve.sigma(s) ** 2 - step.alpha * step.shift / step.sigma**2
    assert found.mean == pytest.approx(told / precision, rel=1e-9, abs=1e-12)


def test_the_chain_of_ddpm_is_the_product_of_its_steps() -> None:
    beta = "(1e-4 + (0.02 - 1e-4) * (t - 1) / 999)"
    curve = chain(f"sqrt(1 - {beta}) * x", f"sqrt({beta})", 1000).curves[0]
    kept = 1.0
    for t in range(1, 1001):
        kept *= 1 - (1e-4 + (0.02 - 1e-4) * (t - 1) / 999)
        assert math.exp(2 * curve.log_alpha(t)) == pytest.approx(kept, rel=1e-10)
        assert curve.sigma(t) ** 2 == pytest.approx(1 - kept, rel=1e-10)


@pytest.mark.parametrize("count", [100, 400])
def test_a_chain_nears_the_variance_preserving_path_at_first_order(count: int) -> None:
    """|ᾱ_T - α(1)²| = O(1/T): twice as many steps, half the distance."""
    beta = f"((0.1 + 19.9 * t / {count}) / {count})"
    gaps = []
    for steps, b in ((count, beta), (2 * count, beta.replace(str(count), str(2 * count)))):
        path = chain(f"sqrt(1 - {b}) * x", f"sqrt({b})", steps)
        gaps.append(abs(math.exp(2 * path.curves[0].log_alpha(steps / 2)) - math.exp(-(0.05 + 9.95 / 4))))
    assert gaps[0] / gaps[1] == pytest.approx(2, rel=0.1)


def _rk4(a: str, b: str, g: str, t: float, steps: int = 2000) -> tuple[float, float, float]:
    """log α, m and v by the moment ODE: (log α)' = a, m' = a m + b, v' = 2 a v + g²."""
    rate, push, noise = formula(a), formula(b), formula(g)

    def slope(at: float, state: tuple[float, float, float]) -> tuple[float, float, float]:
        x = [number_at(f, "t", at) for f in (rate, push, noise)]
        return x[0], x[0] * state[1] + x[1], 2 * x[0] * state[2] + x[2] ** 2

    def moved(state: tuple[float, ...], change: tuple[float, ...], by: float) -> tuple[float, float, float]:
        return tuple(u + by * k for u, k in zip(state, change, strict=True))  # type: ignore[return-value]

    state, h = (0.0, 0.0, 0.0), t / steps
    for i in range(steps):
        at = i * h
        k1 = slope(at, state)
        k2 = slope(at + h / 2, moved(state, k1, h / 2))
        k3 = slope(at + h / 2, moved(state, k2, h / 2))
        k4 = slope(at + h, moved(state, k3, h))
        total = tuple((p + 2 * q + 2 * r + s) / 6 for p, q, r, s in zip(k1, k2, k3, k4, strict=True))
        state = moved(state, total, h)
    return state


numbers = st.integers(-20, 20).map(lambda n: n / 10)


@settings(max_examples=12, deadline=None)
@given(numbers, numbers, numbers, numbers, st.integers(1, 30), st.sampled_from([0.1, 0.6, 1.0]))
def test_random_affine_processes_follow_the_moment_ode(
    p: float, q: float, r: float, w: float, g: int, t: float
) -> None:
    a = f"{p} + {q} * t"
    b, noise = f"{r} * sin({w} * t)", f"{g} / 10 + t / 2"
    curve = drifting(f"({a}) * x + {b}", noise).curves[0]
    log_alpha, mean, variance = _rk4(a, b, noise, t, 400)
    assert curve.log_alpha(t) == pytest.approx(log_alpha, rel=1e-9, abs=1e-10)
    assert curve.mean(t) == pytest.approx(mean, rel=1e-8, abs=1e-9)
    assert math.exp(curve.log_variance(t)) == pytest.approx(variance, rel=1e-8)


def test_vectors_of_coefficients_give_a_path_for_each_coordinate() -> None:
    path = drifting("-[1, 3] * x + [0, 2]", "[1, 1 + t]")
    assert not path.alike
    assert path.curves[0].alpha(1.0) == pytest.approx(math.exp(-1))
    assert path.curves[1].alpha(1.0) == pytest.approx(math.exp(-3))
    assert path.curves[1].mean(1.0) == pytest.approx(2 / 3 * -math.expm1(-3))
    assert drifting("-[2, 2] * x", "1").alike


def test_round_trip_from_coefficients_to_path_and_back() -> None:
    """A kernel's own drift and diffusion give the kernel again."""
    path = kernel("exp(-t) * x + t", "sqrt(1 - exp(-2 * t))")
    process = path.processes[0]
    for t in (0.01, 0.4, 1.0):
        assert number_at(process.rate, "t", t) == pytest.approx(-1)
        assert number_at(process.offset, "t", t) == pytest.approx(1 + t)
        assert number_at(process.spread, "t", t) == pytest.approx(2)


def test_what_is_not_affine_says_by_which_derivative() -> None:
    found = of_drift(formula("x - x^3"), formula("1"), "x", Times("t", 0.0, 1.0), (2,))
    assert isinstance(found, NotAffine)
    assert isinstance(of_kernel(formula("tanh(x)"), formula("t"), "x", Times("t", 0.0, 1.0), (2,)), NotAffine)


@pytest.mark.parametrize(
    ("drift", "diffusion", "code"),
    [("-x / t", "1", "DGM646"), ("-x", "0", "DGM644"), ("-x", "1 / t", "DGM646"), ("-x", "1 / (1 - t)", "DGM646")],
)
def test_integrals_that_do_not_exist_are_refused(drift: str, diffusion: str, code: str) -> None:
    with pytest.raises(Refusal) as refused:
        drifting(drift, diffusion)
    assert refused.value.code == code


@pytest.mark.parametrize("rate", [50.0, 5094.45, 1e7])
def test_what_forgets_its_start_within_a_moment_keeps_its_moments(rate: float) -> None:
    """dx = -k (x - sin t) dt + √(1 + t) dW: v = (1 + t) / 2k - 1 / 4k² + (1 / 4k² - 1 / 2k) e^{-2kt}."""
    curve, k = drifting(f"-{rate!r} * (x - sin(t))", "sqrt(1 + t)").curves[0], rate
    for t in (1e-9, 1 / k, 8 / k, 0.37, 1.0):
        gone = -math.expm1(-2 * k * t)
        variance = t / (2 * k) + (1 / (2 * k) - 1 / (4 * k * k)) * gone
        mean = k * (k * math.sin(t) - math.cos(t) + math.exp(-k * t)) / (1 + k * k)
        assert curve.log_alpha(t) == pytest.approx(-k * t, rel=1e-12)
        assert math.exp(curve.log_variance(t)) == pytest.approx(variance, rel=1e-6 if k * t < 1e-3 else 1e-11)
        assert curve.mean(t) == pytest.approx(mean, rel=1e-10, abs=1e-16)


@pytest.mark.parametrize(
    ("drift", "diffusion", "why"),
    [
        ("5000 * x", "1", "no longer than 0.0703 after"),
        ("-400 * x", "exp(-500 * t)", "its variance is"),
        ("-x * (1000 + 999 * sin(2000 * t))", "1", "turn too quickly"),
    ],
)
def test_what_is_beyond_float64_or_too_dear_says_so_in_time(drift: str, diffusion: str, why: str) -> None:
    start = time.process_time()
    for _ in range(3):  # a refusal is remembered too
        with pytest.raises(Refusal, match=why):
            drifting(drift, diffusion)
    assert time.process_time() - start < 1


@pytest.mark.parametrize("noise", ["t - 0.5", "-t"])
def test_a_refused_path_is_reported_once(noise: str) -> None:
    text = (
        "dgm 1\nmodel M { observe x : real[2]; latent z : real[2] ~ normal(0, 1)\nperturb x -> z over t in 0..1 { "
        f"kernel(x, t) ~ normal(x, {noise}); learn noise(x, t) = mlp(8) }}\nloss = dsm }}\n"
    )
    assert [d.code for d in dgmspec.diagnose(text).diagnostics] == ["DGM643"]


@settings(max_examples=150, deadline=None)
@given(formulas(("t",)), st.sampled_from([-1.5, 0.0, 0.25, 3.0]))
def test_closures_are_their_formulas(found: AbstractExpr, t: float) -> None:
    def outcome(value: Callable[[float], float]) -> float | str:
        try:
            return value(t)
        except Refusal as refusal:
            return refusal.message

    expected = outcome(lambda t: number_at(found, "t", t))
    value = outcome(closure(found, "t"))
    assert value == (pytest.approx(expected, rel=1e-12) if isinstance(expected, float) else expected)


@pytest.mark.parametrize(
    ("loc", "scale", "code"),
    [("t * x", "1.1 - t", "DGM645"), ("x", "t - 0.5", "DGM643"), ("(0.5 - t) * x", "t", "DGM645")],
)
def test_kernels_of_no_process_are_refused(loc: str, scale: str, code: str) -> None:
    with pytest.raises(Refusal) as refused:
        kernel(loc, scale)
    assert refused.value.code == code


@pytest.mark.parametrize("spacing", ["uniform", "quadratic", "log_snr", "karras"])
def test_grids_fall_from_the_noise_to_the_start(spacing: str) -> None:
    path = KNOWN["vp"]().path
    grid = path.grid(20, spacing, 1e-3)
    assert len(grid) == 21 and grid[0] == path.high and grid[-1] == pytest.approx(1e-3)
    assert all(a > b for a, b in pairwise(grid))


def test_thinned_chains_keep_the_noisiest_time() -> None:
    path = chain("sqrt(0.9) * x", "sqrt(0.1)", 100)
    assert path.grid(100, "uniform", 1) == tuple(float(t) for t in range(100, 0, -1))
    assert len(path.grid(7, "uniform", 1)) == 7 and path.grid(7, "uniform", 1)[0] == 100


def test_prior_mismatch_in_nats() -> None:
    path = KNOWN["vp"]().path
    assert path.prior_mismatch(1.0) == pytest.approx(2.16e-5, rel=0.01)
    assert path.prior_mismatch(3.0) == pytest.approx((1 / 9 - 1 + math.log(9)) / 2, rel=1e-3)
    assert math.isinf(path.prior_mismatch(1e-200))
    with pytest.raises(Refusal, match="no longer than t = 130"):
        chain("sqrt(200) * x", "sqrt(0.1)", 200)


# ---- closed forms ---------------------------------------------------------------------------------------------------


FORMS = {
    "vp": ("exp(-0.05 * t - 4.975 * t^2)", "1 - α^2"),
    "ve": ("1", "0.0001 * 25000000^t"),
    "sub_vp": ("exp(-0.05 * t - 4.975 * t^2)", "(1 - α^2)^2"),
    "ou": ("exp(-3 * t)", "0.08166666667 * (1 - α^2)"),
    "edm": ("1", "t^2"),
    "brownian": ("1", "4 * t"),
}


@pytest.mark.parametrize("name", FORMS)
def test_well_known_processes_get_their_closed_forms(name: str) -> None:
    curve = KNOWN[name]().path.curves[0]
    found = closed_form(curve)
    assert found is not None and found.variance is not None and found.mean is None
    assert (formula_text(found.alpha), formula_text(found.variance)) == FORMS[name]
    for share in (0.1, 0.5, 0.9):
        t = share * curve.high
        alpha = evaluate(found.alpha, {"t": t})
        assert alpha == pytest.approx(curve.alpha(t), rel=1e-8)
        assert evaluate(found.variance, {"t": t, "α": alpha}) == pytest.approx(curve.sigma(t) ** 2, rel=1e-7)


def test_a_mean_that_is_drawn_somewhere_has_a_form_too() -> None:
    found = closed_form(drifting("3 * (0.5 - x)", "0.7", noise=0.1).curves[0])
    assert found is not None and found.mean is not None and found.variance is not None
    assert formula_text(found.mean) == "0.5 * (1 - α)"
    assert formula_text(found.variance) == "0.08166666667 - 0.07166666667 * α^2"


@pytest.mark.parametrize(("drift", "diffusion"), [("-(1 + t) * x", "1 + t / 2"), ("sin(t) + 0 * x", "1")])
def test_what_has_no_such_form_is_left_to_quadrature(drift: str, diffusion: str) -> None:
    assert closed_form(drifting(drift, diffusion).curves[0]) is None
