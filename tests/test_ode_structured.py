"""Velocities whose nets keep an order of the coordinates, or read blocks of them: cheap traces that are exact."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.func import jacrev

import dgmspec
from dgmspec.modules.compiled import CompiledModel
from dgmspec.modules.continuous.ode import evaluation_of
from dgmspec.modules.registry import step_twin
from dgmspec.modules.twin import StepContext
from dgmspec.ops.continuous import Ode
from dgmspec.runtime.selfcheck import check_step, own_parameters
from tests.odes import compiled, ode, points

SOLVER = "solver = rk4(steps = 2)"


def joint(velocity: str, *members: str, trace: str = "exact") -> str:
    """A joint state of q, two numbers, p, two more, and e, one."""
    lines = "".join(f"    {member}\n" for member in members)
    return (
        f"dgm 1\nmodel M {{\n{lines}    observe q : real[2]\n    observe p : real[2]\n    observe e : real\n"
        "    latent z : real[5] ~ normal(0, 1)\n    ode [q, p, e] -> z over t in 0..1 {\n"
        f"        velocity(q, p, e, t) = {velocity}\n        {SOLVER}; trace = {trace}\n    }}\n    loss = nll\n}}\n"
    )


MADE = "net m(y, t) = made(7, 7)"
BACK = "net w(y, t) = made(7, activation = tanh, order = reverse)"
TWO = "net h(y, t) : real[2, 3] = made(9, 9)"
CAUSAL = "net k(y, t) = transformer(4, depth = 1, causal = true)"
POSITIVE = "net s(y) : positive[3] = made(5, order = random(1))"

ORDERED = {
    "made in place": (ode("velocity(y, t) = made(6, 6)", SOLVER, size=3), "0"),
    "made alone": (ode("velocity(y, t) = m(y, t)", MADE, SOLVER, size=3), "0"),
    "both ways": (ode("velocity(y, t) = tanh(m(y, t)) - w(y, t)^2", MADE, BACK, SOLVER, size=3), "0"),
    "causal": (ode("velocity(y, t) = k(y, t)", CAUSAL, SOLVER, size=3), "0"),
    "affine": (ode("velocity(y, t) = h(y, t)[0] * y + h(y, t)[1]", TWO, SOLVER, size=3), "symbolic"),
    "hollow": (ode("velocity(y, t) = sin(m(y, t) * y + w(y, t)) - y", MADE, BACK, SOLVER, size=3), "symbolic"),
    "rates": (ode("velocity(y, t) = -log(1 + s(y)) * y + 0.1 * m(y, t)", POSITIVE, MADE, SOLVER, size=3), "symbolic"),
    "beside": (ode("velocity(y, t) = m(y, t) * y + v(y)", MADE, "net v(y) = mlp(5)", SOLVER, size=3), "closed form"),
    "graph": (
        ode("velocity(y) = m(y) * y", "net m(y) = made(8, order = dag([[0, 1], [2, 1]]))", SOLVER, size=3),
        "symbolic",
    ),
    "of a formula": (ode("velocity(y, t) = m(2 * tanh(y), t) * y", MADE, SOLVER, size=3), "symbolic"),
    "given": (
        ode(
            "velocity(y) = m(y, c) * y",
            "net m(y, c) = made(6)",
            SOLVER,
            size=3,
            context="c",
            members="given c : real[2]",
        ),
        "symbolic",
    ),
    "unmasked": (ode("velocity(y, t) = v(y) * y", "net v(y) = mlp(5)", SOLVER, size=3), "exact, 3 derivatives"),
    "one number by itself": (
        ode("velocity(y, t) = m(y, t)[0] * y - m(y, t)[2] * [0, 0, 1]", MADE, SOLVER, size=3),
        "symbolic",
    ),
    "images": (
        ode("velocity(y, t) = f(y, t) * y - f(y, t)", "net f(y, t) = masked_conv(4, 4)", SOLVER).replace(
            "real[2]", "real[2, 3, 2]"
        ),
        "symbolic",
    ),
    "images backwards": (
        ode("velocity(y, t) = f(y, t) * y", "net f(y, t) = masked_conv(4, order = raster(1))", SOLVER).replace(
            "real[2]", "real[2, 3, 2]"
        ),
        "symbolic",
    ),
    "nets of numbers": (
        ode(
            "velocity(y, t) = [v(y[0], y[1], t) * t, 3 * w(y[1], y[0]), u(y[2])]",
            "net v(a, b, t) : real = mlp(4); net w(a, b) : real = mlp(4, 4); net u(a) : real = mlp(4)",
            SOLVER,
            size=3,
        ),
        "closed form",
    ),
}
"""Each with what its trace is said to be."""

V = "net v(q, t) : real[2] = mlp(5)"
W = "net w(p, q, t) : real[2] = mlp(5, 5)"
U = "net u(q, p, e) : real = mlp(4)"
DEEP = ("net v(q, t) : real[2] = mlp(5, 4, 5)", "net w(p, q, t) : real[2] = resmlp(5, 1)")
TOKENS = "net v(q, t) : real[2] = transformer(4, depth = 1)"

JOINT = {
    "blocks": (joint("[v(q, t), w(p, q, t), u(q, p, e)]", V, W, U), "closed form"),
    "scaled": (joint("[-2 * v(q, t), w(p, q, t) * t - p, -u(q, p, e) * (1 + t)]", V, W, U), "closed form"),
    "rates": (joint("[-q, v(q, t) * p, dot(v(q, t), p) * e]", V), "symbolic"),
    "separable": (joint("[w(p, p, t), v(q, t), dot(q, p)]", V, W), "0"),
    "deep": (joint("[v(q, t), w(p, q, t), q[0] * e]", *DEEP), "exact, 2 derivatives"),
    "tokens": (joint("[v(q, t), v(p, t), q[0] * e]", TOKENS), "exact, 2 derivatives"),
    "masked": (joint("[m(q, t) * q, m(p, t), -e]", "net m(q, t) : real[2] = made(5)"), "symbolic"),
    "through": (joint("[v(q, t)[0] * v(q, t), p, e]", V), "exact, 5 derivatives"),
    "across": (joint("[v(p, t), v(q, t), e]", V), "symbolic"),
    "crossed": (joint("[[w(p, q, t)[0], p[0]], q, e]", W), "exact, 5 derivatives"),
    "swapped": (joint("[[v(q, t)[1], v(q, t)[0]], p, e]", V), "exact, 5 derivatives"),
}
TEXTS = {**ORDERED, **{f"joint {name}": case for name, case in JOINT.items()}}


def arrow(model: CompiledModel) -> tuple[Ode, str]:
    (node,) = model.graph.steps.values()
    assert isinstance(node.op, Ode)
    return node.op, node.address


def rates(model: CompiledModel, y: Tensor) -> tuple[Tensor, Tensor]:
    """The trace of the velocity as it is planned, and that of autograd's Jacobian, at the time 0.3."""
    op, address = arrow(model)
    event = model.graph.type_of(next(iter(model.graph.steps.values())).source)
    given = next(iter(model.givens.values()), None)
    own = own_parameters(model, address, op.parameters(event, given))
    c = None if given is None else points(len(y), given.size, 5)
    plan = step_twin(op).plan(op, event, given)

    def at(rows: int) -> StepContext:
        return StepContext(event, given, None if c is None else c[:rows], plan=plan, address=address)

    evaluation, values = evaluation_of(op, own, y, at(len(y)), plan)
    trace = evaluation.value_and_trace(0.3, y, values)[1]
    jacobians = []
    for i, row in enumerate(y):
        seen = StepContext(event, given, None if c is None else c[i : i + 1], plan=plan, address=address)
        one, known = evaluation_of(op, own, row[None], seen, plan)
        matrix = jacrev(lambda v, one=one, known=known: one.value(0.3, v[None], known)[0])(row)
        jacobians.append(matrix.reshape(row.numel(), row.numel()).trace())
    return trace, torch.stack(jacobians)


def state_of(model: CompiledModel, rows: int = 4) -> Tensor:
    event = model.graph.type_of(next(iter(model.graph.steps.values())).source)
    return points(rows, event.size).reshape(rows, *event.shape)


@pytest.mark.parametrize("name", TEXTS)
def test_the_planned_trace_is_that_of_the_jacobian(name: str) -> None:
    text, said = TEXTS[name]
    model = compiled(text)
    op, _ = arrow(model)
    y = state_of(model)
    event = model.graph.type_of(next(iter(model.graph.steps.values())).source)
    assert op.cost(event, None).log_det == (said if said == "0" else f"∫ trace, {said}")
    if op.at(event).plan.formula is not None:
        found, real = rates(model, y)
        torch.testing.assert_close(found, real, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["hollow", "graph", "joint blocks", "joint masked", "joint deep"])
def test_an_arrow_of_structure_is_what_it_says(name: str) -> None:
    """Inverse, log-determinant and dependencies; and an order is one of the Jacobian."""
    model = compiled(TEXTS[name][0])
    (node,) = model.graph.steps.values()
    event = model.graph.type_of(node.source)
    own = own_parameters(model, node.address, node.op.parameters(event, None))
    found = check_step(node.op.tightened(), own, event, None, node.address, complete=True)
    assert not [f for f in found if not f.holds], "; ".join(map(str, found))
    pattern = node.op.jacobian(event, None).dependency
    assert pattern is not None and pattern.is_full == (name == "hollow")
    shown, triangular = dgmspec.diagnose(TEXTS[name][0]).explain("M"), name in ("graph", "joint masked")
    assert ("Jacobian triangular as a whole" in shown) == triangular, shown


@pytest.mark.parametrize("name", ["deep", "tokens"])
def test_estimates_of_blocks_are_unbiased(name: str) -> None:
    text = JOINT[name][0]
    exact, drawn = compiled(text), compiled(text.replace("= exact", "= hutchinson(gaussian)"))
    assert (exact.density, drawn.density) == ("exact", "estimate")
    x = {"q": points(1, 2), "p": points(1, 2, 1), "e": points(1, 1, 2)[0]}
    with torch.no_grad():
        found = drawn.log_prob({k: v.expand(2000, *v.shape[1:]) for k, v in x.items()}, seed=0)
        error = found.mean() - exact.log_prob(x)[0]
    assert float(found.std()) > 1e-3 and abs(float(error)) < 4 * float(found.std()) / 2000**0.5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["affine", "images backwards", "joint blocks", "joint tokens"])
def test_structured_velocities_compile_to_one_graph(name: str) -> None:
    torch._dynamo.reset()
    model = compiled(TEXTS[name][0].replace("rk4(steps = 2)", "midpoint(steps = 1)"))
    x = {n: points(4, t.size, i).reshape(4, *t.shape) for i, (n, t) in enumerate(model.observed.items())}
    found = []
    for each in (model, model.compiled(backend="aot_eager")):
        loss = each.loss(x, seed=1, step=1).total
        gradients = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True, materialize_grads=True)
        found.append(torch.cat([loss[None], *(g.flatten() for g in gradients)]))
    torch.testing.assert_close(found[1], found[0])


def test_what_is_cheap_is_exact_unasked_and_warned_about_by_its_cost() -> None:
    """What counts is the widest block, not the state; of a masked net nothing counts."""
    left_out = dgmspec.compile(dgmspec.parse(JOINT["deep"][0].replace("trace = exact", "")))
    assert left_out.density == "exact"
    wide = ode("velocity(y, t) = tanh(m(y, t)) * y", "net m(y, t) = made(8)", "trace = {}", size=300)
    for trace, codes in (("exact", []), ("hutchinson", ["DGM607"])):
        found = [d for d in dgmspec.diagnose(wide.replace("{}", trace)).diagnostics if d.code != "DGM404"]
        assert [d.code for d in found] == codes
    halves = (
        "dgm 1\nmodel M {{\n    net v(a, t) : real[{0}] = transformer(4, depth = 1)\n    observe a : real[{0}]\n"
        "    observe b : real[{0}]\n    latent z : real[{1}] ~ normal(0, 1)\n"
        "    ode [a, b] -> z over t in 0..1 {{ velocity(a, b, t) = [v(a, t), v(b, t)]; trace = exact }}\n}}\n"
    )
    for half, codes in ((16, []), (17, ["DGM606"])):
        found = [d for d in dgmspec.diagnose(halves.format(half, 2 * half)).diagnostics if d.code.startswith("DGM6")]
        assert [d.code for d in found] == codes and all("17 derivatives" in d.message for d in found)


@pytest.mark.parametrize(
    ("velocity", "net", "words"),
    [
        ("m(t) * y", "net m(t) = made(4)", "reads none"),
        ("m(y)[0] * y", "net m(y) : real[3] = made(4)", "asked for 3 where it reads 2 first"),
    ],
)
def test_masked_nets_of_nothing_are_refused(velocity: str, net: str, words: str) -> None:
    found = [d for d in dgmspec.diagnose(ode(f"velocity(y, t) = {velocity}", net)).diagnostics if d.severity == "error"]
    assert [d.code for d in found] == ["DGM445"] and words in found[0].message


def test_an_order_stands_in_the_step_or_in_the_net() -> None:
    text = (
        "dgm 1\nmodel M {\n    observe x : real[2]\n    latent z : real[2] ~ normal(0, 1)\n"
        "    flow x -> z { autoregressive(affine, net = made(8, order = reverse)) }\n    loss = nll\n}\n"
    )
    assert [d.code for d in dgmspec.diagnose(text).diagnostics] == ["DGM445"]
