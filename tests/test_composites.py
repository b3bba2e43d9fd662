"""Random flows of the library's own examples obey the laws of one step; random documents never raise."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, Phase, assume, event, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from torch import Tensor

import dgmspec
from dgmspec.checks.analysis import Analysis
from dgmspec.core.jacobian import Dependency
from dgmspec.core.render import render
from dgmspec.modules.compiled import CompiledModel
from dgmspec.modules.redraws import OutsideError
from tests.flows import compiled, flow
from tests.strategies import mutated, specs
from tests.zoo import draw_event, step_texts

DEPTH = 6
CHANGING = ("dequantize", "augment", "argmax", "abs", "sort", "max_pool")
"""Steps with draws of their own, whose ends are no vectors of one length."""

STEPS = tuple(step for step in dict.fromkeys(step_texts()) if not any(name in step for name in CHANGING))
SUPPORTS = ("real", "real", "real", "positive", "unit", "interval(-1, 1)")
BLOCKS = ("{}", "{}", "{}", "{}", "inverse {{ {} }}", "repeat 2 as k {{ {} }}")
WORST = 1e5
"""Maps whose Jacobian is worse conditioned than this lose more digits than the laws allow for."""


SHAPES = ("[2]", "[3]", "[4]", "[1]", "", "[2, 2]", "[1, 2, 2]")


@st.composite
def flows(draw: DrawFn, shapes: tuple[str, ...] = SHAPES) -> tuple[str, int]:
    """A text that the checker accepts, and a seed: steps one after another, those refused where they stand left out."""
    shape = draw(st.sampled_from(shapes))
    before = draw(st.sampled_from(SUPPORTS)) + shape
    context = draw(st.booleans())
    steps: list[str] = []
    found = None
    for _ in range(2 * DEPTH):
        step = draw(st.sampled_from(BLOCKS)).format(draw(st.sampled_from(STEPS)))
        text = flow(before, [*steps, step], context)
        if text is not None and len(steps) < DEPTH:
            steps.append(step)
            found = text
    assume(found is not None)
    assert found is not None
    event(f"{len(steps)} steps")
    return found, draw(st.integers(0, 1_000))


def points(model: CompiledModel, seed: int) -> tuple[Tensor, dict[str, Tensor] | None]:
    """Three points well inside the support, and a context for each."""
    x = draw_event(model.observed["x"], 3, seed, spread=0.5)
    given_ = {name: draw_event(type_, 3, seed + 1) for name, type_ in model.givens.items()}
    return x, given_ or None


def jacobian(model: CompiledModel, x: Tensor, context: dict[str, Tensor] | None, row: int) -> Tensor:
    """∂z/∂x at one row, (d, d)."""
    batch = {name: c[row : row + 1] for name, c in context.items()} if context else None
    found = torch.autograd.functional.jacobian(lambda v: model.encode(v[None], given=batch)[0], x[row])
    return found.reshape(x[row].numel(), x[row].numel())


def well_conditioned(matrix: Tensor) -> bool:
    if not bool(matrix.isfinite().all()):
        return False
    values = torch.linalg.svdvals(matrix)
    return bool(values[-1] > 0) and float(values[0] / values[-1]) < WORST and float(values[0]) < WORST


def claimed(model: CompiledModel) -> Dependency | None:
    """What the composition of the steps' declarations says of the whole flow."""
    (chain,) = Analysis(model.graph).chains.values()
    return chain.whole.dependency


def obeys_the_laws(text: str, seed: int) -> None:
    """Inverse, log-determinant, dependency, and the same values through every back end."""
    model = compiled(text, seed)
    x, context = points(model, seed)
    matrices = [jacobian(model, x, context, row) for row in range(len(x))]
    assume(all(map(well_conditioned, matrices)))

    z = model.encode(x, given=context)
    torch.testing.assert_close(model.decode(z, given=context), x, rtol=1e-7, atol=1e-7)

    reported = model.ledger(x, given=context, direction="encode").total
    expected = torch.linalg.slogdet(torch.stack(matrices)).logabsdet
    torch.testing.assert_close(reported, expected, rtol=1e-7, atol=1e-7)

    allowed = claimed(model)
    assert allowed is not None
    for i, row in enumerate(allowed.rows):
        forbidden = torch.tensor([not row >> j & 1 for j in range(len(matrices[0]))])
        for matrix in matrices:
            assert not bool((matrix[i].abs() > 1e-12 * matrix.abs().max())[forbidden].any()), f"output {i}"

    plain = compiled(text, seed, optimize="O0")
    assert plain.state_dict().keys() == model.state_dict().keys()
    log_prob, drawn = model.log_prob(x, given=context), sampled(model, context, seed)
    for other in (plain, model.freeze()):
        torch.testing.assert_close(other.log_prob(x, given=context), log_prob, rtol=1e-7, atol=1e-7)
        torch.testing.assert_close(other.ledger(x, given=context).total, log_prob, rtol=1e-7, atol=1e-7)
        found = sampled(other, context, seed)
        torch.testing.assert_close(found, drawn, rtol=1e-6, atol=1e-6, equal_nan=True)


def sampled(model: CompiledModel, context: dict[str, Tensor] | None, seed: int) -> Tensor:
    """Three samples; none where hardly anything of the model lies where data may."""
    try:
        found: Tensor = model.sample(3, given=context, seed=seed)
    except OutsideError:
        return torch.empty(0, dtype=torch.float64)
    return found


@pytest.mark.parametrize("examples", [15, pytest.param(2_000, marks=pytest.mark.slow)])
def test_random_flows_obey_the_laws_of_one_step(examples: int) -> None:
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    decorate = settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=checks)
    decorate(given(flows())(lambda found: obeys_the_laws(*found)))()


@pytest.mark.parametrize("examples", [80, pytest.param(5_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("texts", [specs().map(lambda s: s.text()), mutated(specs().map(lambda s: s.text()))],
                         ids=["printed", "mutated"])  # fmt: skip
def test_random_documents_never_raise(texts: st.SearchStrategy[str], examples: int) -> None:
    def holds(text: str) -> None:
        found = dgmspec.diagnose(text)
        assert isinstance(render(found.diagnostics, found.texts), str)
        for name in found.graphs:
            assert found.graphs[name].complete is False or isinstance(found.explain(name), str)

    # The text that failed is printed as it was drawn: making it smaller would take minutes.
    decorate = settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        phases=[Phase.generate],
    )
    decorate(given(texts)(holds))()
