"""What is done to the graphs of compiled programs before and after Inductor's own passes.

`_multiply`: large products in float32, on a processor, go through oneDNN where torch takes another BLAS. torch calls
oneDNN for weights that never change, which it packs once; here it is called for those that training moves, too. Packing
them anew for each call is paid back where a product is large: from 256 rows of 256 numbers by 256 columns on it was 1.0
to 1.2 times as fast as MKL's (AMD Zen 4, one thread and two).

`_separate`: gradients have memory of their own. Inductor drops copies that it finds no use for, so that two parameters
may get one tensor as their gradient, or a view of an input.

`Unfused`: NaN stays NaN behind products of weights that are constants.

Imported when something is compiled, for Inductor takes a second to import.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, fx
from torch._inductor import config, ir, mkldnn_ir
from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files

__all__ = ["Passes", "Unfused"]

_LEAST: Final = {True: 1 << 22, False: 1 << 24}
"""Multiplications from which on a product is oneDNN's, by whether calls are made in C++: from Python one costs 20 µs
more than the one that it replaces."""


@dataclass(frozen=True)
class Passes(CustomGraphPass):
    """The passes after Inductor's: results are kept apart where they are gradients, which are written into."""

    gradients: bool = False

    def __call__(self, graph: fx.Graph) -> None:
        _multiply(graph, _LEAST[bool(config.cpp_wrapper)])
        if self.gradients:
            _separate(graph)
        graph.eliminate_dead_code()

    def uuid(self) -> bytes:
        """What programs in Inductor's cache are told apart by."""
        return get_hash_for_files((__file__,), str(self.gradients))


class Unfused(CustomGraphPass):
    """A pass before Inductor's own: max(0, ·) and clamps keep a NaN.

    Behind a product of constant weights Inductor makes them a part of oneDNN's call, for which NaN is no number that is
    above or below another: a model that diverged, or a context that is no number, would look sound. So they are written
    as it does not look for them: as lower bounds, and as an upper bound before a lower one.
    """

    def __call__(self, graph: fx.Graph) -> None:
        aten = torch.ops.aten
        for node in graph.find_nodes(op="call_function", target=aten.relu.default):
            node.target, node.args = aten.clamp_min.default, (*node.args, 0.0)
        for node in graph.find_nodes(op="call_function", target=aten.clamp_max.default):
            inner, high = node.args
            if inner.target is not aten.clamp_min.default or len(inner.users) > 1:
                continue
            x, low = inner.args
            if not isinstance(low, fx.Node) and not isinstance(high, fx.Node) and low <= high:
                inner.target, inner.args = aten.clamp_max.default, (x, high)
                node.target, node.args = aten.clamp_min.default, (inner, low)

    def uuid(self) -> bytes:
        return get_hash_for_files((__file__,), "unfused")


def _multiply(graph: fx.Graph, least: int) -> None:
    """x Wᵀ + b of large x and W in one call of oneDNN.

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
        if _value(added).shape == (_value(right).shape[1],):
            _replace(graph, node, x, right, added)
        else:  # a sum that Inductor had put into the product, and else puts into what comes after
            with graph.inserting_after(node):
                total = graph.call_function(torch.ops.aten.add.Tensor, (node, added))
            _put(total, node, [user for user in node.users if user is not total])
            _replace(graph, node, x, right, None)


def _replace(graph: fx.Graph, node: fx.Node, x: Any, right: Any, bias: Any) -> None:
    """The product x · right + bias by a call of oneDNN."""
    with graph.inserting_before(node):
        weight = graph.call_function(torch.ops.aten.permute.default, (right, [1, 0]))
        weight.meta["val"] = _value(right).t()
        found = graph.call_function(_linear, (x, weight, bias))
    _put(found, node, node.users)


def _separate(graph: fx.Graph) -> None:
    """A copy of each result that lies where an input, a weight or a result before it lies."""
    (end,) = graph.find_nodes(op="output")
    held = {node for node in graph.nodes if node.op in ("placeholder", "get_attr")}
    results = []
    for node in end.args[0]:
        if isinstance(node, fx.Node):
            if _root(node) in held:
                with graph.inserting_before(end):
                    copied = graph.call_function(torch.ops.aten.clone.default, (node,))
                copied.meta, node = dict(node.meta), copied
            held.add(_root(node))
        results.append(node)
    end.args = (tuple(results),)


def _root(node: fx.Node) -> fx.Node:
    """The node in whose memory another lies: views are of their first argument."""
    while isinstance(node.target, torch._ops.OpOverload) and isinstance(first := next(iter(node.args), None), fx.Node):
        if node.target._schema.arguments[0].alias_info is None:
            break
        node = first
    return node


def _put(new: fx.Node, old: fx.Node, users: Iterable[fx.Node]) -> None:
    """One node in place of another, for these users of it."""
    new.meta = dict(old.meta)
    for user in list(users):
        user.replace_input_with(old, new)


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


def _linear(x: Any, weight: Any, bias: Any) -> Any:
    """x Wᵀ + b of (rows, in), (out, in) and (out,): a node of the graph that Inductor calls to lower it."""
    x = ir.ExternKernel.require_contiguous(ir.ExternKernel.realize_input(x))
    return ir.TensorBox.create(_Linear.create(x, weight, bias, "none", [], ""))  # type: ignore[no-untyped-call]


_linear._inductor_lowering_function = True  # type: ignore[attr-defined]
