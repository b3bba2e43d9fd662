"""Expressions as torch calls: values against torch itself, broadcasting over events, exact literals."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from dgmspec.algebra.nodes import Argument, Call, Constant, Index, Name, Number, Power, Vector, expr, multiply
from dgmspec.modules.expressions import FUNCTIONS, evaluate

x, y, s, A = (Name(id=n) for n in ("x", "y", "s", "A"))
BATCH = 5


def call(name: str, *args: object) -> Call:
    return Call(name=name, args=tuple(Argument(value=expr(a)) for a in args))


@pytest.fixture
def env() -> dict[str, Tensor | float]:
    double = torch.float64
    return {
        "x": torch.randn(BATCH, 3, dtype=double),
        "y": torch.rand(BATCH, 3, dtype=double) * 0.8 + 0.1,
        "s": torch.randn(BATCH, dtype=double),
        "A": torch.randn(1, 2, 3, dtype=double),
    }


def test_operators_read_from_the_left(env: dict[str, Tensor]) -> None:
    torch.testing.assert_close(evaluate(x - y + 2 * x / y, env), env["x"] - env["y"] + 2 * env["x"] / env["y"])
    torch.testing.assert_close(evaluate(-(y**2), env), -(env["y"] ** 2))
    torch.testing.assert_close(evaluate(Power(base=expr(2), exponent=-y), env), 2 ** -env["y"])


def test_scalars_broadcast_over_vectors_and_matrices(env: dict[str, Tensor]) -> None:
    torch.testing.assert_close(evaluate(s * x, env), env["s"][:, None] * env["x"])
    torch.testing.assert_close(evaluate(s + A, env), env["s"][:, None, None] + env["A"])
    torch.testing.assert_close(evaluate(call("max", x, s), env), torch.maximum(env["x"], env["s"][:, None]))


@pytest.mark.parametrize(
    ("name", "reference"),
    [(n, getattr(torch, n)) for n in ("exp", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "sigmoid", "abs")]
    + [(n, getattr(torch, n)) for n in ("sign", "erf", "erfinv", "log1p", "expm1")]
    + [("arcsinh", torch.asinh), ("arctan", torch.atan), ("logit", torch.logit), ("log", torch.log)]
    + [("relu", torch.relu), ("softplus", lambda t: torch.log1p(t.exp()))],
)
def test_functions_of_tensors_and_of_numbers(name: str, reference, env: dict[str, Tensor]) -> None:
    torch.testing.assert_close(evaluate(call(name, y), env), reference(env["y"]))
    number = evaluate(call(name, 0.3), {})
    assert isinstance(number, float)
    assert number == pytest.approx(reference(torch.tensor(0.3, dtype=torch.float64)).item(), rel=1e-15)


def test_every_function_of_the_language_is_here() -> None:
    more = "log1p expm1 min max sum mean norm dot logsumexp transpose"
    names = "exp log sqrt sin cos tan sinh cosh tanh arcsinh arctan sigmoid logit softplus relu abs sign erf erfinv"
    derived = "arcsin arccos arccosh arctanh log_expm1 logaddexp step diagonal"
    assert set(FUNCTIONS) == {*names.split(), *more.split(), *derived.split()}


def test_functions_of_derived_formulas(env: dict[str, Tensor]) -> None:
    v = env["y"]
    for name, reference in {
        "arcsin": torch.asin(v),
        "arccos": torch.acos(v),
        "arctanh": torch.atanh(v),
        "log_expm1": torch.log(v.exp() - 1),
        "step": torch.ones_like(v),
    }.items():
        torch.testing.assert_close(evaluate(call(name, y), env), reference)
    torch.testing.assert_close(evaluate(call("arccosh", y + 1), env), torch.acosh(v + 1))
    torch.testing.assert_close(evaluate(call("logaddexp", y, s), env), torch.logaddexp(v, env["s"][:, None]))
    torch.testing.assert_close(evaluate(call("logaddexp", y, 0.5), env), (v.exp() + math.exp(0.5)).log())
    assert evaluate(call("step", -0.5), {}) == 0
    assert evaluate(call("logaddexp", 0.0, 0.0), {}) == pytest.approx(math.log(2))


def test_softplus_is_exact_in_double_and_finite_far_out() -> None:
    value = torch.tensor([-800.0, 25.0, 800.0], dtype=torch.float64)
    expected = torch.tensor([0.0, 25.0 + math.log1p(math.exp(-25.0)), 800.0], dtype=torch.float64)
    torch.testing.assert_close(evaluate(call("softplus", x), {"x": value}), expected, rtol=1e-16, atol=0)


def test_reductions_run_over_the_event(env: dict[str, Tensor]) -> None:
    for name, expected in {
        "sum": env["x"].sum(1),
        "mean": env["x"].mean(1),
        "norm": env["x"].square().sum(1).sqrt(),
        "logsumexp": env["x"].logsumexp(1),
        "min": env["x"].amin(1),
    }.items():
        torch.testing.assert_close(evaluate(call(name, x), env), expected)
    torch.testing.assert_close(evaluate(call("dot", x, y), env), (env["x"] * env["y"]).sum(1))
    torch.testing.assert_close(evaluate(call("sum", s), env), env["s"])


def test_products_of_events(env: dict[str, Tensor]) -> None:
    matrix = env["A"][0]
    torch.testing.assert_close(evaluate(A @ x, env), env["x"] @ matrix.T)
    torch.testing.assert_close(evaluate(x @ call("transpose", A), env), env["x"] @ matrix.T)
    torch.testing.assert_close(evaluate(multiply(x, "@", y), env), (env["x"] * env["y"]).sum(1))
    torch.testing.assert_close(evaluate(A @ call("transpose", A), env)[0], matrix @ matrix.T)
    batched = {**env, "A": env["A"].repeat(BATCH, 1, 1)}
    torch.testing.assert_close(evaluate(A @ x, batched), env["x"] @ matrix.T)


def test_vectors_and_indices(env: dict[str, Tensor]) -> None:
    vector = Vector(items=(s, expr(1), x[0]))
    expected = torch.stack([env["s"], torch.ones_like(env["s"]), env["x"][:, 0]], 1)
    torch.testing.assert_close(evaluate(vector, env), expected)
    torch.testing.assert_close(evaluate(Index(of=Index(of=A, index=expr(1)), index=expr(2)), env), env["A"][:, 1, 2])
    rows = evaluate(Vector(items=(x, y)), env)
    assert isinstance(rows, Tensor) and rows.shape == (BATCH, 2, 3)


def test_literals_are_exact_in_any_precision() -> None:
    third = Number(value=0.1) + Number(value=0.2)
    assert evaluate(third, {}) == 0.1 + 0.2
    value = torch.ones(2, 3, dtype=torch.float64)
    torch.testing.assert_close(evaluate(x * third, {"x": value}), value * (0.1 + 0.2), rtol=0, atol=0)
    assert evaluate(Constant(name="pi") * 2, {}) == 2 * math.pi
    assert evaluate(x * third, {"x": value.float()}).dtype == torch.float32


def test_gradients_pass_and_stay_finite_at_the_norm_of_zero() -> None:
    at = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    evaluate(call("norm", x), {"x": at}).sum().backward()
    assert at.grad is not None and torch.isfinite(at.grad).all()
