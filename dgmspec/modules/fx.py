"""`to_fx`: a program as a torch.fx GraphModule, for torch.compile, torch.export and whatever reads fx graphs.

One node per instruction, in the same order as the interpreter runs them; parameters are attributes shared with the
model, so training either trains both. Inputs, randomness among them, are placeholders in the program's order.
"""

from __future__ import annotations

import keyword
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from importlib import import_module
from itertools import count
from typing import Any, Final

import torch
from torch import Tensor, fx, nn

from dgmspec.modules.ahead import compile_ahead, suits
from dgmspec.modules.calls import prepare
from dgmspec.modules.prepared import Call, Resources
from dgmspec.program.program import Program

__all__ = ["Backend", "memory_of", "to_fx"]

_NUMBERS: Final = count()


def to_fx(
    program: Program, values: Mapping[str, Tensor], resources: Resources, training: bool = False
) -> fx.GraphModule:
    """The program over `values` (parameters and tables by key) as a GraphModule.

    A program with one result returns that tensor, else a dict by name. `training` is fixed in the graph.
    """
    calls = [prepare(line, resources) for line in program.instructions]
    graph = fx.Graph()
    slots: dict[int, fx.Node] = {}
    arguments = _arguments(entry.name for entry in program.inputs)
    for entry, argument in zip(program.inputs, arguments, strict=True):
        slots[entry.slot] = graph.placeholder(argument)
    keys = sorted({key for call in calls for _, key in call.parameters})
    attributes = {key: graph.get_attr(key, Tensor) for key in keys}
    for call in calls:
        _emit(graph, call, slots, attributes, training)
    results = {name: slots[slot] for name, slot in program.outputs.items()}
    graph.output(next(iter(results.values())) if len(results) == 1 else results)
    graph.lint()
    return fx.GraphModule(_root(keys, values, resources.modules), graph, class_name=identifier(program.phase))


def _arguments(names: Iterable[str]) -> list[str]:
    """Names for the arguments of a method in Python, where `class` and ``self`` have a meaning of their own."""
    taken = ["self"]
    for name in names:
        argument = identifier(name)
        while keyword.iskeyword(argument) or argument in taken:
            argument += "_"
        taken.append(argument)
    return taken[1:]


def identifier(name: str) -> str:
    """A name as Python wants it: other characters become underscores."""
    legal = re.sub(r"\W", "_", name)
    return f"_{legal}" if legal[:1].isdigit() else legal


_STATE: Final = (
    "SHAPE_ENV", "GLOBAL_STATE", "GRAD_MODE", "DEFAULT_DEVICE", "DETERMINISTIC_ALGORITHMS", "TORCH_FUNCTION_STATE",
    "FSDP_TRAINING_STATE", "AUTOGRAD_SAVED_TENSORS_HOOKS",
)  # fmt: skip
"""What a compiled program looks at again before each call: torch's own state, and tensors (see `_watch`)."""


class Backend:
    """Runs a model's programs through torch.compile: each phase is traced once for training and once for evaluation.

    `options` are those of torch.compile; the whole program is one graph (``fullgraph=True``). Operations are frozen
    values, so a program asks again only about tensors and torch's state before each call, not about every object it
    was traced through: that is a sixth of the time of a small model. Of parameters it asks only where gradients may
    pass to them: without, all that matters is which tensors they are, and `follow` knows. Where modules of the user's
    own run inside, or `options` name a mode, all of torch's questions are asked.

    Of a `frozen` model no gradient passes but to inputs. Where none does, weights are constants in the graph if it
    `packs` them: oneDNN then holds them as its kernels read them, and adds the bias and rectifies in the same pass. It
    does so for batches of open size, so the first dimension of every input is left open.

    Where programs are compiled `ahead`, what needs no gradient is one C++ function each, if torch can make it so.
    """

    def __init__(
        self, options: Mapping[str, Any], closed: bool, frozen: bool, packs: bool = False, ahead: bool = False
    ) -> None:
        self.options = {"fullgraph": True, **options}
        self.filtered = closed and "mode" not in options
        self.closed, self.frozen, self.packs, self.ahead = closed, frozen, packs, ahead and closed
        self.compiled: dict[tuple[Any, ...], Any] = {}
        self.placed, self.memories = -1, frozenset[int]()

    def __call__(
        self, program: Program, training: bool, inputs: Mapping[str, Tensor], make: Callable[[], fx.GraphModule]
    ) -> dict[str, Tensor]:
        """The program's results by name; `make` gives its graph the first time."""
        values = [inputs[i.name] for i in program.inputs]
        growing = torch.is_grad_enabled()
        tracked = growing and (not self.frozen or any(value.requires_grad for value in values))
        constant = self.packs and not tracked
        early = self.ahead and not training and not tracked and suits(program, values)
        key = (program.phase, training, tracked, constant, early)
        run = self.compiled.get(key)
        with torch.no_grad() if growing and not tracked else nullcontext():
            found = self._first(key, program, values, make) if run is None else run(*values)
        return dict(found) if isinstance(found, dict) else dict.fromkeys(program.outputs, found)

    def pull(
        self,
        program: Program,
        training: bool,
        inputs: Mapping[str, Tensor],
        weights: Mapping[str, Tensor],
        masked: Mapping[str, Tensor],
        make: Callable[[], fx.GraphModule],
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]] | None:
        """A loss with its terms, and its gradient by those of `weights` that it reads, 0 where they are `masked`.

        Both are one graph that autograd does not see: it need not keep what lies between nor walk back itself. None
        where modules of the user's own run inside, which may have hooks, and where torch cannot trace the gradient of
        the program.
        """
        key = ("pull", program.phase, training, *weights)
        if not self.closed or self.compiled.get(key, self) is None:
            return None
        values = [inputs[i.name] for i in program.inputs]
        try:
            if key not in self.compiled:
                self.compiled[key] = self._compiled(_pulled(make(), weights), ("weights", "masked", "graph"))
            with torch.no_grad():
                found: tuple[dict[str, Tensor], dict[str, Tensor]] = self.compiled[key](weights, masked, *values)
            return found
        except import_module("torch._dynamo.exc").TorchDynamoException:
            self.compiled[key] = None
            return None

    def _compiled(self, function: Callable[..., Any], unwatched: tuple[str, ...]) -> Any:
        """The function through torch.compile, which looks no more at the tensors in what is named `unwatched` there."""
        own = dict(self.options.get("options", {}))  # torch empties it
        if self.filtered:
            own.setdefault("guard_filter_fn", _watch(unwatched))
        return torch.compile(function, **{**self.options, "options": own} if own else self.options)

    def _first(
        self, key: tuple[Any, ...], program: Program, values: list[Tensor], make: Callable[[], fx.GraphModule]
    ) -> Any:
        """Compile a program and run it."""
        _, _, tracked, constant, early = key
        if early:
            run = compile_ahead(make(), program, values, constant, self.options.get("options", {}))
            if run is not None:
                self.compiled[key] = run
                return run(*values)
        # Its `forward` alone: a module is called through hooks, which a graph has none of.
        run = self._compiled(make().forward, () if tracked else ("self",))
        with torch._inductor.config.patch(freezing=True) if constant else nullcontext():
            if constant:
                values = [_open(value) for value in values]
            found = run(*values)
        self.compiled[key] = run
        return found

    def follow(self, placed: int, values: Callable[[], Mapping[str, Tensor]]) -> None:
        """Graphs hold the tensors that the model had when they were made: others in their place make them anew. Where
        these lie in memory is kept, for `pull` may give one of them as a gradient."""
        if placed != self.placed:
            self.placed = placed
            self.memories = frozenset(memory_of(value) for value in values().values())
            self.forget()

    def forget(self) -> None:
        """Trace every program anew when it is next run: they have changed."""
        self.compiled.clear()


def memory_of(value: Tensor) -> int:
    """Where the storage of a tensor begins."""
    return value.untyped_storage().data_ptr()


def _pulled(graph: fx.GraphModule, weights: Mapping[str, Tensor]) -> Callable[..., Any]:
    """A graph's results and the gradients of the first, its total, by the weights that it reads."""
    read = [key for key in weights if key in graph._parameters]

    def pulled(weights: Mapping[str, Tensor], masked: Mapping[str, Tensor], *values: Tensor) -> Any:
        def loss(weights: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
            found = torch.func.functional_call(graph, weights, values)
            results = found if isinstance(found, dict) else {"total": found}
            return results["total"], results

        gradients, results = torch.func.grad(loss, has_aux=True)({key: weights[key] for key in read})
        for key in read:
            if key in masked:
                gradients[key] = gradients[key].masked_fill(masked[key], 0.0)
        return results, gradients

    # Torch keeps what it compiled, and which sizes it has seen change, by code: each program has one of its own.
    pulled.__code__ = pulled.__code__.replace(co_name=f"pulled_{next(_NUMBERS)}")
    return pulled


def _open(value: Tensor) -> Tensor:
    """The tensor with a batch dimension that tracing leaves open where it can."""
    if value.dim():
        value = value.view_as(value)
        torch._dynamo.maybe_mark_dynamic(value, 0)
    return value


def _watch(unwatched: tuple[str, ...]) -> Callable[[Sequence[Any]], list[bool]]:
    """Which of torch's questions are asked before each call: those about its own state, whether tensors are as they
    were (but for those in what is `unwatched`), and whether two arguments are one tensor still."""

    def asked(guard: Any) -> bool:
        held = re.split(r"\W", guard.name, maxsplit=1)[0]
        if guard.guard_type == "DUPLICATE_INPUT":
            return held not in ("G", "type")  # modules and classes, which stay the same
        return guard.guard_type in _STATE or (guard.guard_type == "TENSOR_MATCH" and held not in unwatched)

    return lambda guards: [asked(guard) for guard in guards]


def _emit(
    graph: fx.Graph, call: Call, slots: dict[int, fx.Node], attributes: Mapping[str, fx.Node], training: bool
) -> None:
    line = call.line
    p = {name: attributes[key] for name, key in call.parameters}
    args = tuple(slots[i] for i in line.inputs)
    name = identifier(f"{line.target}_{line.address}")
    if line.op == "external":
        node = graph.create_node("call_module", line.address, args, name=name)
    else:
        node = graph.create_node("call_function", call.run, (training, p, *args), name=name)
    node.meta["address"] = line.address
    if len(line.outputs) == 1:
        slots[line.outputs[0]] = node
        return
    for index, slot in enumerate(line.outputs):
        slots[slot] = graph.call_function(operator.getitem, (node, index))


def _root(keys: list[str], values: Mapping[str, Tensor], modules: Mapping[str, nn.Module]) -> nn.Module:
    """The attributes that the graph reads, on a bare module."""
    root = nn.Module()
    for key in keys:
        value = values[key]
        if isinstance(value, nn.Parameter):
            root.register_parameter(key, value)
        else:
            root.register_buffer(key, value, persistent=False)
    for key, module in modules.items():
        root.add_module(key, module)
    return root
