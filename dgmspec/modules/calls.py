"""Instructions prepared for running: each becomes one closure over its operation and its twin.

A closure takes (training, p, *inputs) and returns the instruction's results; `p` maps relative parameter names to
tensors. Everything that does not depend on tensors is decided here, once, so that a call costs little in eager mode
and traces as straight-line code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from dgmspec.algebra.nodes import AbstractExpr, Name, Vector
from dgmspec.core.address import child, seed_of
from dgmspec.core.distributions import AbstractDistribution
from dgmspec.core.nets import AbstractNet
from dgmspec.core.types import SupportKind, Type
from dgmspec.graph.parameters import net_use
from dgmspec.modules import copies
from dgmspec.modules.bodies import prepare_score_term
from dgmspec.modules.conditionals import commitment, distribution, divergence, embed, heads, update_law
from dgmspec.modules.expressions import as_tensor
from dgmspec.modules.expressions import prepare as prepare_expression
from dgmspec.modules.initial import constrain
from dgmspec.modules.nets import context_features, evaluate
from dgmspec.modules.nets.external import checked
from dgmspec.modules.prepared import ANCHOR, Call, Resources
from dgmspec.modules.registry import distribution_twin, net_twin, resolve_held
from dgmspec.modules.steps import prepare_part, prepare_step, prepare_term
from dgmspec.modules.sums import (
    AFFINE,
    CONSTANT,
    INDEX,
    SCALED,
    Run,
    adjacent,
    affine,
    gather,
    held,
    learned,
    mean,
    scaled,
    total,
)
from dgmspec.modules.twin import flat_rows, rows_of
from dgmspec.program.program import Instruction

__all__ = ["prepare"]


def prepare(line: Instruction, resources: Resources) -> Call:
    """The closure of an instruction."""
    match line.target:
        case "forward" | "inverse" | "initialise" | "initialise_inverse" | "update":
            return prepare_step(line, resources)
        case "forward_part" | "inverse_part":
            return prepare_part(line)
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
        case "fold":
            return Call(line, copies.fold)
        case "held":
            return Call(line, held)
        case "repeat" | "score" | "average" | "log_mean_exp" | "log_sum_exp" | "expectation":
            return Call(line, getattr(copies, line.target)(line.copies))
        case "affine":
            return Call(line, affine, tuple((name, child(line.address, name)) for name in AFFINE))
        case "scaled":
            return Call(line, scaled, tuple((name, child(line.address, name)) for name in SCALED))
        case "term":
            return prepare_term(line, resources)
        case "score_term":
            return prepare_score_term(line, resources, prepare)
        case "total":
            constant = ((CONSTANT, child(line.address, CONSTANT)),) if line.address else ()
            return Call(line, total(line.signs), constant)
        case "mean":
            return Call(line, mean(line.signs[0], line.copies))


def _law(line: Instruction, resources: Resources, make: Callable[[Instruction], Run]) -> Call:
    """An instruction of a distribution, with the parameters and tables that it owns."""
    op, event = line.op, line.type
    assert isinstance(op, AbstractDistribution) and event is not None
    given, twin = line.input_types[0] if line.context else None, distribution_twin(op)
    tables = resources.step_tables(line.address, lambda: twin.tables(op, event, given))
    names = (*(spec.name for spec in op.own_parameters(event, given)), *tables)
    return Call(line, make(line), tuple((name, child(line.address, name)) for name in names))


# ---- columns and states ---------------------------------------------------------------------------------------------


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


# ---- nets -----------------------------------------------------------------------------------------------------------


def _net(line: Instruction) -> Call:
    op, types, result = line.op, line.input_types, line.type
    assert isinstance(op, AbstractNet) and result is not None
    resolve_held(op)
    names, shape = [s.name for s in op.net_parameters(net_use(types, result))], result.shape
    still = line.detached
    own, function = tuple((name, child(line.address, name)) for name in names), net_twin(op).function
    if not types:  # it reads nothing, and what it gives has a batch of its own
        return Call(line, lambda training, p: function(op, p, next(iter(p.values())), None, training), own)

    support = result.support
    bounded = support.kind in (SupportKind.CONTINUOUS, SupportKind.SIMPLEX, SupportKind.CHOLESKY)

    def run(training: bool, p: Mapping[str, Tensor], *values: Tensor) -> Tensor:
        p = {name: value.detach() for name, value in p.items()} if still else p
        read = _features(values, types, p)
        out = evaluate(op, p, read, None, training).reshape(read[0].shape[0], *shape)
        return constrain(support, out) if bounded else out

    return Call(line, run, own)


def _features(values: Sequence[Tensor], types: Sequence[Type | None], p: Mapping[str, Tensor]) -> list[Tensor]:
    """Values as a net reads them (categories one-hot, angles as cosines and sines), with equally many rows; one without
    a type is a formula's, whose numbers are read as they are."""
    rows = rows_of(values)
    like = next(iter(p.values())).new_empty((rows, 0))
    return [
        flat_rows(value).expand(rows, -1) if type_ is None else context_features(value, type_, like)
        for value, type_ in zip(values, types, strict=True)
    ]


def _external(line: Instruction, modules: Mapping[str, nn.Module]) -> Call:
    module, result = modules[line.address], line.type
    assert result is not None
    name = line.address.rpartition("/")[2]

    def run(training: bool, p: Mapping[str, Tensor], *values: Tensor) -> Tensor:
        rows = rows_of(values)
        read = [value.expand(rows, *value.shape[1:]) for value in values]
        return checked(name, module(*read), (rows, *result.shape))

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
        if not isinstance(formula, Vector):
            return found[0].reshape(found[0].shape[0], *result.shape)
        read = [value.flatten(1) for value in _features(found, kinds, p)]
        return torch.cat(read, 1).reshape(read[0].shape[0], *result.shape)

    return run
