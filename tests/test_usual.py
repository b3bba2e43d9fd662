"""Names of other libraries and papers: what is offered for them exists, and comes before what is merely near."""

from __future__ import annotations

import pytest

import dgmspec
from dgmspec.algebra.functions import FUNCTIONS, OF_LOSSES
from dgmspec.core.usual import USUAL
from dgmspec.graph.losses import SCHEDULES
from dgmspec.ops import library, names, signature
from dgmspec.ops.training import Sample, Train
from dgmspec.spec.bodies import TYPES

ROLES = [role for role in USUAL if role in library().entries]


@pytest.mark.parametrize("role", ROLES)
def test_what_is_offered_is_in_the_library_and_what_it_stands_for_is_not(role: str) -> None:
    for name, written in USUAL[role].items():
        called = written.removeprefix("inverse ").partition("(")[0]
        assert called in names(role) and name not in names(role), (name, written)


def test_settings_types_and_functions_exist() -> None:
    for block, cls in (("train", Train), ("sample", Sample)):
        known = {parameter.name for parameter in signature(cls)}
        for name, written in USUAL[block].items():
            assert written.partition(" = ")[0] in known and name not in known
            text = f"{block} M {{ {written} }}"
            found = dgmspec.diagnose(model("normal(0, 1)") + text).diagnostics
            assert not {d.code for d in found} & {"DGM230", "DGM232", "DGM801", "DGM803"}, (written, found)
    assert all(written.partition("(")[0] in TYPES and name not in TYPES for name, written in USUAL["type"].items())
    assert not FUNCTIONS.keys() & USUAL["function"].keys() and set(OF_LOSSES) == set(SCHEDULES)


@pytest.mark.parametrize(("line", "offered"), [
    ("loss = score_matching", "ism"),  # and not `flow_matching`, which is near
    ("loss = mle", "nll"),
    ("latent u : real ~ multi_normal(0, 1)", "multivariate_normal(scale_tril = L)"),
    ("latent u : vector[2]", "real"),
    ("energy U(y) = pow(y[0], 2)", "x^a"),
    ("latent u : real; ode x -> u over t in 0..1 { f(y, t) = mlp(8) }", "velocity(y, t) = …"),
    ("flow x -> z { affine_coupling(8) }", "coupling(affine, mask = half, net = mlp(64))"),
    ("flow x -> z { coupling(affine, mask = half, net = mlp(8, activation = swish)) }", "silu"),
])  # fmt: skip
def test_another_name_is_answered_with_ours(line: str, offered: str) -> None:
    found = dgmspec.diagnose(model("normal(0, 1)", line)).diagnostics
    assert [d.help for d in found if d.help and d.help[0].startswith("here it is")] == [(f"here it is `{offered}`",)]


@pytest.mark.parametrize(("line", "said"), [
    ("energy U(y) = anneal(0, 1, 10) * y[0]^2", "changes a number of a loss"),
    ("learn m : real ~ normal(0, 1)", "`latent m : … ~ …`"),
    ("energy U(y) = sum(y[0:1])", "there are no slices"),
    ("learn A : real[2, 2]; energy U(y) = dot(A.T @ y, y)", "`transpose(A)`"),
    ("perturb x over s in geometric(10, 4, 0.05) { kernel(x, s) ~ normal(x, s) }", "`geometric(4, 0.05, 10)`"),
    ("flow x -> z { coupling(affine, mask = half, net = mlp(8, layers = 2)) }", "has no argument `layers`"),
])  # fmt: skip
def test_a_habit_of_elsewhere_is_answered(line: str, said: str) -> None:
    found = dgmspec.diagnose(model("normal(0, 1)", line)).diagnostics
    assert any(said in text for d in found for text in (d.message, *d.help)), found


def model(prior: str, *lines: str) -> str:
    members = "\n".join(lines)
    return f"dgm 1\nmodel M {{\nobserve x : real[2]\nlatent z : real[2] ~ {prior}\n{members}\n}}\n"


def test_a_list_stands_for_all_positional_arguments() -> None:
    flow = "flow x -> z { coupling(affine, mask = half, net = mlp(WIDTHS)); permute(reverse) }"
    one, two, three = (
        dgmspec.parse("dgm 1\nparam w = [8, 4]\n" + model("normal(0, 1)", flow.replace("WIDTHS", widths))[6:])
        for widths in ("8, 4", "[8, 4]", "w")
    )
    sizes = [sum(p.numel() for p in dgmspec.compile(spec).parameters()) for spec in (one, two, three)]
    assert len(set(sizes)) == 1
    listed = model("mixture([normal(0, c), normal(2, 1)])", "given c : positive", "flow x -> z { actnorm }")
    assert not [d for d in dgmspec.diagnose(listed).diagnostics if d.severity.value == "error"]


@pytest.mark.parametrize(("loss", "warned"), [
    ("-nll", True), ("nll", False), ("0 - 2 * nll", True), ("anneal(1, 0, 10) * nll", False),
    ("anneal(-1, 1, 10) * nll", False),
])  # fmt: skip
def test_a_term_that_is_made_larger_is_warned_of(loss: str, warned: bool) -> None:
    found = dgmspec.diagnose(model("normal(0, 1)", "flow x -> z { actnorm }", f"loss = {loss}")).diagnostics
    assert ("DGM716" in {d.code for d in found}) is warned
