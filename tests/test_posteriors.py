"""Posteriors of observed variables: likelihood and amortised posterior of a simulator in one model."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

import dgmspec
from dgmspec import cli
from dgmspec.checks.latex import latex
from dgmspec.modules.compiled import CompiledModel
from dgmspec.modules.runner import UnavailableError
from dgmspec.spec.override import override

DOUBLE = torch.float64
THETA, X = "observe theta : real ~ normal(0, 1)", "observe x : real"


def text(*members: str) -> str:
    return "dgm 1\nmodel M {\n" + "\n".join(members) + "\n}"


def build(*members: str) -> CompiledModel:
    model = dgmspec.compile(dgmspec.parse(text(*members)), dtype=DOUBLE)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator, dtype=DOUBLE)
    return model


FLOWS = (
    "observe theta : real[2] ~ normal(0, 1)",
    "observe x : real[2]",
    "latent z : real[2] ~ normal(0, 1)",
    "latent u : real[2]",
    "flow x -> z | theta { coupling(affine, mask = half, net = mlp(4)); actnorm }",
    "infer u ~ normal(0, 1)",
    "flow u -> theta | x { coupling(affine, mask = alternate(1), net = mlp(4)); actnorm }",
)
LAWS = (THETA, X, "generate x | theta ~ normal(theta, 0.5)", "infer theta | x ~ normal(0.8 * x, sqrt(0.2))")


def test_the_exact_posterior_gives_the_evidence_at_every_value() -> None:
    """θ ~ N(0, 1), x ~ N(θ, 0.25): the posterior is N(0.8 x, 0.2), and p(θ) p(x | θ) / q(θ | x) = N(x; 0, 1.25)."""
    model = dgmspec.compile(dgmspec.parse(text(*LAWS, "loss = nll(x) + forward_kl(theta)")), dtype=DOUBLE)
    theta, x = torch.linspace(-3, 3, 7, dtype=DOUBLE), torch.full((7,), 0.7, dtype=DOUBLE)
    posterior = model.log_prob(theta, given={"x": x})
    torch.testing.assert_close(posterior, Normal(0.8 * x, math.sqrt(0.2)).log_prob(theta))
    torch.testing.assert_close(model.log_prob(x, given={"theta": theta}), Normal(theta, 0.5).log_prob(x))
    evidence = model.log_prob({"theta": theta, "x": x}) - posterior
    torch.testing.assert_close(evidence, Normal(0.0, math.sqrt(1.25)).log_prob(x))
    loss = model.loss({"theta": theta, "x": x})
    torch.testing.assert_close(loss.terms["forward_kl"], -posterior.mean())
    torch.testing.assert_close(loss.terms["nll"], -model.log_prob(x, given={"theta": theta}).mean())
    drawn = model.sample(4000, given={"x": x[:1]}, seed=0)
    assert abs(float(drawn.mean()) - 0.56) < 5 * math.sqrt(0.2 / 4000)


@pytest.fixture(scope="module")
def flows() -> CompiledModel:
    return build(*FLOWS, "loss = nll(x) + forward_kl")


def test_two_flows_one_model(flows: CompiledModel) -> None:
    theta, x = torch.randn(2, 5, 2, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    given_x, given_theta = flows.log_prob(theta, given={"x": x}), flows.log_prob(x, given={"theta": theta})
    torch.testing.assert_close(
        flows.log_prob({"theta": theta, "x": x}), given_theta + Normal(0.0, 1.0).log_prob(theta).sum(1).to(DOUBLE)
    )
    for known, value in (("x", x), ("theta", theta)):
        drawn, density = flows.sample_and_log_prob(3, given={known: value}, seed=2)
        law = flows.conditional([known])
        assert drawn.shape == (3, 5, 2) and law.density == "exact" and law.givens.keys() == {known}
        again = torch.stack([flows.log_prob(rows, given={known: value}) for rows in drawn])
        torch.testing.assert_close(density, again)
        torch.testing.assert_close(drawn, flows.sample(3, given={known: value}, seed=2))
        torch.testing.assert_close(flows.ledger(drawn[0], given={known: value}).total, again[0])
    assert flows.distribution(given={"x": x}).log_prob(theta).allclose(given_x)


def test_each_term_trains_its_own_part(flows: CompiledModel) -> None:
    rows = {name: torch.randn(6, 2, dtype=DOUBLE) for name in ("theta", "x")}
    own = {"nll": "M/x->z/", "forward_kl": "M/u->theta/"}
    for term, value in flows.loss(rows).terms.items():
        found = torch.autograd.grad(value, list(flows.parameters()), allow_unused=True, retain_graph=True)
        moved = {n for (n, _), g in zip(flows.named_parameters(), found, strict=True) if g is not None and g.any()}
        assert moved == {n for n, _ in flows.named_parameters() if n.startswith(own[term])}
    plain = dgmspec.compile(dgmspec.parse(text(*FLOWS, "loss = nll(x) + forward_kl")), optimize="O0", dtype=DOUBLE)
    plain.load_state_dict(flows.state_dict())
    torch.testing.assert_close(plain.loss(rows).total, flows.loss(rows).total)
    # `actnorm` starts from the data in both directions.
    plain.initialise(rows)
    moved = {k for k, v in plain.state_dict().items() if not torch.equal(v, flows.state_dict()[k])}
    assert {k.rpartition("/")[0] for k in moved} == {"M/x->z/1", "M/u->theta/1"}


def test_posteriors_that_read_one_another_are_drawn_in_order() -> None:
    model = build(
        "observe a : real ~ normal(0, 1)",
        "observe b : real ~ normal(0, 1)",
        "observe x : real[2]",
        "generate x | a, b ~ normal(mlp(4))",
        "infer a | x ~ normal(mlp(4))",
        "infer b | x, a ~ normal(mlp(4))",
        "loss = nll(x) + forward_kl(a) + forward_kl(b)",
    )
    x = torch.randn(3, 2, dtype=DOUBLE)
    drawn = model.sample(2, given={"x": x}, seed=0)
    rows = {name: value[0] for name, value in drawn.items()}
    both = model.log_prob(rows, given={"x": x})
    a, b = (model.log_prob(rows[n], given={"x": x, o: rows[o]}) for n, o in (("a", "b"), ("b", "a")))
    torch.testing.assert_close(both, a + b)


def test_solvers_reach_conditionals() -> None:
    model = build(
        *FLOWS[:3],
        "ode x -> z | theta over t in 0..1 { velocity(y, t) = mlp(4); solver = euler(steps = 2) }",
        "loss = nll(x)",
    )
    theta, x = torch.randn(2, 3, 2, dtype=DOUBLE)
    finer = model.refined()
    assert not torch.allclose(finer.log_prob(x, given={"theta": theta}), model.log_prob(x, given={"theta": theta}))
    torch.testing.assert_close(
        finer.log_prob({"theta": theta, "x": x}) - Normal(0.0, 1.0).log_prob(theta).sum(1).to(DOUBLE),
        finer.log_prob(x, given={"theta": theta}),
    )


def test_what_a_model_says_nothing_of_is_refused() -> None:
    likelihood = build(*FLOWS[:3], FLOWS[4], "loss = nll(x)")
    theta = torch.randn(3, 2, dtype=DOUBLE)
    assert likelihood.log_prob(theta, given={"theta": theta}).shape == (3,)
    with pytest.raises(UnavailableError, match=r"given `x`, M neither generates nor infers `theta`.*hmc"):
        likelihood.sample(2, given={"x": theta})
    with pytest.raises(UnavailableError, match="neither generates nor infers anything"):
        likelihood.log_prob({}, given={"x": theta, "theta": theta})


@pytest.mark.parametrize(
    ("members", "code", "said"),
    [
        ((*LAWS, "loss = nll(x)"), "DGM721", "the loss does not train its `infer`"),
        ((*FLOWS, "loss = nll(x)"), "DGM721", "the loss does not train its `infer`"),
        ((*LAWS[:3], "loss = nll(x) + forward_kl(theta)"), "DGM738", "the model has no `infer` of `theta`"),
        (
            (
                THETA,
                X,
                "latent s : real ~ normal(0, 1)",
                "generate x | theta, s ~ normal(theta + s, 1)",
                "infer s | x ~ normal(mlp(4))",
                "infer theta | x, s ~ normal(mlp(4))",
                "loss = elbo + forward_kl(theta)",
            ),
            "DGM738",
            "this one reads more than that",
        ),
    ],
)
def test_untrained_and_missing_posteriors_are_findings(members: tuple[str, ...], code: str, said: str) -> None:
    found = dgmspec.diagnose(text(*members)).diagnostics
    assert [d.code for d in found] == [code] and said in found[0].message


def test_the_equations_say_what_is_learned(flows: CompiledModel) -> None:
    said = latex(flows.graph)
    assert r"- \mathbb{E}_{\mathit{theta}, x \sim \text{data}}\left[\log q(\mathit{theta} \mid x)\right]" in said


PAIRS = """
train M { steps = 6; batch = 32; standardize = true; validate = holdout(0.3, every = 3) }
"""


def pairs(n: int, generator: torch.Generator) -> dict[str, Tensor]:
    """A linear simulator with correlated noise, far from the origin."""
    theta = torch.randn(n, 2, generator=generator)
    return {
        "theta": theta,
        "x": 50 + theta @ torch.tensor([[2.0, 1.0], [0.0, 1.0]]) + torch.randn(n, 2, generator=generator),
    }


def test_a_run_reports_both_and_samples_either(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = dgmspec.parse(text(*FLOWS, "loss = nll(x) + forward_kl(theta)") + PAIRS)
    run = dgmspec.train(spec, data=pairs, out=tmp_path / "run")
    test = run.report["test"]
    assert math.isfinite(test["posterior_nll_nats"]["theta"]) and "posterior of `theta` given" in run.summary()
    rows = pairs(8, torch.Generator().manual_seed(1))
    # Both contexts are read in the scale of the data: the flow's nets see x less its mean.
    scale = {k: v for k, v in run.model.state_dict().items() if "/standardize/mean" in k}
    assert scale["M/x/standardize/mean"].mean() > 40 and scale["M/theta/standardize/mean"].abs().max() < 1
    assert bool(run.model.log_prob(rows["theta"], given={"x": rows["x"]}).isfinite().all())
    for known in ("x=50,51", "theta=0.1,0.2"):
        assert cli.run(["sample", str(run.path), "-n", "5", "--given", known, "-o", str(tmp_path / "s.npz")]) == 0
        (other,) = np.load(tmp_path / "s.npz").files
        assert other == ("theta" if known.startswith("x") else "x")
    capsys.readouterr()


@pytest.mark.slow
def test_both_laws_of_a_linear_simulator_are_learned(tmp_path: Path) -> None:
    spec = override(
        dgmspec.load(Path(__file__).parent.parent / "specs" / "joint_simulator.dgm"), {"train.steps": "2_000"}
    )
    run = dgmspec.train(spec, data=pairs, params={"depth": 2}, out=tmp_path / "run")
    A = torch.tensor([[2.0, 1.0], [0.0, 1.0]])
    covariance = torch.linalg.inv(torch.eye(2) + A @ A.T)
    fresh = pairs(4000, torch.Generator().manual_seed(5))
    mean = (fresh["x"] - 50) @ A.T @ covariance
    truth = torch.distributions.MultivariateNormal(mean, covariance).log_prob(fresh["theta"])
    likelihood = Normal(50 + fresh["theta"] @ A, 1.0).log_prob(fresh["x"]).sum(1)
    gaps = [
        float((exact - run.model.log_prob(fresh[name], given={other: fresh[other]}).detach()).mean())
        for exact, name, other in ((truth, "theta", "x"), (likelihood, "x", "theta"))
    ]
    print(f"\nlinear simulator: KL of the posterior {gaps[0]:.4f} nats, of the likelihood {gaps[1]:.4f}")
    assert max(gaps) < 0.05 and min(gaps) > -0.01
