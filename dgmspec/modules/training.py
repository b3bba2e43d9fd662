"""What a model has for its training: the loss on a batch, by its terms and by its steps, and a start from data."""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Mapping
from typing import Any, TypedDict, Unpack

import torch
from torch import Tensor

from dgmspec.core.losses import AbstractLoss
from dgmspec.modules.counting import counting
from dgmspec.modules.lost import lost
from dgmspec.modules.pulled import Pull
from dgmspec.modules.randomness import fresh_seed, step_noise
from dgmspec.modules.results import Ledger, LedgerStep, LossValue
from dgmspec.modules.runner import UnavailableError
from dgmspec.modules.simulated import AbstractSimulated
from dgmspec.modules.solvers import SolverError
from dgmspec.program.program import Phase, Program
from dgmspec.program.weighted import WEIGHTS, weighted

__all__ = ["AbstractTrained", "LossOptions"]


class LossOptions(TypedDict, total=False):
    """What `AbstractTrained.loss` takes beside its batch."""

    count: int | None
    seed: int | None
    step: int | None
    start: int
    weights: Any


class AbstractTrained(AbstractSimulated, ABC):
    """The methods around the loss, and the ledger that they share with the densities."""

    def loss(
        self,
        batch: Any = None,
        count: int | None = None,
        seed: int | None = None,
        step: int | None = None,
        start: int = 0,
        weights: Any = None,
    ) -> LossValue:
        """The declared loss on a batch: a dict of observed and given variables (a tensor where there is one).

        A loss that draws from the model itself reads no observed variable; `count` then says how many samples. Draws
        are keyed by (seed, step) when `step` is given, as in training, else by sample; rows count from `start`.
        `weights`, (batch,), multiply what each row adds to the means over the batch, and are taken as they are: those
        whose mean over the data is 1 keep the loss in its scale.
        """
        inputs, _ = self.loss_inputs(batch, count, seed, step, start, weights)
        results = self.run(self._loss_phase(weights), inputs)
        total = results.pop("total")
        return LossValue(total, results)

    def loss_ledger(self, batch: Any = None, **options: Unpack[LossOptions]) -> tuple[LossValue, Ledger]:
        """`loss`, with the contributions of every walk that its terms average, sample by sample."""
        inputs, rows = self.loss_inputs(batch, **options)
        phase = self._loss_phase(options.get("weights"))
        program = self.program(phase)
        with counting() as solved:
            slots = self.keep(phase, inputs)
        results = {name: slots[slot] for name, slot in program.outputs.items()}
        return LossValue(results.pop("total"), results), self._ledger(program, slots, rows, solved)

    def lost(self, batch: Any = None, **options: Unpack[LossOptions]) -> SolverError | None:
        """Where an `ode` of fixed steps, or a simulated `sde`, loses states of a batch on the way to its `loss`; None
        where none are lost."""
        phase = self._loss_phase(options.get("weights"))
        return lost(self, self.program(phase), self.keep(phase, self.loss_inputs(batch, **options)[0]))

    def loss_inputs(
        self,
        batch: Any = None,
        count: int | None = None,
        seed: int | None = None,
        step: int | None = None,
        start: int = 0,
        weights: Any = None,
    ) -> tuple[dict[str, Tensor], int]:
        """All inputs of the loss's program, its randomness among them, and how many samples they are."""
        program = self.program(self._loss_phase(weights))
        inputs, rows = self._read_batch(program, batch, count)
        inputs |= self._at_step(program, step)
        if weights is not None:
            inputs[WEIGHTS] = self._as_weights(weights, rows)
        if program.draws:
            seed = fresh_seed() if seed is None else seed
            if step is None:
                inputs |= self._noise(program, start, rows, seed)
            else:
                inputs |= step_noise(program, rows, seed, step, self.dtype, self.device, start)
        return inputs, rows

    def _loss_phase(self, weights: Any) -> Phase:
        """The program of the loss, or that whose rows have weights, which is made when it is first asked for."""
        if weights is None:
            return "loss"
        if "weighted_loss" not in self.programs:
            loss = self.program("loss")
            for term in self.graph.loss.terms.values() if self.graph.loss else ():
                if isinstance(term.op, AbstractLoss) and (why := term.op.unweighted()):
                    raise UnavailableError(f"weights: `{term.op.name}` {why}")
            self.programs["weighted_loss"] = weighted(loss)
            self._prepare_program(self.program("weighted_loss"))
        return "weighted_loss"

    def _as_weights(self, weights: Any, rows: int) -> Tensor:
        found = torch.as_tensor(weights, dtype=self.dtype, device=self.device)
        if found.shape != (rows,):
            raise ValueError(f"`weights` is one number for each of {rows:,} rows, not of shape {tuple(found.shape)}")
        return found

    def _at_step(self, program: Program, step: int | None) -> dict[str, Tensor]:
        """The number of the training step where the loss depends on it; outside of training schedules have ended."""
        names = [i.name for i in program.inputs if i.kind == "step"]
        number = math.inf if step is None else float(step)
        return {name: torch.tensor(number, dtype=self.dtype, device=self.device) for name in names}

    def forward(self, batch: Any = None, **options: Unpack[LossOptions]) -> Tensor:
        """The total loss: calling the model is what data-parallel wrappers synchronise. See `loss`."""
        self.mask_gradients()
        return self.loss(batch, **options).total

    def pull(self, batch: Any = None, weight: float = 1.0, **options: Unpack[LossOptions]) -> Tensor:
        """`weight` times the total loss, whose gradients are added to those that the parameters hold in ``grad``.

        That is ``(weight * model(batch)).backward()``; of a compiled model the loss and its gradients are one graph,
        in which autograd has no part, so hooks of one's own on parameters are not called. `options` are those of
        `loss`.
        """
        weights = {name: p for name, p in self._parameters.items() if p is not None and p.requires_grad}
        found = self._pulled_whole(batch, weights, options)
        if found is None:
            loss: Tensor = self(batch, **options) * weight
            torch.autograd.backward(loss)
            return loss.detach()
        total, gradients = found
        if weight != 1.0:
            total = total * weight
            torch._foreach_mul_(list(gradients.values()), weight)
        for name, gradient in gradients.items():
            parameter = weights[name]
            parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)
        return total

    def _pulled_whole(
        self, batch: Any, weights: Mapping[str, Tensor], options: LossOptions
    ) -> tuple[Tensor, dict[str, Tensor]] | None:
        """The total loss, and the gradients by the `weights` that it reads; None where one graph cannot give both."""
        if self._backend is None:
            return None
        inputs, _ = self.loss_inputs(batch, **options)
        phase = self._loss_phase(options.get("weights"))
        program = self.executed(phase)
        self._backend.follow(self.placed)
        pull = Pull(program, [inputs[entry.name] for entry in program.inputs], weights, self.masked())
        return self._backend.pull(pull, self.training, lambda: self.to_fx(phase))

    @torch.no_grad()
    def initialise(self, batch: Any, seed: int = 0) -> None:
        """Start the steps whose start depends on data (`actnorm`) from a first batch, in the order data meet them."""
        program = self.program("initialise")
        if program.instructions:
            inputs, rows = self._read_batch(program, batch, None)
            self.run("initialise", inputs | self._noise(program, 0, rows, seed))

    def _ledger(self, program: Program, slots: list[Any], batch: int, solved: Mapping[str, int]) -> Ledger:
        """The contributions that a program's slots hold after a run, with the evaluations of what was solved."""
        costs = {e: f"{e.cost}, {solved[e.address]:,} evaluations" for e in program.ledger if e.address in solved}
        steps = tuple(
            LedgerStep(
                e.label,
                e.address,
                e.kind,
                e.direction,
                costs.get(e, e.cost),
                e.sign,
                slots[e.slot].expand(batch),
                e.group,
            )
            for e in program.ledger
        )
        zeros = torch.zeros(batch, dtype=self.dtype, device=self.device)
        return Ledger(steps, sum((s.sign * s.logdet for s in steps), start=zeros), self.density)
