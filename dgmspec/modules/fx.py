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
from typing import Any, Final

import torch
from torch import Tensor, fx, nn

from dgmspec.modules.ahead import compile_ahead, pull_ahead, suits
from dgmspec.modules.calls import prepare
from dgmspec.modules.prepared import Call, Resources
from dgmspec.modules.pulled import Pull, apart, with_gradients
from dgmspec.program.program import Program

__all__ = ["Backend", "to_fx"]


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


_PASS: Final = "post_grad_custom_post_pass"
"""The option of Inductor by which it runs `Passes`."""


class Backend:
    """Runs a model's programs through torch.compile: each phase is traced once for training and once for evaluation.

    `options` are those of torch.compile; the whole program is one graph (``fullgraph=True``). Operations are frozen
    values, so a program asks again only about tensors and torch's state before each call, not about every object it
    was traced through: that is a sixth of the time of a small model. Of parameters it asks only where gradients may
    pass to them: without, all that matters is which tensors they are, and `follow` knows. Where modules of the user's
    own run inside, or `options` name a mode, all of torch's questions are asked.

    Of a `frozen` model no gradient passes but to inputs. Where none does, weights are constants in the graph if it
    `packs` them: oneDNN then holds them as its kernels read them, and adds the bias in the same pass. It does so for
    batches of open size, so the first dimension of every input is left open.

    Where programs are compiled `ahead`, what autograd has no part in is one C++ function each, if torch can make it so.
    """

    def __init__(
        self, options: Mapping[str, Any], closed: bool, frozen: bool, packs: bool = False, ahead: bool = False
    ) -> None:
        self.options = {"fullgraph": True, **options}
        self.filtered = closed and "mode" not in options
        own = "mode" in options or _PASS in options.get("options", {})
        self.passes = options.get("backend", "inductor") == "inductor" and not own
        self.closed, self.frozen, self.packs, self.ahead = closed, frozen, packs, ahead and closed
        self.compiled: dict[tuple[Any, ...], Any] = {}
        self.placed = -1

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
        if isinstance(found, list):
            return dict(zip(program.outputs, found, strict=True))
        return dict(found) if isinstance(found, dict) else dict.fromkeys(program.outputs, found)

    def pull(
        self, pull: Pull, training: bool, make: Callable[[], fx.GraphModule]
    ) -> tuple[Tensor, dict[str, Tensor]] | None:
        """The total of a loss, and its gradients by name, by those weights that it reads.

        Both are one graph: see `with_gradients`. None where modules of the user's own run inside, which may have hooks,
        and where torch cannot trace the gradient of the program.
        """
        early = self.ahead and suits(pull.program, pull.values)
        key = ("pull", pull.program.phase, training, early, *pull.weights)
        if not self.closed or self.compiled.get(key, self) is None:
            return None
        try:
            with torch.no_grad():
                if key not in self.compiled:
                    self.compiled[key] = self._pulling(pull, make(), early)
                run, read = self.compiled[key]
                total, *gradients = run(pull.weights, pull.masked, *pull.values)
        except import_module("torch._dynamo.exc").TorchDynamoException:
            self.compiled[key] = None
            return None
        found = dict(zip(read, gradients, strict=True))
        return total, found if self.passes else apart(found, pull)

    def _pulling(self, pull: Pull, graph: fx.GraphModule, early: bool) -> tuple[Callable[..., Any], list[str]]:
        """A function that gives the total of a loss and its gradients, and which weights these are by."""
        read = [key for key in pull.weights if key in graph._parameters]
        pulled = with_gradients(graph, read)
        if early and (run := pull_ahead(pulled, pull, self.options.get("options", {}))) is not None:
            return lambda weights, masked, *values: run(*values), read
        return self._compiled(pulled, ("weights", "masked", "graph"), gradients=True), read

    def _compiled(self, function: Callable[..., Any], unwatched: tuple[str, ...], gradients: bool = False) -> Any:
        """The function through torch.compile, which looks no more at the tensors in what is named `unwatched` there."""
        own = dict(self.options.get("options", {}))  # torch empties it
        if self.filtered:
            own.setdefault("guard_filter_fn", _watch(unwatched))
        if self.passes:
            own[_PASS] = import_module("dgmspec.modules.inductor").Passes(gradients)
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
        with _packing() if constant else nullcontext():
            if constant:
                values = [_open(value) for value in values]
            found = run(*values)
        self.compiled[key] = run
        return found

    def follow(self, placed: int) -> None:
        """Graphs hold the tensors that the model had when they were made: others in their place make them anew."""
        if placed != self.placed:
            self.placed = placed
            self.forget()

    def forget(self) -> None:
        """Trace every program anew when it is next run: they have changed."""
        self.compiled.clear()


def _packing() -> Any:
    """Weights are constants of what is compiled here."""
    unfused = import_module("dgmspec.modules.inductor").Unfused()
    return torch._inductor.config.patch(freezing=True, post_grad_custom_pre_pass=unfused)


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
