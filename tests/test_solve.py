"""The numeric inverse: roots to rounding in both precisions, no silent ends, implicit derivatives, one graph."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from dgmspec.core.types import POSITIVE, REAL, UNIT, Support, interval
from dgmspec.modules.scalar.fixed import softplus
from dgmspec.modules.solve import Function, solve


class Case(NamedTuple):
    """A monotone function, its support, and how standard normal draws become points of it."""

    name: str
    function: Function
    support: Support = REAL
    points: Callable[[Tensor], Tensor] = lambda z: 5 * z
    increasing: bool = True

    def __str__(self) -> str:
        return self.name


CASES = [
    Case("wiggle", lambda x: (x + 0.5 * x.sin(), (1 + 0.5 * x.cos()).log())),
    Case("cubic", lambda x: (x**3 + x, (1 + 3 * x**2).log())),
    Case("flat ninth power", lambda x: (x**9 + 1e-3 * x, (1e-3 + 9 * x**8).log()), points=lambda z: z),
    Case("exponential growth", lambda x: (x + x.exp(), x.exp().log1p())),
    Case("saturating", lambda x: (x.sigmoid(), x - 2 * softplus(x)), points=lambda z: 2 * z),
    Case("a step of 2000", lambda x: (x + 1e3 * (50 * x).tanh(), (1 + 5e4 / (50 * x).cosh() ** 2).log())),
    Case("far out", lambda x: (x + 0.9 * x.sin(), (1 + 0.9 * x.cos()).log()), points=lambda z: 1e5 * z),
    Case("slow far out", lambda x: (1e-6 * x + x.tanh(), (1e-6 + 1 / x.cosh() ** 2).log()), points=lambda z: 1e5 * z),
    Case("falling", lambda x: (-x - (50 * x).tanh(), (1 + 50 / (50 * x).cosh() ** 2).log()), increasing=False),
    Case("square", lambda x: (x * x, (2 * x).log()), POSITIVE, lambda z: (5 * z).exp()),
    Case("with a logarithm", lambda x: (x + x.log(), (1 + 1 / x).log()), POSITIVE, lambda z: (5 * z).exp()),
    Case("between bounds", lambda x: (x + x**3, (1 + 3 * x * x).log()), UNIT, lambda z: (2 * z).sigmoid()),
    Case("pole at an end", lambda x: (1 - 1 / x, -2 * (-x).log()), interval(-math.inf, 0), lambda z: -z.exp()),
]

each = pytest.mark.parametrize("case", CASES, ids=str)


@each
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_root_to_rounding(case: Case, dtype: torch.dtype) -> None:
    x = case.points(torch.randn(20_000, dtype=torch.float64)).to(dtype)
    y, _ = case.function(x)
    with torch.no_grad():
        found, log_slope = solve(case.function, y, case.support, increasing=case.increasing)
    again, log_rise = case.function(found)
    eps = torch.finfo(dtype).eps
    assert ((again - y).abs() <= 8 * eps * (1 + y.abs() + (1 + found.abs()) * log_rise.exp())).all()
    torch.testing.assert_close(log_slope, -log_rise)


def test_what_has_no_root_is_nan() -> None:
    sigmoid = CASES[4].function
    for y in (1.5, -0.5, math.nan, math.inf):
        x, log_slope = solve(sigmoid, torch.tensor([y, 0.5]), REAL)
        assert x.isnan().tolist() == log_slope.isnan().tolist() == [True, False]
    x, _ = solve(lambda x: (x * 2, torch.full_like(x, math.log(2))), torch.tensor([3.0, 1.0]), UNIT)
    assert x.isnan().tolist() == [True, False]
    # A bracket that does not hold the root is found out, whichever side it lies on.
    wrong = torch.tensor(4.0), torch.tensor(5.0)
    assert solve(CASES[0].function, torch.tensor([0.3, 9.0]), REAL, bracket=wrong)[0].isnan().all()


@pytest.mark.parametrize("known", [False, True])
def test_derivatives_are_those_of_the_implicit_function(known: bool) -> None:
    def inverse(y: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
        def function(x: Tensor) -> tuple[Tensor, Tensor]:
            return x + a * x.sin() + x**3, (1 + a * x.cos() + 3 * x**2).log()

        bracket = (-1 - y.abs(), 1 + y.abs()) if known else None
        return solve(function, y, REAL, bracket=bracket)

    y = torch.randn(4, dtype=torch.float64, requires_grad=True)
    a = torch.tensor([0.5, -0.5, 0.2, 0.9], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(inverse, (y, a))
    assert torch.autograd.gradgradcheck(inverse, (y, a))
    torch.testing.assert_close(inverse(y, a)[0], solve(lambda x: _wiggle(x, a), y, REAL)[0])


def _wiggle(x: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    return x + a * x.sin() + x**3, (1 + a * x.cos() + 3 * x**2).log()


def test_it_is_one_graph() -> None:
    def inverse(y: Tensor, a: Tensor) -> Tensor:
        return solve(lambda x: _wiggle(x, a), y, REAL, bracket=(-1 - y.abs(), 1 + y.abs()))[0]

    y, a = torch.randn(5), torch.full((5,), 0.5, requires_grad=True)
    compiled = torch.compile(inverse, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(y, a), inverse(y, a))
