"""Programs as fx graphs: the same list, values and gradients, one full graph for torch.compile and torch.export."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import dgmspec
from dgmspec.modules.compiled import CompiledModel
from tests.zoo import draw_event, randomise

REALNVP = "repeat 2 as k { coupling(affine, mask = alternate(k), net = mlp(6)); actnorm; linear(plu) }"
SPLINE = "coupling(rqs(3), mask = half, net = mlp(6))"
FLOWS = {
    "realnvp": (REALNVP, " | c"),
    "maf": ("autoregressive(affine, net = made(8)); inverse autoregressive(affine, net = made(8))", ""),
    "spline coupling": (SPLINE, " | c"),
    "spline autoregression": ("autoregressive(rqs(3), net = made(8))", ""),
    "linear": ("linear(triangular); linear(qr); inverse linear(dense); elementwise(affine); permute(reverse)", ""),
}
CONTEXT = {"": "", " | c": "given c : real[2]"}


def compiled(flow: str, context: str = "", prior: str = "normal(0, 1)") -> CompiledModel:
    text = f"""dgm 1
    model M {{
        observe x : real[2]
        {CONTEXT[context]}
        latent z : real[2] ~ {prior}
        flow x -> z{context} {{ {flow} }}
        loss = nll
    }}
    """
    model = dgmspec.compile(dgmspec.parse(text), dtype=torch.float64)
    randomise(model)
    return model


def inputs(model: CompiledModel) -> tuple[Tensor, dict[str, Tensor] | None]:
    x = draw_event(model.type_of("x"), 6)
    return x, {"c": draw_event(model.type_of("c"), 6)} if model.givens else None


@pytest.mark.parametrize(("flow", "context"), FLOWS.values(), ids=FLOWS)
def test_full_graphs_agree_with_the_interpreter(flow: str, context: str) -> None:
    torch._dynamo.reset()
    model = compiled(flow, context)
    other = model.compiled(backend="aot_eager")
    x, given = inputs(model)
    one = {n: c[:1] for n, c in given.items()} if given else None
    torch.testing.assert_close(other.sample(5, one, seed=1), model.sample(5, one, seed=1))
    batch = {"x": x, **(given or {})}
    gradients = []
    for each in (model, other):
        model.zero_grad()
        each.loss(batch).total.backward()
        gradients.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, value in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], value)


def test_methods_themselves_compile_as_one_graph() -> None:
    model = compiled(REALNVP)
    x, _ = inputs(model)
    found = torch.compile(model.log_prob, backend="aot_eager", fullgraph=True)(x)
    torch.testing.assert_close(found, model.log_prob(x))
    torch.testing.assert_close(torch.compile(model, backend="aot_eager", fullgraph=True)({"x": x}), model(x))


def test_the_graph_has_a_node_per_instruction_and_shares_parameters() -> None:
    model = compiled(REALNVP)
    graph = model.to_fx("loss")
    calls = [node for node in graph.graph.nodes if "address" in node.meta]
    assert [n.meta["address"] for n in calls] == [line.address for line in model.executed("loss").instructions]
    assert {id(p) for p in graph.parameters()} == {id(p) for p in model.parameters()}
    x, _ = inputs(model)
    found = graph(x)
    assert set(found) == {"total", "nll"}
    torch.testing.assert_close(found["total"], model(x))


@pytest.mark.parametrize("name", ["class", "self"])
def test_variables_have_names_that_python_keeps_for_itself(name: str) -> None:
    torch._dynamo.reset()
    text = f"""dgm 1
    model M {{
        observe x : real[2]
        given {name} : real[2]
        latent z : real[2] ~ normal(0, 1)
        flow x -> z | {name} {{ {SPLINE} }}
        loss = nll
    }}
    """
    model = dgmspec.compile(dgmspec.parse(text), dtype=torch.float64)
    randomise(model)
    x, c = torch.randn(2, 6, 2, dtype=torch.float64)
    torch.testing.assert_close(model.compiled(backend="aot_eager").log_prob(x, {name: c}), model.log_prob(x, {name: c}))


def test_a_compiled_model_sees_whether_two_arguments_are_one_tensor() -> None:
    torch._dynamo.reset()
    model = compiled(SPLINE, " | c")
    other, x = model.compiled(backend="aot_eager"), inputs(model)[0]
    with torch.no_grad():
        for c in (x, x.flip(0)):
            torch.testing.assert_close(other.log_prob(x, {"c": c}), model.log_prob(x, {"c": c}))


@pytest.mark.parametrize("name", ["spline coupling", "maf"])
def test_programs_export(name: str) -> None:
    model = compiled(FLOWS[name][0])
    x, _ = inputs(model)
    rows = {0: torch.export.Dim("batch", min=2)}
    exported = torch.export.export(model.to_fx("log_prob"), (x,), dynamic_shapes=(rows,))
    longer = draw_event(model.type_of("x"), 13)
    torch.testing.assert_close(exported.module()(longer), model.log_prob(longer))


def test_mixtures_and_stochastic_steps_are_full_graphs() -> None:
    torch._dynamo.reset()
    text = """dgm 1
    model M {
        observe x : integer(0..3)[2]
        learn w : simplex[2]
        latent z : real[2] ~ mixture(normal(-1, 1), normal(1, 2), weights = w)
        flow x -> z { dequantize(uniform); logit(0.1) }
        loss = nll
    }
    """
    model = dgmspec.compile(dgmspec.parse(text), dtype=torch.float64)
    x = torch.randint(0, 4, (6, 2))
    other = model.compiled(backend="aot_eager")
    torch.testing.assert_close(other.log_prob(x, seed=2), model.log_prob(x, seed=2))
    torch.testing.assert_close(other.loss(x, seed=2, step=1).total, model.loss(x, seed=2, step=1).total)
    torch.testing.assert_close(other.sample(6, seed=2), model.sample(6, seed=2))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, raised while Inductor is imported
@pytest.mark.parametrize("name", FLOWS)
def test_inductor_agrees(name: str) -> None:
    model = compiled(*FLOWS[name])
    x, given = inputs(model)
    other = model.compiled()
    torch.testing.assert_close(other.log_prob(x, given), model.log_prob(x, given))
    torch.testing.assert_close(other.sample(4, seed=1, given=given), model.sample(4, seed=1, given=given))


def test_a_compiled_model_follows_its_parameters_and_the_gradient_mode() -> None:
    torch._dynamo.reset()
    model = compiled(SPLINE)
    other = model.compiled(backend="aot_eager")
    x, _ = inputs(model)
    with torch.no_grad():
        other.log_prob(x)
    assert other.log_prob(x).requires_grad
    first, *_ = model.parameters()
    first.requires_grad_(False)
    other.log_prob(x).sum().backward()
    assert first.grad is None
    with torch.no_grad():
        first += 0.5
    torch.testing.assert_close(other.log_prob(x), model.log_prob(x))
    model.float()
    torch.testing.assert_close(other.log_prob(x.float()), model.log_prob(x.float()))
