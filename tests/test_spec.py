"""The laws of specs: text, objects and JSON stand for each other, names are checked, and nothing raises."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from strategies import mutated, specs

import dgmspec
from dgmspec.core.address import prefixes
from dgmspec.core.diagnostics import Span, SpecError, has_errors
from dgmspec.spec import Spec, diagnose, load, override, parse
from dgmspec.spec.model import Model

LAWS = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
ROOT = Path(__file__).parent.parent

FLOW = """dgm 1
param depth = 8
fn double(t) = 2 * t
model RealNVP {
    observe x : real[2]
    latent z : real[2] ~ normal(0, 1)
    net h(a) : real[4] = mlp(8)
    flow x -> z {
        repeat depth as k {
            coupling(affine, mask = alternate(k), net = mlp(double(8), 64))
            actnorm
        }
    }
    loss = nll
}
train RealNVP {
    steps = 5_000
    data = two_moons(n = 100)
}
"""


# ---- laws -----------------------------------------------------------------------------------------------------------


@LAWS
@given(specs())
def test_text_and_json_give_the_spec_back(spec: Spec) -> None:
    text = spec.text()
    diagnosis = diagnose(text)

    assert not has_errors(diagnosis.diagnostics), [str(d) for d in diagnosis.diagnostics]
    assert diagnosis.spec == spec
    assert diagnosis.spec.text() == text
    assert Spec.from_json(spec.model_dump_json()) == spec
    assert hash(diagnosis.spec) == hash(spec)


@LAWS
@given(specs())
def test_every_address_has_its_place_in_the_text(spec: Spec) -> None:
    text = spec.text()
    where = diagnose(text).source_map
    for address in where:
        span = where(address)
        assert span is not None and 0 <= span.start < span.end <= len(text)


@settings(LAWS, max_examples=60)
@given(mutated(specs().map(Spec.text)))
def test_mutated_text_gives_diagnostics_only(text: str) -> None:
    start = time.process_time()
    diagnosis = diagnose(text)

    assert (diagnosis.spec is None) == has_errors(diagnosis.diagnostics)
    for found in diagnosis.diagnostics:
        for at in (found.at, *(label.at for label in found.labels)):
            assert at is None or (isinstance(at, Span) and 0 <= at.start <= at.end <= len(text))
    if diagnosis.spec is not None:
        assert parse(diagnosis.spec.text()) == diagnosis.spec
    assert time.process_time() - start < 10


def test_every_form_of_the_language_round_trips() -> None:
    text = (Path(__file__).parent / "forms.dgm").read_text()
    sources = {"blocks.dgm": "dgm 1\nbijector step(k = 2) = { actnorm }\nfn f(t) = t\n"}
    spec = parse(text, sources)

    assert spec.text() == text
    assert parse(spec.text(), sources) == spec
    assert Spec.from_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize("path", sorted((ROOT / "specs").glob("*.dgm")), ids=lambda p: p.stem)
def test_the_specs_of_the_project_round_trip(path: Path) -> None:
    spec = load(path)

    assert parse(spec.text(), spec.sources) == spec
    assert Spec.from_json(spec.model_dump_json()) == spec


# ---- objects --------------------------------------------------------------------------------------------------------


def test_addresses_point_at_what_they_name() -> None:
    where = diagnose(FLOW).source_map

    def written(address: str) -> str:
        span = where(address)
        assert span is not None
        return FLOW[span.start : span.end]

    assert written("RealNVP") == "model RealNVP"
    assert written("RealNVP/z/prior") == "normal(0, 1)"
    assert written("RealNVP/z/prior/1") == "1"
    assert written("RealNVP/x->z") == "flow x -> z"
    assert written("RealNVP/x->z/0[k=3]/0/mask") == "alternate(k)"
    assert written("RealNVP/x->z/0[k=3]/0/net/1") == "64"
    assert written("RealNVP/x->z/0[7]/1") == "actnorm"
    assert written("RealNVP/x->z/0/0/nowhere/at/all").startswith("coupling(")
    assert written("train RealNVP/steps/value") == "5_000"
    assert written("double/value") == "2 * t"


def test_an_address_of_a_joint_state_keeps_its_brackets() -> None:
    assert list(prefixes("M/[x,v]->z/0[k=3]/1[2]")) == ["M/[x,v]->z/0/1", "M/[x,v]->z/0", "M/[x,v]->z", "M"]


def test_a_model_prints_as_a_file_of_its_own() -> None:
    model = parse(FLOW).models["RealNVP"]

    assert isinstance(model, Model)
    assert model.text().startswith("dgm 1\n")
    assert parse(model.text().replace("depth", "8").replace("double(8)", "16")).models.keys() == {"RealNVP"}


def test_params_are_replaced_by_name() -> None:
    spec = parse(FLOW).with_params(depth=4)

    assert "param depth = 4\n" in spec.text()
    assert (
        parse(FLOW).with_params(depth=[1, -2.5]).params["depth"].value
        == parse("dgm 1\nparam a = [1, -2.5]").params["a"].value
    )
    with pytest.raises(SpecError) as error:
        parse(FLOW).with_params(detph=4)
    assert [d.code for d in error.value.diagnostics] == ["DGM226"]
    assert error.value.diagnostics[0].help == ("did you mean `depth`?",)
    with pytest.raises(SpecError):
        parse(FLOW).with_params(depth=object())


def test_values_from_outside_reach_params_and_blocks() -> None:
    spec = override(parse(FLOW), {"depth": "2 * 2", "train.steps": "20", "train.seed": "3"})

    assert isinstance(spec, Spec)
    assert "param depth = 2 * 2\n" in spec.text()
    assert "    steps = 20\n    data = two_moons(n = 100)\n    seed = 3\n" in spec.text()


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("detph", "4", "DGM226"),
        ("tran.steps", "4", "DGM226"),
        ("sample.count", "4", "DGM226"),
        ("train.", "4", "DGM226"),
        ("depth", "4 4", "DGM227"),
        ("depth", "4\nmodel = 3", "DGM227"),
        ("depth", "4; loss = nll", "DGM227"),
        ("depth", "", "DGM227"),
        ("train.steps", "}", "DGM227"),
    ],
)
def test_values_that_fit_nowhere_are_refused(name: str, value: str, code: str) -> None:
    found = override(parse(FLOW), {name: value})

    assert not isinstance(found, Spec)
    assert code in {d.code for d in found}


@pytest.mark.parametrize(
    "json_text",
    [
        "",
        "[]",
        '{"items": [{"kind": "modle"}]}',
        '{"item": []}',
        '{"items": [{"kind": "param", "name": "a b", "value": {"kind": "number", "value": 1}}]}',
        '{"items": [{"kind": "param", "name": "pi", "value": {"kind": "number", "value": 1}}]}',
        '{"items": [{"kind": "param", "name": "a", "value": {"kind": "number", "value": -1}}]}',
        '{"items": [{"kind": "param", "name": "a", "value": {"kind": "name", "id": "x } model"}}]}',
        '{"items": [{"kind": "use", "path": "a\\"\\n", "alias": "b"}]}',
        '{"items": [{"kind": "fn", "name": "a", "args": [], "value": {"kind": "number", "value": 1}}]}',
        '{"items": [' + '{"kind": "model", "members": [' * 500,
    ],
)
def test_json_that_is_no_spec_is_a_diagnostic(json_text: str) -> None:
    with pytest.raises(SpecError) as error:
        Spec.from_json(json_text)
    assert {d.code for d in error.value.diagnostics} == {"DGM225"}


def test_the_json_schema_names_every_kind_of_item() -> None:
    schema = json.dumps(Spec.json_schema())

    assert all(name in schema for name in ("Model", "Bijector", "Train", "Call", "Variable", "format_version"))


def test_depth_of_objects_is_a_finding_and_not_a_crash() -> None:
    deep = parse("dgm 1\nparam a = 1").params["a"].value
    for _ in range(100):
        deep = -deep
    spec = parse("dgm 1\nparam a = 1").with_params(a=deep)

    assert has_errors(diagnose(spec.text()).diagnostics)


# ---- what is refused ------------------------------------------------------------------------------------------------


def model(*members: str, top: str = "") -> str:
    lines = ("observe x : real[2]", "latent z : real[2] ~ normal(0, 1)", *members)
    return "dgm 1\n" + top + "\nmodel M {\n    " + "\n    ".join(lines) + "\n}\n"


@pytest.mark.parametrize(
    ("text", "code", "under", "help"),
    [
        (model("flow x -> y { actnorm }"), "DGM201", "y", "declare it: `latent y : real[*]`"),
        (model("latent zed : real", "flow x -> zde { actnorm }"), "DGM201", "zde", "did you mean `zed`?"),
        (model("fn f(t) = 2 * s"), "DGM201", "s", ""),
        (model("fn f(tau) = 2 * tua"), "DGM201", "tua", "did you mean `tau`?"),
        (model("fn f(t) = epx(t)"), "DGM201", "epx(t)", "did you mean `exp`?"),
        (model("flow x -> z { blocks.step }"), "DGM201", "blocks.step", ""),
        (model("latent u : real[D]"), "DGM201", "D", ""),
        (model("latent x : real"), "DGM202", "latent x : real", ""),
        (model("flow x -> z { exp }", "flow x -> z { tanh }"), "DGM202", "flow x -> z { tanh }", ""),
        (model(top="param a = 1; param a = 2"), "DGM202", "param a = 2", ""),
        (model("fn f(t, t) = t"), "DGM202", "t", ""),
        (model("fn f = 3"), "DGM203", "fn f = 3", ""),
        (model("latent u ~ normal(0, 1)"), "DGM203", "latent u ~ normal(0, 1)", ""),
        (model("flow x { actnorm }"), "DGM203", "flow x { actnorm }", ""),
        (model("given c : real ~ normal(0, 1)"), "DGM204", "~ normal(0, 1)", ""),
        (model("fn f(t : real) = t"), "DGM204", "real", ""),
        (model("latent pi : real"), "DGM206", "pi", ""),
        (model("net h(c) : real = mlp(8)", "fn f(t) = 2 * h"), "DGM207", "h", "write `h(c)`"),
        (model("net h(c) : real = mlp(8)", "flow x -> h { exp }"), "DGM207", "h", ""),
        (model("latent u : real[x]"), "DGM207", "x", "sizes and bounds are numbers and params"),
        (model("flow x -> z { coupling(mask = half, affine) }"), "DGM208", "affine", ""),
        (model("flow x -> z { coupling(affine, mask = half, mask = half) }"), "DGM208", "mask = half", ""),
        (model("actnorm"), "DGM210", "actnorm", ""),
        (model("x ~ normal(0, 1)"), "DGM210", "x ~ normal(0, 1)", ""),
        (model("flow x -> z { learn a = 1 }"), "DGM210", "learn a = 1", ""),
        (model(top="observe x : real"), "DGM210", "observe x : real", ""),
        (model("fn f(t) = t", "fn g(t) = f(t, t)"), "DGM211", "f(t, t)", "write `f(t)`"),
        (model("fn g(t) = exp(t, t)"), "DGM211", "exp(t, t)", ""),
        (model("flow x -> z { b(2, 3) }", top="bijector b(w = 1) = { actnorm }"), "DGM211", "b(2, 3)", ""),
        (model("flow x -> z { b(v = 3) }", top="bijector b(w = 1) = { actnorm }"), "DGM211", "b(v = 3)", ""),
        (model("flow x -> z { b }", top="bijector b(w) = { actnorm }"), "DGM211", "b", ""),
        (model("fn f(t) = g(t)", "fn g(t) = f(t)"), "DGM212", "fn f(t) = g(t)", ""),
        (model(top="param a = b; param b = a"), "DGM212", "param a = b", ""),
        (model("latent u : reel[2]"), "DGM213", "reel[2]", "did you mean `real`?"),
        (model("latent u : interval(1)[2]"), "DGM213", "interval(1)[2]", ""),
        (model("latent k : real", top="param k = 3"), "DGM214", "latent k : real", ""),
        (model(top="train N { steps = 2 }"), "DGM201", "train N", ""),
        (model(top='use "a.dgm" as a'), "DGM215", 'use "a.dgm" as a', ""),
    ],
)
def test_what_is_wrong_is_found_where_it_stands(text: str, code: str, under: str, help: str) -> None:
    found = diagnose(text).diagnostics

    match = [d for d in found if d.code == code]
    assert match, [str(d) for d in found]
    at = match[0].at
    assert isinstance(at, Span)
    assert not under or text[at.start : at.end] == under
    assert not help or help in match[0].help


def test_several_mistakes_are_found_in_one_run() -> None:
    text = model("flow x -> y { actnorm; learn a = 1 }", "latent u : reel[2]", "fn f = 3", "loss = nll", "loss = nll")

    assert {d.code for d in diagnose(text).diagnostics} >= {"DGM201", "DGM202", "DGM203", "DGM210", "DGM213"}


def test_a_lost_declaration_causes_no_second_error() -> None:
    broken = model("latent u : real[2", "flow x -> u { actnorm }")
    refused = model("latent u ~ normal(0, 1)", "flow x -> u { actnorm }")

    assert "DGM201" not in {d.code for d in diagnose(broken).diagnostics}
    assert [d.code for d in diagnose(refused).diagnostics] == ["DGM203"]


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("(x + 2) + 0.4", "x + 2 + 0.4"),
        ("((x - 2)) - 0.4", "x - 2 - 0.4"),
        ("(x * 2) / 3", "x * 2 / 3"),
        ("x - (2 + 1)", "x - (2 + 1)"),
        ("x * (2 * 3)", "x * (2 * 3)"),
        ("(x + 2) * 3", "(x + 2) * 3"),
    ],
)
def test_brackets_around_the_first_part_change_nothing(written: str, printed: str) -> None:
    spec = dgmspec.parse(f"dgm 1\nfn f(x) = {written}\n")
    assert spec == dgmspec.parse(f"dgm 1\nfn f(x) = {printed}\n")
    assert f"= {printed}\n" in spec.text()


@pytest.mark.parametrize(
    "model",
    [
        "observe x : like[4]",
        "observe x : real[2]; latent z : real[2] ~ normal(0, 1)\nflow x -> z { adde\u0301²itive }",
    ],
)
def test_what_cannot_be_read_is_a_finding(model: str) -> None:
    assert dgmspec.diagnose(f"dgm 1\nmodel M {{\n{model}\n}}\n").diagnostics
