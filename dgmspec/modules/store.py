"""Where a model keeps its tensors: flat parameters by address, tables in the model's precision, masked gradients.

State-dict keys are addresses with parameter names (``RealNVP/x->z/0/net/0/weight``), never a tree of modules. Tables
are constants: they follow the model's device and precision from float64 masters, so ``.double()`` after ``.float()``
loses nothing, and they are no part of the state dict. A masked weight holds zeros where it is masked, and its gradient
is masked by a hook, so that no pass multiplies by the mask.
"""

from __future__ import annotations

import weakref
from abc import ABC
from collections.abc import Callable, Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from dgmspec.core.address import Address
from dgmspec.graph.graph import Graph
from dgmspec.graph.parameters import parameters
from dgmspec.modules.initial import initial_learned, initial_value, mask_of
from dgmspec.modules.prepared import ANCHOR
from dgmspec.modules.twin import EXACT

__all__ = ["AbstractStore"]

MASKED = ":masked"
"""Ending of the table that says which entries of a weight are held at zero."""


class AbstractStore(nn.Module, ABC):
    """Parameters, tables and hooks of a model; what they compute is the subclass's matter."""

    def __init__(self) -> None:
        super().__init__()
        self._masters: dict[str, Tensor] = {}
        self._masked: list[str] = []
        self.copies: dict[Address, Address] = {}
        self._placed = [0]
        self._hooks: dict[str, tuple[weakref.ref[Tensor], Tensor, Any]] = {}
        # Constants are the same in every process: distributed wrappers need not broadcast them at each step.
        self._ddp_params_and_buffers_to_ignore: list[str] = [ANCHOR]
        self.register_buffer(ANCHOR, torch.empty(0, dtype=torch.float64), persistent=False)
        self.register_load_state_dict_post_hook(_after_load)  # type: ignore[no-untyped-call]

    @property
    def dtype(self) -> torch.dtype:
        """The precision of parameters, tables and results."""
        return self._buffers[ANCHOR].dtype  # type: ignore[union-attr]

    @property
    def device(self) -> torch.device:
        """Where parameters and tables are."""
        return self._buffers[ANCHOR].device  # type: ignore[union-attr]

    def values(self) -> Mapping[str, Tensor]:
        """Every parameter and table by key, as they are now."""
        return {**self._parameters, **self._buffers}  # type: ignore[dict-item]

    def masked(self) -> dict[str, Tensor]:
        """Which entries of the weights that have such are held at zero (True), by the weight's key."""
        return {key.removesuffix(MASKED): self._buffers[key] for key in self._masked}  # type: ignore[misc]

    def mask_of(self, key: str) -> Tensor | None:
        """Which entries of the parameter `key` are free (True) where some are held at zero, else None."""
        masked = self._buffers.get(key + MASKED)
        return None if masked is None else ~masked

    # ---- making -----------------------------------------------------------------------------------------------------

    def add_initial(self, graph: Graph, seed: int) -> None:
        """All parameters of a graph at their starting values, drawn from (seed, address), float64."""
        specs = parameters(graph)
        for key, spec in specs.items():
            self.add_parameter(key, initial_value(spec, seed, key), spec.trainable)
            if spec.mask is not None:
                self.add_table(key + MASKED, ~mask_of(spec.mask))
        for learned in graph.learned.values():
            value = initial_learned(learned.type, learned.initial, seed, learned.address)  # type: ignore[arg-type]
            self.add_parameter(learned.address, value)
        self.copies = {key: spec.copies for key, spec in specs.items() if spec.copies}
        self.take_copies()

    @torch.no_grad()
    def take_copies(self) -> None:
        """Let the weights that loss terms hold fixed be those that the model has now."""
        for key, source in self.copies.items():
            self.get_parameter(key).copy_(self.get_parameter(source))

    def add_parameter(self, key: Address, value: Tensor, trainable: bool = True) -> None:
        """A parameter under its full address."""
        assert "." not in key, f"{key} cannot be a key: a dot separates modules"
        self.register_parameter(key, nn.Parameter(value, requires_grad=trainable))

    def add_table(self, key: str, master: Tensor) -> None:
        """A constant: integers, booleans or float64, kept as given beside the copy in use (`EXACT` ones in float64)."""
        self._masters[key] = master
        if key.endswith(MASKED):
            self._masked.append(key)
        self.register_buffer(key, self._cast(key, master), persistent=False)
        self._ddp_params_and_buffers_to_ignore.append(key)

    def _cast(self, key: str, master: Tensor) -> Tensor:
        rounded = master.is_floating_point() and not key.endswith(EXACT)
        return master.to(self.device, self.dtype if rounded else master.dtype)

    # ---- keeping ----------------------------------------------------------------------------------------------------

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for key, master in self._masters.items():
            self._buffers[key] = self._cast(key, master)
        self._placed[0] += 1
        self.mask_gradients()
        return self

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        found = super().load_state_dict(state_dict, strict, assign)
        self._placed[0] += assign
        return found

    @property
    def placed(self) -> int:
        """How often other tensors were put where parameters and tables are; what holds them asks for them again then.
        Views over the same tensors have one count."""
        return self._placed[0]

    def mask_gradients(self) -> None:
        """Hook every masked weight that stands for its parameter now, with the mask where the weight is.

        Wrappers that divide a model among processes put other tensors in the parameters' place while it runs, so this
        is asked for at every pass that they wrap; what is hooked already costs a comparison.
        """
        for key in self._masked:
            weight, masked = self._parameters.get(key.removesuffix(MASKED)), self._buffers[key]
            if weight is None or masked is None or not weight.requires_grad:
                continue
            hooked = self._hooks.get(key)
            if hooked is not None and hooked[0]() is weight and hooked[1] is masked:
                continue
            if hooked is not None:
                hooked[2].remove()
            handle = weight.register_hook(_Masked(masked))  # type: ignore[no-untyped-call]
            self._hooks[key] = weakref.ref(weight), masked, handle

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state["_hooks"] = {}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self.mask_gradients()


class _Masked:
    """A gradient hook: zero where the weight is held at zero."""

    def __init__(self, masked: Tensor) -> None:
        self.masked = masked

    def __call__(self, gradient: Tensor) -> Tensor:
        return gradient.masked_fill(self.masked, 0.0)


@torch.no_grad()
def _after_load(store: AbstractStore, keys: Any) -> None:
    """Loaded weights keep their zeros, and weights that loading replaced get their hooks."""
    for key in store._masked:
        weight, masked = store._parameters.get(key.removesuffix(MASKED)), store._buffers[key]
        if weight is not None and masked is not None:
            weight.masked_fill_(masked, 0.0)
    store.mask_gradients()
