"""Closed forms, tangents and estimates of a Jacobian's trace and norm against automatic differentiation."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.func import jacrev, vmap

from dgmspec.modules.nets.activations import ACTIVATIONS
from dgmspec.modules.nets.slopes import WITH_SLOPE
from dgmspec.modules.traces import (
    Chain,
    closed_norm,
    closed_trace,
    dense_jacobian,
    estimate,
    exact_trace,
    forward,
    jacobian,
    norm_core,
    probes,
    product,
    tangent_trace,
    trace_core,
    value_and_trace,
    variance,
)
from dgmspec.modules.traces.probes import Kind

ROWS, D = 6, 3
CLOSE = {"rtol": 1e-12, "atol": 1e-12}


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def chain(hidden: int, kind: str = "tanh", gated: bool = False, rows: int = ROWS) -> Chain:
    """A chain with a context in its first layer, and gates of which the hidden layers' differ from row to row."""
    torch.manual_seed(hidden)
    widths = (D, *(5 + i for i in range(hidden)), D)
    weights = tuple(random(b, a) for a, b in itertools.pairwise(widths))
    offsets = tuple(random(rows, w) if i == 0 else random(w) for i, w in enumerate(widths[1:]))
    gates = tuple(random(rows if i < hidden else 1, w) for i, w in enumerate(widths[1:])) if gated else ()
    return Chain(kind, weights, offsets, gates)


def plain(net: Chain, y: Tensor, row: int) -> Tensor:
    """The chain's formula for one row, by the activations of the nets."""
    z = y
    for i, (weight, offset) in enumerate(zip(net.weights, net.offsets, strict=True)):
        a = weight @ (z if i == 0 else ACTIVATIONS[net.activation](z))
        if net.gates:
            a = a * net.gates[i][min(row, len(net.gates[i]) - 1)]
        z = a + (offset[row] if offset.dim() == 2 else offset)
    return z


def dense(net: Chain, y: Tensor) -> tuple[Tensor, Tensor]:
    values = torch.stack([plain(net, v, i) for i, v in enumerate(y)])
    return values, torch.stack([jacrev(lambda v, i=i: plain(net, v, i))(v) for i, v in enumerate(y)])


@pytest.mark.parametrize("kind", WITH_SLOPE)
def test_slopes_are_derivatives(kind: str) -> None:
    z = 3 * random(200)
    value, slope = WITH_SLOPE[kind](z)
    torch.testing.assert_close(value, ACTIVATIONS[kind](z), **CLOSE)
    torch.testing.assert_close(slope, vmap(jacrev(ACTIVATIONS[kind]))(z), **CLOSE)


@pytest.mark.parametrize("kind", WITH_SLOPE)
@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("hidden", [0, 1, 2])
def test_the_closed_trace_is_that_of_the_jacobian(hidden: int, gated: bool, kind: str) -> None:
    net, y = chain(hidden, kind, gated), random(ROWS, D)
    values, matrices = dense(net, y)
    found, slopes = forward(net, y)
    core = trace_core(net.weights, net.gates[-1] if gated else None)
    torch.testing.assert_close(found, values, **CLOSE)
    torch.testing.assert_close(closed_trace(core, slopes, ROWS), torch.einsum("bii->b", matrices), **CLOSE)


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("hidden", [0, 1])
def test_the_closed_norm_is_that_of_the_jacobian(hidden: int, gated: bool) -> None:
    net, y = chain(hidden, gated=gated), random(ROWS, D)
    core = norm_core(net.weights, net.gates[-1] if gated else None)
    found = closed_norm(core, forward(net, y)[1], ROWS)
    torch.testing.assert_close(found, dense(net, y)[1].square().sum((1, 2)), **CLOSE)


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("hidden", [0, 1, 2, 3, 4])
def test_tangents_of_any_depth(hidden: int, gated: bool) -> None:
    net, y = chain(hidden, "silu", gated), random(ROWS, D)
    if gated:  # the last layer's gates too may differ here
        net = Chain(net.activation, net.weights, net.offsets, (*net.gates[:-1], random(ROWS, D)))
    matrices, slopes, e = dense(net, y)[1], forward(net, y)[1], random(ROWS, 2, D)
    torch.testing.assert_close(jacobian(net, slopes, ROWS), matrices, **CLOSE)
    torch.testing.assert_close(product(net, slopes, e), e @ matrices.mT, **CLOSE)
    if hidden:
        torch.testing.assert_close(tangent_trace(net, slopes, ROWS), torch.einsum("bii->b", matrices), **CLOSE)


@pytest.mark.parametrize("kind", WITH_SLOPE)
@pytest.mark.parametrize("hidden", [0, 1, 2])
def test_the_gradient_written_out_is_that_of_the_plain_formula(hidden: int, kind: str) -> None:
    """With respect to the state, every weight, offsets of each shape and the core; and second derivatives."""
    made, y = chain(hidden, kind), random(ROWS, D).requires_grad_()
    for shape in ((ROWS,), (1,), ()):
        offsets = (made.offsets[0][(0,) if not shape else slice(shape[0])], *made.offsets[1:])
        net = Chain(kind, made.weights, offsets)
        core = trace_core(net.weights).detach().clone()
        inputs = [v.requires_grad_() for v in (y, core, *net.weights, *offsets)]
        plain, slopes = forward(net, y)
        results = []
        for value, trace in ((plain, closed_trace(core, slopes, ROWS)), value_and_trace(net, core, y)):
            loss = (value.sin() * trace.unsqueeze(1)).sum()
            first = torch.autograd.grad(loss, inputs, create_graph=True)
            total = sum((g.sin().sum() for g in first), start=torch.zeros(()))
            second = torch.autograd.grad(total, inputs, retain_graph=True, materialize_grads=True)
            plainly = torch.autograd.grad(loss, inputs, retain_graph=True)
            results.append((value, trace, *first, *second, *plainly))
        for found, expected in zip(*reversed(results), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


def test_transforms_see_the_plain_formula() -> None:
    """torch.func, torch.compile and autocast differentiate it themselves."""
    net, y = chain(2, rows=1), random(ROWS, D)
    core = trace_core(net.weights)
    trace = vmap(jacrev(lambda v: value_and_trace(net, core, v[None])[1][0]))(y)
    y.requires_grad_()
    (expected,) = torch.autograd.grad(value_and_trace(net, core, y)[1].sum(), y)
    torch.testing.assert_close(trace, expected, **CLOSE)
    compiled = torch.compile(lambda y: value_and_trace(net, core, y)[1].sum(), backend="eager", fullgraph=True)
    torch.testing.assert_close(torch.autograd.grad(compiled(y), y)[0], expected, **CLOSE)
    narrow = Chain("tanh", tuple(w.float() for w in net.weights), tuple(o.float() for o in net.offsets))
    with torch.autocast("cpu", torch.bfloat16):
        assert value_and_trace(narrow, core.float(), y.float())[0].dtype is torch.bfloat16


def test_skips() -> None:
    """``z_2 = z_0 + 0.5 (W_2 a(W_1 a(z_0) + b_1) + b_2)``, then a linear layer."""
    weights = (random(4, D), random(4, 4), random(4, 4), random(D, 4))
    offsets = (random(4), random(4), random(4), random(D))
    net, y = Chain("tanh", weights, offsets, skips=(None, None, 0, None), step=0.5), random(ROWS, D)

    def formula(v: Tensor) -> Tensor:
        z = weights[0] @ v + offsets[0]
        inner = weights[1] @ z.tanh() + offsets[1]
        z = z + 0.5 * (weights[2] @ inner.tanh() + offsets[2])
        return weights[3] @ z.tanh() + offsets[3]

    value, slopes = forward(net, y)
    torch.testing.assert_close(value, vmap(formula)(y), **CLOSE)
    torch.testing.assert_close(jacobian(net, slopes, ROWS), vmap(jacrev(formula))(y), **CLOSE)


def velocity(y: Tensor) -> Tensor:
    """Something no chain is, on events of rank two."""
    return torch.sin(y) * y.flip(1) + y.square().sum((1, 2), keepdim=True) + y.cumsum(2)


def test_any_velocity_by_tangents() -> None:
    y = random(ROWS, 2, 2)
    matrices = vmap(jacrev(lambda v: velocity(v[None])[0]))(y).reshape(ROWS, 4, 4)
    value, found = dense_jacobian(velocity, y)
    torch.testing.assert_close(value, velocity(y), **CLOSE)
    torch.testing.assert_close(found, matrices, **CLOSE)
    torch.testing.assert_close(exact_trace(velocity, y)[1], torch.einsum("bii->b", matrices), **CLOSE)


@pytest.mark.parametrize("of", [exact_trace, lambda g, y: estimate(g, y, random(ROWS, 2, 4))[:2]])
def test_traces_are_differentiable_and_compile(of: Callable[..., tuple[Tensor, Tensor]]) -> None:
    y = random(ROWS, 2, 2).requires_grad_()
    torch.manual_seed(1)
    (expected,) = torch.autograd.grad(of(velocity, y)[1].sum(), y)
    torch.manual_seed(1)
    compiled = torch.compile(lambda y: of(velocity, y)[1].sum(), backend="eager", fullgraph=True)
    (found,) = torch.autograd.grad(compiled(y), y)
    torch.testing.assert_close(found, expected, **CLOSE)
    assert expected.abs().sum() > 0


@pytest.mark.parametrize("kind", ["rademacher", "gaussian", "orthogonal"])
@pytest.mark.parametrize("k", [1, 3, 4])
def test_estimates_are_unbiased_with_the_variance_of_the_formula(kind: Kind, k: int) -> None:
    """z-tests over many rows that stand at the same point; both parts of them must hold."""
    torch.manual_seed(10 * k)
    rows = 40_000
    matrix = random(4, 4)
    draws = random(rows, k, 4)
    e = probes(kind, draws.sign() if kind == "rademacher" else draws)
    _, trace, norm = estimate(lambda y: y @ matrix.t(), random(1, 4).expand(rows, 4), e)
    expected = variance(kind, matrix, k)
    error = trace - matrix.trace()
    if kind == "orthogonal" and k == 4:
        torch.testing.assert_close(trace, matrix.trace().expand(rows), **CLOSE)
        assert expected == 0
    else:
        assert error.mean().abs() < 4 * (expected / rows).sqrt()
        spread = error.square()
        assert (spread.mean() - expected).abs() < 4 * spread.std() / rows**0.5
    assert (norm.mean() - matrix.square().sum()).abs() <= 4 * norm.std() / rows**0.5 + 1e-9


def test_orthogonal_probes_are_orthogonal() -> None:
    e = probes("orthogonal", random(50, 3, 5))
    torch.testing.assert_close(e @ e.mT, 5 * torch.eye(3, dtype=e.dtype).expand(50, 3, 3), **CLOSE)


def test_a_probe_of_the_chain_estimates_as_a_probe_of_the_function() -> None:
    net, y, e = chain(3), random(ROWS, D), random(ROWS, 1, D)
    _, slopes = forward(net, y)
    pushed = product(net, slopes, e)
    matrices = dense(net, y)[1]
    torch.testing.assert_close(
        (pushed * e).sum((1, 2)), torch.einsum("bi,bij,bj->b", e[:, 0], matrices, e[:, 0]), **CLOSE
    )
