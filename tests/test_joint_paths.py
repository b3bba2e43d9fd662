"""Paths with matrices for coefficients: read, derived, and in tensors, against closed forms and solvers."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from dgmspec.algebra.paths.affine import NotAffine, Times
from dgmspec.algebra.paths.joint import JointPath, Start, of_joint_drift
from dgmspec.algebra.paths.mixing import Mixing, mixing
from dgmspec.core.diagnostics import Refusal
from dgmspec.modules.paths.joint_coefficients import joint_at, joint_plan, joint_tables
from tests.paths import drifting, formula

TIMES = Times("t", 0.0, 1.0)
PLANE = (("x", (2,)), ("v", (2,)))
LINE = (("x", ()), ("v", ()))
CLD = "[16 * v, -4 * x - 16 * v]", "[0, sqrt(8)]"
"""The critically-damped diffusion with β = 4, Γ = 1, M = 1/4."""
BLUR = 0.1


def law(drift: str, diffusion: str, parts: object = PLANE) -> Mixing:
    found = mixing(formula(drift, "x, v, t"), formula(diffusion, "t"), parts, TIMES)  # type: ignore[arg-type]
    assert isinstance(found, Mixing)
    return found


def path(
    drift: str, diffusion: str, starts: tuple[Start | None, ...] = (None, None), parts: object = PLANE
) -> JointPath:
    found = of_joint_drift(formula(drift, "x, v, t"), formula(diffusion, "t"), parts, TIMES, starts)  # type: ignore[arg-type]
    assert isinstance(found, JointPath)
    return found


@cache
def damped(folded: bool) -> JointPath:
    return path(*CLD, (None, ((0.0,), (BLUR,)) if folded else None))


# ---- reading --------------------------------------------------------------------------------------------------------


def test_coordinates_that_obey_one_law_are_copies_of_it() -> None:
    found = law(*CLD)
    assert (found.size, found.copies, found.order, found.silent) == (2, 2, (0, 1), 1)
    turned = law("[-16 * x - 4 * v, 4 * x]", "[1, 0]")
    assert (turned.size, turned.copies, turned.order, turned.silent) == (2, 2, (1, 0), 1)
    unlike = law("[[1, 2] * v, -x]", "[0, 1]")
    assert (unlike.size, unlike.copies, unlike.silent) == (4, 1, 2)
    assert len(law("[v, [0, 1] - x]", "[0, 1]").offset[1]) == 2


def test_a_matrix_acts_on_a_vector() -> None:
    found = law("[[-1, 2], [0, -3]] @ x", "[[1, 0], [1, 2]]", (("x", (2,)),))
    assert (found.size, found.copies, found.silent) == (2, 1, 0)
    assert len(found.noise[0]) == 2


@pytest.mark.parametrize(
    ("drift", "diffusion", "code"),
    [
        ("16 * v", "[0, 1]", "DGM675"),
        ("[v, x]", "1", "DGM675"),
        ("[v, [x[0], x[1], 1]]", "[0, 1]", "DGM310"),
        ("[v, x / t^2]", "[0, 1]", "DGM646"),
        ("[512 * v, -128 * x - 512 * v]", "[0, 16]", "DGM646"),
        ("[-x, -v]", "[0, 1]", "DGM672"),
        ("[v, v]", "[0, 0]", "DGM644"),
        ("[v, -x]", "[0, max(t - 0.5, 0)]", "DGM672"),
    ],
)
def test_laws_that_are_none_are_refused(drift: str, diffusion: str, code: str) -> None:
    with pytest.raises(Refusal) as refused:
        path(drift, diffusion)
    assert refused.value.code == code


def test_a_product_of_parts_is_not_affine() -> None:
    assert isinstance(mixing(formula("[v, x * v]", "x, v, t"), formula("[0, 1]", "t"), LINE, TIMES), NotAffine)


# ---- moments --------------------------------------------------------------------------------------------------------


def closed(t: float, blur: float) -> tuple[list[list[float]], list[list[float]]]:
    """exp(A t) and the Cholesky factor of Σ(t) of the critically-damped diffusion, in 60 digits.

    With s = 4 t: exp(A t) = e^{-2s} [[1 + 2s, 4s], [-s, 1 - 2s]], and the integrals of its last column by parts.
    """
    with localcontext() as context:
        context.prec = 60
        s = 4 * Decimal(t)
        e, e4 = (-2 * s).exp(), (-4 * s).exp()
        flow = [[e * (1 + 2 * s), e * 4 * s], [-e * s, e * (1 - 2 * s)]]
        b = Decimal(blur) ** 2
        xx = 1 - e4 * (8 * s * s + 4 * s + 1) + b * flow[0][1] ** 2
        xv = 4 * s * s * e4 + b * flow[0][1] * flow[1][1]
        vv = Decimal("0.25") - e4 * (Decimal("0.25") - s + 2 * s * s) + b * flow[1][1] ** 2
        first = xx.sqrt()
        factor = [[first, Decimal(0)], [xv / first, (vv - xv * xv / xx).sqrt()]]
        return [[float(x) for x in row] for row in flow], [[float(x) for x in row] for row in factor]


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("t", [1e-6, 1e-4, 0.01, 0.2, 0.7])
def test_the_damped_diffusion_has_its_closed_form(t: float, folded: bool) -> None:
    """Every entry to 1e-10 of itself, where Σ is all but singular too."""
    flow, factor = closed(t, BLUR if folded else 0.0)
    signal, mean, spread = damped(folded).at(t)
    np.testing.assert_allclose(signal, [row[: len(signal[0])] for row in flow], rtol=1e-10)
    np.testing.assert_allclose(spread, factor, rtol=1e-10)
    assert not any(map(any, mean))


@pytest.mark.parametrize("t", [1e-6, 3e-5, 0.02, 0.6])
def test_tensors_in_single_precision_are_right_for_the_time_given(t: float) -> None:
    found, times = damped(True), torch.tensor([t, 0.5], dtype=torch.float32)
    here = joint_at(joint_plan(found, 1e-6), joint_tables(found), times, torch.float32)
    flow, factor = closed(float(times[0]), BLUR)
    np.testing.assert_allclose(here.factor[0], factor, rtol=1e-6)
    np.testing.assert_allclose(here.signal[0], [row[:1] for row in flow], rtol=1e-6)
    np.testing.assert_allclose(here.whitening[0], [[1 / factor[1][1]]], rtol=1e-6)


NUMBERS = st.floats(-3, 3).map(lambda x: round(x, 2))


@given(st.lists(NUMBERS, min_size=12, max_size=12), st.booleans())
@settings(max_examples=3, deadline=None)
def test_random_laws_obey_the_moment_equations(numbers: list[float], folded: bool) -> None:
    """A(t) and G(t) against Φ' = A Φ, m' = A m + b, Σ' = A Σ + Σ Aᵀ + G Gᵀ, solved another way."""
    a, b, c, d, e, f, g, h, p, q, u, w = numbers
    drift = f"[({a} + {b} * t) * x + ({c} - {d} * t^2) * v + {p}, {e} * x + {f} * sin(3 * t) * v + {q} * t]"
    diffusion = f"[0.5 + {abs(g)} * t, {abs(h) + 0.2} * exp(-t)]"
    start = ((u,), (abs(w) + 0.1,))
    found = path(drift, diffusion, (None, start if folded else None), LINE)

    def rate(t: float) -> np.ndarray:
        return np.array([[a + b * t, c - d * t**2], [e, f * math.sin(3 * t)]])

    def slope(t: float, y: np.ndarray) -> np.ndarray:
        flow, mean, spread = y[:4].reshape(2, 2), y[4:6], y[6:].reshape(2, 2)
        noise = np.diag([0.5 + abs(g) * t, (abs(h) + 0.2) * math.exp(-t)]) ** 2
        moved = rate(t) @ spread
        return np.concatenate(
            [(rate(t) @ flow).ravel(), rate(t) @ mean + [p, q * t], (moved + moved.T + noise).ravel()]
        )

    blur = np.diag([0.0, start[1][0] ** 2 if folded else 0.0])
    first = np.concatenate([np.eye(2).ravel(), [0.0, u if folded else 0.0], blur.ravel()])
    truth = solve_ivp(slope, (0, 1), first, "DOP853", [0.13, 1.0], rtol=1e-12, atol=1e-13).y
    back = np.argsort(found.mixing.order)
    for column, t in enumerate((0.13, 1.0)):
        signal, mean, spread = (np.array(matrix)[back] for matrix in found.at(t))
        flow = truth[:4, column].reshape(2, 2)
        np.testing.assert_allclose(signal, flow[:, :1] if folded else flow[:, back][:, list(found.data)], atol=1e-8)
        np.testing.assert_allclose(mean.ravel(), truth[4:6, column], atol=1e-8)
        np.testing.assert_allclose(spread @ spread.T, truth[6:, column].reshape(2, 2), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("span", [1e-6, 1e-3, 0.3])
def test_transitions_of_a_steady_law_are_its_kernel(span: float) -> None:
    """Every entry to 1e-10 of itself from any time on, where a difference of covariances would hold no digit."""
    flow, factor = closed(span, 0.0)
    for start in (0.0, 0.25, 0.5):
        step = damped(True).between(start, start + span)
        rtol = 1e-10 + 1e-15 * start / span  # of the time itself
        np.testing.assert_allclose(step.signal, flow, rtol=rtol)
        np.testing.assert_allclose(step.factor, factor, rtol=rtol)


UNSTEADY = ("[sin(5 * t) * x + v + [t, 1], -2 * x - t * v]", "[0, 1 + t^2]")


def test_transitions_compose() -> None:
    """s to u to t is s to t, and 0 to s to t is what is known at t (Chapman and Kolmogorov)."""
    found = path(*UNSTEADY)
    s, u, t = 0.2, 0.5, 0.9
    first, last, whole = found.between(s, u), found.between(u, t), found.between(s, t)
    for before, after, both in (
        (first, last, whole),
        (found.at(s), whole, found.at(t)),
        (found.between(0.0, s), whole, found.between(0.0, t)),
    ):
        signal, mean, spread = (np.array(m) for m in before)
        moved = np.array(after[0])
        rows = np.concatenate([moved @ spread, after[2]], 1)
        np.testing.assert_allclose(moved @ signal, both[0], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(moved @ mean + after[1], both[1], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(np.linalg.cholesky(rows @ rows.T), both[2], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("folded", [False, True])
def test_the_posterior_is_that_of_bayes(folded: bool) -> None:
    """Of x_s and x_t given the data, jointly normal, conditioned on x_t."""
    found = path(*UNSTEADY, (None, ((0.3,), (0.4,))) if folded else (None, None))
    s, t = 0.3, 0.8
    (signal, mean, spread), step = map(np.array, found.at(s)), found.between(s, t)
    move, prior = np.array(step.signal), spread @ spread.T
    later = move @ prior @ move.T + np.array(step.factor) @ np.array(step.factor).T
    gain = prior @ move.T @ np.linalg.inv(later)
    kept = np.eye(2) - gain @ move
    bridge = found.posterior(s, t)
    np.testing.assert_allclose(bridge.end, gain, rtol=1e-8)
    np.testing.assert_allclose(bridge.start, kept @ signal, rtol=1e-8)
    np.testing.assert_allclose(bridge.mean, kept @ mean - gain @ np.array(step.mean), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(np.array(bridge.factor) @ np.array(bridge.factor).T, kept @ prior, rtol=1e-8, atol=1e-12)


def test_one_coordinate_has_the_numbers_of_its_scalar_path() -> None:
    single = of_joint_drift(formula("-(1 + t) * x + t"), formula("1 + t", "t"), (("x", ()),), TIMES, (None,))
    scalar = drifting("-(1 + t) * x + t", "1 + t").curves[0]
    assert isinstance(single, JointPath)
    for s, t in ((0.2, 0.7), (0.5, 0.5001)):
        for found, expected in ((single.between, scalar.between), (single.posterior, scalar.posterior)):
            np.testing.assert_allclose([m[0][0] for m in found(s, t)], expected(s, t), rtol=1e-7)


def test_marginals_are_the_moments_from_independent_starts() -> None:
    found, flat = path(*UNSTEADY), ((1.0, 2.0, 3.0, 4.0), (0.1, 0.2, 0.3, 0.4))
    signal, shift, spread = (np.array(m) for m in found.between(0.0, 0.6))
    for c, (mean, factor) in enumerate(found.marginals(*flat, 0.6)):
        scale = signal * np.array(flat[1])[c::2]
        np.testing.assert_allclose(mean, signal @ np.array(flat[0])[c::2] + shift[:, c], rtol=1e-12)
        np.testing.assert_allclose(
            np.array(factor) @ np.array(factor).T, scale @ scale.T + spread @ spread.T, rtol=1e-12
        )
    (mean, factor), _ = found.marginals((1.0,), (0.5,), 0.0)
    assert mean == (1.0, 1.0) and factor == ((0.5, 0.0), (0.0, 0.5))


def test_what_is_told_of_the_data_never_rises() -> None:
    found = damped(True)
    told = [found.log_snr(t) for t in np.linspace(0.0, 1.0, 40)]
    assert told[0] == math.inf and all(before > after for before, after in pairwise(told))
    times = found.grid(10, "log_snr", 1e-5)
    steps = np.diff([found.log_snr(t) for t in times])
    np.testing.assert_allclose(steps, steps[0], rtol=1e-6)


def test_the_mismatch_at_the_end_is_a_divergence_of_normals() -> None:
    found = damped(True)
    assert found.prior_mismatch((0.0,) * 4, (1.0, 1.0, 0.5, 0.5)) < 1e-5
    signal, _, spread = (np.array(m) for m in found.at(1.0))
    second, scales = spread @ spread.T + signal @ signal.T, np.array([1.0, 1.3])
    apart = np.trace(second / scales**2) - 2 - np.linalg.slogdet(spread @ spread.T)[1] + 2 * np.log(scales).sum()
    assert found.prior_mismatch((0.0,) * 4, (1.0, 1.0, 1.3, 1.3)) == pytest.approx(apart / 4, rel=1e-9)
