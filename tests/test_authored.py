"""Laws of author-written bijectors in float64: inverses, log-determinants, claims, gradients; refusals, places."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import dgmspec
from dgmspec.core.diagnostics import Span
from dgmspec.modules.compiled import CompiledModel
from tests.authored import ACCEPTED, REFUSED, Own, Refused
from tests.zoo import draw_event, randomise

BATCH = 5
TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}
each = pytest.mark.parametrize("own", ACCEPTED, ids=str)


def parts(own: Own) -> tuple[CompiledModel, Tensor, dict[str, Tensor] | None]:
    model = dgmspec.compile(dgmspec.parse(own.text), dtype=torch.float64)
    randomise(model)
    x = draw_event(model.type_of("x"), BATCH)
    return model, x, {"c": draw_event(model.type_of("c"), BATCH, seed=1)} if own.context else None


@each
def test_inverse_and_log_determinant(own: Own) -> None:
    model, x, given = parts(own)
    z = model.encode(x, given=given)
    assert torch.isfinite(z).all() and not torch.equal(z, x)
    torch.testing.assert_close(model.decode(z, given=given), x, **TOLERANCE)
    check_log_determinant(model, x, given)


@each
def test_inverse_is_a_map_like_another(own: Own) -> None:
    """The steps undone, as written `inverse { … }`: the inverse's own log-determinant."""
    model, x, given = parts(own)
    z = model.encode(x, given=given).detach()
    undone = Own(
        own.bijector, f"inverse {{ {own.steps} }}", str(model.type_of("z")), own.before.partition("[")[0], own.context
    )
    other = dgmspec.compile(dgmspec.parse(undone.text), dtype=torch.float64)
    own_values = {key.removeprefix("M/x->z/"): value for key, value in model.state_dict().items()}
    other.load_state_dict({key: own_values[key.removeprefix("M/x->z/0/")] for key in other.state_dict()})
    torch.testing.assert_close(other.encode(z, given=given), x, **TOLERANCE)
    check_log_determinant(other, z, given)


def check_log_determinant(model: CompiledModel, x: Tensor, given: dict[str, Tensor] | None) -> None:
    reported = model.ledger(x, given=given, direction="encode").total
    jacobian = jacobian_at(model.encode, x[0], {"c": given["c"][:1]} if given else None)
    torch.testing.assert_close(reported[0], torch.linalg.slogdet(jacobian).logabsdet, **TOLERANCE)


def jacobian_at(run: object, x: Tensor, given: dict[str, Tensor] | None) -> Tensor:
    found = torch.autograd.functional.jacobian(lambda v: run(v[None], given=given)[0], x)
    return found.reshape(x.numel(), x.numel())


@each
def test_claims_hold(own: Own) -> None:
    """The claimed dependencies cover the real ones; what is claimed constant or of determinant one is so."""
    model, x, given = parts(own)
    claimed = None
    for step in model.graph.steps.values():
        before = model.graph.type_of(step.target if step.inverse else step.source)
        facts = step.op.jacobian(before, model.graph.type_of(step.context) if step.context else None)
        facts = facts.inverse() if step.inverse else facts
        claimed = facts if claimed is None else claimed.then(facts)
    real = [jacobian_at(model.encode, x[i], {"c": given["c"][:1]} if given else None) for i in range(2)]
    pattern = torch.tensor(
        [[claimed.dependency.depends(i, j) for j in range(len(real[0]))] for i in range(len(real[0]))]
    )
    assert not (real[0][~pattern].abs() > 1e-12).any()
    if claimed.constant.value != "unknown":
        assert torch.allclose(*real, rtol=1e-9, atol=1e-9) == (claimed.constant.value == "yes")
    if claimed.unit_det.value != "unknown":
        unit = bool((torch.linalg.slogdet(real[0]).logabsdet.abs() < 1e-9).item())
        assert unit == (claimed.unit_det.value == "yes")


@each
def test_every_parameter_has_a_gradient(own: Own) -> None:
    model, x, given = parts(own)
    if not list(model.parameters()):
        return
    z = model.encode(x, given=given)
    (z.sin().sum() + model.ledger(x, given=given, direction="encode").total.sum()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        assert (parameter.grad != 0).any(), name


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_refusals_name_the_place(case: Refused) -> None:
    found = [d for d in dgmspec.diagnose(case.text).diagnostics if d.severity == "error"]
    assert [d.code for d in found if d.code == case.code], [str(d) for d in found]
    diagnostic = next(d for d in found if d.code == case.code)
    assert isinstance(diagnostic.at, Span)
    assert case.text[diagnostic.at.start : diagnostic.at.end] == case.at
    assert diagnostic.message
