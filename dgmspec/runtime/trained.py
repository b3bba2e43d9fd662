"""What training changes besides its counters: weights, their average, the optimiser's state; as tensors by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dgmspec.graph.plans import TrainPlan
from dgmspec.modules.compiled import CompiledModel
from dgmspec.runtime.optim import Average, build_optimizer
from dgmspec.runtime.processes import Processes
from dgmspec.runtime.rundir import RunError

__all__ = ["Trained"]


class Trained:
    """The tensors of a run that a step may change; under FSDP this process's part of each.

    `state` is all that the model keeps, `weights` what is trained, both by name.
    """

    def __init__(self, model: CompiledModel, plan: TrainPlan, processes: Processes) -> None:
        self.processes, self.device = processes, model.device
        self.state: dict[str, Tensor] = model.state_dict(keep_vars=True)
        self.weights = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self.optimizer = build_optimizer(plan.optimizer, self.weights.values())
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.local = [processes.local(weight) for weight in self.weights.values()]
        self.average = Average(self.local, plan.ema) if plan.ema else None
        self.scaler = torch.amp.GradScaler(self.device.type) if plan.precision == "fp16" else None

    def clear(self) -> None:
        """Forget the gradients."""
        for weight in self.weights.values():
            weight.grad = None

    def update(self, factor: float) -> None:
        """One step of the optimiser at `factor` times its rates, and of the average."""
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        if self.scaler:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        else:
            self.optimizer.step()
        if self.average:
            self.average.update()

    @torch.no_grad()
    def finite(self) -> bool:
        """Whether all weights are finite numbers, in every process."""
        norms = torch.stack(torch._foreach_norm(self.local, float("inf"))) if self.local else torch.zeros(1)
        return bool(self.processes.total((~torch.isfinite(norms)).sum()) == 0)

    @torch.no_grad()
    def copies(self) -> list[Tensor]:
        """The model's tensors as they are now, to be put back by `put`."""
        return [self.processes.local(tensor).detach().clone() for tensor in self.state.values()]

    @torch.no_grad()
    def put(self, copies: list[Tensor]) -> None:
        """Put back what `copies` gave."""
        torch._foreach_copy_([self.processes.local(tensor) for tensor in self.state.values()], copies)

    # ---- as tensors by name -----------------------------------------------------------------------------------------

    @torch.no_grad()
    def model_state(self) -> dict[str, Tensor]:
        """All that the model keeps, whole, by name."""
        return {name: self.processes.whole(tensor, tensor) for name, tensor in self.state.items()}

    @torch.no_grad()
    def packed(self) -> dict[str, Tensor]:
        """Everything, whole, by name."""
        tensors = {f"weights/{name}": tensor for name, tensor in self.model_state().items()}
        for name, (held, weight) in self._beside().items():
            tensors[name] = self.processes.whole(held, weight)
        if self.scaler:
            scale, growth = self.scaler.get_scale(), self.scaler._get_growth_tracker()
            tensors["scaler"] = torch.tensor([scale, growth], dtype=torch.float64)
        if self.average:
            tensors["average steps"] = torch.tensor(self.average.steps)
        return tensors

    @torch.no_grad()
    def unpack(self, tensors: Mapping[str, Tensor], source: str) -> None:
        """Go back to what `packed` gave; `RunError` where `source` holds the state of another model or optimiser."""
        wanted = {f"weights/{name}": tensor for name, tensor in self.state.items()}
        wanted |= {f"average/{name}": self.weights[name] for name in self.weights if self.average}
        self.check({k: v for k, v in tensors.items() if k.startswith(("weights/", "average/"))}, wanted, source)
        for name, tensor in self.state.items():
            self.processes.assign(tensor, tensors[f"weights/{name}"], tensor)
        if self.average:
            self.average.steps = int(tensors["average steps"])
        self.optimizer.state.clear()
        for name, weight in self.weights.items():
            keys = [key.split("/", 2)[1] for key in tensors if _is_state(key, name)]
            if keys:
                made = {key: self._room(key, tensors[f"optimizer/{key}/{name}"], weight) for key in keys}
                self.optimizer.state[weight] = made
        for key, (held, like) in self._beside().items():
            self.processes.assign(held, tensors[key], like)
        if self.scaler:
            state = self.scaler.state_dict()
            scale, growth = tensors["scaler"].tolist()
            self.scaler.load_state_dict({**state, "scale": scale, "_growth_tracker": int(growth)})

    def divided(self, state: Mapping[str, Tensor], source: str) -> list[Tensor]:
        """A whole state of the model as `put` takes it."""
        self.check(state, self.state, source)
        copies = self.copies()
        for copy, (name, tensor) in zip(copies, self.state.items(), strict=True):
            self.processes.assign(copy, state[name], tensor)
        return copies

    def check(self, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], source: str) -> None:
        """`RunError` where tensors are not of the names, shapes and precision that are wanted."""
        other = f"{source} is of another model or another training"
        for name, tensor in wanted.items():
            if name not in found:
                raise RunError(f"{other}: it has no `{name}`")
            held = found[name]
            if held.shape != tensor.shape:
                raise RunError(f"{other}: `{name}` is {tuple(held.shape)} there and {tuple(tensor.shape)} here")
            if held.dtype != tensor.dtype:
                raise RunError(f"{other}: `{name}` is {_name(held)} there and {_name(tensor)} here")
        extra = [name for name in found if name not in wanted]
        if extra:
            raise RunError(f"{other}: `{extra[0]}` has no place here")

    def _beside(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Averages and the optimiser's state by name, each with the weight that it goes with."""
        found: dict[str, tuple[Tensor, Tensor]] = {}
        values = self.average.values if self.average else []
        for (name, weight), value in zip(self.weights.items(), values, strict=False):
            found[f"average/{name}"] = value, weight
        for name, weight in self.weights.items():
            kept: Mapping[str, Any] = self.optimizer.state.get(weight, {})
            found |= {f"optimizer/{key}/{name}": (v, weight) for key, v in kept.items() if isinstance(v, Tensor)}
        return found

    def _room(self, key: str, value: Tensor, weight: Tensor) -> Tensor:
        """A place for a piece of the optimiser's state: like its weight, or a counter."""
        if key == "step":
            return value.to(weight.device) if weight.is_cuda else value.clone()
        return torch.zeros_like(weight, requires_grad=False)


def _is_state(key: str, name: str) -> bool:
    return key.startswith("optimizer/") and key.split("/", 2)[2] == name


def _name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
