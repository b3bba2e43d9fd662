"""What is done to graphs before and after Inductor's own passes: to products, NaN, and gradients that share memory."""

from __future__ import annotations

import math
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
    hidden = linear(x, first, bias).relu()
    both = linear(hidden, first.T)  # weights by columns
    left = x[:, : second.shape[0]] @ second  # strided rows
    sums = [x @ first.T + added, x @ first.T + bias[:1], torch.addmm(added, x, first.T, beta=2.0)]
    return [hidden, both, both.relu(), left, *sums, x.T @ hidden]


@pytest.mark.parametrize("rows", [256, 257])
def test_large_products_are_those_of_torch(rows: int) -> None:
    shapes = ((rows, 256), (256, 256), (256,), (192, 384), (rows, 256))
    inputs = [torch.randn(shape, generator=torch.Generator().manual_seed(i)) for i, shape in enumerate(shapes)]
    run, graphs = compiled(products)
    for found, expected in zip(run(*inputs), products(*inputs), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)
    assert calls(graphs[0]) == 5, "xᵀh, and the product with factors, stay as they are"


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


def test_what_is_no_number_stays_none() -> None:
    """oneDNN's rectifier, and its clamp, make of NaN the bound."""
    from dgmspec.modules.inductor import Unfused

    layers = torch.nn.Sequential(torch.nn.Linear(256, 256), torch.nn.ReLU(), torch.nn.Linear(256, 256))
    layers.requires_grad_(False)
    x = torch.randn(300, 256)
    x[3] = math.nan
    for end in (torch.relu, lambda value: value.clamp(-1.0, 2.0), lambda value: value.clamp(max=2.0)):
        run = compiled(lambda x, end=end: [end(layers(x))])[0]
        torch._dynamo.maybe_mark_dynamic(x, 0)
        with torch.no_grad(), torch._inductor.config.patch(freezing=True, post_grad_custom_pre_pass=Unfused()):
            torch.testing.assert_close(run(x)[0], end(layers(x)), rtol=1e-4, atol=1e-4, equal_nan=True)


def test_views_of_inputs_are_copied() -> None:
    def views(x: Tensor) -> list[Tensor]:
        return [x.clone().reshape(12).clone(), x.clone()[1:].clone(), x.clone().clone()]

    x = torch.randn(4, 3)
    found = compiled(views, gradients=True)[0](x)
    assert len({value.untyped_storage().data_ptr() for value in (x, *found)}) == 4
    for got, expected in zip(found, views(x), strict=True):
        torch.testing.assert_close(got, expected)
