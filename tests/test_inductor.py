"""What is done to graphs after Inductor's own passes: large products by oneDNN, gradients that share no memory."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, fx
from torch.nn.functional import linear

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # torch's own, raised while Inductor is imported
    pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="no compiler of C++ here"),
    pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch is built without oneDNN"),  # type: ignore[no-untyped-call]
]


def compiled(function: Callable[..., Any], gradients: bool = False) -> tuple[Callable[..., Any], list[fx.Graph]]:
    """The function through Inductor with our passes, and the graphs that it gets."""
    from dgmspec.modules.inductor import Passes  # a second, and warnings of torch

    seen: list[fx.Graph] = []

    class Seen(Passes):
        def __call__(self, graph: fx.Graph) -> None:
            super().__call__(graph)
            seen.append(graph)

        def uuid(self) -> bytes:
            return b""  # nothing of it is kept

    torch._dynamo.reset()
    options: dict[str, Any] = {"post_grad_custom_post_pass": Seen(gradients)}
    return torch.compile(function, fullgraph=True, options=options), seen


def calls(graph: fx.Graph) -> int:
    """How many products of a graph are oneDNN's."""
    return sum(getattr(node.target, "__name__", "") == "_linear" for node in graph.nodes)


def products(x: Tensor, first: Tensor, bias: Tensor, second: Tensor, added: Tensor) -> list[Tensor]:
    hidden = linear(x, first, bias).relu()  # in one call
    both = linear(hidden, first.T)  # weights by columns; with and without a rectifier
    left = x[:, : second.shape[0]] @ second  # strided rows
    return [hidden, both, both.relu(), left, added + x @ first.T, torch.addmm(added, x, first.T), x.T @ hidden]


@pytest.mark.parametrize("rows", [256, 257])
def test_large_products_are_those_of_torch(rows: int) -> None:
    shapes = ((rows, 256), (256, 256), (256,), (192, 384), (rows, 256))
    inputs = [torch.randn(shape, generator=torch.Generator().manual_seed(i)) for i, shape in enumerate(shapes)]
    run, graphs = compiled(products)
    for found, expected in zip(run(*inputs), products(*inputs), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)
    assert calls(graphs[0]) == 5, "xᵀh stays as it is"
    assert not any(node.target is torch.ops.aten.addmm.default for node in graphs[0].nodes)


def test_small_products_and_other_precisions_stay_with_torch() -> None:
    small = [torch.randn(shape) for shape in ((16, 8), (8, 8), (8,), (8, 8), (16, 8))]
    for inputs in (small, [value.new_zeros(256, 256, dtype=torch.float64) for value in small]):
        run, graphs = compiled(lambda x, w, *_: [linear(x, w)])
        run(*inputs)
        assert calls(graphs[0]) == 0


def test_batches_of_open_size() -> None:
    weight = torch.randn(256, 256)
    run, graphs = compiled(lambda x: [linear(x, weight).relu()])
    for rows in (300, 400, 2):
        x = torch.randn(rows, 256)
        torch.testing.assert_close(run(x)[0], linear(x, weight).relu(), rtol=1e-4, atol=1e-3)
    assert [calls(graph) for graph in graphs] == [1, 1]


def test_gradients_share_no_memory() -> None:
    def twice(x: Tensor) -> list[Tensor]:
        total = x.sin().sum(0)
        return [total.clone(), total.clone(), x.clone(), total[:2].clone()]

    x = torch.randn(4, 3)
    for gradients in (False, True):
        found = compiled(twice, gradients)[0](x)
        for got, expected in zip(found, twice(x), strict=True):
            torch.testing.assert_close(got, expected)
        places = {value.untyped_storage().data_ptr() for value in (x, *found)}
        assert gradients == (len(places) == 5), "without it Inductor gives one tensor twice"
