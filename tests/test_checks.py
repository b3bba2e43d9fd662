"""Checks of typed graphs: supports, origins, losses, costs, Jacobian lints, training plans, the table."""

import pytest

import dgmspec
from dgmspec.checks.explain import explain
from dgmspec.checks.explain_table import explain_table, triangular_order
from dgmspec.checks.jacobian import strangers
from dgmspec.core.diagnostics import Diagnostic
from dgmspec.core.jacobian import Dependency
from dgmspec.frontend import examine
from dgmspec.graph.graph import Graph
from dgmspec.spec import diagnose

NORMAL = " ~ normal(0, 1)"
COUPLE = "coupling(affine, mask = {}, net = mlp(8))"


def checked(text: str) -> tuple[Graph, list[Diagnostic]]:
    found = diagnose(f"dgm 1\n{text}")
    assert found.spec is not None, [str(d) for d in found.diagnostics]
    graphs, further = examine(found.spec)
    return next(iter(graphs.values())), further


def model(x: str, z: str, steps: str, members: str = "", arrow: str = "x -> z", top: str = "") -> str:
    return f"{top}\nmodel M {{\nobserve x : {x}\nlatent z : {z}\n{members}\nflow {arrow} {{ {steps} }}\n}}"


def flow(steps: str, d: int = 4, members: str = "", arrow: str = "x -> z") -> str:
    return model(f"real[{d}]", f"real[{d}]{NORMAL}", steps, members, arrow)


def codes(text: str) -> list[str]:
    return [d.code for d in checked(text)[1]]


def only(text: str) -> Diagnostic:
    found = checked(text)[1]
    assert len(found) == 1, [str(d) for d in found]
    return found[0]


# ---- supports -------------------------------------------------------------------------------------------------------


def test_a_sigmoid_before_a_normal_prior_is_refused_in_these_words() -> None:
    found = only(flow("sigmoid", d=2))
    assert found.code == "DGM302" and found.at == "M/x->z/0"
    assert found.message == "the image of `sigmoid` is (0, 1), but the prior of `z` lives on all of ℝ"
    assert found.label == "maps real[2] into unit[2], not onto real[2]"
    assert [(str(label.at), label.text) for label in found.labels] == [
        ("M/z/prior", "this prior needs every real number to be reachable")
    ]
    assert found.notes == ('as written, the "density" of x would not integrate to 1',)
    assert found.help == ("drop the step, or give z a prior on (0, 1): `latent z : unit[2] ~ uniform(0, 1)`",)


@pytest.mark.parametrize(
    ("steps", "at", "image"),
    [("actnorm; tanh", 1, "(-1, 1)"), ("softplus; permute(reverse)", 0, "(0, ∞)"), ("inverse logit", 0, "(0, 1)")],
)
def test_every_bounded_map_before_a_wider_prior_is_refused_at_the_step_that_binds(
    steps: str, at: int, image: str
) -> None:
    found = only(flow(steps, d=2))
    assert found.code == "DGM302" and found.at == f"M/x->z/{at}" and f"is {image}, but" in found.message


def test_the_help_against_a_bounded_image_is_right_when_followed() -> None:
    assert not codes(model("real[2]", "unit[2] ~ uniform(0, 1)", "sigmoid"))
    assert not codes(model("real[2]", "interval(-1, 1)[2] ~ uniform(-1, 1)", "tanh"))
    assert not codes(model("real[2]", "positive[2] ~ exponential(1)", "softplus"))


def test_a_chain_that_leaves_a_bounded_variable_bounded_is_offered_a_step() -> None:
    found = only(model("unit[2]", f"real[2]{NORMAL}", "permute(reverse)"))
    assert found.code == "DGM302" and "add `logit` as the last step" in found.help[0]
    assert not codes(model("unit[2]", f"real[2]{NORMAL}", "permute(reverse); logit"))


def test_a_generative_arrow_must_reach_what_it_declares() -> None:
    found = only(flow("sigmoid", d=2, arrow="z -> x"))
    assert found.code == "DGM302" and "`x` is declared on all of ℝ" in found.message
    assert not codes(model("unit[2]", f"real[2]{NORMAL}", "sigmoid", arrow="z -> x"))


def test_logit_alpha_is_accepted_with_a_note() -> None:
    found = only(model("unit[2]", f"real[2]{NORMAL}", "logit(0.05)"))
    assert (found.code, found.severity) == ("DGM308", "note")


@pytest.mark.parametrize(
    ("x", "steps"),
    [
        ("real[2]", "augment(1); sigmoid"),
        ("integer(0..4)[2]", "dequantize(uniform); logit; tanh"),
        ("category(3)", "argmax; sigmoid"),
    ],
)
def test_a_bound_by_draws_excuses_no_bounded_image(x: str, steps: str) -> None:
    """That a step draws is no reason for a later one to miss most of the prior."""
    found = only(model(x, f"real[*]{NORMAL}", steps))
    assert found.code == "DGM302" and found.at == f"M/x->z/{steps.count(';')}"


def test_nothing_redraws_a_latent_variable_beyond_a_bounded_image() -> None:
    members = "observe x : binary[2]\nlatent u : unit[2]\nlatent z : real[2] ~ normal(0, 1)\nflow u -> z {{ {0} }}\n"
    members += "generate x | u ~ bernoulli(probs = u)\ninfer u ~ beta(2, 2)"
    found = only(f"model M {{\n{members.format('logit(0.1)')}\n}}")
    assert found.code == "DGM302" and found.help == (
        "leave `alpha` out, which is for data that reach the ends: `logit` is onto",
    )
    assert not codes(f"model M {{\n{members.format('logit')}\n}}")


def test_a_prior_lives_where_its_variable_does() -> None:
    found = only(model("real[2]", "real[2] ~ gamma(1, 1)", "actnorm"))
    assert found.code == "DGM306" and found.at == "M/z/prior"


# ---- origins and losses ---------------------------------------------------------------------------------------------


def test_a_model_without_prior_or_loss_checks() -> None:
    assert not codes(model("real[2]", "real[2]", "actnorm"))


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ("latent y : real[4]\nflow x -> y { actnorm }\nflow y -> z { actnorm }", "DGM701"),
        ("flow z -> x { actnorm }", "DGM707"),
        ("latent y : real[4] ~ normal(0, 1)\nflow x -> y { actnorm }", "DGM708"),
        ("latent y : real[4]", "DGM709"),
        ("given c : real[4]\nflow z -> c { actnorm }", "DGM710"),
        ("loss = reverse_kl", "DGM703"),
    ],
)
def test_each_variable_has_one_origin_and_each_loss_its_density(members: str, code: str) -> None:
    assert only(flow("actnorm", members=members)).code == code


def test_nll_needs_a_prior() -> None:
    found = only(model("real[2]", "real[2]", "actnorm", "loss = nll"))
    assert found.code == "DGM702" and str(found.labels[0].at) == "M/z"


def test_a_target_is_fixed() -> None:
    members = "learn a : positive\nloss = reverse_kl"
    found = only(model("real[2] ~ exp(-a * dot(x, x))", f"real[2]{NORMAL}", "actnorm", members))
    assert found.code == "DGM704" and str(found.labels[0].at) == "M/a"


def test_an_incomplete_model_is_not_blamed_for_what_is_missing() -> None:
    refused = "given c : real\nnet h(c) : real[2] = mlp(4)\ngenerate x | c ~ normal(h(2 * z), 1)"
    others = "observe x : real[2]\nlatent z : real[2]\nlatent u : real\nloss = nll"
    assert codes(f"model M {{\n{others}\n{refused}\n}}") == ["DGM725"]


# ---- costs ----------------------------------------------------------------------------------------------------------


def test_nll_through_a_sequential_direction_is_counted() -> None:
    steps = "repeat 3 { inverse autoregressive(affine, net = made(8)); permute(reverse) }"
    found = only(flow(steps, members="loss = nll"))
    assert found.code == "DGM507" and "12 passes" in found.message
    assert "leave `inverse` out" in found.help[0] and "coupling" in found.help[0]


def test_reverse_kl_through_a_sequential_direction_is_counted() -> None:
    steps = "autoregressive(affine, net = made(8)); permute(reverse); autoregressive(affine, net = made(8))"
    text = model("real[9] ~ exp(-dot(x, x))", f"real[9]{NORMAL}", steps, "loss = reverse_kl")
    found = only(text)
    assert found.code == "DGM507" and "from `z` to `x`, 18 passes" in found.message
    assert "turn the step round: `inverse autoregressive(affine, net = made(8))`" in found.help[0]
    assert not codes(text.replace("flow x -> z", "flow z -> x"))


def test_fewer_than_eight_passes_are_not_worth_a_word() -> None:
    assert not codes(flow("inverse autoregressive(affine, net = made(8))", members="loss = nll"))


# ---- Jacobian lints -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        (f"{COUPLE.format('alternate(0)')}; actnorm", ["DGM501", "DGM502"]),
        (f"{COUPLE.format('half')}; permute(reverse); {COUPLE.format('half')}", []),
        (f"elementwise(rqs); {COUPLE.format('half')}", ["DGM502"]),
        ("elementwise(rqs); actnorm", []),
        ("linear(plu); actnorm", []),
        (f"{COUPLE.format('half')}; actnorm; {COUPLE.format('half')}; linear(plu); elementwise(rqs)", ["DGM504"]),
        ("permute(reverse); permute(reverse); linear(plu)", ["DGM505"]),
        ("linear(plu); linear(qr); elementwise(rqs)", ["DGM509"]),
        ("linear(plu); actnorm; permute(reverse); linear(dense); elementwise(rqs)", ["DGM404", "DGM509"]),
        ("actnorm; permute(reverse); elementwise(affine); linear(plu); elementwise(rqs)", ["DGM509"]),
        ("orthogonal(cayley); linear(triangular); orthogonal(cayley); elementwise(rqs)", ["DGM509", "DGM509"]),
        ("linear(plu); elementwise(rqs); linear(plu)", []),
        ("actnorm; linear(plu); actnorm; elementwise(rqs)", []),
        ("low_rank(1); low_rank(1); elementwise(rqs); linear(plu)", []),
        ("permute([1, 2, 3, 0]); permute([3, 0, 1, 2]); linear(plu)", ["DGM505"]),
        ("permute([1, 2, 3, 0]); permute([1, 2, 3, 0]); linear(plu)", []),
        ("permute([0, 1, 2, 3]); linear(plu)", ["DGM508"]),
        ("exp; inverse exp; linear(plu)", ["DGM505"]),
        ("arcsinh; linear(plu); inverse arcsinh", []),
        ("elementwise(rqs); inverse elementwise(rqs); linear(plu)", []),
        ("repeat 2 { autoregressive(affine, net = made(8)) }", ["DGM506"]),
    ],
)
def test_lints_of_a_chain(steps: str, found: list[str]) -> None:
    assert codes(flow(steps)) == found


def test_squeezing_one_pixel_a_channel_moves_nothing_and_is_no_mistake() -> None:
    """The numbers stay in their order, and what was a pixel is a channel."""
    assert "DGM508" not in codes(model("real[2, 2, 2]", f"real[*]{NORMAL}", "split; squeeze; conv1x1(plu)"))


def test_a_repeat_without_its_index_is_warned_about_once() -> None:
    steps = f"repeat 6 {{ {COUPLE.format('half')} }}; permute(reverse); {COUPLE.format('half')}"
    assert codes(flow(steps)).count("DGM504") == 1


def test_a_context_that_nothing_reads() -> None:
    found = only(flow("linear(plu)", members="given c : real[3]", arrow="x -> z | c"))
    assert found.code == "DGM503" and found.at == "M/x->z/context/0"
    assert not codes(flow("linear(plu); elementwise(affine)", members="given c : real[3]", arrow="x -> z | c"))


@pytest.mark.parametrize(
    ("law", "unread"),
    [
        ("empirical(two_moons)", ["c", "d"]),
        ("normal(0, 1)", ["c", "d"]),
        ("resampled(mlp(4))", ["c", "d"]),
        ("normal(c, 1)", ["d"]),
        ("normal(m(c), 1)", ["d"]),
        ("normal(h(d))", ["c"]),
        ("normal([c[0], d], 1)", []),
        ("normal(mlp(4), 1)", []),
        ("autoregressive(normal, net = made(4))", []),
    ],
)
def test_what_stands_after_a_bar_is_read(law: str, unread: list[str]) -> None:
    bar = "[c, d]" if law.startswith("autoregressive") else "c, d"
    members = "given c : real[2]; given d : real; net m(c) : real[2] = mlp(4); net h(d) = mlp(4); observe x : real[2]"
    found = dgmspec.diagnose(f"dgm 1\nmodel M {{ {members}; generate x | {bar} ~ {law} }}\n").diagnostics
    assert not [d for d in found if d.severity == "error"]
    assert [d.labels[0].text.split("`")[1] for d in found if d.code == "DGM503"] == unread


def test_a_prior_made_of_the_posterior_reads_no_context() -> None:
    laws = "generate z | c ~ vamp(4); generate x | z ~ bernoulli(mlp(4)); infer z | x ~ normal(mlp(4))"
    found = only(f"model M {{ given c : real[3]; observe x : binary[4]; latent z : real[2]; {laws}; loss = elbo }}")
    assert found.code == "DGM503" and "`vamp`" in found.message


def test_what_is_assumed_is_a_note() -> None:
    found = only(flow("linear(dense)"))
    assert (found.code, found.severity) == ("DGM404", "note")


def test_strangers_are_pairs_that_no_row_holds() -> None:
    assert strangers(Dependency((0b011, 0b110), 3)) == [(0, 2)]
    assert strangers(Dependency.full(5)) == []
    assert strangers(Dependency.diagonal(3)) == [(0, 1), (0, 2), (1, 2)]


# ---- names and training ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "fn f(t) = t\n" + flow("linear(plu)"),
        "param p = 1\n" + flow("linear(plu)"),
        "data d = two_moons\n" + flow("linear(plu)"),
        "bijector b = { actnorm }\n" + flow("linear(plu)"),
        flow("linear(plu)", members="given c : real[3]"),
        flow("linear(plu)", members="net h(c) : real[3] = mlp(8)\n").replace("net h(c)", "given c : real\nnet h(c)"),
        flow("linear(plu)", members="learn a : positive"),
        flow("linear(plu)", members="fn f(t) = t"),
    ],
)
def test_what_is_never_used_is_warned_about(text: str) -> None:
    assert set(codes(text)) == {"DGM243"}


def test_a_file_of_definitions_is_used_elsewhere() -> None:
    found = diagnose("dgm 1\nfn f(t) = t\nbijector b = { actnorm }\n")
    assert found.spec is not None and examine(found.spec) == ({}, [])


def train(settings: str, x: str = "real[2]", loss: str = "loss = nll", steps: str = "actnorm") -> str:
    return f"{model(x, f'real[*]{NORMAL}', steps, loss)}\ntrain M {{ {settings} }}"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (train("data = two_moons; steps = 9"), []),
        (train("data = digits; steps = 9"), ["DGM804"]),
        (
            train("data = digits; steps = 9", x="integer(0..16)[1, 8, 8]", steps="dequantize(uniform); logit; flatten"),
            [],
        ),
        (train("steps = 9"), ["DGM805"]),
        (train("data = two_moons; steps = 9", loss=""), ["DGM806"]),
        (train("data = two_moons; steps = 9", x="real[2] ~ exp(-dot(x, x))", loss="loss = reverse_kl"), ["DGM808"]),
        (train("data = two_moons; steps = 9; stop = patience(3)"), ["DGM809"]),
        (
            train("data = two_moons; steps = 9", loss="loss = nll\ngiven c : real[2]")
            .replace("x -> z", "x -> z | c")
            .replace("actnorm", "elementwise(affine)"),
            ["DGM804"],
        ),
    ],
)
def test_training_against_the_model(text: str, found: list[str]) -> None:
    assert codes(text) == found


# ---- the table ------------------------------------------------------------------------------------------------------

TABLE = """\
realnvp.dgm   model M   x -> z   real[2] onto real[2]   log_prob exact   sampling exact
 #  step                            jacobian            log-det  x→z     z→x     parameters
 1  coupling(affine, alternate(0))  triangular (0,1)    O(d)     1 pass  1 pass       4,418
 2  actnorm                         diagonal, constant  O(1)     –       –                4
 3  coupling(affine, alternate(1))  triangular (1,0)    O(d)     1 pass  1 pass       4,418
 4  actnorm                         diagonal, constant  O(1)     –       –                4
    all 4 steps                     dense from step 3   O(d)     2 pass  2 pass       8,844
 possible every output depends on every input from step 3 on
 proved   invertible; not volume-preserving; Jacobian not triangular as a whole
 assumed  nothing
 class    invertible maps, not maps with lower-triangular Jacobian"""


def test_the_table_of_a_small_realnvp() -> None:
    steps = "repeat 2 as k { coupling(affine, mask = alternate(k), net = mlp(64, 64)); actnorm }"
    graph, found = checked(flow(steps, d=2))
    assert not found
    assert explain(graph, "realnvp.dgm") == TABLE
    data = explain_table(graph).data()
    assert data["flows"][0]["totals"]["parameters"] == 8844


def test_volume_preserving_and_triangular_maps_are_said_to_be() -> None:
    graph, _ = checked(flow("repeat 2 { coupling(additive, mask = half, net = mlp(8)) }"))
    table = explain_table(graph).flows[0]
    assert table.proved == ("invertible", "volume-preserving", "Jacobian triangular as a whole")
    assert table.classes.endswith("both")


def test_sequential_passes_add_up_in_the_table() -> None:
    graph, _ = checked(flow("autoregressive(affine, net = made(8)); inverse autoregressive(affine, net = made(8))"))
    totals = explain_table(graph).flows[0].totals
    assert (totals.forward, totals.inverse) == ("5 passes", "5 passes")


def test_an_order_is_found_for_a_triangular_pattern() -> None:
    assert triangular_order(Dependency((0b111, 0b010, 0b110), 3)) == [1, 2, 0]


def test_a_flow_without_types_is_not_explained() -> None:
    graph, _ = checked(model("real[*]", f"real[*]{NORMAL}", "actnorm"))
    assert "not explained" in explain(graph)


def test_an_image_that_rounding_empties_is_refused() -> None:
    text = """dgm 1
    model M { observe x : interval(30, 50)[1]; latent z : real[1] ~ normal(0, 1); flow x -> z { tanh; logit } }
    """
    assert "DGM303" in {found.code for found in dgmspec.diagnose(text).diagnostics}
