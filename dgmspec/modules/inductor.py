"""What is done to the graphs of compiled programs after Inductor's own passes.

`_multiply`: large products in float32, on a processor, go through oneDNN where torch takes another BLAS. torch calls
oneDNN for weights that never change, which it packs once; here it is called for those that training moves, too. Packing
them anew for each call is paid back where a product is large: from 256 rows of 256 numbers by 256 columns on it was 1.0
to 1.2 times as fast as MKL's (AMD Zen 4, one thread and two). Bias and rectifier are part of the call.

`_separate`: gradients have memory of their own. Inductor drops copies that it finds no use for, so that two parameters
may get one tensor as their gradient. (Copies of weights and inputs it keeps.)

Imported when something is compiled, for Inductor takes a second to import.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, fx
from torch._inductor import config, ir, mkldnn_ir
from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files
from torch._inductor.fx_utils import get_node_storage

__all__ = ["Passes"]

_LEAST: Final = {True: 1 << 22, False: 1 << 24}
"""Multiplications from which on a product is oneDNN's, by whether calls are made in C++: from Python one costs 20 µs
more than the one that it replaces."""


@dataclass(frozen=True)
class Passes(CustomGraphPass):
    """Both, as Inductor takes them: results are kept apart where they are gradients, which are written into."""

    gradients: bool = False

    def __call__(self, graph: fx.Graph) -> None:
        _multiply(graph, _LEAST[bool(config.cpp_wrapper)])
        if self.gradients:
            _separate(graph)
        graph.eliminate_dead_code()

    def uuid(self) -> bytes:
        """What programs in Inductor's cache are told apart by."""
        return get_hash_for_files((__file__,), str(self.gradients))


def _multiply(graph: fx.Graph, least: int) -> None:
    """x Wᵀ + b of large x and W in one call of oneDNN, with max(0, ·) where nothing else reads it.

    Products whose left factor lies by columns, as in the gradients of weights, stay as they are: oneDNN would turn it.
    """
    for node in [*graph.find_nodes(op="call_function", target=torch.ops.aten.mm.default)]:
        x, right = node.args
        if _suits(_value(x), _value(right), least):
            _replace(graph, node, x, right, None)
    for node in [*graph.find_nodes(op="call_function", target=torch.ops.aten.addmm.default)]:
        added, x, right = node.args
        if node.kwargs or not _suits(_value(x), _value(right), least):
            continue
        if _value(added).dim() == 1:
            _replace(graph, node, x, right, added)
        else:  # a sum that Inductor had put into the product, and else puts into what comes after
            with graph.inserting_after(node):
                total = graph.call_function(torch.ops.aten.add.Tensor, (node, added))
            total.meta = dict(node.meta)
            node.replace_all_uses_with(total, lambda user, total=total: user is not total)
            _replace(graph, node, x, right, None)


def _separate(graph: fx.Graph) -> None:
    """A copy of each result that lies where one before it lies."""
    (end,) = graph.find_nodes(op="output")
    held: set[int | None] = set()
    results = []
    for node in end.args[0]:
        place = get_node_storage(node) if isinstance(node, fx.Node) else None
        if place is not None and place in held:
            with graph.inserting_before(end):
                copied = graph.call_function(torch.ops.aten.clone.default, (node,))
            copied.meta = dict(node.meta)
            node = copied
        held.add(place)
        results.append(node)
    end.args = (tuple(results),)


def _replace(graph: fx.Graph, node: fx.Node, x: Any, right: Any, bias: Any) -> None:
    """The product x · right + bias by a call of oneDNN."""
    last = node
    if len(node.users) == 1 and (user := next(iter(node.users))).target is torch.ops.aten.relu.default:
        last = user
    with graph.inserting_before(node):
        weight = graph.call_function(torch.ops.aten.permute.default, (right, [1, 0]))
        weight.meta["val"] = _value(right).t()
        found = graph.call_function(_linear, (x, weight, bias, "none" if last is node else "relu"))
        found.meta = dict(last.meta)
    last.replace_all_uses_with(found)


def _suits(x: Tensor, right: Tensor, least: int) -> bool:
    """Whether the product of two matrices is large, in float32 on a processor, and both lie as oneDNN reads them."""
    plain = all(value.dtype == torch.float32 and value.device.type == "cpu" for value in (x, right))
    if not plain or not torch._C._has_mkldnn or x.stride(1) != 1:
        return False
    count = _hint(x.shape[0]) * _hint(right.shape[0]) * _hint(right.shape[1])
    return count >= least and (right.is_contiguous() or right.t().is_contiguous())


def _hint(size: Any) -> int:
    """A size, or the one with which an open size was traced; 0 where there is none."""
    return size if isinstance(size, int) else int(size.node.hint or 0)


def _value(node: fx.Node) -> Any:
    return node.meta["val"]


class _Linear(mkldnn_ir.LinearUnary):
    """oneDNN's product with weights that lie by rows or by columns, as they are."""

    @classmethod
    def require_contiguous(cls, x: Any) -> Any:
        return cls.require_stride1(x)


def _linear(x: Any, weight: Any, bias: Any, rectified: str) -> Any:
    """x Wᵀ + b of (rows, in), (out, in) and (out,): a node of the graph that Inductor calls to lower it."""
    x = ir.ExternKernel.require_contiguous(ir.ExternKernel.realize_input(x))
    return ir.TensorBox.create(_Linear.create(x, weight, bias, rectified, [], ""))  # type: ignore[no-untyped-call]


_linear._inductor_lowering_function = True  # type: ignore[attr-defined]
