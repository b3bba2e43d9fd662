"""The laws of every operation, in float64, over every example of the library. No operation is named here."""

from __future__ import annotations

import copy
import math
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

import dgmspec
from dgmspec.checks.analysis import Analysis
from dgmspec.core.jacobian import Jacobian
from dgmspec.core.types import UNKNOWN, Type
from dgmspec.modules.compiled import CompiledModel
from dgmspec.modules.randomness import noise_for
from dgmspec.ops import library
from dgmspec.runtime.selfcheck import self_check
from tests.zoo import Case, draw_event, randomise, steps

BATCH = 5
CASES = steps()
FIRST = {
    (
        *case.step.split("(")[: 2 if case.step.startswith("elementwise") else 1],
        len(case.before.split(",")),
        *re.findall(r"^autoregressive.*net = (\w+)", case.step),
    ): case
    for case in reversed(CASES)
}
"""One case of each step, scalar bijector and autoregressive net, of vectors and of images."""


def parts(case: Case) -> tuple[CompiledModel, Tensor, dict[str, Tensor] | None]:
    model = case.compile()
    x = draw_event(type_of(model, "x"), BATCH)
    given = {"c": torch.randn(BATCH, 2, dtype=torch.float64)} if case.context else None
    return model, x, given


def type_of(model: CompiledModel, name: str) -> Type:
    found = model.graph.type_of(model.graph.variables[name].value)
    assert found is not UNKNOWN
    return found


def stochastic(model: CompiledModel) -> bool:
    """Whether some step's value is a draw one way, which the other way undoes."""
    graph = model.graph
    return any(
        step.op.stochastic(graph.type_of(step.target if step.inverse else step.source)) for step in graph.steps.values()
    )


def folds(model: CompiledModel) -> bool:
    """Whether some step takes several events to one."""
    return any(step.op.folds for step in model.graph.steps.values())


def drawn(model: CompiledModel, phase: str) -> bool:
    """Whether the value that a phase ends in is a draw: it is no function of what it started from."""
    return stochastic(model) and bool(model.program(phase).draws)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_inverse_undoes_forward_both_ways(case: Case) -> None:
    model, x, given = parts(case)
    z = model.encode(x, given=given)
    if not drawn(model, "decode"):
        # Where coordinates follow one another, the rounding of z grows by the condition of the map, a million here.
        torch.testing.assert_close(model.decode(z, given=given), x, rtol=1e-8, atol=1e-8)
    if not drawn(model, "encode"):
        torch.testing.assert_close(model.encode(model.decode(z, given=given), given=given), z, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    "case",
    [pytest.param(c, marks=[] if c in FIRST.values() else [pytest.mark.slow], id=str(c)) for c in CASES],
)
@torch.no_grad()
def test_an_empty_batch_gives_empty_results(case: Case) -> None:
    model, x, given = parts(case)
    none = {n: c[:0] for n, c in given.items()} if given else None
    z = model.encode(x[:0], given=none, seed=0)
    assert z.shape == (0, *type_of(model, "z").shape)
    assert model.decode(z, given=none, seed=0).shape == x[:0].shape
    assert model.ledger(x[:0], given=none, seed=0, direction="encode").total.shape == (0,)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_log_det_is_the_jacobians(case: Case) -> None:
    model, x, given = parts(case)
    if any(step.op.density == "estimate" for step in model.graph.steps.values()):
        return log_det_is_right_on_average(model, x, given)
    if drawn(model, "decode") or folds(model):
        pytest.skip("undoing a draw adds its density: minus what the draw added, as the next law says")
    reported = sum(step.logdet for step in model.ledger(x, given=given, seed=1, direction="encode"))
    for row in range(2):
        context = {n: c[row] for n, c in given.items()} if given else None
        if stochastic(model):
            expected = of_the_draws(model, x[row], context, noise_for(model.program("encode"), (row, 1), 1, x.dtype))
        else:
            expected = torch.linalg.slogdet(jacobian_at(model, x[row], context)).logabsdet
        total = reported if reported.dim() == 0 else reported[row]
        torch.testing.assert_close(total, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("case", [case for case in CASES if not case.step.startswith("inverse")], ids=str)
def test_undoing_a_draw_adds_what_it_took(case: Case) -> None:
    model, _, _ = parts(case)
    if stochastic(model):
        assert all(finding.holds for finding in self_check(model))


def of_the_draws(model: CompiledModel, x: Tensor, given: dict[str, Tensor] | None, noise: dict[str, Tensor]) -> Tensor:
    """What a step that draws adds: log|∂y/∂(x, v)| - log p(v), x only where it is continuous."""
    (draw,) = (entry.draw for entry in model.program("encode").draws)
    (name, v), fixed = next(iter(noise.items())), {n: c[None] for n, c in (given or {}).items()}
    assert draw is not None and draw.law in ("uniform", "normal")
    moved = model.type_of("x").support.continuous
    start = torch.cat([x.flatten(), v.flatten()]) if moved else v.flatten()

    def run(values: Tensor) -> Tensor:
        event = values[: x.numel()].reshape(1, *x.shape) if moved else x[None]
        inputs = {"x": event, **fixed, name: values[len(values) - v.numel() :].reshape(v.shape)}
        return model.run("encode", inputs)["z"].flatten()

    jacobian = torch.autograd.functional.jacobian(run, start)
    law = torch.distributions.Normal(0.0, 1.0).log_prob(v).sum() if draw.law == "normal" else 0.0
    return torch.linalg.slogdet(jacobian).logabsdet - law


def log_det_is_right_on_average(model: CompiledModel, x: Tensor, given: dict[str, Tensor] | None) -> None:
    """The mean of many draws of an estimate lies within its own error of the logarithm."""
    one = {n: c[:1] for n, c in given.items()} if given else None
    jacobian = jacobian_at(model, x[0], {n: c[0] for n, c in one.items()} if one else None)
    many = x[:1].expand(20_000, *x.shape[1:])
    found = sum(step.logdet for step in model.ledger(many, given=one, seed=0, direction="encode"))
    error = found.std() / math.sqrt(len(found))
    assert abs(found.mean() - torch.linalg.slogdet(jacobian).logabsdet) < 4.5 * error


def facts_of(model: CompiledModel) -> Jacobian:
    """What the declarations say of the flow from x to z."""
    (chain,) = Analysis(model.graph).chains.values()
    return chain.whole


def jacobian_at(model: CompiledModel, x: Tensor, given: dict[str, Tensor] | None) -> Tensor:
    batch = {n: c[None] for n, c in given.items()} if given else None
    found = torch.autograd.functional.jacobian(lambda v: model.encode(v[None], given=batch)[0], x)
    return found.reshape(x.numel(), x.numel())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_claimed_dependency_covers_the_real_pattern(case: Case) -> None:
    model, x, given = parts(case)
    if stochastic(model):
        pytest.skip("a stochastic step has no Jacobian")
    claimed = facts_of(model)
    assert claimed.dependency is not None
    real = jacobian_at(model, x[0], {n: c[0] for n, c in given.items()} if given else None).abs() > 1e-12
    for i, row in enumerate(claimed.dependency.rows):
        allowed = torch.tensor([bool(row >> j & 1) for j in range(x[0].numel())])
        assert not (real[i] & ~allowed).any(), f"output {i} depends on an input that the declaration excludes"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_constant_and_unit_determinant_claims_hold(case: Case) -> None:
    model, x, given = parts(case)
    if stochastic(model):
        pytest.skip("a stochastic step has no Jacobian")
    facts = facts_of(model)
    rows = [jacobian_at(model, x[i], {n: c[0] for n, c in given.items()} if given else None) for i in range(2)]
    if facts.constant.value == "yes":
        torch.testing.assert_close(rows[0], rows[1])
    if facts.unit_det.value == "yes":
        torch.testing.assert_close(torch.linalg.slogdet(rows[0]).logabsdet.abs(), torch.tensor(0.0).double())
    if facts.orthogonal.value == "yes":
        torch.testing.assert_close(rows[0] @ rows[0].T, torch.eye(len(rows[0])).double())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_inferred_type_is_the_real_one(case: Case) -> None:
    model, x, given = parts(case)
    inferred = type_of(model, "z")
    z = model.encode(x, given=given)
    assert z.shape == (BATCH, *inferred.shape)
    assert bool((z >= inferred.support.low).all()) and bool((z <= inferred.support.high).all())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_parameter_gets_a_gradient_and_masks_hold(case: Case) -> None:
    model, x, given = parts(case)
    reported = sum(step.logdet for step in model.ledger(x, given=given, direction="encode"))
    loss = (model.encode(x, given=given) ** 2).sum() + reported.sum()
    trainable = {n: p for n, p in model.named_parameters() if p.requires_grad}
    if not trainable or (drawn(model, "decode") and not folds(model)):
        return  # what shapes draws has no part in undoing them
    loss.backward()
    for name, parameter in trainable.items():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        mask = model.mask_of(name)
        if mask is not None:
            assert not parameter.grad[mask == 0].any(), f"{name}: the gradient leaves the mask"
    assert all(p.grad.abs().sum() > 0 for p in trainable.values() if p.numel())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_parameter_specs_are_what_the_twin_uses(case: Case) -> None:
    model, _, _ = parts(case)
    declared = set()
    for step in model.graph.steps.values():
        before = model.graph.type_of(step.target if step.inverse else step.source)
        context = model.graph.type_of(step.context) if step.context else None
        declared |= {(f"{step.address}/{p.name}", tuple(p.shape)) for p in step.op.parameters(before, context)}
    assert declared == {(name, tuple(p.shape)) for name, p in model.named_parameters()}


@pytest.mark.parametrize("case", [case for case in CASES if "= inf" not in case.step], ids=str)
def test_float32_stays_finite_at_extremes(case: Case) -> None:
    model = dgmspec.compile(dgmspec.parse(case.text), seed=0, dtype=torch.float32)
    randomise(model)
    x = draw_event(type_of(model, "x"), 64, spread=30.0).float().clamp(-80, 80)
    support = type_of(model, "x").support
    x = x if support.discrete else inside(x, support.low, support.high)
    given = {"c": torch.randn(64, 2)} if case.context else None
    z = model.encode(x, given=given)
    assert torch.isfinite(z).all()
    for step in model.ledger(x, given=given, direction="encode"):
        assert torch.isfinite(torch.as_tensor(step.logdet)).all(), step.name


def inside(x: Tensor, low: float, high: float) -> Tensor:
    """The points moved off the ends of (low, high) by a few units in the last place."""
    eps = torch.finfo(x.dtype).eps
    bottom = low + eps * (1 + abs(low)) if math.isfinite(low) else -math.inf
    return x.clamp(bottom, high - eps * (1 + abs(high)) if math.isfinite(high) else math.inf)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_eval_equals_train_save_and_copy_keep_values(case: Case, tmp_path: Path) -> None:
    model, x, given = parts(case)
    value = model.encode(x, given=given, seed=0)
    if "dropout" not in case.step and not any(step.op.updates for step in model.graph.steps.values()):
        torch.testing.assert_close(model.train().encode(x, given=given, seed=0), value)
        model.eval()
    model.save(tmp_path / "model")
    torch.testing.assert_close(dgmspec.load_model(tmp_path / "model").double().encode(x, given=given, seed=0), value)
    torch.testing.assert_close(copy.deepcopy(model).encode(x, given=given, seed=0), value)
    torch.testing.assert_close(model.freeze().encode(x, given=given, seed=0), value, rtol=1e-9, atol=1e-9)


def test_every_operation_is_reached() -> None:
    used = " ".join(case.step for case in CASES)
    roles = {"step", "scalar", "net", "mask", "order", "permutation", "linear_form", "dequantizer"}
    missing = [cls.name for cls in library() if cls.role in roles and cls.name not in used]
    assert not missing, f"no accepted example of {missing}"
