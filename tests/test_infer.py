"""Types of every value: forward, backward, refused, silenced; shapes of formulas."""

import pytest

from dgmspec.core.diagnostics import Diagnostic
from dgmspec.core.types import UNKNOWN, Type
from dgmspec.graph.graph import Graph
from dgmspec.graph.infer import infer
from dgmspec.graph.lower import lower
from dgmspec.graph.verify import verify
from dgmspec.spec import diagnose


def typed(x: str, z: str, steps: str, members: str = "", arrow: str = "x -> z") -> tuple[Graph, list[Diagnostic]]:
    text = f"dgm 1\nmodel M {{\nobserve x : {x}\nlatent z : {z}\n{members}\nflow {arrow} {{ {steps} }}\n}}"
    found = diagnose(text)
    assert found.spec is not None, [str(d) for d in found.diagnostics]
    graph, lowered = lower(found.spec)
    assert not lowered, [str(d) for d in lowered]
    result, inferred = infer(graph)
    return verify(result, typed=not inferred), inferred


def types(graph: Graph) -> list[str]:
    return [str(graph.type_of(step.target)) for step in graph.steps.values()]


NORMAL = " ~ normal(0, 1)"


def test_types_run_forward_from_a_declared_start() -> None:
    graph, found = typed("integer(0..16)[1, 8, 8]", f"real[*]{NORMAL}", "dequantize(uniform); logit; flatten; actnorm")
    assert not found
    assert types(graph) == ["interval(0, 17)[1, 8, 8]", "real[1, 8, 8]", "real[64]", "real[64]"]


def test_types_run_backward_from_a_declared_end() -> None:
    graph, found = typed("real[*]", f"real[3]{NORMAL}", "actnorm; permute(reverse)")
    assert not found and str(graph.type_of("M/x")) == "real[3]"


def test_a_chain_may_be_entered_from_the_end_it_starts_at() -> None:
    graph, found = typed("unit[*]", f"real[3]{NORMAL}", "actnorm; sigmoid", arrow="z -> x")
    assert not found and str(graph.type_of("M/x")) == "unit[3]"


def test_inverse_steps_swap_domain_and_image() -> None:
    graph, found = typed("positive[2]", f"real[2]{NORMAL}", "inverse exp; inverse { sigmoid; inverse sigmoid }")
    assert not found and types(graph) == ["real[2]", "unit[2]", "real[2]"]


def test_a_refusal_stands_at_the_argument_it_names() -> None:
    _, found = typed("real[2]", f"real[2]{NORMAL}", "permute([2, 0, 1])")
    assert [d.code for d in found] == ["DGM304"] and found[0].at == "M/x->z/0/0"


def test_a_refusal_inside_a_chain_names_its_use_as_well() -> None:
    text = (
        "dgm 1\nbijector b = { actnorm; permute([2, 0, 1]) }\n"
        "model M {\nobserve x : real[2]\nlatent z : real[2] ~ normal(0, 1)\nflow x -> z { b }\n}"
    )
    spec = diagnose(text).spec
    assert spec is not None
    _, found = infer(lower(spec)[0])
    assert [(d.at, d.labels[0].at) for d in found] == [("b/1/0", "M/x->z/0/1")]


def test_what_follows_a_refused_step_is_silent() -> None:
    graph, found = typed("real[2]", f"real[*]{NORMAL}", "permute([2, 0, 1]); logit; permute([4, 4])")
    assert len(found) == 1
    assert graph.type_of("M/z") is UNKNOWN


def test_a_step_met_from_behind_is_refused_for_its_image() -> None:
    _, found = typed("real[*]", f"real[2]{NORMAL}", "actnorm; sigmoid")
    assert [d.code for d in found] == ["DGM302"]
    assert found[0].message == "the image of `sigmoid` is (0, 1), but what stands behind it lives on all of ℝ"
    assert found[0].help == ("drop the step, or put `logit` behind it",)
    assert not typed("real[*]", f"real[2]{NORMAL}", "reshape([2]); sigmoid; logit")[1][1:]


def test_nothing_is_guessed() -> None:
    _, found = typed("real[*]", f"real[*]{NORMAL}", "actnorm")
    assert [d.code for d in found] == ["DGM305", "DGM305"]


def test_a_flow_that_cannot_be_entered_from_the_end_says_so() -> None:
    _, found = typed("real[*]", f"real[64]{NORMAL}", "flatten")
    assert len(found) == 1 and found[0].at == "M/x->z/0"


def test_the_sizes_of_models_are_limited_before_any_memory_is_asked_for() -> None:
    _, found = typed("real[2000]", f"real[2000]{NORMAL}", "coupling(affine, mask = half, net = mlp(1_000_000))")
    assert [d.code for d in found] == ["DGM307"]


def test_contexts_are_joined_end_to_end_and_labels_are_one_hot() -> None:
    members = "given c : real[3]\ngiven y : category(10)\nnet h(c) : real[5] = mlp(8)"
    graph, found = typed(
        "real[2]", f"real[2]{NORMAL}", "elementwise(affine, net = mlp(8))", members, "x -> z | h(c), c, y, (2 * c)"
    )
    assert not found
    assert graph.type_of("M/x->z/context:out") == Type(graph.variables["c"].support, (5 + 3 + 10 + 3,))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("density", "code"),
    [
        ("-dot(x, x) / 2", None),
        ("-sum((x - [1, 2])^2) + log(a) + dot(A @ x, x)", None),
        ("-x[0]^2 - x[1]^2", None),
        ("-logsumexp([x[0], 2 * x[1], a])", None),
        ("-x^2", "DGM312"),
        ("-dot(x, [1, 2, 3])", "DGM312"),
        ("-x[2]", "DGM312"),
        ("-dot(x, [1, 2, 3] @ x)", "DGM312"),
        ("-a[0]", "DGM312"),
    ],
)
def test_a_log_density_is_one_number(density: str, code: str | None) -> None:
    members = "learn a : positive\nlearn A : real[2, 2]\n"
    text = f"dgm 1\nmodel M {{\n{members}observe x : real[2] ~ exp({density})\n}}"
    spec = diagnose(text).spec
    assert spec is not None
    graph, lowered = lower(spec)
    assert not lowered, [str(d) for d in lowered]
    assert [d.code for d in infer(graph)[1]] == ([code] if code else [])


def test_a_parameter_broadcasts_to_the_event() -> None:
    members = "learn m : real[3]"
    _, found = typed("real[2]", "real[2] ~ normal(m, 1)", "actnorm", members)
    assert [d.code for d in found] == ["DGM310"]


def test_a_chain_of_two_arrows_is_typed_from_one_end() -> None:
    members = "latent u : real[*]\nflow x -> u { flatten; actnorm }"
    graph, found = typed("real[2, 3]", f"real[*]{NORMAL}", "actnorm", members, "u -> z")
    assert not found and str(graph.type_of("M/u")) == str(graph.type_of("M/z")) == "real[6]"
