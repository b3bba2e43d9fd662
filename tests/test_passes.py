"""What makes a model faster changes no value: each pass alone, all of them, vectors in pieces, and freezing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings

import dgmspec
from dgmspec.graph.graph import Graph
from dgmspec.graph.parameters import parameters
from dgmspec.modules.compiled import CompiledModel
from dgmspec.passes.table import PASSES, optimise
from dgmspec.program.build import build_programs
from tests.flows import compiled
from tests.test_composites import flows, jacobian, points, well_conditioned
from tests.test_specs import SPECS
from tests.zoo import draw_event, noises, randomise

WAYS = (*[(entry,) for entry in PASSES], PASSES)


def rewritten(plain: CompiledModel, graph: Graph, in_pieces: bool) -> CompiledModel:
    """The model of a rewritten graph under the weights of `plain`."""
    model = CompiledModel(graph, build_programs(graph), dtype=torch.float64, in_pieces=in_pieces)
    model.load_state_dict(plain.state_dict())
    return model.eval()


def others(plain: CompiledModel) -> list[CompiledModel]:
    """Every other form of a model: after each pass alone that finds something, after all, in pieces, frozen."""
    graphs = [plain.graph]
    for way in WAYS:
        graph = optimise(plain.graph, passes=way)
        assert parameters(graph) == parameters(plain.graph)
        if graph not in graphs:
            graphs.append(graph)
    models = [rewritten(plain, graph, in_pieces=False) for graph in graphs[1:]]
    pieces = [rewritten(plain, graph, in_pieces=True) for graph in (graphs[0], graphs[-1])[: len(graphs)]]
    return [*models, *pieces, pieces[-1].freeze()]


def same(
    plain: CompiledModel,
    x: torch.Tensor | dict[str, torch.Tensor],
    context: dict[str, torch.Tensor] | None,
    tolerance: float,
) -> None:
    """log_prob, samples, their joint walk and the ledger's total are those of `plain`."""
    close = {"rtol": tolerance, "atol": tolerance, "equal_nan": True}
    if plain.empirical:  # drawn from rows, without a density
        batch = {**(x if isinstance(x, dict) else {next(iter(plain.observed)): x}), **(context or {})}
        for other in others(plain):
            torch.testing.assert_close(other.sample(4, given=context, seed=5), plain.sample(4, given=context, seed=5))
            if not other.frozen:
                torch.testing.assert_close(other.loss(batch, seed=3).total, plain.loss(batch, seed=3).total, **close)
            torch.testing.assert_close(other.encode(x, given=context), plain.encode(x, given=context), **close)
        return
    if plain.density in ("none", "unnormalised"):  # a score, or a density up to a constant: drawn by chains alone
        for other in others(plain):
            torch.testing.assert_close(other.score(x, given=context), plain.score(x, given=context), **close)
            if plain.density == "unnormalised":
                torch.testing.assert_close(other.log_density(x, context), plain.log_density(x, context), **close)
        return
    expected = plain.log_prob(x, given=context, seed=3)
    drawn, joint = plain.sample(4, given=context, seed=5), plain.sample_and_log_prob(4, given=context, seed=5)
    for other in others(plain):
        torch.testing.assert_close(other.log_prob(x, given=context, seed=3), expected, **close)
        torch.testing.assert_close(other.ledger(x, given=context, seed=3).total, expected, **close)
        torch.testing.assert_close(other.sample(4, given=context, seed=5), drawn, **close)
        torch.testing.assert_close(other.sample_and_log_prob(4, given=context, seed=5), joint, **close)


@pytest.mark.parametrize("path", [path for path in SPECS if not noises(path)], ids=lambda p: p.stem)
def test_every_spec_is_the_same_at_every_level(path: Path) -> None:
    spec = dgmspec.load(path)
    params = {"depth": 2} if "depth" in spec.params else {}
    for name in spec.models:
        every_level(dgmspec.compile(spec, name, params, seed=1, dtype=torch.float64, optimize="O0"))


@pytest.mark.parametrize("path", [path for path in SPECS if noises(path)], ids=lambda p: p.stem)
def test_every_noising_spec_is_the_same_at_every_level(path: Path) -> None:
    """A graph that a pass leaves as it is needs no run, which is dear where a score is followed."""
    spec = dgmspec.load(path)
    for name in spec.models:
        plain = dgmspec.compile(spec, name, {"depth": 2} if "depth" in spec.params else {}, optimize="O0")
        for way in WAYS:
            graph = optimise(plain.graph, passes=way)
            assert parameters(graph) == parameters(plain.graph)
            if graph != plain.graph:
                rows = {n: draw_event(t, 6, seed=2) for n, t in {**plain.observed, **plain.givens}.items()}
                found, expected = (m.loss(rows, seed=3).total for m in (rewritten(plain, graph, True), plain.double()))
                torch.testing.assert_close(found, expected)


def every_level(plain: CompiledModel) -> None:
    randomise(plain, seed=1, scale=0.1)
    drawn = {n: draw_event(t, 6, seed=2) for n, t in {**plain.observed, **plain.givens}.items()}
    context = {n: drawn[n] for n in plain.givens} or None
    x = {n: drawn[n] for n in plain.observed}
    same(plain.eval(), x if len(x) > 1 else x[next(iter(x))], context, 1e-8)


@pytest.mark.parametrize("examples", [10, pytest.param(500, marks=pytest.mark.slow)])
def test_random_flows_are_the_same_at_every_level(examples: int) -> None:
    def holds(found: tuple[str, int]) -> None:
        plain = compiled(*found, optimize="O0")
        x, context = points(plain, found[1])
        assume(all(well_conditioned(jacobian(plain, x, context, row)) for row in range(len(x))))
        same(plain, x, context, 1e-6)

    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    decorate = settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=checks)
    decorate(given(flows())(holds))()


FLOW = "dgm 1\nmodel M {{ observe x : real[4]; latent z : real[4] ~ normal(0, 1); flow x -> z {{ {} }} }}\n"


@pytest.mark.parametrize(
    ("steps", "targets"),
    [
        ("actnorm; permute(reverse); actnorm; linear(diagonal)", ["gather", "scaled", "log_prob", "total"]),
        ("actnorm; linear(plu); permute([1, 0, 3, 2]); actnorm", ["affine", "log_prob", "total"]),
        ("actnorm; coupling(affine, mask = half, net = mlp(4))", ["forward", "forward", "log_prob", "total"]),
    ],
)
def test_frozen_models_fold_what_is_constant(steps: str, targets: list[str]) -> None:
    model = compiled(FLOW.format(steps))
    frozen = model.freeze()
    lines = frozen.program("log_prob").instructions
    assert [line.target for line in lines] == targets
    # What is constant is one number: the prior's term is left, and a coupling's.
    assert len(lines[-1].inputs) == 1 + steps.count("coupling") and lines[-1].address
    x = torch.randn(5, 4, dtype=torch.float64)
    torch.testing.assert_close(frozen.log_prob(x), model.log_prob(x))


def test_a_trainable_model_folds_nothing_and_sees_its_weights_change() -> None:
    model = compiled(FLOW.format("actnorm; permute(reverse); actnorm; linear(plu)"))
    x = torch.randn(5, 4, dtype=torch.float64)
    before = model.log_prob(x)
    randomise(model, seed=9)
    after = model.log_prob(x)
    assert not torch.equal(before, after)
    torch.testing.assert_close(model.ledger(x).total, after)
    torch.testing.assert_close(model.freeze().log_prob(x), after)
