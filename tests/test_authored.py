"""Laws of author-written bijectors in float64: inverses, log-determinants, claims, gradients; refusals, places."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from torch import Tensor

import dgmspec
from dgmspec import lang
from dgmspec.checks.latex import latex
from dgmspec.core.diagnostics import Span
from dgmspec.modules.compiled import CompiledModel
from tests.authored import ACCEPTED, REFUSED, REVNET, SLIDE, TILTED, Own, Refused
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


def test_a_slope_with_a_kink_is_not_taken_for_a_constant() -> None:
    # On (0, 1) the slope is -3 throughout; on (4, 6) it is -3 or -1.
    own = Own("bijector f(x) { x <- abs(x - 5) + 2 * abs(x - 7) }", "f", "interval(4, 6)[2]", "interval(3, 7)")
    model = dgmspec.compile(dgmspec.parse(own.text), dtype=torch.float64)
    x = torch.tensor([[4.5, 5.5], [5.5, 5.5], [4.2, 4.5]], dtype=torch.float64)
    expected = torch.tensor([3.0, 1.0, 9.0], dtype=torch.float64).log()
    torch.testing.assert_close(model.ledger(x, direction="encode").total, expected)
    torch.testing.assert_close(model.decode(model.encode(x)), x)


# ---- against the library --------------------------------------------------------------------------------------------


def test_a_coupling_written_out_is_the_librarys_with_the_same_weights() -> None:
    spec = dgmspec.load(Path(__file__).parent.parent / "specs" / "slide.dgm").with_params(depth=3, width=8)
    own, built_in = (dgmspec.compile(spec, model=name, dtype=torch.float64) for name in ("Slide", "BuiltIn"))
    randomise(own)
    state = own.state_dict()
    # One net of both: side by side below, s above m in what it gives.
    joined = {}
    for key, value in built_in.state_dict().items():
        step, _, rest = key.replace("BuiltIn/", "Slide/").partition("/net/")
        if not rest:
            joined[key] = state[step]
            continue
        s, m = state[f"{step}/s/{rest}"], state[f"{step}/m/{rest}"]
        stacked = rest.endswith("bias") or rest.startswith("0/")
        joined[key] = torch.cat([s, m]) if stacked else torch.block_diag(s, m)
        assert joined[key].shape == value.shape
    built_in.load_state_dict(joined)
    x = torch.randn(32, 2, dtype=torch.float64)
    torch.testing.assert_close(own.log_prob(x), built_in.log_prob(x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(own.decode(x), built_in.decode(x), rtol=1e-12, atol=1e-12)
    counts = [sum(p.numel() for p in model.parameters()) for model in (own, built_in)]
    assert counts[0] < counts[1]  # two nets beside each other have no weights between them


PAIRS = (
    ("bijector f(x) { x <- 1 / (1 + exp(-x)) }", "f", "sigmoid", "real[3]", "unit"),
    ("bijector f(x) { x <- exp(x) }", "f", "exp", "real[3]", "positive"),
    ("bijector f(x) { x <- log(1 + exp(x)) }", "f", "softplus", "real[3]", "positive"),
    ("bijector f(x) { x <- log(x) - log(1 - x) }", "f", "logit", "unit[3]", "real"),
    ("bijector f(x) { x <- tanh(x) }", "inverse f", "inverse tanh", "interval(-1, 1)[3]", "real"),
)


@pytest.mark.parametrize(("bijector", "step", "same", "before", "after"), PAIRS, ids=[p[2] for p in PAIRS])
def test_a_map_written_out_is_the_librarys_in_single_precision(
    bijector: str, step: str, same: str, before: str, after: str
) -> None:
    own, other = (dgmspec.compile(dgmspec.parse(Own(bijector, s, before, after).text)) for s in (step, same))
    spread = draw_event(own.type_of("x"), 400, spread=5).float()
    ends = {"unit[3]": [1e-30, 0.9999, 1 - 6e-8], "interval(-1, 1)[3]": [-1 + 6e-8, 0.9999, 1e-20]}
    x = torch.cat([spread, torch.tensor([ends.get(before, [-100.0, 15.0, 80.0])])])
    torch.testing.assert_close(own.encode(x), other.encode(x), rtol=1e-6, atol=2e-7)
    for model in (own, other):
        assert torch.isfinite(model.encode(x)).all()
    found, expected = (model.ledger(x, direction="encode").total for model in (own, other))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    z = own.encode(x)
    torch.testing.assert_close(own.decode(z), other.decode(z), rtol=1e-5, atol=1e-9)


POINTS = torch.tensor([-100.0, -30, -15, -5, -1, -1e-3, 0, 1e-3, 1, 5, 15, 30, 100])
EXTREME = (
    (TILTED, "elementwise(tilted(1.5, 0.5))", "real"),
    (TILTED, "elementwise(tilted(0.5, -2))", "real"),
    ("bijector f(x) { x <- x + 0.5 * sin(x) }", "f", "real"),
    ("bijector f(x) { x <- log(1 + exp(x)) }", "f", "positive"),
    ("bijector f(x) { x <- x + softplus(x) }", "f", "real"),
    ("bijector f(x) { x <- x^3 + x }", "f", "real"),
    ("bijector f(x) { x <- x + sqrt(x^2 + 1) }", "f", "positive"),
    ("bijector f(x) { x <- x / sqrt(1 + x^2) }", "f", "interval(-1, 1)"),
)


@pytest.mark.parametrize(("bijector", "step", "after"), EXTREME, ids=[f"{e[0][9:60]} {e[1]}" for e in EXTREME])
def test_single_precision_at_extremes(bijector: str, step: str, after: str) -> None:
    spec = dgmspec.parse(Own(bijector, step, "real", after).text)
    single, double = dgmspec.compile(spec), dgmspec.compile(spec, dtype=torch.float64)
    x = POINTS
    torch.testing.assert_close(single.encode(x).double(), double.encode(x.double()), rtol=3e-6, atol=1e-6)
    found, expected = (m.ledger(v, direction="encode").total for m, v in ((single, x), (double, x.double())))
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    near = x[x.abs() <= 15]
    torch.testing.assert_close(single.decode(single.encode(near)), near, rtol=1e-5, atol=1e-5)


# ---- through torch.compile ------------------------------------------------------------------------------------------


def check_compiled(bijector: str, steps: str) -> None:
    text = Own(bijector, steps).text.replace("real[*]", "real[*] ~ normal(0, 1)")
    model = dgmspec.compile(dgmspec.parse(text), dtype=torch.float64)
    randomise(model)
    x, fast = draw_event(model.type_of("x"), BATCH), model.compiled(backend="aot_eager")
    torch.testing.assert_close(fast.log_prob(x), model.log_prob(x))
    torch.testing.assert_close(fast.sample(BATCH, seed=1), model.sample(BATCH, seed=1))


def test_a_whole_flow_is_one_graph_each_way() -> None:
    check_compiled(
        f"{SLIDE}\n{TILTED}\n{REVNET}",
        "slide_coupling(mask = half); coupling(tilted, mask = alternate(1), net = mlp(8)); revnet(parts = [2, 2]); "
        "elementwise(inverse tilted)",
    )


@pytest.mark.slow  # seconds: seventy Newton steps unrolled
def test_a_numeric_inverse_is_one_graph() -> None:
    check_compiled("bijector wiggle(x) { x <- x + 0.5 * sin(x) }", "wiggle")


# ---- round about ----------------------------------------------------------------------------------------------------


def test_what_a_body_declares_and_never_reads_is_said() -> None:
    own = Own("bijector f(x; a) { learn s : positive; net u(x) : like(x) = mlp(4); fn h(t) = t + s; x <- x + 1 }", "f")
    found = [d.message for d in dgmspec.diagnose(own.text).diagnostics]
    assert [m.split("`")[1] for m in found if "never used" in m] == ["a", "u", "h"]


def test_a_saved_model_says_how_its_masks_were_drawn(tmp_path: Path) -> None:
    model = dgmspec.compile(dgmspec.parse(Own(SLIDE, "slide_coupling(mask = random)").text))
    assert "slide_coupling(mask = random(seed = 0))" in model.bundle.text
    model.save(tmp_path / "saved")
    x = torch.randn(3, 4)
    assert torch.equal(dgmspec.load_model(tmp_path / "saved").encode(x), model.encode(x))


def test_text_objects_and_python_say_the_same() -> None:
    from_python = dgmspec.Spec(
        lang.bijector(
            "slide",
            ["a", "b"],
            lang.net("m", "a", lang.mlp(8), lang.like("b")),
            lang.learn("s", lang.positive, 2.0),
            lang.update("b", (lang.sym("b") - lang.apply("m", lang.sym("a"))) / lang.sym("s")),
        ),
        lang.bijector(
            "tilted",
            "x",
            lang.update("x", lang.sinh(lang.sym("a") * lang.arcsinh(lang.sym("x")) + lang.sym("b"))),
            learned={"a": lang.positive, "b": None},
        ),
        lang.model(
            "M",
            lang.observe("x", lang.real[4]),
            lang.latent("z", lang.real[4], lang.normal(0, 1)),
            lang.flow("x", "z", lang.apply("slide", mask=lang.half), lang.elementwise(lang.sym("tilted"))),
        ),
    )
    text = """dgm 1
    bijector slide(a, b) { net m(a) : like(b) = mlp(8); learn s : positive = 2.0; b <- (b - m(a)) / s }
    bijector tilted(x; a : positive, b) { x <- sinh(a * arcsinh(x) + b) }
    model M {
        observe x : real[4]
        latent z : real[4] ~ normal(0, 1)
        flow x -> z { slide(mask = half); elementwise(tilted) }
    }
    """
    assert from_python == dgmspec.parse(text) == dgmspec.Spec.from_json(from_python.model_dump_json())
    assert not [d for d in from_python.check() if d.severity == "error"]


def test_a_net_starts_at_zero_unless_no_line_would_feel_it() -> None:
    text = Own(
        "bijector f(a, b) { net s(a) : like(b) = mlp(8); net m(a) : like(b) = mlp(8); net u(a) : like(b) = mlp(8);"
        " b <- (b - m(a)) * exp(-s(a)^2 / 2); b <- b + u(a) * s(a) }",
        "f(mask = half)",
    ).text
    state = dgmspec.compile(dgmspec.parse(text)).state_dict()
    zero = {name: not state[f"M/x->z/0/{name}/1/weight"].any() for name in "smu"}
    assert zero == {"s": False, "m": True, "u": False}


def test_equations_stand_in_the_drawing() -> None:
    graph = dgmspec.diagnose(Own(f"{SLIDE}\n{TILTED}", "slide_coupling(mask = half); elementwise(tilted)").text).graphs[
        "M"
    ]
    drawn = latex(graph)
    assert r"\text{slide\_coupling} &: b \leftarrow \left(b - \operatorname{m}\left(a\right)\right)" in drawn
    assert r"\text{tilted} &: x \leftarrow \sinh\left(a \cdot \operatorname{arcsinh}\left(x\right) + b\right)" in drawn


@pytest.mark.slow  # the largest formulas that are still tried
@pytest.mark.parametrize(
    "body",
    [
        " + ".join(["x", *(f"sin({i} * x) / {10 * i * i}" for i in range(1, 100))]),
        "x + " + " + ".join(f"cos({i} * x)^2 * sin(x)^{i} / {i}" for i in range(1, 30)),
        "k(k(x))",
    ],
)
def test_a_check_ends_soon_whatever_the_formula(body: str) -> None:
    functions = "fn g(t) = t + tanh(t) + sin(t) / 10\nfn h(t) = g(g(t))\nfn k(t) = h(h(t))\n" if "k(" in body else ""
    start = time.process_time()
    dgmspec.diagnose(Own(f"{functions}bijector f(x) {{ x <- {body} }}", "f").text)
    assert time.process_time() - start < 15


def test_what_is_proved_on_an_interval_is_not_taken_for_a_circle_with_the_same_ends() -> None:
    text = """dgm 1
    bijector f(x) {{ x <- x }}
    model M {{
        observe x : {}[2]
        latent z : interval(-pi, pi)[2] ~ uniform(-pi, pi)
        flow x -> z {{ elementwise(inverse f) }}
        loss = nll
    }}
    """
    assert not dgmspec.diagnose(text.format("interval(-pi, pi)")).diagnostics
    assert [d.code for d in dgmspec.diagnose(text.format("circle")).diagnostics] == ["DGM313"]
    model = dgmspec.compile(dgmspec.parse(text.format("interval(-pi, pi)")), dtype=torch.float64)
    x = torch.tensor([[0.5, -1.0]], dtype=torch.float64)
    torch.testing.assert_close(model.compiled(backend="aot_eager").log_prob(x), model.log_prob(x))
