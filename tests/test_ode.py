"""The `ode` arrow: traces are those of the Jacobian, both directions undo one another, densities integrate to one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.func import jacrev, vmap

import dgmspec
from dgmspec import lang
from dgmspec.algebra.coordinates import gradient
from dgmspec.algebra.divergence import divergence
from dgmspec.algebra.fields import Moving
from dgmspec.algebra.lipschitz import unproved
from dgmspec.algebra.nodes import AbstractExpr, Name, expr
from dgmspec.core.types import Shape, Type
from dgmspec.modules.compiled import UnavailableError
from dgmspec.modules.expressions import evaluate
from dgmspec.runtime import likelihood
from dgmspec.runtime.report import summary
from dgmspec.runtime.selfcheck import check_step, own_parameters
from dgmspec.runtime.solving import solver_shift
from dgmspec.runtime.train import resume_run
from dgmspec.runtime.verify import verify
from dgmspec.spec.model import Fn
from dgmspec.spec.unresolve import formula_text
from tests.odes import DOUBLE, compiled, ode, points
from tests.zoo import randomise

SPECS = Path(__file__).parent.parent / "specs"

SHAPES: dict[str, Shape] = {"t": (), "a": (), "b": (3,), "A": (3, 3)}


def formula(text: str, *more: str) -> AbstractExpr:
    names = ", ".join(("y", *SHAPES, *more))
    item = dgmspec.parse(f"dgm 1\nfn f({names}) = {text}\nmodel M {{ observe x : real[2] }}\n").items[0]
    assert isinstance(item, Fn)
    return item.value


def names_at(size: int | None) -> tuple[dict[str, Shape], dict[str, Tensor]]:
    """The shape of every name, and a value for each."""
    shapes = {**SHAPES, "y": () if size is None else (size,)}
    generator = torch.Generator().manual_seed(1)
    return shapes, {n: torch.randn(1, *s, dtype=DOUBLE, generator=generator) for n, s in shapes.items()}


# ---- traces by formula ----------------------------------------------------------------------------------------------

COORDINATEWISE = ("-y", "2 - y / 3", "y - y^3 * a", "sin(t) * tanh(y) + b", "y / (1 + y^2)", "a * (t - 2 * y) / 3")
LINEAR = ("A @ y + b", "2 * A @ tanh(y) * a - b", "y @ A - transpose(A) @ y", "-(A @ (3 * y)) / 2")
WRITTEN_OUT = (
    "[y[1], -sin(y[0]), y[2]^2]",
    "y * dot(y, y)",
    "A @ [y[0] * y[1], y[0], exp(-y[2]^2)]",
    "exp(-dot(y, y) / 2) * y + sum(y) * b",
    "y + sum(y)",
    "[y[1] - y[2], y[2] - y[0], y[0] - y[1]] * mean(y)",
)


@pytest.mark.parametrize("text", [*COORDINATEWISE, *LINEAR, *WRITTEN_OUT])
def test_the_divergence_of_a_formula_is_the_trace_of_its_jacobian(text: str) -> None:
    velocity, (shapes, values) = formula(text), names_at(3)
    found = divergence(velocity, "y", shapes, {}, {})
    assert found is not None

    def at(y: Tensor) -> Tensor:
        value = evaluate(velocity, values | {"y": y.unsqueeze(0)})
        assert isinstance(value, Tensor)
        return value[0].expand(3)

    real = torch.trace(jacrev(at)(values["y"][0]))
    value = evaluate(found, values)
    torch.testing.assert_close(torch.as_tensor(value, dtype=DOUBLE).reshape(()), real, rtol=1e-12, atol=1e-12)


def test_a_divergence_is_a_number_where_it_is_constant() -> None:
    shapes, _ = names_at(784)
    assert (
        divergence(formula("-y"), "y", shapes, {}, {}) == expr(-784)
        or formula_text(divergence(formula("-y"), "y", shapes, {}, {}) or expr(0)) == "-784"
    )


@pytest.mark.parametrize(
    "text",
    ["[y[1], -sin(y[0]), t]", "[y[1] - y[2], y[2] - y[0], y[0] - y[1]]", "b * t", "[y[1] * y[2], y[0]^2, exp(y[1])]"],
)
def test_fields_free_of_divergence_are_proved_so(text: str) -> None:
    assert divergence(formula(text), "y", names_at(3)[0], {}, {}) == expr(0)


def test_a_net_in_a_sum_leaves_its_trace_by_name() -> None:
    shapes = names_at(3)[0] | {"v": (3,)}
    known = {"v": Moving(0b111, traces={None: Name(id="trace_of_v")})}
    found = divergence(formula("-y + 0.1 * v * a", "v"), "y", shapes, {}, known)
    assert found is not None and formula_text(found) == "0.1 * a * trace_of_v - 3"
    assert divergence(formula("y * v", "v"), "y", shapes, {}, known) is None


def test_what_no_rule_covers_has_no_formula() -> None:
    shapes = names_at(300)[0] | {"A": (300, 300), "b": (300,)}
    assert divergence(formula("y * dot(y, y)"), "y", shapes, {}, {}) is None  # too many coordinates to write out
    assert divergence(formula("y * norm(y)"), "y", names_at(3)[0], {}, {}) is None  # no derivative at zero


def test_the_gradient_of_a_number_is_a_vector() -> None:
    shapes, values = names_at(3)
    energy = formula("dot(y, A @ y) / 2 + cos(y[0]) * exp(-y[1]^2)")
    found = gradient(energy, "y", shapes, {})
    assert found is not None

    def at(y: Tensor) -> Tensor:
        value = evaluate(energy, values | {"y": y.unsqueeze(0)})
        assert isinstance(value, Tensor)
        return value[0]

    value = evaluate(found, values)
    assert isinstance(value, Tensor)
    torch.testing.assert_close(value[0], jacrev(at)(values["y"][0]), rtol=1e-12, atol=1e-12)


# ---- Lipschitz terms ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("-y + A @ y + sin(y) * b + relu(y) - norm(y) * b", []),
        ("tanh(y) * sin(y) + exp(-cos(y)) + sigmoid(y)^2", []),
        ("y - y^2 * a", ["y^2 * a"]),
        ("y * t + exp(y)", ["exp(y)"]),
        ("y * sin(y) + dot(b, y) * b", ["y * sin(y)"]),
        ("1 / (1 + y^2)", ["1 / (1 + y^2)"]),
    ],
)
def test_terms_that_are_not_lipschitz_by_their_form_are_named(text: str, terms: list[str]) -> None:
    assert [formula_text(term) for term in unproved(formula(text), ["y"])] == terms


# ---- the arrow ------------------------------------------------------------------------------------------------------

FINE = "solver = dopri5(rtol = 1e-9, atol = 1e-9)"
ARROWS = {
    "net": ode("velocity(y, t) = mlp(8, 8)", FINE),
    "gated": ode("velocity(y, t) = mlp(6, 6, time = gated)", FINE),
    "concatsquash": ode("velocity(y, t) = mlp(6, time = concatsquash)", FINE, context="c", members="given c : real[3]"),
    "deep concatsquash": ode(
        "velocity(y, t) = v(y, t)", FINE, members="net v(y, t) = mlp(4, 4, 4, time = concatsquash)"
    ),
    "linear": ode("velocity(y) = A @ y + b", FINE, members="learn A : real[2, 2]; learn b : real[2]"),
    "deep": ode("velocity(y, t) = mlp(6, 6, 6, time = fourier(4, scale = 1), activation = tanh)", FINE, size=3),
    "skips": ode(
        "velocity(y, t) = v(y, t) - a * y", FINE, "learn a : positive = 0.5", members="net v(y, t) = resmlp(6, 1)"
    ),
    "mixed": ode(
        "velocity(y, t) = -y + 0.5 * v(y, t) + w(t)",
        "net w(t) = mlp(4)",
        FINE,
        over="t in 2..0.5",
        members="net v(y, t) = mlp(8)",
    ),
    "matrix of a net": ode(
        "velocity(y, t) = B @ v(y, t)", "learn B : real[2, 2]", FINE, members="net v(y, t) = mlp(6)"
    ),
    "energy": ode("velocity(y) = -grad(E(y), y)", FINE, members="net E(y) : real = mlp(8, activation = tanh)"),
    "pendulum": ode("velocity(y) = [y[1], -sin(y[0])]", FINE),
    "context": ode("velocity(y, t) = mlp(8)", FINE, context="c", members="given c : real[3]"),
    "contexts": ode("velocity(y) = c * y + d", FINE, context="c, d", members="given c : real; given d : real[2]"),
    "labels": ode(
        "velocity(y, t) = mlp(8, 8)", FINE, context="k, d", members="given k : category(3); given d : real[2]"
    ),
}


@pytest.mark.parametrize("name", ARROWS)
def test_an_arrow_is_what_it_says(name: str) -> None:
    """Inverse, log-determinant, dependencies and constancy by numbers, on random parameters."""
    model = compiled(ARROWS[name])
    (node,) = model.graph.steps.values()
    event, given = model.type_of("x"), node.context and model.graph.type_of(node.context)
    assert given is None or isinstance(given, Type)
    own = own_parameters(model, node.address, node.op.parameters(event, given))
    found = check_step(node.op.tightened(), own, event, given, node.address, complete=True)
    assert {f.claim for f in found} >= {"inverse", "log-determinant", "dependency"}
    assert not [f for f in found if not f.holds], "; ".join(map(str, found))


def test_verify_knows_odes() -> None:
    found = verify(dgmspec.compile(dgmspec.parse(ode("velocity(y, t) = mlp(8, 8)", "solver = rk4(steps = 8)"))))
    assert found.holds and "1 tried" in found.text(), found.text()


def test_the_log_determinant_of_a_linear_ode_is_the_time_times_the_trace() -> None:
    model = compiled(ARROWS["linear"])
    matrix, x = model.get_parameter("M/A").detach(), points(4, 2)
    torch.testing.assert_close(
        model.ledger(x).steps[0].logdet, torch.trace(matrix).expand(4), rtol=1e-7, atol=1e-9, check_dtype=True
    )
    shift = model.get_parameter("M/b").detach()
    augmented = torch.zeros(3, 3, dtype=DOUBLE)
    augmented[:2, :2], augmented[:2, 2] = matrix, shift
    whole = torch.linalg.matrix_exp(augmented)
    torch.testing.assert_close(model.encode(x), x @ whole[:2, :2].T + whole[:2, 2], rtol=1e-7, atol=1e-8)


def test_a_time_that_falls_runs_the_equation_backwards() -> None:
    there, back = (
        compiled(ode("velocity(y) = A @ y", FINE, members="learn A : real[2, 2]", over=o))
        for o in ("t in 0..1", "t in 1..0")
    )
    back.load_state_dict(there.state_dict())
    x = points(4, 2)
    torch.testing.assert_close(back.encode(there.encode(x)), x, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(back.ledger(x).steps[0].logdet, -there.ledger(x).steps[0].logdet)


@pytest.mark.parametrize("solver", ["rk4(steps = 6)", "dopri5(rtol = 1e-10, atol = 1e-10)"])
def test_the_adjoint_gives_the_gradient_of_the_solve(solver: str) -> None:
    gradients = []
    x = points(8, 2)
    for way in ("direct", "adjoint", "checkpoint"):
        model = compiled(ode("velocity(y, t) = mlp(6, 6)", f"solver = {solver}", f"gradient = {way}"))
        model.loss(x).total.backward()  # type: ignore[no-untyped-call]
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    for other in gradients[1:]:
        torch.testing.assert_close(other, gradients[0], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("probes", ["rademacher", "gaussian", "orthogonal, samples = 2"])
@pytest.mark.parametrize("velocity", ["mlp(6, 6, 6)", "B @ v(y, t)"])
def test_estimates_average_to_the_exact_log_density(probes: str, velocity: str) -> None:
    members = "net v(y, t) = mlp(6); learn B : real[3, 3]"
    members = members if "B" in velocity else ""
    texts = [
        ode(f"velocity(y, t) = {velocity}", f"trace = {trace}", "solver = rk4(steps = 3)", size=3, members=members)
        for trace in ("exact", f"hutchinson({probes})")
    ]
    exact, estimate = map(compiled, texts)
    assert (exact.density, estimate.density) == ("exact", "estimate")
    x = points(1, 3)
    rows = x.expand(4000, 3)
    drawn = estimate.log_prob(rows, seed=0).detach()
    error = float(drawn.std() / 4000**0.5)
    assert error > 0 and abs(float(drawn.mean() - exact.log_prob(x).detach())) < 4.5 * error
    torch.testing.assert_close(estimate.log_prob(x, seed=3), estimate.log_prob(x, seed=3))


def test_a_probe_is_held_fixed_throughout_a_solve() -> None:
    """Drawn anew at every evaluation it would make a velocity that jumps, which an adaptive solver takes ages over."""
    body = ("velocity(y, t) = mlp(6, 6, 6)", "solver = dopri5(rtol = 1e-6, atol = 1e-6)")
    counts = []
    for trace in ("exact", "hutchinson"):
        model = compiled(ode(*body, f"trace = {trace}", size=3))
        entry = model.ledger(points(4, 3), seed=0).steps[0].cost
        counts.append(int(entry.split(", ")[-1].split()[0]))
    assert counts[1] <= 2 * counts[0], counts


def test_a_hamiltonian_flow_is_proved_to_keep_volume() -> None:
    shown = dgmspec.diagnose((SPECS / "hamiltonian.dgm").read_text()).explain("Hamiltonian")
    assert "velocity free of divergence: log-det 0 by formula" in shown


def test_the_density_of_a_continuous_flow_integrates_to_one() -> None:
    model = compiled(ode("velocity(y, t) = mlp(16, 16)", "solver = rk4(steps = 12)"))
    axis = torch.linspace(-12, 12, 241, dtype=DOUBLE)
    with torch.no_grad():
        mass = model.log_prob(torch.cartesian_prod(axis, axis)).exp().sum() * 0.1**2
    assert abs(float(mass) - 1) < 1e-3


@pytest.mark.parametrize(
    "text",
    [
        ode("velocity(y, t) = mlp(4)", "solver = midpoint(steps = 1)"),
        pytest.param(
            ode(
                "velocity(y, t) = B @ v(y, t)",
                "solver = rk4(steps = 2)",
                members="net v(y, t) = mlp(4); learn B : real[2, 2]",
            ),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ode("velocity(y, t) = mlp(4, 4, 4)", "solver = euler(steps = 2)", "trace = hutchinson"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_fixed_steps_compile_to_one_graph(text: str) -> None:
    torch._dynamo.reset()
    model = compiled(text)
    other, x = model.compiled(backend="aot_eager"), points(4, 2)
    torch.testing.assert_close(other.log_prob(x, seed=1), model.log_prob(x, seed=1))
    torch.testing.assert_close(other.sample(4, seed=1), model.sample(4, seed=1))
    torch.testing.assert_close(other.loss(x, seed=1, step=1).total, model.loss(x, seed=1, step=1).total)


def test_a_model_without_passes_and_a_frozen_one_are_the_same() -> None:
    for name in ("linear", "net"):
        text = ARROWS[name].replace("dopri5(rtol = 1e-9, atol = 1e-9)", "rk4(steps = 4)")
        model = compiled(text)
        other = dgmspec.compile(dgmspec.parse(text), dtype=DOUBLE, optimize="O0")
        other.load_state_dict(model.state_dict())
        x = points(5, 2)
        for alike in (other, model.freeze()):
            torch.testing.assert_close(alike.log_prob(x), model.log_prob(x))
            torch.testing.assert_close(alike.sample(5, seed=2), model.sample(5, seed=2))


def test_a_net_of_the_model_is_one_net_however_often_it_is_read() -> None:
    text = """dgm 1
model M {
    net v(y, t) = mlp(6)
    learn a : positive = 1
    observe x : real[2]
    latent u : real[2]
    latent z : real[2] ~ normal(0, 1)
    ode x -> u over t in 0..1 { velocity(y, t) = a * v(y, t) }
    ode u -> z over t in 0..1 { velocity(y, t) = v(y, t) + v(y, 2 * t) * a }
    loss = nll
}
"""
    found = dgmspec.diagnose(text).diagnostics
    assert [d.code for d in found] == ["DGM312"]  # the time by itself, and another number in its place
    model = dgmspec.compile(dgmspec.parse(text.replace("v(y, 2 * t)", "v(2 * y, t)")))
    assert set(model.state_dict()) == {"M/a", "M/v/0/weight", "M/v/0/bias", "M/v/1/weight", "M/v/1/bias"}
    model.loss(torch.randn(4, 2)).total.backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None for p in model.parameters())


def test_a_flow_and_an_ode_meet_at_a_variable_between() -> None:
    text = """dgm 1
model M {
    observe x : unit[2]
    latent u : real[2]
    latent z : real[2] ~ normal(0, 1)
    flow x -> u { logit; actnorm }
    ode z -> u over t in 0..1 { velocity(y, t) = mlp(8, 8) }
    loss = nll
}
"""
    model = compiled(text)
    x = torch.rand(6, 2, dtype=DOUBLE)
    assert [step.name for step in model.ledger(x).steps] == [
        "logit",
        "actnorm",
        "ode(rk4)",
        "z ~ normal",
    ]
    torch.testing.assert_close(model.decode(model.encode(x)), x, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(model.ledger(x).total, model.log_prob(x))


def test_a_residual_chain_of_n_steps_is_euler_with_n_steps() -> None:
    spec = dgmspec.load(SPECS / "resnet_euler.dgm")
    model, x, steps = dgmspec.compile(spec, dtype=DOUBLE), points(6, 2), 8
    randomise(model, 1)
    weights = [
        model.get_parameter(f"Euler/x->z/velocity/net/{i}/{part}") for i in (0, 1) for part in ("weight", "bias")
    ]

    def chain(y: Tensor) -> Tensor:
        for _ in range(steps):
            y = y + torch.tanh(y @ weights[0].T + weights[1]) @ weights[2].T / steps + weights[3] / steps
        return y

    torch.testing.assert_close(model.encode(x), chain(x), rtol=1e-12, atol=1e-12)
    # The chain's own log-determinant differs from the integral of the trace by the order of the step.
    real = torch.linalg.slogdet(vmap(jacrev(chain))(x)).logabsdet
    errors = []
    for count in (8, 16):
        finer = dgmspec.compile(spec.with_params(steps=count), dtype=DOUBLE)
        finer.load_state_dict(model.state_dict())
        steps = count
        real = torch.linalg.slogdet(vmap(jacrev(chain))(x)).logabsdet
        errors.append(float((finer.ledger(x).steps[0].logdet - real).detach().abs().max()))
    assert 1.6 < errors[0] / errors[1] < 2.6


def test_a_finer_solve_shares_its_weights_and_converges() -> None:
    model, x = compiled(ode("velocity(y, t) = mlp(8, 8)", "solver = rk4(steps = 3)")), points(5, 2)
    finer, closest = model.refined(), model.tightened()
    assert finer.get_parameter("M/x->z/velocity/net/0/weight") is model.get_parameter("M/x->z/velocity/net/0/weight")
    errors = [(m.log_prob(x) - closest.log_prob(x)).detach().abs().max() for m in (model, finer)]
    assert errors[1] < errors[0] / 8


def test_a_path_that_runs_off_is_an_error_that_names_the_arrow() -> None:
    model = compiled(ode("velocity(y) = y^2", "solver = dopri5", over="t in 0..4"))
    with pytest.raises(ArithmeticError, match=r"M/x->z.*t = .*sample 1"):
        model.log_prob(torch.tensor([[-1.0, -1.0], [3.0, 0.1]], dtype=DOUBLE))


# ---- what is said without torch -------------------------------------------------------------------------------------


def explained(text: str) -> str:
    found = dgmspec.diagnose(text)
    assert not [d for d in found.diagnostics if d.severity == "error"], found.diagnostics
    return found.explain("M")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ode("velocity(y) = -y"), ("∫ trace, symbolic", "80 evaluations", "paths exist and are unique")),
        (ode("velocity(y, t) = mlp(8, 8)"), ("∫ trace, closed form", "log_prob exact", "rk4, against twice as many")),
        (ode("velocity(y, t) = mlp(8, 8, 8)"), ("∫ trace, exact, 2 derivatives",)),
        (ode("velocity(y, t) = mlp(8, 8, 8)", size=40), ("1 rademacher probe", "log_prob estimate")),
        (ode("velocity(y) = [y[1], -sin(y[0])]"), ("log-det 0 by formula", "volume-preserving")),
        (ode("velocity(y) = y - y^2"), ("assumed  `y^2` Lipschitz in `y`",)),
        (ode("velocity(y) = [-y[0], y[1], y[1] - y[2]]", size=3), ("coordinates 0 and 1 never meet",)),
        (ode("velocity(y) = -y", "solver = tsit5(rtol = 1e-6)"), ("adaptive", "tsit5 to rtol 1e-06")),
    ],
)
def test_explain_says_how_the_trace_is_had(text: str, said: tuple[str, ...]) -> None:
    shown = explained(text)
    assert all(words in shown for words in said), shown


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (ode("velocity(y) = [y[0]]"), "DGM602", "the state `y` has [2]"),
        (ode("velocity(y) = log(y)"), "DGM453", "positive"),
        (ode("velocity(y) = [log(y[0]), y[1]]"), "DGM453", "y[0] = "),
        (ode("velocity(t, y) = -y"), "DGM604", "in this order"),
        (ode("velocity(y, t) = -y / t"), "DGM453", "divisor"),
        (ode("velocity(y, t) = -grad(dot(y, y), t)"), "DGM604", "grad"),
        (ode("velocity(y) = -y", "solvr = rk4"), "DGM600", "solvr"),
        (ode("velocity(y) = -y", "solver = rk5"), "DGM230", "rk5"),
        (ode("velocity(y) = -y", "gradient = backprop"), "DGM600", "way to a gradient"),
        (ode("velocity(y) = -y", over="t in [0, 1]"), "DGM603", "from one time to another"),
        (ode("velocity(y) = -y", over="t in 0..inf"), "DGM603", "finite"),
        (ode("velocity(y) = -y", "velocity(y) = y"), "DGM600", "twice"),
        (ode("velocity(y, t) = -y + mlp(8)"), "DGM201", "mlp"),
        (ode("velocity(y) = mlp(8, time = gated)"), "DGM449", "nothing here is one"),
    ],
)
def test_mistakes_are_named(text: str, code: str, words: str) -> None:
    found = [d for d in dgmspec.diagnose(text).diagnostics if d.severity == "error"]
    assert found and found[0].code == code and words in found[0].message, [(d.code, d.message) for d in found]


# ---- runs -----------------------------------------------------------------------------------------------------------


def test_a_run_reports_the_finer_solve_and_what_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likelihood, "GAP_POINTS", 500)
    text = ode("velocity(y, t) = mlp(8)", "solver = euler(steps = 1)") + (
        "data moons = two_moons(n = 500)\n"
        "train M { data = moons; steps = 6; batch = 64; optimizer = adam(lr = 0.1); validate = holdout(0.2) }\n"
    )
    run = dgmspec.train(dgmspec.parse(text), out=tmp_path / "run")
    test = run.report["test"]
    assert abs(test["solver_shift_nats"]) > 0.01
    assert "solved more finely" in summary(run.report) and "give the arrow's `solver` more steps" in summary(run.report)
    rows = {"x": torch.randn(8, 2)}
    shift = solver_shift(run.model, rows, 0)
    expected = float((run.model.refined().log_prob(rows["x"]) - run.model.log_prob(rows["x"])).detach().mean())
    assert shift == pytest.approx(expected, abs=1e-6)


def test_the_ledger_counts_evaluations() -> None:
    fixed, adaptive = (
        compiled(ode("velocity(y, t) = mlp(8, 8)", f"solver = {s}")) for s in ("rk4(steps = 5)", "dopri5")
    )
    assert fixed.ledger(points(3, 2)).steps[0].cost == "∫ trace, closed form, 20 evaluations"
    counted = adaptive.ledger(points(3, 2)).steps[0].cost
    assert counted.endswith(" evaluations") and int(counted.split(", ")[2].split()[0]) >= 7


def test_models_that_solve_nothing_have_no_shift() -> None:
    model = dgmspec.compile(dgmspec.load(SPECS / "linear.dgm"))
    assert model.refined() is model and solver_shift(model, {"x": torch.randn(4, 2)}, 0) is None


def test_samples_by_another_solver() -> None:
    model = compiled(ode("velocity(y, t) = mlp(8, 8)", "solver = euler(steps = 2)"))
    close, coarse = model.tightened().sample(50, seed=0), model.sample(50, seed=0)
    better = model.sample(50, seed=0, method=lang.solve(lang.dopri5(rtol=1e-8, atol=1e-8)))
    assert float((coarse - close).abs().max()) > 1e-3
    torch.testing.assert_close(better, close, rtol=1e-6, atol=1e-6)
    assert torch.equal(better, model.with_solver(lang.dopri5(rtol=1e-8, atol=1e-8)).sample(50, seed=0))
    with pytest.raises(TypeError, match="a solver is a call such as"):
        model.with_solver("dopri5")
    text = ode("velocity(y) = -y") + "sample M { method = solve(rk4(steps = 3)); count = 5 }\n"
    assert not [d for d in dgmspec.diagnose(text).diagnostics if d.severity != "note"]
    flow = dgmspec.compile(dgmspec.load(SPECS / "linear.dgm"))
    with pytest.raises(UnavailableError, match="no `ode`"):
        flow.sample(2, method=lang.solve(lang.rk4()))


@pytest.mark.parametrize(
    ("state", "velocity"),
    [
        ("real", "mlp(6, 6)"),
        ("real", "-y * sin(t)"),
        ("real[1, 2, 2]", "conv(2)"),
        ("real[2, 3]", "mlp(6)"),
        ("real[2, 3]", "-y + tanh(y) * t"),
    ],
)
def test_states_of_every_shape(state: str, velocity: str) -> None:
    text = ode(f"velocity(y, t) = {velocity}", "solver = rk4(steps = 3)")
    text = text.replace("x : real[2]", f"x : {state}").replace("z : real[2]", f"z : {state}")
    model = compiled(text)
    x = points(4, model.type_of("x").size).reshape(4, *model.type_of("x").shape)
    (node,) = model.graph.steps.values()
    own = own_parameters(model, node.address, node.op.parameters(model.type_of("x"), None))
    found = check_step(node.op.tightened(), own, model.type_of("x"), None, node.address, complete=True)
    assert not [f for f in found if not f.holds], "; ".join(map(str, found))
    assert torch.isfinite(model.log_prob(x, seed=0)).all() and model.sample(3, seed=0).shape == (3, *x.shape[1:])


def test_names_that_could_be_confused() -> None:
    """A context, a state and learned numbers may be called as they please."""
    members = "given context : real[2]; given probes : real; learn the = 0.5; learn net : real[2]"
    velocity = "velocity(y, t) = the * y - context * probes + net + 0.1 * v(y, context)"
    text = ode(velocity, "net v(a, b) = mlp(4)", members=members, context="context, probes")
    model = compiled(text)
    x, given = points(4, 2), {"context": points(4, 2, 1), "probes": points(4, 1, 2)[:, 0]}
    whole = model.tightened()
    torch.testing.assert_close(whole.decode(whole.encode(x, given), given), x, rtol=1e-7, atol=1e-7)
    assert not [d for d in dgmspec.diagnose(text).diagnostics if d.severity == "error"]


def test_a_formula_reads_its_context_in_the_units_of_the_data() -> None:
    text = ode("velocity(y) = c * y", members="given c : real", context="c") + (
        'data table = csv("a.csv", x = ["a", "b"], c = "c")\ntrain M { data = table; steps = 1; standardize = true }\n'
    )
    model = dgmspec.compile(dgmspec.parse(text), dtype=DOUBLE)
    for name in model.standardized:
        model.set_statistics(name, 0.0 if name == "x" else 5.0, 1.0 if name == "x" else 3.0)
    x, c = points(3, 2), torch.tensor([0.5, -1.0, 2.0], dtype=DOUBLE)
    torch.testing.assert_close(model.encode(x, {"c": c}), x * c.exp()[:, None], rtol=1e-5, atol=1e-5)


def test_what_the_braces_declare_and_nothing_reads_is_warned_about() -> None:
    found = dgmspec.diagnose(ode("velocity(y) = -y", "net v(y) = mlp(4)", "learn a = 1", "fn f(s) = 2 * s")).diagnostics
    assert [d.code for d in found] == ["DGM243"] * 3


def test_a_joint_state_keeps_its_names_apart() -> None:
    """A damped oscillator of positions and momenta, and the same on the flat concatenation."""
    joint = """dgm 1
model M {
    learn A : real[2, 2]
    learn b = 0.3
    observe q : real[2]
    observe p : real[2]
    observe e : real
    latent z : real[5] ~ normal(0, 1)
    ode [q, p, e] -> z over t in 0..1 { velocity(q, p, e, t) = [A @ p, -q - b * p * t, -e + q[0]] }
    loss = nll
}
"""
    flat = """dgm 1
model M {
    learn A : real[2, 2]
    learn b = 0.3
    observe x : real[5]
    latent z : real[5] ~ normal(0, 1)
    ode x -> z over t in 0..1 {
        velocity(y, t) = [
            A[0][0] * y[2] + A[0][1] * y[3], A[1][0] * y[2] + A[1][1] * y[3],
            -y[0] - b * y[2] * t, -y[1] - b * y[3] * t, -y[4] + y[0]
        ]
    }
    loss = nll
}
"""
    first, second = compiled(joint), compiled(flat)
    second.load_state_dict(first.state_dict())
    x = points(4, 5)
    parts = {"q": x[:, :2], "p": x[:, 2:4], "e": x[:, 4]}
    torch.testing.assert_close(first.encode(parts), second.encode(x))
    torch.testing.assert_close(first.log_prob(parts), second.log_prob(x))
    assert "∫ trace, symbolic" in explained(joint)
    net = joint.replace("[A @ p, -q - b * p * t, -e + q[0]]", "[A @ p, v(q, p, t), b * e]").replace(
        "    learn b", "    net v(q, p, t) : real[2] = mlp(6)\n    learn b"
    )
    other = compiled(net).tightened()
    back = other.decode(other.encode(parts))
    torch.testing.assert_close(torch.cat([back["q"], back["p"]], 1), x[:, :4], rtol=1e-7, atol=1e-7)
    for wrong, code in (("[A @ p, -q]", "DGM602"), ("[A @ p, -q, q]", "DGM312")):
        text = joint.replace("[A @ p, -q - b * p * t, -e + q[0]]", wrong)
        assert code in [d.code for d in dgmspec.diagnose(text).diagnostics], dgmspec.diagnose(text).diagnostics
    assert "DGM604" in [
        d.code for d in dgmspec.diagnose(joint.replace("velocity(q, p, e, t)", "velocity(q, p, t)")).diagnostics
    ]


def test_training_doubles_steps_that_are_too_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model that is left, its text, its report and a resumed run all take the steps that validation asked for."""
    monkeypatch.setattr(likelihood, "GAP_POINTS", 500)
    text = ode("velocity(y, t) = mlp(8)", "solver = euler(steps = 1)") + (
        "data moons = two_moons(n = 500)\n"
        "train M { data = moons; steps = 8; batch = 64; optimizer = adam(lr = 0.1)\n"
        "validate = holdout(0.2, every = 2) }\n"
    )
    run = dgmspec.train(dgmspec.parse(text), out=tmp_path / "run")
    doubled = run.report["steps_doubled_at"]
    assert doubled and set(doubled) <= {2, 4, 6, 8}
    steps = f"euler(steps = {2 ** len(doubled)})"
    assert next(iter(run.model.graph.steps.values())).label == f"ode(euler({2 ** len(doubled)}))"
    assert f"were doubled after step {doubled[0]}" in summary(run.report)
    loaded = dgmspec.load_model(run.path / "model")
    assert loaded.bundle is not None and f"solver = {steps}" in loaded.bundle.text
    x = torch.randn(8, 2)
    assert torch.equal(loaded.log_prob(x), run.model.log_prob(x))
    assert run.report["best_step"] >= doubled[-1]  # a reading with fewer steps is no rival
    again = resume_run(run.path)
    assert again.report["steps_doubled_at"] == doubled and torch.equal(again.model.log_prob(x), run.model.log_prob(x))


@pytest.mark.parametrize("written", ["adjoint", "adjoint(seminorm = false)", "adjoint(true)"])
def test_the_adjoint_with_and_without_the_gradients_of_weights_in_its_norm(written: str) -> None:
    body = ("velocity(y, t) = mlp(6)", "solver = dopri5(rtol = 1e-8, atol = 1e-8)")
    model, direct = compiled(ode(*body, f"gradient = {written}")), compiled(ode(*body))
    (step,) = model.graph.steps.values()
    assert step.op.seminorm == ("false" not in written)  # type: ignore[attr-defined]
    for each in (model, direct):
        each.log_prob(points(3, 2)).sum().backward()  # type: ignore[no-untyped-call]
    for one, two in zip(model.parameters(), direct.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("written", ["adjoint(seminorm = 3)", "backwards", "adjoint(norm = true)", "direct(true)"])
def test_ways_to_a_gradient_that_are_none(written: str) -> None:
    found = dgmspec.diagnose(ode("velocity(y) = -y", f"gradient = {written}")).diagnostics
    assert [d.code for d in found] == ["DGM600"]


def test_a_model_of_two_arrows_with_a_context_says_which_loses_its_states() -> None:
    text = """dgm 1
model M {
    given c : positive
    observe x : real[2]
    latent u : real[2]
    latent z : real[2] ~ normal(0, 1)
    ode x -> u over t in 0..1 { velocity(y) = -y }
    ode z -> u | c over t in 0..1 { velocity(y) = -c * y^2 }
    loss = nll
}
"""
    model = dgmspec.compile(dgmspec.parse(text))
    batch = {"x": torch.full((3, 2), 2.0), "c": torch.tensor([0.1, 50.0, 0.1])}
    error = model.lost(batch, seed=0)
    assert error is not None and error.row == 1 and "M/z->u" in str(error) and 0 < error.t < 1
    assert model.lost({**batch, "c": torch.full((3,), 0.1)}, seed=0) is None
