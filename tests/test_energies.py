"""Energies and scores without an arrow: what they give, what their losses are, and chains that go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import dgmspec
from dgmspec import lang
from dgmspec.frontend import diagnose_file
from dgmspec.modules.compiled import CompiledModel, UnavailableError
from dgmspec.modules.randomness import step_noise
from dgmspec.modules.traces import exact_trace
from dgmspec.runtime.interrupts import Interrupted
from dgmspec.runtime.rundir import RunError
from dgmspec.runtime.train import resume_run

NET = "energy E(x) = mlp(8, 8)\nobserve x : real[2] ~ exp(-E(x) - dot(x, x) / 8)"
SCORE = "observe x : real[2]\nlearn score(x) = mlp(8, 8)"


def model(members: str, loss: str = "") -> CompiledModel:
    text = f"dgm 1\nmodel M {{\n{members}\n{f'loss = {loss}' if loss else ''}\n}}\n"
    found = dgmspec.compile(dgmspec.parse(text), seed=0, dtype=torch.float64)
    for name, parameter in found.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(len(name)))
    return found


def data(rows: int = 16, seed: int = 0) -> Tensor:
    return torch.randn(rows, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gradients(found: CompiledModel) -> dict[str, Tensor]:
    return {name: p.grad for name, p in found.named_parameters() if p.grad is not None}


# ---- energies -------------------------------------------------------------------------------------------------------


def test_an_energy_is_a_net_with_a_formula() -> None:
    found, x = model(NET), data()
    hidden = x
    for layer in ("0", "1"):
        weight, bias = (found.get_parameter(f"M/E/{layer}/{kind}") for kind in ("weight", "bias"))
        hidden = torch.nn.functional.silu(hidden @ weight.T + bias)
    energy = hidden @ found.get_parameter("M/E/2/weight").T + found.get_parameter("M/E/2/bias")
    torch.testing.assert_close(found.log_density(x), -energy.squeeze(1) - (x**2).sum(1) / 8)
    assert found.density == "unnormalised"
    at = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(found.log_density(at).sum(), at)
    torch.testing.assert_close(found.score(x), slope)
    with pytest.raises(UnavailableError, match="unknown constant"):
        found.log_prob(x)


def test_energies_of_images_of_contexts_and_of_nets_in_formulas() -> None:
    image = model("net f(x) : real[1, 4, 4] = conv(3)\nenergy E(x) = sum(f(x))\nobserve x : real[1, 4, 4] ~ exp(-E(x))")
    assert image.score(torch.zeros(3, 1, 4, 4)).shape == (3, 1, 4, 4)
    given = model("given c : category(3)\nenergy E(x, c) = mlp(4)\nobserve x : real ~ exp(-E(x, c) - x^2)", "cd(2)")
    x, c = torch.zeros(3, dtype=torch.float64), torch.tensor([0, 1, 2])
    assert len(found := given.log_density(x, {"c": c}).unique()) == 3 and len(found) == 3
    given.loss({"x": x, "c": c}, seed=0).total.backward()
    assert all(p.grad is not None for p in given.parameters())
    chains = given.chains(4, lang.hmc(3, 0.1, warmup=3), {"c": c}, seed=0)
    assert chains.values.shape == (4, 3)
    moved = model(
        "energy E(x) = mlp(4)\nlatent z : real[2] ~ normal(0, 1)\nobserve x : real[2]\n"
        "ode x -> z over t in 0..1 { velocity(x) = -grad(E(x), x); solver = rk4(steps = 2); trace = exact }\nloss = nll"
    )
    moved.loss(data()).total.backward()
    assert gradients(moved).keys() == {f"M/E/{layer}/{kind}" for layer in "01" for kind in ("weight", "bias")} - {
        "M/E/1/bias"
    }


# ---- contrastive divergence -----------------------------------------------------------------------------------------


def langevin(found: CompiledModel, x: Tensor, noise: list[Tensor], eta: float) -> Tensor:
    for z in noise:
        x = x + eta / 2 * found.score(x).detach() + eta**0.5 * z
    return x


@pytest.mark.parametrize("magnitude", [0.0, 0.3])
def test_the_gradient_of_cd_is_that_of_its_surrogate(magnitude: float) -> None:
    """mean E(x) - mean E(y) + α (E(x)² + E(y)²), y fixed where the chains ended."""
    found, x = model(NET, f"cd(4, step_size = 0.3, magnitude = {magnitude})").train(), data()
    value = found.loss(x, seed=5, step=7).total
    value.backward()
    got = gradients(found)
    found.zero_grad()
    (noise,) = step_noise(found.program("loss"), len(x), 5, 7, torch.float64).values()
    y = langevin(found, x, list(noise.unbind(1))[::-1], 0.3)
    here, there = -found.log_density(x), -found.log_density(y)
    surrogate = (here - there).mean() + magnitude * (here**2 + there**2).mean()
    torch.testing.assert_close(surrogate, value)
    surrogate.backward()
    for name, gradient in gradients(found).items():
        torch.testing.assert_close(got[name], gradient)


def test_chains_of_cd_that_refuse_steps_have_the_law_of_the_model() -> None:
    """From data of the model's own law the mean of E(x) - E(y) is 0; of langevin's steps as large it is not."""
    normal = "observe x : real[2] ~ exp(-dot(x, x) / 2)"
    x = data(20_000)
    for method, biased in (("mala", False), ("langevin", True)):
        found = model(normal, f"cd(5, step_size = 1.2, method = {method})")
        value = float(found.loss(x, seed=1).total)
        assert (abs(value) > 0.2) is biased and (biased or abs(value) < 4 * 2**0.5 / 20_000**0.5)


def test_persistent_chains_take_turns_and_stand_still_in_evaluation() -> None:
    found = model(NET, "cd(2, step_size = 0.1, persistent = true, buffer = 10, reinit = 0, start = 3)").train()
    kept = found.get_parameter("M/loss/t0/buffer").detach()
    assert kept.shape == (10, 2) and not found.get_parameter("M/loss/t0/buffer").requires_grad
    before, rows = kept.clone(), data(6)
    found.loss(rows, seed=0, step=0)
    assert bool((kept[:6] != before[:6]).all()) and torch.equal(kept[6:], before[6:])
    (noise,) = (v for k, v in step_noise(found.program("loss"), 6, 0, 0, torch.float64).items() if k.endswith("noise"))
    torch.testing.assert_close(kept[:6], langevin(found, before[:6], list(noise.unbind(1))[::-1], 0.1))
    middle = kept.clone()
    found.loss(rows, seed=0, step=1)
    assert torch.equal(kept[2:6], middle[2:6]) and bool((kept[6:] != middle[6:]).all())
    assert float(found.get_parameter("M/loss/t0/place")) == 2
    last = kept.clone()
    found.eval().loss(rows, seed=0, step=2)
    assert torch.equal(kept, last)
    with pytest.raises(ValueError, match="`buffer` keeps 10"):
        found.train().loss(data(11), seed=0, step=3)


def test_parts_of_a_batch_move_the_chains_of_the_whole() -> None:
    """Gradients in two parts, as `accumulate` takes them: the same chains, the same noise."""
    loss = "cd(2, persistent = true, buffer = 20, reinit = 0.4)"
    whole, parts, x = model(NET, loss).train(), model(NET, loss).train(), data(12)
    for step in range(3):
        whole.loss(x, seed=0, step=step).total.backward()
        for start in (0, 4):
            rows = x[:4] if start == 0 else x[4:]
            (parts.loss(rows, seed=0, step=step, start=start).total * len(rows) / 12).backward()
    for name, gradient in gradients(whole).items():
        torch.testing.assert_close(gradients(parts)[name], gradient)
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[name], tensor)


def test_persistent_cd_comes_to_the_maximum_likelihood() -> None:
    """E = a x² / 2 - b x: where data have mean m and variance v, the likelihood is largest at a = 1 / v, b = m / v."""
    found = model(
        "learn a : positive = 1.6\nlearn b = 2.0\nobserve x : real ~ exp(b * x - a * x^2 / 2)",
        "cd(3, step_size = 0.5, method = mala, persistent = true, buffer = 2_000, reinit = 0)",
    ).train()
    x = 1.5 + 0.7 * torch.randn(2000, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    trained = [p for p in found.parameters() if p.requires_grad]
    optimizer, average = torch.optim.Adam(trained, lr=0.05), [torch.zeros(()), torch.zeros(())]
    for step in range(220):
        if step == 80:
            optimizer = torch.optim.Adam(trained, lr=0.01)
        optimizer.zero_grad()
        found.loss(x, seed=0, step=step).total.backward()
        optimizer.step()
        if step >= 120:
            average = [mean + p.detach() / 100 for mean, p in zip(average, trained, strict=True)]
    a, b = float(torch.nn.functional.softplus(average[0])), float(average[1])
    assert 1 / a == pytest.approx(float(x.var(unbiased=False)), rel=0.06)
    assert b / a == pytest.approx(float(x.mean()), abs=0.03)


SPEC = f"""dgm 1
model M {{
    {NET.replace(chr(10), chr(10) + "    ")}
    loss = cd(2, persistent = true, buffer = 64)
}}
train M {{ data = two_moons(n = 200); steps = 24; batch = 32; ema = 0.9 }}
sample M {{ method = mala(20, 0.1) }}
"""


def test_a_run_resumes_with_its_chains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = dgmspec.train(dgmspec.parse(SPEC), out=tmp_path / "whole")
    with monkeypatch.context() as patched, pytest.raises(Interrupted):
        stop = iter([None] * 11 + [KeyboardInterrupt])
        patched.setattr("dgmspec.runtime.interrupts.Interrupts.check", lambda self: _raise(next(stop)))
        dgmspec.train(dgmspec.parse(SPEC), out=tmp_path / "stopped")
    with pytest.raises(RunError, match="is not finished"):
        dgmspec.load_model(tmp_path / "stopped")
    resumed = resume_run(tmp_path / "stopped")
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(weight, resumed.model.state_dict()[name])
    assert (whole.path / "samples.png").exists()
    for folder in (whole.path, whole.path / "model"):
        loaded = dgmspec.load_model(folder)
        assert torch.equal(loaded.state_dict()["M/loss/t0/buffer"], whole.model.state_dict()["M/loss/t0/buffer"])
    assert whole.report["density"] == "unnormalised" and "buffer" not in whole.summary()


def _raise(error: type[BaseException] | None) -> None:
    if error is not None:
        raise error


# ---- score matching -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("members", [NET, SCORE], ids=["energy", "score"])
def test_score_losses_are_their_formulas(members: str) -> None:
    x, rows = data(), torch.arange(16)
    plain = model(members)
    score, trace = exact_trace(lambda at: _score(plain, at), x)
    half = (score**2).sum(1) / 2
    torch.testing.assert_close(model(members, "ism").loss(x).total, (half + trace).mean())
    ssm = model(members, "ssm(projections = 3)")
    (probe,) = step_noise(ssm.program("loss"), 16, 0, 0, torch.float64).values()
    jacobian = torch.func.vmap(torch.func.jacrev(lambda at: _score(plain, at[None])[0]))(x)
    sliced = torch.einsum("bki,bij,bkj->bk", probe, jacobian, probe).mean(1)
    torch.testing.assert_close(ssm.loss(x, seed=0, step=0).total, (half + sliced).mean())
    plainer = model(members, "ssm(projections = 3, variance_reduced = false)")
    along = torch.einsum("bki,bi->bk", probe, score).square().mean(1) / 2
    torch.testing.assert_close(plainer.loss(x, seed=0, step=0).total, (along + sliced).mean())
    dsm = model(members, "dsm(sigma = 0.4)")
    (noise,) = step_noise(dsm.program("loss"), 16, 0, 0, torch.float64).values()
    off = 0.4 * _score(plain, x + 0.4 * noise) + noise
    torch.testing.assert_close(dsm.loss(x, seed=0, step=0).total, (off[rows] ** 2).sum(1).mean() / 2)


def _score(found: CompiledModel, x: Tensor) -> Tensor:
    """The score under torch's function transforms."""
    if found.density == "none":
        return found.run("score", {"x": x})["score"]
    return torch.func.grad(lambda at: found.run("target", {"x": at})["log_prob"].sum())(x)


@pytest.mark.parametrize("net", ["mlp()", "mlp(6)", "mlp(6, 5, activation = tanh)", "mlp(6, 5, 4)", "resmlp(6, 2)"])
def test_the_trace_of_a_score_in_closed_form(net: str) -> None:
    """Against one derivative for each coordinate, with their gradients in the weights."""
    found, x = model(f"observe x : real[3]\nlearn score(x) = {net}", "ism"), torch.randn(7, 3, dtype=torch.float64)
    found.loss(x).total.backward()
    got = gradients(found)
    found.zero_grad()
    score, trace = exact_trace(lambda at: _score(found, at), x)
    ((score**2).sum(1) / 2 + trace).mean().backward()
    for name, gradient in gradients(found).items():
        torch.testing.assert_close(got[name], gradient)


def test_losses_differ_from_fisher_by_a_number() -> None:
    """E ism = E ssm = fisher - ½ E‖∇ log p‖² on data of p, and dsm - d/2 tends to σ² ism's as σ → 0; z-tests."""
    known = "observe x : real[2] ~ exp(-dot(x, x) / 2)\nlearn score(x) = mlp(8)"
    x = data(60_000, seed=4)
    with torch.no_grad():
        fisher = model(known, "fisher").loss(x).total
        zero = (x**2).sum(1).mean() / 2
        for loss, error in (("ism", 0.01), ("ssm", 0.02)):
            assert float(model(known, loss).loss(x, seed=0).total) == pytest.approx(float(fisher - zero), abs=4 * error)


def test_the_fisher_divergence_of_a_flow() -> None:
    """N(1, 2²) against N(0, 1) on data of any law: s - ∇ log p = -(x - 1) / 4 + x."""
    found = model(
        "observe x : real ~ exp(-x^2 / 2)\nlatent z : real ~ normal(0, 1)\nflow z -> x { shift_scale(1, 2) }", "fisher"
    )
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)
    torch.testing.assert_close(found.loss(x).total, ((x - (x - 1) / 4) ** 2).mean() / 2)
    torch.testing.assert_close(found.known_score(x), -x)


def test_chains_follow_a_learned_score() -> None:
    found = model("observe x : real[2]\nlearn score(x) = mlp()")
    with torch.no_grad():
        found.get_parameter("M/score/0/weight").copy_(-torch.eye(2))
        found.get_parameter("M/score/0/bias").copy_(torch.tensor([1.0, -2.0]))
    chains = found.chains(3000, lang.langevin(200, 0.1), seed=0)
    assert chains.log_density is None
    torch.testing.assert_close(chains.values.mean(0), torch.tensor([1.0, -2.0]).double(), rtol=0, atol=0.08)
    torch.testing.assert_close(chains.values.var(0), torch.ones(2).double() / (1 - 0.1 / 4), rtol=0.1, atol=0)
    with pytest.raises(UnavailableError, match="compares densities"):
        found.sample(2, method=lang.mala(5, 0.1))
    with pytest.raises(UnavailableError):
        found.log_density(data())


def test_eval_says_the_fisher_divergence(tmp_path: Path) -> None:
    text = """dgm 1
    model M { observe x : real[2] ~ exp(-dot(x, x) / 2); learn score(x) = mlp(); loss = fisher }
    train M { steps = 250; batch = 64; data = npy("x.npy"); optimizer = adam(lr = 0.03); validate = holdout(0.2) }
    """
    np.save(tmp_path / "x.npy", data(400).numpy())
    run = dgmspec.train(dgmspec.parse(text), out=tmp_path / "run", folder=tmp_path)
    test = run.report["test"]
    assert test["fisher_share_of_zero"] < 0.05 and "of the zero score's" in run.summary()
    again = dgmspec.evaluate(run.path)
    assert {name: again[name] for name in test} == pytest.approx(test)


# ---- forms ----------------------------------------------------------------------------------------------------------

FLOW = "latent z : real[2] ~ normal(0, 1); flow x -> z { actnorm }"
REFUSED: dict[str, tuple[str, str, str]] = {
    "nll of an energy": (NET, "nll", "DGM702"),
    "cd of a score": (SCORE, "cd(2)", "DGM752"),
    "cd of a flow": (f"observe x : real[2]; {FLOW}", "cd(2)", "DGM752"),
    "ism of bounded data": ("energy E(x) = mlp(4)\nobserve x : unit[2] ~ exp(-E(x))", "ism", "DGM753"),
    "dsm without noise": (NET, "dsm", "DGM754"),
    "dsm with a weight": (NET, "dsm(weight = likelihood, sigma = 0.1)", "DGM754"),
    "fisher without a target": (SCORE, "fisher", "DGM703"),
    "fisher without a score": (NET, "fisher", "DGM752"),
    "a learned target": (
        "energy E(x) = mlp(4)\nobserve x : real[2] ~ exp(-E(x))\nlearn score(x) = mlp(4)", "fisher", "DGM704"
    ),
    "settings of no kept chains": (NET, "cd(2, reinit = 0.1)", "DGM234"),
    "two densities": (f"{SCORE}\n{FLOW}", "nll", "DGM751"),
    "noise of no arrow": ("observe x : real[2]\nlearn noise(x) = mlp(4)", "ism", "DGM750"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    members, loss, code = REFUSED[name]
    found = dgmspec.diagnose(f"dgm 1\nmodel M {{\n{members}\nloss = {loss}\n}}\n").diagnostics
    assert [d.code for d in found] == [code], [str(d) for d in found]
    if name == "nll of an energy":
        assert all(word in found[0].help[0] for word in ("cd", "ism", "ssm", "dsm"))


@pytest.mark.parametrize(
    "loss",
    [pytest.param("cd(2, method = mala, persistent = true, buffer = 16)", marks=pytest.mark.slow, id="cd"), "ism"],
)
def test_losses_trace_as_one_graph(loss: str) -> None:
    one, other = model(NET, loss).train(), model(NET, loss).train()
    got: Any = other.compiled(backend="eager").loss(data(), seed=0, step=0).total
    expected = one.loss(data(), seed=0, step=0).total
    torch.testing.assert_close(got, expected)
    got.backward()
    expected.backward()
    for name, gradient in gradients(one).items():
        torch.testing.assert_close(gradients(other)[name], gradient)
    for name, tensor in one.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], tensor)


@pytest.mark.slow
def test_held_out_rows_are_as_many_at_once_as_chains_are_kept(tmp_path: Path) -> None:
    """A validation of 4,000 rows beside a buffer of 512 chains."""
    text = (Path(__file__).parent.parent / "specs" / "ebm.dgm").read_text()
    values = {"train.steps": "2", "train.batch": "8", "train.validate": "holdout(0.2, every = 2)"}
    found = diagnose_file(text, None, values)
    assert found.spec is not None
    run = dgmspec.train(found.spec, out=tmp_path / "r")
    assert run.report["best_step"] == 2
