"""The numeric self-check: what each step claims, tried on random points with random parameters in float64.

Three claims a step: the inverse undoes the map, the log-determinant is that of autograd's Jacobian, and the Jacobian's
zero pattern lies within the declared dependency; of a step that draws both ways one, that its law balances. A claim
that fails names the step, the claim and the worst error. `verify` tries all that is claimed, of the whole model too.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from dgmspec.core.address import Address, seed_of
from dgmspec.core.parameters import ParamSpec
from dgmspec.core.steps import AbstractStep
from dgmspec.core.types import UNKNOWN, Type
from dgmspec.modules.compiled import CompiledModel
from dgmspec.modules.initial import mask_of
from dgmspec.modules.randomness import draw_rows
from dgmspec.modules.registry import step_twin
from dgmspec.modules.twin import NO_MODULES, Modules
from dgmspec.runtime.findings import Finding
from dgmspec.runtime.trials import Part, Trial, quick, thorough

__all__ = [
    "Finding",
    "check_balances",
    "check_step",
    "draw_event",
    "moved",
    "own_parameters",
    "part_of",
    "self_check",
    "step_trial",
]

POINTS = 4

SPREAD = 1.5
"""Standard deviation of random points on the line."""

PAIRS = 4_096
DEVIATIONS = 5.0
"""Pairs of a start and an end by which a balance is judged, and the standard errors that a mean may be from 0."""


def self_check(model: CompiledModel, seed: int = 0) -> list[Finding]:
    """Every claim of every step of a model, on a copy in float64 whose parameters are moved at random."""
    other = copy.deepcopy(model).double()
    found: list[Finding] = []
    for node in other.graph.steps.values():
        if not node.op.undone:
            continue  # contracts data as far as its noise says: no random net is undone to rounding
        before = other.graph.type_of(node.target if node.inverse else node.source)
        given = other.graph.type_of(node.context) if node.context else None
        if before is not UNKNOWN and given is not UNKNOWN:
            own = own_parameters(other, node.address, node.op.parameters(before, given))
            op, at = node.op.tightened(), node.address
            found += check_step(op, own, before, given, at, seed, modules=other.externals)
    return [*found, *check_balances(other, seed)]


def check_balances(model: CompiledModel, seed: int = 0) -> Iterator[Finding]:
    """Of a model in float64, every step that draws both ways, from one law in balance with itself."""
    for node in model.graph.steps.values():
        before = model.graph.type_of(node.target if node.inverse else node.source)
        given = model.graph.type_of(node.context) if node.context else None
        if not node.op.balances or not isinstance(before, Type) or given is UNKNOWN:
            continue
        generator = torch.Generator().manual_seed(seed_of(seed, node.address, 4))
        own = own_parameters(model, node.address, node.op.parameters(before, given))
        part = part_of(node.op, own, False, before, given, PAIRS, generator, model.externals)
        x = draw_event(before, PAIRS, generator)
        c = None if given is None else draw_event(given, PAIRS, generator)
        with torch.no_grad():
            y, change = part(x, c, True)
        assert isinstance(y, Tensor)
        yield Finding(node.address, f"{node.address} ({node.op.name})", "balance", _tilt(x, y, change), DEVIATIONS)


def _tilt(x: Tensor, y: Tensor, change: Tensor) -> float:
    """How far pairs x ~ r, y ~ K(· | x) are from being in balance, in standard errors.

    With c what the step adds, ``a = exp(c) r(y) / r(x)`` is the density of the pair turned round over that of the pair,
    so ``(f(x) - f(y)) a / (1 + a)`` has the mean 0 for every f, and is bounded where f is.
    """
    ends = [value.flatten(1) if value.dim() > 1 else value[:, None] for value in (x, y)]
    start, end = (-(value / SPREAD).square().sum(1) / 2 for value in ends)
    share = torch.sigmoid(change + end - start)[:, None]
    before, behind = (torch.cat([torch.tanh(value), torch.cos(2 * value)], 1) for value in ends)
    terms = (before - behind) * share
    errors = terms.mean(0).abs() / (terms.std(0) / math.sqrt(len(terms))).clamp(min=1e-12)
    return float(errors.max()) if bool(torch.isfinite(errors).all()) else math.inf


def check_step(
    op: AbstractStep,
    parameters: Mapping[str, Tensor],
    before: Type,
    given: Type | None = None,
    address: Address = "",
    seed: int = 0,
    complete: bool = False,
    modules: Modules = NO_MODULES,
) -> list[Finding]:
    """The claims of one step from `before` on, with `parameters` moved away from where they are, `modules` as they are;
    the three quick ones, or all where `complete`."""
    generator = torch.Generator().manual_seed(seed_of(seed, address, 1))
    own = moved(op.parameters(before, given), parameters, generator)
    label = f"{address or op.name} ({op.name})"
    trial = step_trial(op, own, before, given, address, label, generator, modules=modules)
    return list((thorough if complete else quick)(trial))


def step_trial(
    op: AbstractStep,
    parameters: Mapping[str, Tensor],
    before: Type,
    given: Type | None,
    address: Address,
    label: str,
    generator: torch.Generator,
    points: tuple[Tensor, Tensor | None] | None = None,
    modules: Modules = NO_MODULES,
) -> Trial:
    """A step, as written, ready to be tried on random points, after the given `points` and contexts where there are."""
    # Parts that pass the step by are left out.
    before = replace(before, aside=before.aside[len(before.passed_by(op.infer_type(before, given))) :])
    x, c = draw_event(before, POINTS, generator), None if given is None else draw_event(given, POINTS, generator)
    if points is not None:
        x = torch.cat([points[0], x])
        c = None if c is None or points[1] is None else torch.cat([points[1], c])
    part = part_of(op, parameters, False, before, given, len(x), generator, modules)
    after = op.infer_type(before, given)
    far = draw_event(after, len(x), generator)
    facts = op.jacobian(before, given)
    if op.folds:  # tried the other way: what its way back draws, it undoes
        part = replace(part, inverse=True)
        return Trial(address, label, (part,), after, before, facts, far, c, x)
    return Trial(address, label, (part,), before, after, facts, x, c, far)


def part_of(
    op: AbstractStep,
    parameters: Mapping[str, Tensor],
    inverse: bool,
    event: Type,
    given: Type | None,
    count: int,
    generator: torch.Generator,
    modules: Modules,
) -> Part:
    """An operation with its tables and draws for `count` points, in float64."""
    tables = step_twin(op).tables(op, event, given)
    known = {n: t.double() if t.is_floating_point() else t for n, t in {**tables, **parameters}.items()}
    specs = op.inverse_draws(event) if op.folds else op.draws(event)
    draws = {d.name: draw_rows(d, count, generator, torch.float64) for d in specs}
    own = {at: copy.deepcopy(module).double().eval().requires_grad_(False) for at, module in modules.items()}
    return Part(op, known, inverse, event, given, draws, own)


def own_parameters(model: CompiledModel, address: Address, specs: tuple[ParamSpec, ...]) -> dict[str, Tensor]:
    """The parameters `specs` of the step at `address`, by the names it knows them under."""
    return {spec.name: model.get_parameter(spec.key(address)).detach() for spec in specs}


def moved(specs: tuple[ParamSpec, ...], values: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Parameters moved at random, each inside its mask."""
    return {spec.name: _moved(spec, values[spec.name], generator) for spec in specs}


def _moved(spec: ParamSpec, value: Tensor, generator: torch.Generator) -> Tensor:
    """The parameter plus noise inside its mask: N(0, 0.2²), for weights over the root of their inputs, so that a wide
    network's outputs stay of order one and no rounding error is taken for a violation."""
    inputs = value.shape[-1] if value.dim() > 1 else 1
    noise = 0.2 / math.sqrt(inputs) * torch.randn(value.shape, generator=generator, dtype=torch.float64)
    if spec.mask is not None:
        noise = noise.masked_fill(~mask_of(spec.mask), 0.0)
    return value.double() + noise


def draw_event(type_: Type, count: int, generator: torch.Generator) -> Tensor:
    """Points inside a support in float64, (count, *event); packed where parts are set aside."""
    if type_.aside:
        parts = (*type_.aside, replace(type_, aside=()))
        return torch.cat([draw_event(part, count, generator).flatten(1) for part in parts], 1)
    low, high = type_.support.low, type_.support.high
    if not type_.support.continuous:
        shape = (count, *type_.shape)
        return torch.randint(int(low), int(high) + 1, shape, generator=generator).double()
    normal = SPREAD * torch.randn(count, *type_.shape, generator=generator, dtype=torch.float64)
    if math.isinf(low) and math.isinf(high):
        return normal
    if math.isinf(high):
        return low + normal.exp()
    return high - normal.exp() if math.isinf(low) else low + (high - low) * torch.sigmoid(normal)
