"""Instructions prepared for running: each becomes one closure over its operation and its twin.

A closure takes (training, p, *inputs) and returns the instruction's results; `p` maps relative parameter names to
tensors. Everything that does not depend on tensors is decided here, once, so that a call costs little in eager mode
and traces as straight-line code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from dgmspec.algebra.nodes import AbstractExpr, Name, Vector
from dgmspec.core.address import Address, child, seed_of
from dgmspec.core.distributions import AbstractDistribution
from dgmspec.core.losses import ArrowTerm
from dgmspec.core.nets import AbstractNet
from dgmspec.core.steps import AbstractStep
from dgmspec.core.types import Type
from dgmspec.graph.parameters import net_use
from dgmspec.modules import copies
from dgmspec.modules.conditionals import commitment, distribution, divergence, embed, heads, update_law
from dgmspec.modules.expressions import as_tensor
from dgmspec.modules.expressions import prepare as prepare_expression
from dgmspec.modules.nets import context_features, evaluate
from dgmspec.modules.registry import distribution_twin, net_twin, prepare_scalars, resolve_held, step_twin, term_twin
from dgmspec.modules.sums import (
    AFFINE,
    CONSTANT,
    INDEX,
    SCALED,
    Run,
    adjacent,
    affine,
    gather,
    learned,
    mean,
    scaled,
    total,
)
from dgmspec.modules.twin import StepContext, StepFunction
from dgmspec.program.program import Instruction

__all__ = ["ANCHOR", "Call", "Resources", "prepare"]

ANCHOR = "anchor"
"""An empty buffer of every model: it carries dtype and device where no input does."""


@dataclass(frozen=True)
class Resources:
    """What the instructions of one model share besides its parameters.

    `modules` are the user's own networks by address. `tables` are constants by key, integers or float64 on the CPU,
    gathered while instructions are prepared; a model keeps copies of them in its precision and on its device.
    """

    modules: Mapping[str, nn.Module] = field(default_factory=dict)
    tables: dict[str, Tensor] = field(default_factory=dict)
    _of_step: dict[Address, tuple[str, ...]] = field(default_factory=dict)

    def step_tables(self, address: Address, make: Callable[[], dict[str, Tensor]]) -> tuple[str, ...]:
        """The names of a step's tables, which are made once for all programs."""
        if address not in self._of_step:
            made = make()
            self._of_step[address] = tuple(made)
            self.tables.update({child(address, name): table for name, table in made.items()})
        return self._of_step[address]


@dataclass(frozen=True)
class Call:
    """A prepared instruction: `parameters` are (relative name, key in the model) pairs."""

    line: Instruction
    run: Run
    parameters: tuple[tuple[str, str], ...] = ()


def prepare(line: Instruction, resources: Resources) -> Call:
    """The closure of an instruction."""
    match line.target:
        case "forward" | "inverse" | "initialise" | "initialise_inverse" | "update":
            return _step(line, resources)
        case "forward_part" | "inverse_part":
            return _part(line)
        case "gather":
            return _gather(line, resources)
        case "net":
            return _external(line, resources.modules) if line.op == "external" else _net(line)
        case "formula":
            return _formula(line)
        case "learned":
            assert line.type is not None
            return Call(line, learned(line.type), (("raw", line.address),))
        case "log_prob" | "draw" | "mean_of":
            return _law(line, resources, distribution)
        case "embed":
            return _law(line, resources, embed)
        case "commitment":
            return _law(line, resources, commitment)
        case "update_law":
            return _law(line, resources, update_law)
        case "divergence":
            return Call(line, divergence(line))
        case "heads":
            return Call(line, heads(line))
        case "states":
            return _states(line, resources)
        case "detach":
            return Call(line, copies.detach)
        case "fold":
            return Call(line, copies.fold)
        case "repeat" | "score" | "average" | "log_mean_exp" | "log_sum_exp" | "expectation":
            return Call(line, getattr(copies, line.target)(line.copies))
        case "affine":
            return Call(line, affine, tuple((name, child(line.address, name)) for name in AFFINE))
        case "scaled":
            return Call(line, scaled, tuple((name, child(line.address, name)) for name in SCALED))
        case "term":
            return _term(line, resources)
        case "total":
            constant = ((CONSTANT, child(line.address, CONSTANT)),) if line.address else ()
            return Call(line, total(line.signs), constant)
        case "mean":
            return Call(line, mean(line.signs[0]))


def _law(line: Instruction, resources: Resources, make: Callable[[Instruction], Run]) -> Call:
    """An instruction of a distribution, with the parameters and tables that it owns."""
    op, event = line.op, line.type
    assert isinstance(op, AbstractDistribution) and event is not None
    given, twin = line.input_types[0] if line.context else None, distribution_twin(op)
    tables = resources.step_tables(line.address, lambda: twin.tables(op, event, given))
    names = (*(spec.name for spec in op.own_parameters(event, given)), *tables)
    return Call(line, make(line), tuple((name, child(line.address, name)) for name in names))


# ---- steps ----------------------------------------------------------------------------------------------------------


def _step(line: Instruction, resources: Resources) -> Call:
    op, event = line.op, line.type
    assert isinstance(op, AbstractStep) and event is not None
    given = line.input_types[0] if line.context else None
    twin = step_twin(op)
    resolve_held(op)
    prepare_scalars(op, event.support)
    tables = resources.step_tables(line.address, lambda: twin.tables(op, event, given))
    keys = {s.name: s.key(line.address) for s in op.parameters(event, given)}
    keys |= {name: child(line.address, name) for name in tables}
    if line.target in ("initialise", "initialise_inverse"):
        assert twin.initialise is not None, f"{op.name} says that it initialises"
        run = _initialise(op, twin.initialise, line, event, given)
    elif line.target == "update":
        assert twin.update is not None, f"{op.name} says that it updates"
        run = _update(op, twin.update, line, event, given)
    else:
        run = _directed(op, twin.forward if line.target == "forward" else twin.inverse, line, event, given)
    return Call(line, run, tuple(keys.items()))


def _context(line: Instruction, event: Type, given: Type | None, plan: Any) -> Callable[..., StepContext]:
    """(training, x, *rest) -> what the step sees; built once where nothing varies."""
    noise, has_context, counted, at = line.noise, line.context, line.counted, line.address
    if not noise and not has_context:
        seen = StepContext(event, counted=counted, plan=plan, address=at)
        fixed = seen, replace(seen, training=True)
        return lambda training, x: fixed[training]

    def build(training: bool, x: Tensor, *rest: Tensor) -> StepContext:
        c = _rows_of(rest[0], x) if has_context else None
        draws = dict(zip(noise, rest[has_context:], strict=True))
        return StepContext(event, given, c, draws, training, counted, plan, at)

    return build


def _rows_of(c: Tensor, x: Tensor) -> Tensor:
    """A context of batch 1 repeated for every row of x (a view)."""
    return c.expand(x.shape[0], *c.shape[1:]) if c.shape[0] == 1 and x.shape[0] != 1 else c


def _directed(op: AbstractStep, function: StepFunction, line: Instruction, event: Type, given: Type | None) -> Run:
    context = _context(line, event, given, step_twin(op).plan(op, event, given))

    def run(training: bool, p: Mapping[str, Tensor], x: Tensor, *rest: Tensor) -> tuple[Tensor, Tensor]:
        return function(op, p, x, context(training, x, *rest))

    return run if line.parts == 1 and len(line.outputs) == 2 else _in_parts(op, function, line.parts, context)


def _in_parts(op: AbstractStep, function: StepFunction, count: int, context: Callable[..., StepContext]) -> Run:
    """The closure of a step that takes or gives parts set aside beside the event."""

    def run(training: bool, p: Mapping[str, Tensor], *values: Tensor) -> tuple[Tensor, ...]:
        x: Any = values[:count] if count > 1 else values[0]
        y, log_det = function(op, p, x, context(training, values[0], *values[count:]))
        return (*y, log_det) if isinstance(y, tuple) else (y, log_det)

    return run


def _update(op: AbstractStep, function: Any, line: Instruction, event: Type, given: Type | None) -> Run:
    context = _context(line, event, given, step_twin(op).plan(op, event, given))

    @torch.no_grad()
    def update(p: Mapping[str, Tensor], x: Tensor, *rest: Tensor) -> None:
        for name, value in function(op, p, x, context(True, x, *rest)).items():
            p[name].copy_(value)

    def run(training: bool, p: Mapping[str, Tensor], x: Tensor, *rest: Tensor) -> tuple[()]:
        if training:
            update(p, x, *rest)
        return ()

    return run


def _part(line: Instruction) -> Call:
    """A step on its two parts, which reads parameters and no table of its own."""
    op, event = line.op, line.type
    assert isinstance(op, AbstractStep) and event is not None
    given, part, inverse = (
        line.input_types[0] if line.context else None,
        step_twin(op).part,
        line.target != "forward_part",
    )
    assert part is not None, f"{op.name} says that it divides its event"
    resolve_held(op)
    prepare_scalars(op, event.support)
    context = _context(line, event, given, step_twin(op).plan(op, event, given))

    def run(
        training: bool, p: Mapping[str, Tensor], kept: Tensor, moved: Tensor, *rest: Tensor
    ) -> tuple[Tensor, Tensor]:
        return part(op, p, kept, moved, context(training, moved, *rest), inverse)

    return Call(line, run, tuple((s.name, s.key(line.address)) for s in op.parameters(event, given)))


def _term(line: Instruction, resources: Resources) -> Call:
    """A loss about one step, which reads the step's parameters and tables, and tables of its own."""
    op, event = line.op, line.type
    assert isinstance(op, ArrowTerm) and event is not None
    step, given = op.step, line.input_types[0] if line.context else None
    twin, of_step = term_twin(op.loss), step_twin(op.step)
    resolve_held(step)
    keys = {s.name: s.key(line.address) for s in step.parameters(event, given)}
    keys |= {
        n: child(line.address, n)
        for n in resources.step_tables(line.address, lambda: of_step.tables(step, event, given))
    }
    keys |= {n: child(op.at, n) for n in resources.step_tables(op.at, lambda: twin.tables(op.loss, step, event))}
    context = _context(line, event, given, twin.plan(op.loss, step, event))

    def run(training: bool, p: Mapping[str, Tensor], *values: Tensor) -> Tensor:
        ends, rest = [x.detach() for x in values[: line.parts]], values[line.parts :]
        seen = context(training, ends[0], *rest)
        if op.loss.pairs:
            return twin.function(op.loss, step, p, *ends, op.begins, seen)
        return twin.function(op.loss, step, p, *ends, seen)

    return Call(line, run, tuple(keys.items()))


def _gather(line: Instruction, resources: Resources) -> Call:
    """Columns by a table that is shared by all gatherings of the same columns."""
    if adjacent(line.index):
        return Call(line, gather(line.index))
    key = child(INDEX, f"{seed_of(0, INDEX, *line.index):x}")
    resources.tables[key] = torch.tensor(line.index)
    return Call(line, gather(line.index), ((INDEX, key),))


def _states(line: Instruction, resources: Resources) -> Call:
    """All values of a discrete variable, by a table that is shared by all programs that take as many."""
    assert line.type is not None
    key = child(child(line.address, copies.VALUES), "*".join(map(str, line.index)))
    resources.tables[key] = copies.table(line.type, line.index)
    return Call(line, copies.states(line.copies), ((copies.VALUES, key),))


def _initialise(op: AbstractStep, function: Any, line: Instruction, event: Type, given: Type | None) -> Run:
    context = _context(line, event, given, step_twin(op).plan(op, event, given))
    inverse = line.target == "initialise_inverse"

    def run(training: bool, p: Mapping[str, Tensor], x: Tensor, *rest: Tensor) -> tuple[()]:
        for name, value in function(op, p, x, context(training, x, *rest), inverse).items():
            p[name].copy_(value)
        return ()

    return run


# ---- nets -----------------------------------------------------------------------------------------------------------


def _net(line: Instruction) -> Call:
    op, types, result = line.op, line.input_types, line.type
    assert isinstance(op, AbstractNet) and result is not None
    net_twin(op)  # looked up before any graph is traced
    resolve_held(op)
    names, shape = [s.name for s in op.net_parameters(net_use(types, result))], result.shape

    def run(training: bool, p: Mapping[str, Tensor], *values: Tensor) -> Tensor:
        read = _features(values, types, p)
        return evaluate(op, p, read, None, training).reshape(read[0].shape[0], *shape)

    return Call(line, run, tuple((name, child(line.address, name)) for name in names))


def _features(values: Sequence[Tensor], types: Sequence[Type | None], p: Mapping[str, Tensor]) -> list[Tensor]:
    """Values as a net reads them (categories one-hot, angles as cosines and sines), with equally many rows; one without
    a type is a formula's, whose numbers are read as they are."""
    rows = max(value.shape[0] for value in values)
    like = next(iter(p.values())).new_empty((rows, 0))
    return [
        value.reshape(value.shape[0], -1).expand(rows, -1) if type_ is None else context_features(value, type_, like)
        for value, type_ in zip(values, types, strict=True)
    ]


def _external(line: Instruction, modules: Mapping[str, nn.Module]) -> Call:
    module, result = modules[line.address], line.type
    assert result is not None
    name = line.address.rpartition("/")[2]

    def run(training: bool, p: Mapping[str, Tensor], *values: Tensor) -> Tensor:
        out: Tensor = module(*values)
        expected = (values[0].shape[0], *result.shape)
        if out.shape != expected:
            raise ValueError(f"external net `{name}`: expected a result of shape {expected}, got {tuple(out.shape)}")
        return out

    return Call(line, run)


# ---- formulas and learned parameters --------------------------------------------------------------------------------


def _formula(line: Instruction) -> Call:
    """An expression; one with a stated type (a context) gives a tensor of that event, else it may give a float."""
    assert isinstance(line.op, AbstractExpr)
    names, result = line.names, line.type
    if result is not None:
        types = dict(zip(names, line.input_types, strict=True))
        return Call(line, _joined(line.op, types, result), ((ANCHOR, ANCHOR),))
    expression = prepare_expression(line.op)

    def run(training: bool, p: Mapping[str, Tensor], *values: Tensor) -> Tensor | float:
        return expression(dict(zip(names, values, strict=True)), p[ANCHOR])

    return Call(line, run, ((ANCHOR, ANCHOR),))


def _joined(formula: AbstractExpr, types: Mapping[str, Type], result: Type) -> Run:
    """A context's value: the items of a vector at the top are flattened and joined end to end, as nets read them."""
    items = formula.items if isinstance(formula, Vector) else (formula,)
    parts = [prepare_expression(item) for item in items]
    kinds = [types[item.id] if isinstance(item, Name) else None for item in items]

    def run(training: bool, p: Mapping[str, Tensor], *values: Tensor) -> Tensor:
        env = dict(zip(types, values, strict=True))
        found = [as_tensor(part(env, p[ANCHOR]), p[ANCHOR]) for part in parts]
        if len(found) == 1:
            return found[0].reshape(found[0].shape[0], *result.shape)
        read = [value.flatten(1) for value in _features(found, kinds, p)]
        return torch.cat(read, 1).reshape(read[0].shape[0], *result.shape)

    return run
