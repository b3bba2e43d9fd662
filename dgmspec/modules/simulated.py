"""A model with an `sde` that runs forwards from its prior: its law at other times, and its paths."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor

from dgmspec.graph.graph import StepNode
from dgmspec.modules.continuous.moment import at_moment
from dgmspec.modules.randomness import noise_for
from dgmspec.modules.recorded import AbstractRecorded
from dgmspec.modules.replayed import replayed
from dgmspec.modules.runner import UnavailableError
from dgmspec.modules.solvers import REMEDIES
from dgmspec.ops.continuous import Ode
from dgmspec.ops.paths.schemes import Exact
from dgmspec.ops.paths.simulation import Simulation

__all__ = ["AbstractSimulated"]


class AbstractSimulated(AbstractRecorded, ABC):
    """What a model has besides its programs where an `sde` starts at the prior."""

    def until(self, t: float) -> Self:
        """The same model, parameters shared, whose `sde` stops at time t: `sample` draws x_t, on the same paths as the
        whole time for the same seed, and `log_prob` is that of x_t; or the same of the state of an `ode` at t."""
        if not self.simulates:
            if not any(isinstance(step.op, Ode) for step in self.graph.steps.values()):
                raise UnavailableError(
                    f"{self.name} has no time to stop at: neither an `ode` arrow nor an `sde` that starts at its prior"
                )
            return at_moment(self, t)
        op = self.simulation().op
        assert isinstance(op, Simulation)
        if not op.low <= t <= op.high:
            raise ValueError(f"t = {t:g} is not within {op.low:g}..{op.high:g}, the time of the `sde`")
        at = None if t == op.high else float(t)
        return self._with_steps(lambda op: op.model_copy(update={"until": at}) if isinstance(op, Simulation) else op)

    @property
    def simulates(self) -> bool:
        """Whether an `sde` of the model runs forwards."""
        return any(isinstance(step.op, Simulation) for step in self.graph.steps.values())

    def simulation(self) -> StepNode:
        """The `sde` that runs forwards; `UnavailableError` where the model has none, or several."""
        found = [step for step in self.graph.steps.values() if isinstance(step.op, Simulation)]
        if len(found) != 1:
            raise UnavailableError(f"{self.name} has no single `sde` that starts at its prior")
        return found[0]

    def check_paths(self, found: Mapping[str, Tensor]) -> None:
        """ValueError where a path has left the numbers, as paths of drifts that grow faster than the state can."""
        whole = torch.stack([torch.isfinite(value).reshape(len(value), -1).all(1) for value in found.values()]).all(0)
        if not bool(whole.all()):
            raise ValueError(f"{int((~whole).sum()):,} of {len(whole):,} paths left the numbers: {REMEDIES['process']}")

    @torch.no_grad()
    def states_at(self, times: Sequence[float], n: int, seed: int = 0, start: int = 0) -> Tensor:
        """The state of the `sde` at rising times, (times, n, *event), before the rest of the model maps it on: of one
        and the same paths, so that times between two steps are moved to the nearer one; an exact law knows no steps."""
        node, op = self.simulation(), self.simulation().op
        assert isinstance(op, Simulation)
        if isinstance(op.settings.solver, Exact):
            return torch.stack([self.until(t)._behind(node, n, seed, start) for t in times])
        grid, states = self.paths(n, seed, start)
        return states[[int((grid - t).abs().argmin()) for t in times]]

    def _behind(self, node: StepNode, n: int, seed: int, start: int) -> Tensor:
        """The value behind a step where the model is sampled."""
        program = self.program("sample")
        slots = self.keep("sample", noise_for(program, (start, n), seed, self.dtype, self.device))
        line = next(line for line in program.instructions if line.address == node.address)
        found: Tensor = slots[line.outputs[0]]
        return found

    @torch.no_grad()
    def paths(self, n: int, seed: int = 0, start: int = 0) -> tuple[Tensor, Tensor]:
        """Times (steps + 1,) and the states at them (steps + 1, n, *event), of the paths whose ends are samples."""
        node, program = self.simulation(), self.program("sample")
        slots = self.keep("sample", noise_for(program, (start, n), seed, self.dtype, self.device))
        line = next(line for line in program.instructions if line.address == node.address)
        found = list(replayed(line, slots, self.values(), self.externals))
        return torch.tensor([t for t, _ in found], dtype=torch.float64), torch.stack([state for _, state in found])
