"""Instructions that run programs of their own: loss terms that read a density, or a score, as a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from dgmspec.core.address import child
from dgmspec.core.losses import AbstractScoreLoss
from dgmspec.core.types import Type
from dgmspec.modules.nets import below
from dgmspec.modules.prepared import Call, Resources
from dgmspec.modules.registry import score_twin
from dgmspec.modules.traces import Chain, exact_trace, forward, tangent_trace, trace_core, value_and_trace
from dgmspec.modules.twin import Parameters, ScoreContext, flat_rows
from dgmspec.ops.continuous.moving import CLOSED
from dgmspec.ops.nets import Mlp, ResMlp
from dgmspec.program.program import Instruction, Program

__all__ = ["Body", "Law", "prepare_score_term"]


class Body:
    """A program prepared for running inside an instruction: its calls, and the keys of all that they read."""

    def __init__(
        self, program: Program, resources: Resources, prepare: Callable[[Instruction, Resources], Call]
    ) -> None:
        self.phase = program.phase
        calls = [prepare(line, resources) for line in program.instructions]
        self.lines = tuple((c.run, c.parameters, c.line.inputs, c.line.outputs) for c in calls)
        self.keys = tuple(dict.fromkeys(key for call in calls for _, key in call.parameters))
        self.inputs = tuple((i.name, i.slot) for i in program.inputs)
        ((_, self.result),) = program.outputs.items()
        self.net = program.instructions[0] if len(program.instructions) == 1 else None

    def __call__(self, training: bool, p: Parameters, values: Mapping[str, Tensor]) -> Tensor:
        """The only result; `p` holds tensors by their keys."""
        slots = {slot: values[name] for name, slot in self.inputs}
        for run, parameters, ins, outs in self.lines:
            result = run(training, {name: p[key] for name, key in parameters}, *[slots[i] for i in ins])
            slots.update(zip(outs, result if len(outs) > 1 else (result,), strict=True))
        return slots[self.result]


@dataclass(frozen=True)
class Law:
    """What a model says of one variable at values of it, the rest given: its log-density up to a constant and its
    score, or the score alone."""

    body: Body
    variable: str
    event: Type
    p: Parameters
    given: Mapping[str, Tensor]
    training: bool

    def _run(self, x: Tensor) -> Tensor:
        found = self.body(self.training, self.p, {**self.given, self.variable: x})
        return found if found.shape[:1] == x.shape[:1] else found.expand(x.shape[0], *found.shape[1:])

    def log_density(self, x: Tensor) -> Tensor:
        """log p(x) up to a constant, (batch,)."""
        return self._run(x)

    def slope(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The log-density and its gradient, as chains read it."""
        value, pull = torch.func.vjp(self._run, x)  # type: ignore[misc]
        return value, pull(torch.ones_like(value))[0]

    def score(self, x: Tensor) -> Tensor:
        """∇ log p(x), (batch, *event), differentiable again."""
        if self.body.phase == "score":
            return self._run(x)
        found: Tensor = torch.func.grad(lambda at: self._run(at).sum())(x)
        return found

    def score_and_trace(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The score and tr ∂s/∂x, (batch,): in closed form of a net of up to two hidden layers, by tangents of a deeper
        one, else by one derivative for each coordinate."""
        chain = self._chain(x)
        if chain is None:
            return exact_trace(self.score, x)
        flat = flat_rows(x)
        if len(chain.weights) <= CLOSED + 1 and not chain.skips:
            score, trace = value_and_trace(chain, trace_core(chain.weights), flat)
        else:
            score, slopes = forward(chain, flat)
            trace = tangent_trace(chain, slopes, x.shape[0])
        return score.reshape(x.shape), trace

    def _chain(self, x: Tensor) -> Chain | None:
        """A score that is one chain of layers applied to the variable, and to what is given behind it."""
        line = self.body.net
        if self.body.phase != "score" or line is None or not isinstance(line.op, (Mlp, ResMlp)):
            return None
        op, (first, *rest) = line.op, line.inputs
        alone = dict(self.body.inputs)[self.variable] == first and first not in rest
        if not alone or rest or op.normed() or op.input_embedding() is not None or op.dropout:
            return None
        own, links = below(self.p, line.address), op.links()
        names = ("0", *(link.name for link in links))
        weights, biases = (tuple(own[f"{name}/{kind}"] for name in names) for kind in ("weight", "bias"))
        skips = tuple(link.skip for link in links)
        skipped = (None, *skips) if any(s is not None for s in skips) else ()
        return Chain(op.activation, weights, biases, (), skipped, op.step if isinstance(op, ResMlp) else 1.0)


def prepare_score_term(
    line: Instruction, resources: Resources, prepare: Callable[[Instruction, Resources], Call]
) -> Call:
    """A loss about the score of a variable; what it keeps is set while training."""
    op, event = line.op, line.type
    assert isinstance(op, AbstractScoreLoss) and event is not None
    twin, bodies = score_twin(op), [Body(program, resources, prepare) for program in line.bodies]
    variable = next(i.name for i in line.bodies[0].inputs if i.kind == "variable")
    kept = {spec.name: child(line.address, spec.name) for spec in op.kept(event)}
    count, plan = len(line.names), twin.plan(op, event)

    @torch.no_grad()
    def keep(p: Parameters, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            p[kept[name]].copy_(value)

    def run(training: bool, p: Parameters, x: Tensor, *rest: Tensor) -> Tensor:
        x = x.detach()
        given = {n: v.expand(x.shape[0], *v.shape[1:]) for n, v in zip(line.names, rest[:count], strict=True)}
        noise = dict(zip(line.noise, rest[count:], strict=True))
        laws = [Law(body, variable, event, p, given, training) for body in bodies]
        own = {name: p[key] for name, key in kept.items()}
        found, later = twin.function(op, own, x, ScoreContext(event, laws[0], laws[-1], noise, training, plan))
        if training:
            keep(p, later)
        return found

    keys = dict.fromkeys((*(key for body in bodies for key in body.keys), *kept.values()))
    return Call(line, run, tuple((key, key) for key in keys))
