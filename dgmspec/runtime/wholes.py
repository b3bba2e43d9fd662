"""What a model as a whole claims, tried in float64: samples carry their density, the density integrates to one, the
sampler follows it, values reach the prior inside its support, and `density` says what `log_prob` gives."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from dgmspec.checks.analysis import Analysis
from dgmspec.core.address import seed_of
from dgmspec.core.types import Type
from dgmspec.modules.compiled import CompiledModel
from dgmspec.modules.randomness import noise_for
from dgmspec.modules.redraws import OutsideError
from dgmspec.modules.redraws import outside as beyond
from dgmspec.program.build import Unavailable
from dgmspec.program.program import Phase
from dgmspec.runtime.findings import TOLERANCE, Claim, Finding, distance, outside
from dgmspec.runtime.quadrature import integrate
from dgmspec.runtime.selfcheck import draw_event

__all__ = ["check_whole"]

CONTEXTS: Final = 2
WITNESSES: Final = 20_000
SAMPLES: Final = 4_000
"""Samples that show the quadrature where mass lies, and how many of them stand against its moments."""

BUDGET: Final = 300_000
MASS: Final = 2e-3
"""How far a density's integral may be from one, beyond the error of the quadrature."""

SOLVED: Final = 256
SOLVER: Final = 0.01
"""Samples that are solved for again, and how many nats their mean log-density may move by that."""

UNDECIDED: Final = 0.02
DEVIATIONS: Final = 5.0
"""Standard errors that a mean over samples may be from its integral."""


@dataclass(frozen=True)
class _Model:
    """A model in float64 with contexts to try it under, each of batch 1 (one empty context where it has none)."""

    model: CompiledModel
    contexts: tuple[Mapping[str, Tensor], ...]
    seed: int

    def finding(
        self, claim: Claim, error: float | None, tolerance: float = TOLERANCE, reason: str = "", step: str = "the model"
    ) -> Finding:
        return Finding(self.model.name, step, claim, error, tolerance, reason)


def check_whole(model: CompiledModel, seed: int, rows: Mapping[str, Tensor] | None = None) -> Iterator[Finding]:
    """All claims of the whole; contexts are the first of `rows`, or drawn."""
    generator = torch.Generator().manual_seed(seed_of(seed, model.name, 2))
    drawn = {n: draw_event(t, CONTEXTS, generator) for n, t in model.givens.items()}
    given = {n: rows[n][:CONTEXTS] if rows and n in rows else value for n, value in drawn.items()}
    count = min((len(v) for v in given.values()), default=1)
    tried = _Model(model, tuple({n: v[i : i + 1] for n, v in given.items()} for i in range(count)), seed)
    with torch.no_grad():
        yield from _samples(tried)
        yield from _mass(tried)
        yield from _priors(tried)
        yield from _label(tried)
        yield from _solver(tried)


def _samples(tried: _Model) -> Iterator[Finding]:
    """`sample` and `sample_and_log_prob` give the same points, and `log_prob` their density, equations being solved
    closely."""
    model = tried.model.tightened()
    reason = _lacks(model, "sample", "log_prob") or _not_exact(model)
    if reason:
        yield tried.finding("samples", None, reason=reason)
        return
    error = 0.0
    for given in tried.contexts:
        x, log_prob = model.sample_and_log_prob(64, given or None, seed=tried.seed)
        again = model.sample(64, given or None, seed=tried.seed)
        pairs = [(_joined(model, again), _joined(model, x)), (model.log_prob(x, given or None), log_prob)]
        error = max(error, *(distance(*pair) for pair in pairs))
    yield tried.finding("samples", error)


# ---- total mass -----------------------------------------------------------------------------------------------------


def _mass(tried: _Model) -> Iterator[Finding]:
    """The integral of the density over the declared support, and the sampler against what the integral says."""
    reason = _lacks(tried.model, "sample", "log_prob") or _unmeasured(tried.model)
    if reason:
        yield tried.finding("normalisation", None, reason=reason)
        return
    try:
        found = [_integrated(tried, given) for given in tried.contexts]
    except OutsideError as error:
        yield tried.finding("normalisation", None, reason=str(error))
        return
    for parts in zip(*found, strict=True):
        undecided = [f for f in parts if f.error is None]
        yield undecided[0] if undecided else max(parts, key=lambda f: (f.error or 0) / f.tolerance)


def _integrated(tried: _Model, given: Mapping[str, Tensor]) -> tuple[Finding, ...]:
    model = tried.model
    samples = _joined(model, model.sample(WITNESSES, given or None, seed=tried.seed))
    low, middle, high = samples.quantile(torch.tensor([0.005, 0.5, 0.995], dtype=samples.dtype), dim=0)
    width = (high - low).clamp(min=1e-6)
    moments = _Moments(model, given, middle, width)
    box = low - 0.2 * width, high + 0.2 * width
    found = integrate(moments, *box, _bounds(model), MASS / 4, BUDGET, samples)
    mass = float(found.value[0])
    exact = model.density == "exact"
    kept, spread = (1.0, 0.0) if exact else _kept(tried, given)
    error = abs(mass - kept) if kept else max(0.0, mass - 1)
    if not found.error < UNDECIDED:
        reason = f"after {found.points:,} points the quadrature is still off by {found.error:.1g}"
        claims: tuple[Claim, ...] = ("normalisation", "sampler") if exact else ("normalisation",)
        return tuple(tried.finding(claim, None, reason=reason) for claim in claims)
    tolerance = MASS + 2 * found.error + DEVIATIONS * spread
    findings = [tried.finding("normalisation", error if math.isfinite(error) else math.inf, tolerance)]
    if exact:
        expected = found.value[1:] / mass if mass > 0 else torch.full_like(found.value[1:], math.nan)
        findings.append(
            tried.finding("sampler", _deviation(moments(samples[:SAMPLES]), expected, found.error), DEVIATIONS)
        )
    return tuple(findings)


def _kept(tried: _Model, given: Mapping[str, Tensor]) -> tuple[float, float]:
    """The share of the model's draws that lies inside the support of the data, none of them drawn again, which is what
    a density integrates to that leaves out the rest, and its standard error; zeros where it is a bound for another
    reason."""
    model = tried.model
    bounds = [step.op for step in model.graph.steps.values() if step.op.density == "lower bound"]
    if not bounds or any(op.part is None for op in bounds):
        return 0.0, 0.0
    noise = noise_for(model.program("sample"), (0, WITNESSES), tried.seed, model.dtype)
    inputs = {name: value.expand(WITNESSES, *value.shape[1:]) for name, value in given.items()}
    drawn = model.run("sample", inputs | noise)
    kept = 1 - float(beyond(drawn, {name: model.type_of(name) for name in drawn}).double().mean())
    return kept, math.sqrt((kept * (1 - kept) + 1 / WITNESSES) / WITNESSES)


@dataclass(frozen=True)
class _Moments:
    """Points (n, d) -> p, p log p and p tanh of each standardised coordinate, (n, 2 + d)."""

    model: CompiledModel
    given: Mapping[str, Tensor]
    middle: Tensor
    width: Tensor

    def __call__(self, points: Tensor) -> Tensor:
        log_p = self.model.log_prob(_split(self.model, points), self.given or None)
        p = log_p.exp()
        surprise = torch.where(p > 0, log_p, 0.0)
        bent = torch.tanh((points - self.middle) / self.width)
        return p[:, None] * torch.cat([torch.ones_like(p)[:, None], surprise[:, None], bent], 1)


def _deviation(weighted: Tensor, expected: Tensor, rounding: float) -> float:
    """The largest distance of a mean over samples from its integral, in standard errors; `weighted` still holds the
    factor p that the integral needs."""
    values = weighted[:, 1:] / weighted[:, :1]
    error = torch.sqrt(values.var(0) / len(values) + (1e-3 + rounding) ** 2)
    worst = ((values.mean(0) - expected).abs() / error).max()
    return float(worst) if bool(torch.isfinite(worst)) else math.inf


# ---- priors and the label -------------------------------------------------------------------------------------------


def _priors(tried: _Model) -> Iterator[Finding]:
    """What a prior draws lies where its variable lives, and every data point reaches its support."""
    names = {v.prior.address: v.name for v in tried.model.graph.variables.values() if v.prior is not None}
    worst: dict[str, float] = {}
    for given in tried.contexts:
        for address, error in _reached(tried, given):
            worst[address] = max(worst.get(address, 0.0), error)
    for address, error in worst.items():
        name = names.get(address, address)
        yield Finding(address, f"the prior of {name}", "prior support", error)


def _reached(tried: _Model, given: Mapping[str, Tensor]) -> Iterator[tuple[str, float]]:
    model, count = tried.model, 64
    phases: tuple[tuple[Phase, str], ...] = (("sample", "draw"), ("log_prob", "log_prob"))
    for phase, target in phases:
        if _lacks(model, phase):
            continue
        program = model.program(phase)
        generator = torch.Generator().manual_seed(tried.seed)
        inputs = {n: draw_event(t, count, generator) for n, t in model.observed.items()} if phase == "log_prob" else {}
        inputs |= {n: v.expand(count, *v.shape[1:]) for n, v in given.items()}
        slots = model.keep(phase, inputs | noise_for(program, (0, count), tried.seed, model.dtype))
        for line in program.instructions:
            if line.target == target and line.type is not None:
                slot = line.outputs[0] if target == "draw" else line.inputs[0]
                yield line.address, outside(slots[slot], line.type.support)


def _label(tried: _Model) -> Iterator[Finding]:
    """`density` is what the checks say; an exact one asks for no draw, any other asks for some or leaves mass out."""
    model = tried.model
    analysis = Analysis(model.graph)
    if model.density in ("none", "unnormalised"):
        return
    said = {analysis.density(name) for name in model.observed if analysis.priors(name)}
    agrees = model.density in said and not (model.density == "exact" and model.dequantises)
    yield tried.finding("density label", 0.0 if agrees else 1.0)


# ---- what a model has -----------------------------------------------------------------------------------------------


def _solver(tried: _Model) -> Iterator[Finding]:
    """Solving more finely changes the log-density of samples by little, in nats on average; of models that solve."""
    model, finer = tried.model, tried.model.refined()
    if finer is model or _lacks(model, "sample", "log_prob"):
        return
    error = 0.0
    for given in tried.contexts:
        try:
            x = model.sample(SOLVED, given or None, seed=tried.seed)
        except OutsideError as outside_error:
            yield tried.finding("solver", None, reason=str(outside_error))
            return
        pair = [m.log_prob(x, given or None, seed=tried.seed) for m in (model, finer)]
        error = max(error, float((pair[0] - pair[1]).abs().mean()))
    yield tried.finding("solver", error, SOLVER)


def _lacks(model: CompiledModel, *phases: Phase) -> str:
    """Why a phase cannot be run, or nothing."""
    found = [model.programs[phase] for phase in phases]
    reasons = [program.reason for program in found if isinstance(program, Unavailable)]
    return next(iter([*reasons, *filter(None, map(model.lacks_rows, phases))]), "")


def _not_exact(model: CompiledModel) -> str:
    return "" if model.density == "exact" else f"the density is {_article(model.density)}"


def _article(word: str) -> str:
    return ("an " if word[0] in "aeiou" else "a ") + word


def _unmeasured(model: CompiledModel) -> str:
    """Why a density is not integrated: quadrature is for one or two real dimensions."""
    if any(node.op.sampled for node in model.graph.steps.values()):
        return "the flow of a learned score is right to its solver's error, which grows where data were contracted"
    types = list(model.observed.values())
    if any(not t.support.continuous for t in types) or not 1 <= sum(t.size for t in types) <= 2:
        return f"quadrature needs one or two real dimensions, not {', '.join(map(str, types)) or 'none'}"
    return "its log-density is random" if model.dequantises else ""


def _split(model: CompiledModel, points: Tensor) -> dict[str, Tensor]:
    """Columns (n, d) as the observed variables."""
    found, start = dict[str, Tensor](), 0
    for name, type_ in model.observed.items():
        found[name] = points[:, start : start + type_.size].reshape(-1, *type_.shape)
        start += type_.size
    return found


def _joined(model: CompiledModel, values: Tensor | Mapping[str, Tensor]) -> Tensor:
    """The observed variables as columns (n, d); a context's batch of one is left out."""
    by_name = values if isinstance(values, Mapping) else {next(iter(model.observed)): values}
    return torch.cat([by_name[n].reshape(-1, t.size) for n, t in model.observed.items()], 1)


def _bounds(model: CompiledModel) -> tuple[Tensor, Tensor]:
    """The declared support as a box."""
    types: list[Type] = [t for t in model.observed.values() for _ in range(t.size)]
    low, high = ([getattr(t.support, end) for t in types] for end in ("low", "high"))
    return torch.tensor(low, dtype=model.dtype), torch.tensor(high, dtype=model.dtype)
