"""A program compiled ahead of its calls into one C++ function over the model's own tensors (AOTInductor).

For what autograd has no part in, on a processor. Between the tensors of a call and the kernels there is then no
Python, and what lies between its ends has one piece of memory. Nothing is asked before a call, so `suits` says which
calls it is for; all others go through torch.compile.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.autograd.forward_ad import unpack_dual
from torch.export import ExportedProgram

from dgmspec.modules.pulled import Pull
from dgmspec.program.program import Program, ProgramInput

__all__ = ["compile_ahead", "pull_ahead", "suits"]

_ONLY_TRACED = ("cpp_wrapper", "guard_filter_fn")
"""Options of Inductor under torch.compile that mean nothing here."""


def suits(program: Program, values: Sequence[Tensor]) -> bool:
    """Whether a call is one that the function is made for: batches of 2 rows and more of plain tensors, in the
    precision they have, without tangents, outside of other tracing."""
    traced = torch.compiler.is_compiling() or torch._C._is_tracing() or torch._C._len_torch_dispatch_stack()
    if traced or torch.is_autocast_enabled("cpu"):
        return False
    return all(
        type(value) in (Tensor, nn.Parameter)
        and not torch._C._functorch.is_functorch_wrapped_tensor(value)
        and unpack_dual(value).tangent is None  # type: ignore[no-untyped-call]
        and (not _has_rows(entry) or value.shape[0] > 1)
        for entry, value in zip(program.inputs, values, strict=True)
    )


def compile_ahead(
    graph: fx.GraphModule,
    program: Program,
    values: Sequence[Tensor],
    constant: bool,
    options: Mapping[str, Any],
    gradients: bool = False,
) -> Callable[..., list[Tensor]] | None:
    """The graph of a program as a function of its inputs that gives all that it returns; None where torch cannot export
    it for all batches at once.

    It reads the graph's parameters where they lie, so it follows whatever is written into them; `constant` ones it
    holds as they are now, packed for the matrix kernels. `options` are Inductor's. Takes 10 s and more, in each process
    anew. Source: https://docs.pytorch.org/docs/stable/torch.compiler_aot_inductor.html.
    """
    exported = _exported(graph, program, values)
    if exported is None:
        return None
    inductor = import_module("dgmspec.modules.inductor")
    settings: dict[str, Any] = {
        "freezing": constant,
        "memory_planning": True,
        "always_keep_tensor_constants": not constant,
        "post_grad_custom_pre_pass": inductor.Unfused() if constant else None,
        "post_grad_custom_post_pass": inductor.Passes(gradients),
    }
    settings |= {name: value for name, value in options.items() if name not in _ONLY_TRACED}
    try:
        with _quietly(), tempfile.TemporaryDirectory(prefix="dgmspec-") as folder:
            path = torch._inductor.aoti_compile_and_package(
                exported, package_path=f"{folder}/program.pt2", inductor_configs=settings
            )
            function = torch._inductor.aoti_load_package(path)
    except Exception:  # as in `_exported`
        return None
    if not constant and not _follows(function, graph, exported):
        return None
    call = function.loader.run
    return lambda *values: call([value.contiguous() for value in values])


def pull_ahead(
    pulled: Callable[..., list[Tensor]], pull: Pull, options: Mapping[str, Any]
) -> Callable[..., list[Tensor]] | None:
    """`compile_ahead` of a loss with its gradients, `with_gradients`."""
    rows = [_has_rows(entry) for entry in pull.program.inputs]
    try:
        graph = import_module("dgmspec.modules.traced").traced(pulled, pull, rows)
    except Exception:  # as in `_exported`
        return None
    return None if graph is None else compile_ahead(graph, pull.program, pull.values, False, options, gradients=True)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without torch's warnings about parts of its own, such as operations that are called through its dispatcher."""
    log = logging.getLogger("torch._inductor")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _exported(graph: fx.GraphModule, program: Program, values: Sequence[Tensor]) -> ExportedProgram | None:
    """The graph for batches of 2 rows and more, each input by itself and laid out row by row, as every call gives them:
    none of this is looked at again."""
    rows = torch.export.Dim("rows", min=2)
    shapes = tuple({0: rows} if _has_rows(entry) else None for entry in program.inputs)
    examples = tuple(value.detach().clone(memory_format=torch.contiguous_format) for value in values)
    try:
        with torch.no_grad():
            exported = torch.export.export(graph, examples, dynamic_shapes=shapes)
    except Exception:  # whatever it is, torch.compile meets it next, and says so if it cannot do better
        return None
    return None if exported.graph_signature.buffers_to_mutate else exported


def _follows(function: Any, graph: fx.GraphModule, exported: ExportedProgram) -> bool:
    """Whether a compiled function reads every parameter where it lies, which it is told here."""
    held = {**exported.constants, **dict(graph.named_parameters()), **dict(graph.named_buffers())}
    names = function.get_constant_fqns()
    function.load_constants({name: held[name].detach() for name in names}, check_full_update=True, user_managed=True)
    read = {node.name for node in exported.graph.nodes if node.op == "placeholder" and node.users}
    weights = exported.graph_signature.inputs_to_parameters.items()
    return {weight for name, weight in weights if name in read} <= set(names)


def _has_rows(entry: ProgramInput) -> bool:
    """Whether the first dimension of an input is the batch."""
    return entry.kind != "step" and not (entry.draw is not None and entry.draw.shared)
