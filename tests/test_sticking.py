"""Sticking the landing behind a flow: the gradient of log q through the draw alone."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import dgmspec
from dgmspec.modules.compiled import CompiledModel
from tests.test_latent import LINEAR, X, elbo, gradients, linear, text

DOUBLE = torch.float64
ON = "loss = elbo(gradient = sticking)"

POSTERIORS = {
    "autoregressive": "flow u -> z | x { repeat 2 { autoregressive(affine, net = made(6)); permute(reverse) } }",
    "coupling": "flow u -> z | x { coupling(rqs(4), mask = half, net = mlp(6)); linear(plu); actnorm }",
    "written backwards": "flow z -> u | x { coupling(affine, mask = half, net = mlp(6)); linear(plu) }",
    "numeric": "flow u -> z | x { autoregressive(sigmoid_mixture(2), net = made(6)) }",
    "residual": "flow u -> z | x { residual(mlp(6), lipschitz = 0.5) }",
    "ode": "ode u -> z | x over t in 0..1 { velocity(y, t) = mlp(6); solver = rk4(steps = 16) }",
}
VAE = ("observe x : real[3]", "generate x | z ~ normal(mlp(6), 0.7)")
LATENT = ("latent z : real[2] ~ normal(0, 1)", "latent u : real[2]", "infer u | x ~ normal(mlp(5))")


def moved(model: CompiledModel) -> CompiledModel:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            free = model.mask_of(name)
            drawn = 0.3 * torch.randn(parameter.shape, generator=generator, dtype=DOUBLE)
            parameter += drawn if free is None else drawn * free
    return model


def build(*members: str) -> CompiledModel:
    return moved(dgmspec.compile(dgmspec.parse(text(*members)), dtype=DOUBLE))


@pytest.mark.parametrize("flow", list(POSTERIORS.values()), ids=list(POSTERIORS))
def test_what_is_left_out_is_the_gradient_of_log_q_at_the_draw(flow: str) -> None:
    """Row by row: the gradient that sticks, less the full one, is that of log q(z | x) in its parameters, z fixed."""
    members = (*VAE, *LATENT, flow)
    full, stuck = build(*members, "loss = elbo"), build(*members, ON)
    stuck.load_state_dict(full.state_dict())
    x = X[:2]
    loss, kept = full.loss(x, seed=3).total, stuck.loss(x, seed=3).total
    torch.testing.assert_close(kept, loss)
    _, ledger = stuck.loss_ledger(x, seed=3)
    torch.testing.assert_close(-ledger.total.mean(), kept)
    # log q as a model of its own: the same law and flow, z observed.
    q = dgmspec.compile(
        dgmspec.parse(
            text(
                "given x : real[3]",
                "observe z : real[2]",
                "latent u : real[2]",
                "generate u | x ~ normal(mlp(5))",
                flow,
            )
        ),
        dtype=DOUBLE,
    )
    shared = {n: n.replace("/generate u/", "/infer u/") for n, _ in q.named_parameters()}
    own = dict(full.named_parameters())
    q.load_state_dict({n: own[shared[n]] if n in shared else v for n, v in q.state_dict().items()})
    z = full.encode(x, seed=3)
    score = gradients(q, q.log_prob(z.detach(), given={"x": x}).mean())
    ours, theirs = gradients(stuck, kept), gradients(full, loss)
    for name, value in score.items():
        torch.testing.assert_close(theirs[shared[name]] - ours[shared[name]], value, rtol=1e-6, atol=1e-8)
    for name in own.keys() - set(shared.values()):
        torch.testing.assert_close(ours[name], theirs[name])


STRETCH = (
    *LINEAR[:-1],
    "latent u : real[2]",
    "infer u | x ~ normal(A @ x + b, t)",
    "flow u -> z { stretch; elementwise(affine) }",
)
BIJECTOR = "bijector stretch(x) { x <- 2 * x + 1 }"


def stretched(loss: str, exact: bool) -> CompiledModel:
    """The linear model whose posterior is a law of u and the flow z = 2 u + 1; with `exact` the true one."""
    source = text(*STRETCH, loss).replace("model M", f"{BIJECTOR}\nmodel M", 1)
    model = dgmspec.compile(dgmspec.parse(source), dtype=DOUBLE)
    plain = linear("loss = elbo", exact=exact).state_dict()
    own = model.state_dict()
    state = {n: plain.get(n, v) for n, v in own.items()}
    state["M/A"], state["M/b"] = plain["M/A"] / 2, (plain["M/b"] - 1) / 2
    state["M/t"] = torch.log(torch.expm1(torch.nn.functional.softplus(plain["M/t"]) / 2))
    model.load_state_dict(state)
    return model


def test_there_is_no_variance_at_the_true_posterior() -> None:
    own = ("M/A", "M/b", "M/t")

    def largest(loss: str) -> float:
        model = stretched(loss, exact=True)
        names = [n for n, _ in model.named_parameters() if n in own or "u->z" in n]
        assert len(names) == 4
        found = [gradients(model, model.loss(X, seed=seed).total) for seed in range(2)]
        return max(float(g[n].abs().max()) for g in found for n in names)

    assert largest(ON) < 1e-12 and largest("loss = elbo") > 1e-2


CHAIN = (
    "observe x : real",
    "latent top : real ~ normal(0, 1)",
    "latent z : real",
    "generate z | top ~ normal(top, 1)",
    "generate x | z ~ normal(z, 1)",
    "learn a : positive = 1",
    "learn b : positive = 1",
)
POSTERIORS_OF_A_CHAIN = {
    "bottom-up": (
        (2 / 3, 1 / 2),
        "infer z | x ~ normal(a * x, sqrt(2 / 3))",
        "infer top | z ~ normal(b * z, sqrt(0.5))",
    ),
    "top-down": (
        (1 / 3, 1 / 2),
        "net h(x, top) : real = mlp()",
        "infer top | x ~ normal(a * x, sqrt(2 / 3))",
        "infer z | x, top ~ normal(b * h(x, top), sqrt(0.5))",
    ),
}


@pytest.mark.parametrize("name", POSTERIORS_OF_A_CHAIN)
def test_a_law_that_reads_an_earlier_draw_passes_its_gradient(name: str) -> None:
    """x = z + e, z = top + e: where both posteriors are the true ones, log w is the evidence whatever is drawn."""
    (a, b), *infer = POSTERIORS_OF_A_CHAIN[name]
    model = dgmspec.compile(dgmspec.parse(text(*CHAIN, *infer, ON)), dtype=DOUBLE)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0 if parameter.dim() == 2 else 0.0)
        for key, value in (("M/a", a), ("M/b", b)):
            model.get_parameter(key).fill_(math.log(math.expm1(value)))
    x = X[:2, 0]
    loss = model.loss(x, seed=0).total
    torch.testing.assert_close(loss, -torch.distributions.Normal(0.0, math.sqrt(3)).log_prob(x).mean())
    assert max(float(g.abs().max()) for g in gradients(model, loss).values()) < 1e-12
    inputs, _ = model.loss_inputs(x, seed=0)
    traced = model.to_fx("loss")(*(inputs[i.name] for i in model.executed("loss").inputs))
    torch.testing.assert_close(traced["total"], loss)


def test_the_gradient_is_unbiased() -> None:
    # The closed form in u's terms: z = 2 u + 1, so A, b and t of z are 2 A, 2 b + 1 and 2 t.
    model = stretched(ON, exact=False)
    shadow = linear("loss = elbo", exact=False)
    expected = gradients(shadow, -elbo(shadow, X))
    rows = X.repeat(100, 1)
    drawn = [gradients(model, model.loss(rows, seed=seed).total) for seed in range(40)]
    for name in ("M/A", "M/b"):
        sample = torch.stack([g[name] for g in drawn])
        error: Tensor = sample.std(0) / math.sqrt(len(drawn))
        assert bool(((sample.mean(0) - 2 * expected[name]).abs() <= 4.5 * error + 1e-9).all()), name


def test_a_flow_as_prior_is_no_part_of_the_posterior() -> None:
    members = (*VAE, "latent z : real[2]", "latent w : real[2] ~ normal(0, 1)", "infer z | x ~ normal(mlp(5))")
    members = (*members, "flow z -> w { coupling(affine, mask = half, net = mlp(5)); actnorm }")
    full, stuck = (
        build(*members, "loss = elbo(samples = 2)"),
        build(*members, "loss = elbo(samples = 2, gradient = sticking)"),
    )
    a, b = full.loss(X, seed=1).total, stuck.loss(X, seed=1).total
    torch.testing.assert_close(a, b)
    ours, theirs = gradients(stuck, b), gradients(full, a)
    for name in ours:
        same = torch.allclose(ours[name], theirs[name])
        assert same is not name.startswith("M/infer z"), name


@pytest.mark.parametrize(
    ("members", "said"),
    [
        (
            (*LATENT, "ode u -> z | x over t in 0..1 { velocity(y, t) = mlp(6); trace = hutchinson(gaussian) }"),
            "`ode` cannot be undone to where the draw came from",
        ),
        (
            ("latent z : binary[12] ~ bernoulli(0.5)", "infer z | x ~ bernoulli(mlp(4))"),
            "no gradient passes through a draw of `bernoulli`",
        ),
    ],
)
def test_what_gives_no_log_q_at_the_draw_is_refused(members: tuple[str, ...], said: str) -> None:
    found = dgmspec.diagnose(text(*VAE, *members, "loss = elbo(samples = 2, gradient = sticking)")).diagnostics
    assert [d.code for d in found if d.severity == "error"] == ["DGM732"] and said in found[0].message
