"""Every operation of the library through torch.compile: log_prob, sample and loss as one full graph each."""

from __future__ import annotations

import pytest
import torch
from _pytest.mark.structures import ParameterSet

import dgmspec
from dgmspec.core.diagnostics import has_errors
from dgmspec.core.scalars import AbstractScalar
from dgmspec.core.types import REAL, Type
from dgmspec.modules.randomness import noise_for
from dgmspec.ops import library
from dgmspec.program.program import Phase
from tests.flows import flow
from tests.zoo import TYPES, WRAPPERS, draw_event, randomise


def steps() -> list[ParameterSet]:
    """The first example of every operation that is a step or makes one. Numeric inverses, whose steps are unrolled, are
    slow to trace; by default the test of the solver stands for them."""
    found = []
    for cls in library():
        if cls.role in WRAPPERS:
            step = WRAPPERS[cls.role][0].format(cls.examples[0])
            iterative = issubclass(cls, AbstractScalar) and cls.inverts == "iterative"
            found.append(pytest.param(step, marks=[pytest.mark.slow] if iterative or unrolls(step) else []))
    return found


def unrolls(step: str) -> bool:
    """Whether a step of a vector is undone by iterations of its own."""
    found = dgmspec.diagnose(f"dgm 1\nmodel M {{ observe x : real[4]\nlatent z : real[*]\nflow x -> z {{ {step} }} }}")
    if has_errors(found.diagnostics):
        return False
    costs = [step.op.cost(Type(REAL, (4,)), None) for step in found.graphs["M"].steps.values()]
    solved = step.startswith("block")  # coordinate by coordinate, each by iterations
    return solved or any("iterative" in (cost.forward.kind, cost.inverse.kind) for cost in costs)


CONTINUOUS = ("real", "positive", "unit", "interval(0, 2)", "interval(-1, 1)", "circle")
DISCRETE = ("binary", "category(2)", "category(3)", "integer(0..9)")
LAWS = [cls.examples[0] for cls in library() if cls.role == "distribution" and cls.density != "none"]


BACKENDS = pytest.mark.parametrize("backend", ["eager", pytest.param("aot_eager", marks=pytest.mark.slow)])
"""What becomes of a captured graph: it runs as it is, or its gradients are traced as well."""


def agree(text: str, backend: str) -> None:
    """The compiled full graphs give what the interpreter gives."""
    torch._dynamo.reset()
    model = dgmspec.compile(dgmspec.parse(text), dtype=torch.float64)
    randomise(model)
    x, other = draw_event(model.type_of("x"), 4), model.compiled(backend=backend)
    torch.testing.assert_close(other.log_prob(x, seed=1), model.log_prob(x, seed=1))
    torch.testing.assert_close(other.sample(4, seed=1), model.sample(4, seed=1))
    if model.dequantises:  # else the loss is the mean of what was compared
        torch.testing.assert_close(other.loss(x, seed=1, step=1).total, model.loss(x, seed=1, step=1).total)


@BACKENDS
@pytest.mark.parametrize("step", steps())
def test_every_step_is_one_graph(step: str, backend: str) -> None:
    text = next((found for before in TYPES if (found := flow(before, [step]))), None)
    if text is None:
        pytest.skip("no flow from data to a prior is made of this step alone")
    agree(text.rstrip()[:-1] + "    loss = nll\n}\n", backend)


@BACKENDS
@pytest.mark.parametrize("law", LAWS)
def test_every_distribution_is_one_graph(law: str, backend: str) -> None:
    behind_a_flow = "observe x : {0}[2]\nlatent z : {0}[2] ~ {1}\nflow x -> z {{ permute(reverse) }}"
    models = [behind_a_flow.format(support, law) for support in CONTINUOUS]
    models += [f"observe x : {support}[2] ~ {law}" for support in DISCRETE]
    models = [f"{model}\nloss = nll" for model in models]
    behind_a_posterior = "observe x : real[2]\nlatent z : real[2] ~ {}\n{}\ninfer z | x ~ normal(mlp(4))\nloss = elbo"
    models.append(behind_a_posterior.format(law, "generate x | z ~ normal(mlp(4))"))
    for model in models:
        text = f"dgm 1\nmodel M {{\n{model}\n}}\n"
        found = dgmspec.diagnose(text).diagnostics
        if not [d for d in found if d.severity == "error"]:
            return agree(text, backend)
    pytest.fail(f"no support fits {law}")


@pytest.mark.slow
@pytest.mark.parametrize("step", steps())
@pytest.mark.parametrize("phase", ["log_prob", "sample"])
def test_every_step_is_exported_for_batches_of_any_size(step: str, phase: Phase) -> None:
    if step.startswith("hmc"):
        pytest.skip("takes gradients on its way, which torch does not export")
    text = next((found for before in TYPES if (found := flow(before, [step]))), None)
    if text is None:
        pytest.skip("no flow from data to a prior is made of this step alone")
    model = dgmspec.compile(dgmspec.parse(text), dtype=torch.float64)
    program, x = model.executed(phase), draw_event(model.type_of("x"), 7)
    inputs = noise_for(program, (0, 7), 1, model.dtype) | dict.fromkeys(program.variables, x)
    rows = torch.export.Dim("rows", min=2)
    shared = {i.name for i in program.draws if i.draw is not None and i.draw.shared}
    shapes = tuple(None if i.name in shared else {0: rows} for i in program.inputs)
    graph, values = model.to_fx(phase), tuple(inputs[i.name] for i in program.inputs)
    found = torch.export.export(graph, values, dynamic_shapes=shapes).module()(*values)
    torch.testing.assert_close(found, graph(*values))
