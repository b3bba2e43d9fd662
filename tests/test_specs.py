"""Every spec in specs/: checks clean, prints back, compiles, is normalised, and is the same through every back end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import dgmspec
from dgmspec.modules.compiled import CompiledModel
from dgmspec.ops.continuous import AbstractAdaptive, Ode
from tests.zoo import draw_event, noises, randomise, small

SPECS = sorted((Path(__file__).parent.parent / "specs").glob("*.dgm"))
each_spec = pytest.mark.parametrize("path", SPECS, ids=lambda p: p.stem)


def compiled(path: Path, depth: int = 2, **options: object) -> CompiledModel:
    """The spec's first model in float64, its parameters moved away from their start."""
    spec = small(dgmspec.load(path), depth)
    model = dgmspec.compile(spec, model=next(iter(spec.models)), seed=1, dtype=torch.float64, **options)
    randomise(model, seed=1, scale=0.1)
    return model.eval()


def noised(model: CompiledModel) -> bool:
    """Whether a noising arrow's probability flow is run: right to its solver's error, and dear."""
    return any(node.op.sampled for node in model.graph.steps.values())


def points(model: CompiledModel, batch: int) -> tuple[Any, dict[str, torch.Tensor] | None]:
    """Data and context of the model's own types: one tensor, or several by name."""
    drawn = {n: draw_event(t, batch, seed=2) for n, t in {**model.observed, **model.givens}.items()}
    given = {n: drawn[n] for n in model.givens}
    x = {n: drawn[n] for n in model.observed}
    return x if len(x) > 1 else next(iter(x.values())), given or None


def value(model: CompiledModel, x: torch.Tensor, given: dict[str, torch.Tensor] | None) -> torch.Tensor:
    """The log-density at data, or the loss of a model that has none, or the log-density up to a constant, or samples of
    a process whose law has no formula."""
    if model.density not in ("none", "unnormalised"):
        return model.log_prob(x, given=given, seed=3)
    if model.simulates:
        found: torch.Tensor = model.sample(len(x), given, seed=3)
        return found
    if model.density == "unnormalised":
        return model.log_density(x, given)
    return model.loss({next(iter(model.observed)): x, **(given or {})}, seed=3).total


@each_spec
def test_checks_clean_and_prints_back(path: Path) -> None:
    spec = dgmspec.load(path)
    assert not [d for d in spec.check() if d.severity == "error"]
    assert dgmspec.parse(spec.text()) == spec
    assert dgmspec.parse(spec.text()).text() == spec.text()


@each_spec
def test_passes_and_freezing_change_no_value(path: Path) -> None:
    depth = 1 if noises(path) else 2
    plain, optimised = compiled(path, depth, optimize="O0"), compiled(path, depth, optimize="O1")
    assert dict(plain.named_parameters()).keys() == dict(optimised.named_parameters()).keys()
    x, given = points(plain, 16)
    expected = value(plain, x, given)
    torch.testing.assert_close(value(optimised, x, given), expected)
    if plain.density not in ("none", "unnormalised"):
        torch.testing.assert_close(value(optimised.freeze(), x, given), expected, rtol=1e-9, atol=1e-9)


@each_spec
@torch.no_grad()
def test_samples_and_log_prob_agree(path: Path) -> None:
    model = compiled(path)
    model = model if noised(model) else model.tightened()
    if model.density in ("none", "unnormalised"):
        pytest.skip("no density")
    given = {n: draw_event(t, 1) for n, t in model.givens.items()} or None
    x, log_prob = model.sample_and_log_prob(64, given=given, seed=0)
    torch.testing.assert_close(model.sample(64, given=given, seed=0), x)
    if all(type_.support.continuous for type_ in model.observed.values()) and not model.dequantises:
        if noised(model):  # data are contracted on the way, and errors grow on the way back
            assert bool(torch.isfinite(log_prob).all())
            return
        torch.testing.assert_close(model.log_prob(x, given=given), log_prob, rtol=1e-7, atol=1e-7)


INTEGRATED = ("realnvp", "maf", "nice", "slide", "torus")
"""Specs integrated on a grid by default; of all of them `verify` takes the integral in its own way."""


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, id=p.stem, marks=[] if p.stem in INTEGRATED else [pytest.mark.slow]) for p in SPECS],
)
def test_density_integrates_to_one(path: Path) -> None:
    model = compiled(path)
    type_ = next(iter(model.observed.values()))
    if (
        len(model.observed) > 1
        or type_.shape != (2,)
        or not type_.support.continuous
        or model.givens
        or model.density != "exact"
    ):
        pytest.skip("quadrature is for two real dimensions without context")
    if noised(model):
        pytest.skip("a flow of time is dear to run at so many points; its density is tested by itself")
    samples = model.sample(4000, seed=0)
    low = (samples.min(0).values - 6).clamp(min=type_.support.low)
    high = (samples.max(0).values + 6).clamp(max=type_.support.high)
    # A density that is solved for is smooth, and costs many evaluations a point.
    count = 100 if any(isinstance(step.op, Ode) for step in model.graph.steps.values()) else 300
    shares = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    grid = low + torch.cartesian_prod(shares, shares) * (high - low)
    with torch.no_grad():
        density = torch.cat([model.log_prob(part).exp() for part in grid.split(50_000)])
    mass = float(density.mean() * (high - low).prod())
    if model.density == "estimate":  # of the logarithm: its exponential is too large on average
        assert 1 - 2e-3 < mass < 1.1
    else:
        assert mass == pytest.approx(1, abs=2e-3)


TRACED = ("realnvp", "conditional", "cnf", "vae", "gumbel_vae", "slide")
"""Specs traced by default, one for each kind of program; the tests of the library trace every operation."""


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, id=p.stem, marks=[pytest.mark.slow] if p.stem not in TRACED else []) for p in SPECS],
)
def test_fx_program_equals_the_interpreter(path: Path) -> None:
    model = compiled(path, depth=1)
    if model.density == "estimate":
        pytest.skip("an estimate may take as many terms as its draws say, which no graph can")
    if noised(model) and model.density == "exact":
        pytest.skip("a flow along a net's score takes long to trace, and is traced once, among slow tests")
    if any(isinstance(s.op, Ode) and isinstance(s.op.solver, AbstractAdaptive) for s in model.graph.steps.values()):
        pytest.skip("adaptive steps are no one graph")
    x, given = points(model, 8)
    expected = value(model, x, given)
    torch.testing.assert_close(value(model.compiled(backend="aot_eager"), x, given), expected)
