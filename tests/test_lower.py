"""From a spec to a graph: names, arguments, repeats, chains, functions, contexts, losses, blocks."""

import pytest

from dgmspec.algebra.evaluate import evaluate
from dgmspec.algebra.nodes import Argument, Call, Name, Number
from dgmspec.algebra.rewrite import Lambda, inline, substitute
from dgmspec.core.diagnostics import Diagnostic, Refusal
from dgmspec.graph.graph import Graph
from dgmspec.graph.lower import lower
from dgmspec.graph.plans import SamplePlan, TrainPlan, lower_sample, lower_train
from dgmspec.graph.verify import verify
from dgmspec.spec import diagnose
from dgmspec.spec.model import Sample, Spec, Train


def name(id: str) -> Name:
    return Name(id=id)


def call(function: str, *args: object) -> Call:
    return Call(name=function, args=tuple(Argument(value=arg) for arg in args))


def spec_of(text: str, sources: dict[str, str] | None = None) -> Spec:
    found = diagnose(f"dgm 1\n{text}", sources)
    assert found.spec is not None, [str(d) for d in found.diagnostics]
    return found.spec


def flow(steps: str, members: str = "", top: str = "", d: int = 4, context: str = "") -> str:
    return f"""{top}
model M {{
    observe x : real[{d}]
    latent z : real[{d}] ~ normal(0, 1)
    {members}
    flow x -> z{context} {{ {steps} }}
}}"""


def lowered(text: str, sources: dict[str, str] | None = None, **params: object) -> tuple[Graph, list[Diagnostic]]:
    graph, found = lower(spec_of(text, sources), params=params)
    return verify(graph), found


def clean(text: str, sources: dict[str, str] | None = None, **params: object) -> Graph:
    graph, found = lowered(text, sources, **params)
    assert not found, [str(d) for d in found]
    assert graph.complete
    return graph


def only(text: str, **params: object) -> Diagnostic:
    graph, found = lowered(text, **params)
    assert len(found) == 1, [str(d) for d in found]
    assert not graph.complete or found[0].severity != "error" or not graph.steps
    return found[0]


def labels(graph: Graph) -> list[str]:
    return [("inverse " if step.inverse else "") + step.label for step in graph.steps.values()]


# ---- expressions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (name("D") * 2 - 1, 7),
        (name("D") / 2, 2),
        (name("D") / 8, 0.5),
        (2 ** name("D"), 16),
        (-(name("D") ** 2), -16),
    ],
)
def test_whole_numbers_stay_whole(expression: object, value: float) -> None:
    found = evaluate(expression, {"D": 4})  # type: ignore[arg-type]
    assert found == value and type(found) is type(value)


def test_towers_of_powers_are_refused_before_they_are_computed() -> None:
    nine = Number(value=9)
    with pytest.raises(Refusal, match="2\\^63"):
        evaluate(nine ** (nine**nine), {})


def test_division_by_zero_is_a_refusal() -> None:
    with pytest.raises(Refusal, match="zero"):
        evaluate(Number(value=1) / Number(value=0), {})


def test_substitution_keeps_sums_flat_on_the_left() -> None:
    assert substitute(name("a") + 1, {"a": name("b") - name("c")}) == name("b") - name("c") + 1


def test_doubling_functions_are_stopped() -> None:
    double = Lambda(("t",), name("t") + name("t"))
    expression = name("x") + 0
    with pytest.raises(Refusal):
        for _ in range(40):
            expression = inline(call("f", expression), {"f": double})


# ---- steps ----------------------------------------------------------------------------------------------------------


def test_repeats_unroll_with_their_index_in_the_address() -> None:
    graph = clean(flow("repeat 2 as k { coupling(affine, mask = alternate(k), net = mlp(8)); actnorm }"))
    assert list(graph.steps) == [
        "M/x->z/0[k=0]/0",
        "M/x->z/0[k=0]/1",
        "M/x->z/0[k=1]/0",
        "M/x->z/0[k=1]/1",
    ]
    assert labels(graph)[::2] == ["coupling(affine, alternate(0))", "coupling(affine, alternate(1))"]
    assert graph.steps["M/x->z/0[k=1]/1"].target == "M/z"


def test_params_can_be_set_from_outside() -> None:
    text = flow("repeat depth { actnorm }", top="param depth = 8")
    assert len(clean(text).steps) == 8
    assert len(clean(text, depth=3).steps) == 3
    assert "did you mean `depth`?" in lowered(text, dpeth=3)[1][0].help


def test_blocks_under_inverse_run_backwards() -> None:
    assert labels(clean(flow("inverse { actnorm; inverse permute(reverse) }"))) == [
        "permute(reverse)",
        "inverse actnorm",
    ]


def test_a_scalar_without_parameters_is_a_step() -> None:
    assert labels(clean(flow("sigmoid; logit; inverse exp; exp"))) == ["sigmoid", "logit", "inverse exp", "exp"]


def test_a_scalar_with_parameters_is_no_step() -> None:
    assert "elementwise(affine)" in only(flow("affine")).help[0]


def test_named_chains_take_arguments_constants_and_calls() -> None:
    top = "bijector block(width = 64, T = affine) = { coupling(T, mask = half, net = mlp(width)); actnorm }"
    graph = clean(flow("block; block(width = 8, T = rqs(bins = 4)); inverse block(16)", top=top))
    assert labels(graph) == [
        "coupling(affine, half)",
        "actnorm",
        "coupling(rqs(bins = 4), half)",
        "actnorm",
        "inverse actnorm",
        "inverse coupling(affine, half)",
    ]
    assert [step.op.net.hidden for step in graph.steps.values() if hasattr(step.op, "net")] == [(64,), (8,), (16,)]


def test_chains_come_from_used_files_with_their_own_params() -> None:
    sources = {
        "blocks.dgm": "dgm 1\nparam w = 8\nbijector step(n = w) = { coupling(affine, mask = half, net = mlp(n)) }\n"
    }
    graph = clean(flow("blocks.step; blocks.step(3)", top='use "blocks.dgm" as blocks'), sources)
    assert [step.op.net.hidden for step in graph.steps.values()] == [(8,), (3,)]


def test_a_mistake_in_a_chain_is_shown_there_and_at_its_use() -> None:
    found = only(flow("block", top="bijector block = { actnrom }"))
    assert found.at == "block/0/()" and found.labels[0].at == "M/x->z/0"


def test_a_mistake_in_a_file_used_by_a_used_file_is_shown_there() -> None:
    sources = {
        "a.dgm": 'dgm 1\nuse "b.dgm" as b\nbijector outer = { b.inner }\n',
        "b.dgm": "dgm 1\nbijector inner = { actnorm; elementwise(rqs(bins = 0)) }\n",
    }
    _, found = lowered(flow("a.outer", top='use "a.dgm" as a'), sources)
    assert [d.at for d in found] == ["a/b/inner/1/0/bins"]


def test_ten_thousand_steps_is_the_limit() -> None:
    assert only(flow("repeat 101 { repeat 100 { actnorm } }")).code == "DGM236"
    assert only(flow("repeat 10^9 { repeat 10^9 { actnorm } }")).code == "DGM236"


@pytest.mark.parametrize("count", ["0", "2.5", "[1, 2]"])
def test_a_repeat_counts_whole_turns(count: str) -> None:
    found = lowered(flow(f"repeat {count} {{ actnorm }}"))[1]
    assert [d.code for d in found] == ["DGM236"] and found[0].at == "M/x->z/0/count"


# ---- names and arguments --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "code", "at", "help_"),
    [
        ("actnrom", "DGM230", "M/x->z/0/()", "did you mean `actnorm`?"),
        ("coupling(afine, mask = half, net = mlp(8))", "DGM230", "M/x->z/0/0/()", "did you mean `affine`?"),
        ("coupling(affine, mask = hlaf, net = mlp(8))", "DGM230", "M/x->z/0/mask/()", "did you mean `half`?"),
        ("coupling(affine, msak = half, net = mlp(8))", "DGM232", "M/x->z/0/msak=", "did you mean `mask`?"),
        ("coupling(affine, half, mlp(8), 3)", "DGM232", "M/x->z/0/3", "leave it out"),
        ("coupling(affine, mask = half)", "DGM233", "M/x->z/0", "its form is `coupling(scalar, mask, net)`"),
        ("elementwise(rqs(bins = 2.5))", "DGM234", "M/x->z/0/0/bins", "write a whole number"),
        ("elementwise(rqs(bins = 0))", "DGM234", "M/x->z/0/0/bins", None),
        ("coupling(affine, mask = half, net = mlp(8, 0))", "DGM234", None, None),
        ("coupling(affine, mask = alternate(j), net = mlp(8))", "DGM201", "M/x->z/0/mask/0", None),
        ("coupling(affine, mask = alternate(1 / 0), net = mlp(8))", "DGM235", "M/x->z/0/mask/0", None),
        ("coupling(affine, mask = half, net = nearest(8))", "DGM230", "M/x->z/0/net/()", None),
        ("normal(0, 1)", "DGM230", "M/x->z/0/()", None),
    ],
)
def test_what_a_call_can_get_wrong(step: str, code: str, at: str | None, help_: str | None) -> None:
    _, found = lowered(flow(step))
    assert [d.code for d in found] == [code], [str(d) for d in found]
    assert at is None or found[0].at == at
    assert help_ is None or help_ in found[0].help


def test_a_name_of_another_role_is_said_to_be_one() -> None:
    assert "a distribution" in only(flow("normal(0, 1)")).notes[0]


def test_every_turn_of_a_repeat_gives_one_finding() -> None:
    assert len(lowered(flow("repeat 5 { actnrom }"))[1]) == 1


def test_all_mistakes_of_a_flow_are_found_in_one_run() -> None:
    assert [d.code for d in lowered(flow("actnrom; elementwise(rqs(bins = 0)); coupling(affine)"))[1]] == [
        "DGM230",
        "DGM234",
        "DGM233",
    ]


# ---- functions, variables, contexts ---------------------------------------------------------------------------------


def test_functions_and_params_are_written_out_in_priors() -> None:
    top = "param a = 3\nfn f(t) = a * t\nfn g(t) = f(t) + 1"
    graph = clean(f"{top}\nmodel M {{ observe x : real[2] ~ normal(g(2), a) }}")
    prior = graph.variables["x"].prior
    assert prior is not None and (prior.op.loc, prior.op.scale) == (7.0, 3.0)  # type: ignore[attr-defined]


def test_a_prior_keeps_a_formula_over_given_and_learned_names() -> None:
    graph = clean("""model M {
        given c : real[2]
        learn s : positive = 2
        latent z : real[2] ~ normal(2 * c, s)
        observe x : real[2]
        flow x -> z { actnorm }
    }""")
    prior = graph.variables["z"].prior
    assert prior is not None and prior.inputs == ("M/c",)
    assert prior.op.loc == 2 * name("c") and prior.op.scale == name("s")  # type: ignore[attr-defined]
    assert graph.learned["s"].initial == 2.0


def test_a_target_is_the_energy_written_out() -> None:
    graph = clean("""model M {
        energy E(y) = dot(y, y) / 2
        observe x : real[2] ~ exp(-E(x))
        latent z : real[2] ~ normal(0, 1)
        flow z -> x { actnorm }
        loss = reverse_kl
    }""")
    target = graph.variables["x"].target
    assert target is not None and target.inputs == ("M/x",)
    assert target.log_density == -(call("dot", name("x"), name("x")) / 2)


def test_contexts_may_be_variables_nets_and_formulas() -> None:
    nets = "given c : real[3]\nnet h(c) : real[5] = mlp(8)\n"
    step = "elementwise(affine, net = mlp(8))"
    assert clean(flow(step, nets, context=" | c")).arrows["M/x->z"].context == "M/c"
    graph = clean(flow(step, nets, context=" | h(c)"))
    assert graph.arrows["M/x->z"].context == "M/h:out" and graph.nets["M/h"].inputs == ("M/c",)
    graph = clean(flow(step, nets, context=" | h(c), c"))
    node = graph.formulas["M/x->z/context"]
    assert node.inputs == ("M/h:out", "M/c") and node.names[1] == "c"


def test_external_nets_are_nodes_without_an_operation() -> None:
    graph = clean(flow("elementwise(affine)", "given c : real[3]\nnet h(c) : real[5] = external", context=" | h(c)"))
    assert graph.nets["M/h"].op == "external"


def test_a_context_is_any_variable_of_the_model() -> None:
    graph = clean(flow("elementwise(affine)", "observe y : real[2] ~ normal(0, 1)", context=" | y"))
    assert graph.arrows["M/x->z"].context == "M/y"


# ---- losses ---------------------------------------------------------------------------------------------------------


def test_a_loss_is_arithmetic_over_bound_terms() -> None:
    graph = clean(flow("actnorm", "loss = nll + w * nll(x)", top="param w = 2"))
    assert graph.loss is not None
    assert graph.loss.formula == name("t0") + 2 * name("t1")
    assert [term.binds for term in graph.loss.terms.values()] == ["x", "x"]


def test_an_ambiguous_term_names_its_variables() -> None:
    members = "observe y : real[4]\nlatent w : real[4] ~ normal(0, 1)\nflow y -> w { actnorm }\nloss = nll"
    found = only(flow("actnorm", members))
    assert found.code == "DGM705" and "`x` and `y`" in found.message


@pytest.mark.parametrize(("loss", "code"), [("nlll", "DGM230"), ("1 + 2", "DGM713")])
def test_losses_that_are_none(loss: str, code: str) -> None:
    assert only(flow("actnorm", f"loss = {loss}")).code == code


# ---- bijectors of the author ----------------------------------------------------------------------------------------


def test_the_authors_bijectors_become_scalars_and_steps() -> None:
    top = """bijector tilted(x; a : positive, b) { x <- sinh(a * arcsinh(x) + b) }
    bijector slide(a, b; k : positive) { net m(a) : like(b) = mlp(8); b <- k * (b - m(a)) }"""
    used = "elementwise(tilted); elementwise(inverse tilted(b = 0)); repeat 2 as k { slide(2, mask = alternate(k)) }"
    assert labels(clean(flow(used, top=top))) == [
        "elementwise(tilted)",
        "elementwise(inverse tilted(b = 0))",
        "slide(k = 2, mask = alternate(0))",
        "slide(k = 2, mask = alternate(1))",
    ]
    assert only(flow("tilted", top=top)).code == "DGM442"
    assert only(flow("elementwise(tilted(a = inf))", top=top)).at == "M/x->z/0/0/a"


def test_an_authors_bijector_of_a_used_file_sees_that_files_params() -> None:
    sources = {"b.dgm": "dgm 1\nparam w = 3\nfn g(t) = w * t\nbijector shift(x) { x <- x + g(1) }\n"}
    graph = clean('use "b.dgm" as b\n' + flow("b.shift; inverse b.shift"), sources)
    (first, second) = (step.op for step in graph.steps.values())
    assert first == second and labels(graph) == ["b.shift", "inverse b.shift"]


def test_what_is_wrong_with_a_definition_is_said_once_whatever_uses_it() -> None:
    top = "bijector f(a, b) { net s(a) = mlp(8); b <- b + s(a) }"
    assert only(flow("f(mask = half); f(mask = alternate(1)); f(mask = half)", top=top)).at == "f/s"


# ---- blocks ---------------------------------------------------------------------------------------------------------


def plan_of(settings: str, top: str = "data moons = two_moons(n = 100)") -> tuple[TrainPlan | None, list[Diagnostic]]:
    spec = spec_of(f"{top}\n{flow('actnorm', 'loss = nll')}\ntrain M {{ {settings} }}")
    return lower_train(spec, next(item for item in spec.items if isinstance(item, Train)))


def test_a_train_block_becomes_a_plan() -> None:
    plan, found = plan_of(
        "data = moons; steps = 5_000; optimizer = adam(lr = 1e-2); validate = holdout(0.2, every = 9)"
    )
    assert not found and plan is not None
    assert (plan.steps, plan.epochs, plan.data_name, plan.data.n) == (5000, None, "moons", 100)
    assert (plan.optimizer.lr, plan.validate.fraction, plan.weights, plan.seed) == (1e-2, 0.2, None, 0)


@pytest.mark.parametrize(
    ("settings", "codes"),
    [
        ("data = moons; steps = 5; bacth = 2", ["DGM801"]),
        ("data = moons; steps = 5; epochs = 2", ["DGM802"]),
        ("data = moons", ["DGM802"]),
        ("data = moons; steps = 0", ["DGM803"]),
        ("data = moons; steps = 5; clip = -1.0; ema = 1.0", ["DGM803", "DGM803"]),
        ("data = moons; steps = 5; optimizer = adma", ["DGM230"]),
        ("data = moons; steps = 5; precision = float16", ["DGM230"]),
        ("data = moons; steps = 5; weights = 1", ["DGM803"]),
        ("data = moons; steps = 5; weights = w", ["DGM803"]),
    ],
)
def test_what_a_train_block_can_get_wrong(settings: str, codes: list[str]) -> None:
    assert [d.code for d in plan_of(settings)[1]] == codes


def test_a_mistake_in_a_named_source_is_shown_there() -> None:
    _, found = plan_of("data = moons; steps = 5", top="data moons = two_moons(noise = -1.0)")
    assert found[0].at == "moons/value/noise"


def test_a_sample_block_becomes_a_plan() -> None:
    spec = spec_of(f"{flow('actnorm')}\nsample M {{ count = 7 }}")
    plan, found = lower_sample(spec, next(item for item in spec.items if isinstance(item, Sample)))
    assert not found and plan == SamplePlan("sample M", "M", None, 7, 0)


def test_the_model_must_be_named_where_there_are_several() -> None:
    spec = spec_of("model A { observe x : real ~ normal(0, 1) }\nmodel B { observe x : real ~ normal(0, 1) }")
    assert [d.code for d in lower(spec)[1]] == ["DGM240"]
    assert lower(spec, "B")[0].name == "B"
    assert "did you mean `A`?" in lower(spec, "a")[1][0].help
