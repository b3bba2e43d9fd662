"""A caller's tensors made a program's inputs: names, event shapes and batches checked, precision and device matched.

Values of integer and category variables are checked too, whole and in range, where they lie on the CPU; looking at
those on an accelerator would wait for it, and a transform of `torch.func` has none to show. Values of continuous
variables are not: outside its support a density is whatever the formula gives, mostly no number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dgmspec.core.types import SupportKind, Type
from dgmspec.program.program import Program

__all__ = ["as_event", "batch_of", "broadcast", "checked_event", "read_given", "read_variables"]

Arrays = Mapping[str, Any]


def as_event(name: str, value: Any, type_: Type, dtype: torch.dtype, device: torch.device) -> Tensor:
    """An array (batch, *event) as a tensor of the model's precision; ValueError where the event's shape is another."""
    return _tensor(name, value, type_).to(device, dtype)


def _tensor(name: str, value: Any, type_: Type) -> Tensor:
    try:
        tensor = value if isinstance(value, Tensor) else torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{_expected(name, type_)}, got {type(value).__name__}") from None
    if tensor.dim() == 0 or tensor.shape[1:] != type_.shape:
        raise ValueError(f"{_expected(name, type_)}, got {tuple(tensor.shape)}")
    return tensor


def _expected(name: str, type_: Type) -> str:
    shape = ", ".join(map(str, ("batch", *type_.shape))) + "," * (not type_.shape)
    return f"`{name}` is {type_}: expected a tensor of shape ({shape})"


def checked_event(name: str, value: Any, type_: Type, dtype: torch.dtype, device: torch.device) -> Tensor:
    """`as_event`; ValueError also where a value on the CPU is no whole number or label of a discrete variable's."""
    tensor = _tensor(name, value, type_)
    if type_.support.discrete and tensor.is_cpu and not _traced(tensor):
        # Judged before a rounding to the model's precision; small integer types compare with little else.
        _check_discrete(name, tensor if tensor.is_floating_point() else tensor.long(), type_)
    return tensor.to(device, dtype)


def _traced(tensor: Tensor) -> bool:
    """Whether `torch.func` or a compiler stands between, so that there are no values to look at."""
    return torch.compiler.is_compiling() or torch._C._functorch.is_functorch_wrapped_tensor(tensor)


def _check_discrete(name: str, values: Tensor, type_: Type) -> None:
    low, high = type_.support.low, type_.support.high
    wrong = ~((values >= low) & (values <= high) & (values == values.floor()))
    if bool(wrong.any()):
        row, *place = wrong.nonzero()[0].tolist()
        where = f"row {row}" + (f", coordinate {place}" if place else "")
        found = float(values[(row, *place)])
        labels = type_.support.kind is SupportKind.CATEGORY
        allowed = f"labels {low:g}..{high:g}" if labels else f"whole numbers {low:g}..{high:g}"
        raise ValueError(f"`{name}` is {type_}, {allowed}: {where} is {found:g}")


def read_variables(program: Program, values: Any, dtype: torch.dtype, device: torch.device) -> dict[str, Tensor]:
    """The variables of a program: a tensor where there is one, a dict by name otherwise."""
    types = program.variables
    if isinstance(values, Tensor) or not isinstance(values, Mapping):  # what most are is asked first, at little cost
        if len(types) != 1:
            named = ", ".join(f"`{name}`" for name in types)
            raise ValueError(f"{program.phase} reads {named or 'no variable'}: pass a dict of tensors by name")
        values = {next(iter(types)): values}
    _same_names("variable", types, values, program.phase)
    return {n: checked_event(n, values[n], t, dtype, device) for n, t in types.items()}


def read_given(
    program: Program, declared: Mapping[str, Type], given: Arrays | None, dtype: torch.dtype, device: torch.device
) -> dict[str, Tensor]:
    """The conditioning variables that a program reads; others that the model declares may be passed too."""
    if given is not None and not isinstance(given, Mapping):
        raise ValueError("`given` is a dict of tensors by the names of the given variables")
    given, needed = given or {}, program.givens
    _same_names("given variable", needed, {n: v for n, v in given.items() if n not in declared or n in needed}, "it")
    return {n: checked_event(n, given[n], t, dtype, device) for n, t in needed.items()}


def _same_names(what: str, types: Mapping[str, Type], values: Arrays, reader: str) -> None:
    missing = [name for name in types if name not in values]
    if missing:
        name = missing[0]
        shape = ", ".join(map(str, ("batch", *types[name].shape)))
        where = f", given={{'{name}': …}}" if what.startswith("given") else f" in {{'{name}': …}}"
        raise ValueError(f"{what} `{name}` is missing: pass a tensor of shape ({shape}){where}")
    unknown = [name for name in values if name not in types]
    if unknown:
        known = ", ".join(f"`{name}`" for name in types) or "none"
        raise ValueError(f"`{unknown[0]}` is no {what} that {reader} reads; those are: {known}")


def batch_of(tensors: Mapping[str, Tensor]) -> int:
    """The batch size that tensors of batch b or 1 agree on."""
    sizes = {name: t.shape[0] for name, t in tensors.items()}
    if len(sizes) == 1:
        return next(iter(sizes.values()))
    batch = next((size for size in sizes.values() if size != 1), 1)
    for name, size in sizes.items():
        if size not in (1, batch):
            other = next(n for n, s in sizes.items() if s == batch)
            raise ValueError(f"batches differ: `{other}` has {batch} rows, `{name}` has {size}")
    return batch


def broadcast(tensors: Mapping[str, Tensor], batch: int) -> dict[str, Tensor]:
    """Every tensor with `batch` rows (those of batch 1 as views)."""
    return {n: t if t.shape[0] == batch else t.expand(batch, *t.shape[1:]) for n, t in tensors.items()}
