"""Events and contexts of the least shapes: a number is a vector of one, and vectors' nets read any context flat."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import dgmspec
from dgmspec.modules.compiled import CompiledModel
from tests.zoo import draw_event, randomise

DOUBLE = torch.float64

PRIOR = "latent z : real{shape} ~ normal(0, 1)\n"
FLOW = PRIOR + "flow x -> z | c { {body} }\nloss = {loss}"
ODE = PRIOR + "ode x -> z | c over t in 0..1 { {body}; solver = rk4(steps = 3) }\nloss = {loss}"
NOISED = PRIOR + "{body}; likelihood = pf_ode({trace}solver = rk4(steps = 3)) }\nloss = {loss}"
CHAIN = PRIOR + "markov x -> z | c over t in 1..3 { {body} }\nloss = {loss}"
LATENT = PRIOR + "generate x | z, c ~ normal(mlp(4))\ninfer z | x, c ~ normal(mlp(4))\nloss = {loss}"

SDE = "sde x -> z | c over t in 1..3 { drift(x, t) = t - x; diffusion(t) = 1; learn noise(x, t) = mlp(4)"
BENT = "sde x -> z | c over t in 0..1 { drift(x, t) = -tanh(x); diffusion(t) = 1; learn score(x, t) = mlp(4)"
KERNEL = (
    "perturb x -> z | c over t in 0..1 { kernel(x, t) ~ normal((1 - t / 2) * x, t); learn clean(x, t) = mlp(4); "
    "precondition = edm"
)
STEP = "step(x, t) ~ normal(0.9 * x, 0.4); learn noise(x, t) = mlp(4); variance = learned"

ONE = {
    "flow": (FLOW, "abs(net = mlp(4)); inverse exp; elementwise(rqs(4))", "nll"),
    "whole numbers": (FLOW, "dequantize(variational(mlp(4))); logit", "nll"),
    "ode": (ODE, "velocity(y, t) = mlp(4)", "nll + kinetic + jacobian + flow_matching(coupling = minibatch_ot)"),
    "sde": (NOISED, SDE, "dsm + vlb + ism + ssm"),
    "estimated": (NOISED.replace("{trace}", "trace = hutchinson, "), KERNEL, "dsm(weight = likelihood)"),
    "bent": (NOISED, BENT + "; solver = srk(steps = 2)", "ism + ssm"),
    "markov": (CHAIN, STEP, "vlb"),
    "latent": (LATENT, "", "elbo(samples = 2) + iwae(2)"),
}
"""Members around a body and a loss, of an event that is one number or a vector of one."""


def model(members: str, x: str, c: str = "real") -> CompiledModel:
    found = dgmspec.compile(
        dgmspec.parse(f"dgm 1\nmodel M {{\nobserve x : {x}\ngiven c : {c}\n{members}\n}}\n"), seed=0, dtype=DOUBLE
    )
    return found.eval()


def alike(first: CompiledModel, second: CompiledModel) -> None:
    """The weights of one moved, and given to the other."""
    randomise(first)
    with torch.no_grad():
        for (_, here), (_, there) in zip(second.named_parameters(), first.named_parameters(), strict=True):
            here.copy_(there.reshape(here.shape))


def said(found: CompiledModel, x: Tensor, c: Tensor) -> list[Tensor]:
    """Everything that a model says of rows, its randomness by a seed."""
    known = {"c": c}
    drawn = found.sample(3, {"c": c[:1]}, seed=1)
    return [
        found.log_prob(x, known, seed=1).detach(),
        found.ledger(x, known, seed=1).total.detach(),
        found.loss({"x": x, **known}, seed=1).total.detach(),
        drawn.flatten(),
    ]


@pytest.mark.parametrize("name", ONE)
def test_a_number_is_a_vector_of_one(name: str) -> None:
    members, body, loss = ONE[name]
    members = members.replace("{body}", body).replace("{loss}", loss).replace("{trace}", "")
    kind = "integer(0..4)" if name == "whole numbers" else "real"
    number, vector = (model(members.replace("{shape}", shape), kind + shape) for shape in ("", "[1]"))
    alike(number, vector)
    x, c = draw_event(number.type_of("x"), 4), torch.linspace(-1, 1, 4, dtype=DOUBLE)
    assert number.density == vector.density
    torch.testing.assert_close(said(number, x, c), said(vector, x[:, None], c))


@pytest.mark.parametrize("name", ONE)
def test_of_no_rows_nothing_is_said(name: str) -> None:
    members, body, loss = ONE[name]
    members = members.replace("{body}", body).replace("{loss}", loss).replace("{trace}", "")
    kind = "integer(0..4)" if name == "whole numbers" else "real"
    found = model(members.replace("{shape}", "[1]"), kind + "[1]")
    assert found.log_prob(torch.zeros(0, 1), {"c": torch.zeros(0)}, seed=1).shape == (0,)
    assert found.log_prob(torch.zeros(0, 1), {"c": torch.zeros(1)}, seed=1).shape == (0,)
    assert found.sample(0, {"c": torch.zeros(1)}, seed=1).shape == (0, 1)


def test_adaptive_steps_of_no_rows() -> None:
    body = "velocity(y, t) = mlp(4)"
    members = ODE.replace("rk4(steps = 3)", "dopri5").replace("{body}", body).replace("{loss}", "nll")
    found = model(members.replace("{shape}", "[2]"), "real[2]")
    assert found.log_prob(torch.zeros(0, 2), {"c": torch.zeros(1)}).shape == (0,)


@pytest.mark.parametrize(
    "steps",
    [
        "residual(mlp(4)); residual(mlp(4), log_det = series)",
        "coupling(affine, mask = half, net = mlp(4)); elementwise(affine); planar; radial; sylvester(1)",
        "autoregressive(affine, net = made(4)); autoregressive(affine, net = transformer(4, depth = 1))",
        "block_autoregressive(2); augment(1, net = mlp(4))",
    ],
)
def test_nets_of_vectors_read_a_context_flat(steps: str) -> None:
    members = f"latent z : real[*] ~ normal(0, 1)\nflow x -> z | c {{ {steps} }}\nloss = nll"
    image, vector = (model(members, "real[3]", c) for c in ("real[1, 2, 2]", "real[4]"))
    alike(image, vector)
    x, c = draw_event(image.type_of("x"), 4), draw_event(image.type_of("c"), 4)
    torch.testing.assert_close(said(image, x, c), said(vector, x, c.flatten(1)))


def test_a_context_that_posteriors_alone_read_is_passed_on() -> None:
    members = "latent z : real ~ normal(0, 1)\ngenerate x | z ~ normal(mlp(4))\ninfer z | x, c ~ normal(mlp(4))"
    found, c = model(members, "real"), torch.tensor([0.3], dtype=DOUBLE)
    x, log_p = found.sample_and_log_prob(4, {"c": c}, seed=1)
    torch.testing.assert_close(found.log_prob(x, {"c": c}, seed=1), log_p)
