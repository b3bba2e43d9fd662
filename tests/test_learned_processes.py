"""An `sde` that runs forwards with a learned law: against closed forms, and against loops written out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from scipy.integrate import solve_ivp
from torch import Tensor, nn

import dgmspec
from dgmspec.core.types import POSITIVE
from dgmspec.modules.compiled import CompiledModel
from dgmspec.modules.initial import constrain
from dgmspec.modules.randomness import noise_for
from dgmspec.runtime.verify import verify
from tests.zoo import randomise

OU = "learn θ : positive = 1; learn μ = 0; learn σ : positive = 1; drift(x, t) = θ * (μ - x); diffusion(t) = σ"
ARRAYS = (
    "learn θ : positive[2]; learn μ : real[2]; learn σ : positive[2] = [0.5, 1]; drift(x, t) = -θ * t * x + μ; "
    "diffusion(t) = [σ[0], σ[1] * sqrt(1 + t)]"
)
MIXED = "learn θ : positive; learn σ : unit; drift(x, t) = -[1, 2] * θ * x + [0, t]; diffusion(t) = σ * (1 + t)"


def text(law: str, size: str = "[2]", prior: str = "normal(0.5, 0.7)", more: str = "", context: str = "") -> str:
    return (
        f"dgm 1\nmodel M {{\n latent x0 : real{size} ~ {prior}\n observe y : real{size}\n {more}\n"
        f" sde x0 -> y{context} over t in 0..1.5 {{ {law} }}\n}}\n"
    )


def compiled(spec: str, **options: Any) -> CompiledModel:
    found = dgmspec.compile(dgmspec.parse(spec), dtype=torch.float64, **options).eval()
    randomise(found)
    return found


def learned(found: CompiledModel, name: str) -> Tensor:
    """The parameter of a name, as it is kept."""
    return next(p for n, p in found.named_parameters() if n.rpartition("/")[2] == name)


def below(found: CompiledModel, name: str) -> dict[str, Tensor]:
    """The weights of a net."""
    return {n.partition(f"/{name}/")[2]: p for n, p in found.named_parameters() if f"/{name}/" in n}


def net(p: dict[str, Tensor], read: Tensor) -> Tensor:
    """An mlp of one hidden layer."""
    hidden = F.silu(read @ p["0/weight"].T + p["0/bias"])
    return hidden @ p["1/weight"].T + p["1/bias"]


def time(x: Tensor, t: float) -> Tensor:
    """A time as nets read it."""
    return torch.full((len(x), 1), t / 1.5, dtype=x.dtype)


def draws(found: CompiledModel, n: int = 6, given: dict[str, Tensor] | None = None) -> tuple[Tensor, Tensor]:
    """The start of paths and the normal numbers of their steps."""
    program = found.program("sample")
    noise = noise_for(program, (0, n), 3, found.dtype, found.device)
    slots = found.keep("sample", {**noise, **(given or {})})
    line = next(line for line in program.instructions if line.address == found.simulation().address)
    return slots[line.inputs[0]], slots[line.inputs[-1]]


def euler(
    found: CompiledModel,
    f: Callable[[Tensor, float], Tensor],
    g: Callable[[Tensor, float], Tensor | float],
    **more: Any,
) -> Tensor:
    """Euler-Maruyama on the draws of a sample, written out."""
    x, z = draws(found, **more)
    h = 1.5 / z.shape[1]
    for i in range(z.shape[1]):
        t = i * h
        x = x + h * f(x, t) + math.sqrt(h) * g(x, t) * z[:, i]
    return x


# ---- laws with a density --------------------------------------------------------------------------------------------


def test_a_learned_ornstein_uhlenbeck_process_has_its_density_and_gradients() -> None:
    """m = μ + (m_0 - μ) e^{-θ t}, v = v_0 e^{-2 θ t} + σ² (1 - e^{-2 θ t}) / (2 θ)."""
    found = compiled(text(OU + "; solver = exact"))
    raw = [learned(found, name) for name in ("θ", "μ", "σ")]
    θ, μ, σ = constrain(POSITIVE, raw[0]), raw[1], constrain(POSITIVE, raw[2])
    y = torch.randn(7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for t in (0.4, 1.5):
        kept = torch.exp(-θ * t)
        mean, variance = μ + (0.5 - μ) * kept, 0.49 * kept**2 + σ**2 * (1 - kept**2) / (2 * θ)
        expected = (-0.5 * (y - mean) ** 2 / variance - 0.5 * torch.log(2 * math.pi * variance)).sum(1)
        value = found.log_prob(y, t=t)
        torch.testing.assert_close(value, expected, rtol=1e-11, atol=1e-11)
        pairs = [torch.autograd.grad(each.sum(), raw, retain_graph=True) for each in (value, expected)]
        for one, other in zip(*pairs, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(found.log_prob(y, t=0.0), _normal(y, 0.5, 0.7))


def _normal(y: Tensor, loc: float, scale: float) -> Tensor:
    return (-0.5 * ((y - loc) / scale) ** 2 - math.log(scale) - 0.5 * math.log(2 * math.pi)).sum(1)


@pytest.mark.parametrize("law", [OU, ARRAYS, MIXED], ids=["numbers", "arrays", "a coefficient a coordinate"])
@pytest.mark.parametrize("solver", ["exact(steps = 3)", "srk(steps = 4)"])
def test_a_learned_law_is_that_of_its_numbers_put_in(law: str, solver: str) -> None:
    """Far from the starting values: densities and samples, of exact draws and of steps."""
    found = compiled(text(f"{law}; solver = {solver}"))
    plain = law
    for name in ("θ", "μ", "σ"):
        for declared in [part for part in law.split("; ") if part.startswith(f"learn {name}")]:
            raw, kind = learned(found, name), declared.partition(" : ")[2]
            low = kind.startswith("positive")
            value = constrain(POSITIVE, raw) if low else torch.sigmoid(raw) if kind.startswith("unit") else raw
            plain = plain.replace(f"{declared}; ", "").replace(name, f"({_text(value)})")
    other = dgmspec.compile(dgmspec.parse(text(f"{plain}; solver = {solver}")), dtype=torch.float64)
    y = torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for t in (0.3, 1.5):
        torch.testing.assert_close(found.log_prob(y, t=t), other.log_prob(y, t=t), rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(found.sample(6, seed=2, t=t), other.sample(6, seed=2, t=t), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.paths(4, seed=1)[1], other.paths(4, seed=1)[1], rtol=1e-9, atol=1e-9)


def _text(value: Tensor) -> str:
    return repr(value.tolist()) if value.dim() else f"{value.item()!r}"


MATRICES = {
    "a vector": (
        "learn A : real[2, 2] = [-1, 0.5, -0.7, -0.3]; learn b : real[2]; learn L : real[2, 2] = [1, 0, 0.3, 0.8]; "
        "drift(x, t) = A @ x + b; diffusion(t) = L"
    ),
    "noise by way of the drift": (
        "learn k : positive = 2; learn g : positive; drift(x, t) = [x[1], -k * x[0] - g * x[1]]; diffusion(t) = [0, g]"
    ),
}


@pytest.mark.parametrize("law", MATRICES.values(), ids=MATRICES)
def test_a_learned_law_that_mixes_coordinates_has_its_density(law: str) -> None:
    """Against the moments of dm = A m + b, dP = A P + P Aᵀ + G Gᵀ solved closely; gradients against differences."""
    found = compiled(text(f"{law}; solver = exact(steps = 2)", prior="normal([0.5, -1], 0.7)"))
    y = torch.randn(4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    if "A @ x" in law:
        rate, offset, noise = (learned(found, name).detach().numpy() for name in ("A", "b", "L"))
    else:
        k, g = (float(constrain(POSITIVE, learned(found, name).detach())) for name in ("k", "g"))
        rate, offset, noise = np.array([[0, 1], [-k, -g]]), np.zeros(2), np.diag([0, g])

    def slope(t: float, state: np.ndarray) -> np.ndarray:
        mean, spread = state[:2], state[2:].reshape(2, 2)
        moved = rate @ spread + spread @ rate.T + noise @ noise.T
        return np.concatenate((rate @ mean + offset, moved.reshape(-1)))

    start = np.concatenate(([0.5, -1], 0.49 * np.eye(2).reshape(-1)))
    for t in (0.4, 1.5):
        end = solve_ivp(slope, (0, t), start, rtol=1e-12, atol=1e-13, method="DOP853").y[:, -1]
        expected = stats.multivariate_normal(end[:2], end[2:].reshape(2, 2)).logpdf(y.numpy())
        torch.testing.assert_close(found.log_prob(y, t=t), torch.from_numpy(expected), rtol=1e-9, atol=1e-9)
    drawn = found.sample(20_000, seed=0)
    spread = end[2:].reshape(2, 2)
    np.testing.assert_allclose(drawn.mean(0).detach(), end[:2], atol=5 * np.sqrt(np.diag(spread) / 20_000).max())
    np.testing.assert_allclose(np.cov(drawn.detach().numpy().T), spread, atol=0.05 * spread.max())
    parameters = list(found.parameters())
    gradients = torch.autograd.grad(found.log_prob(y).sum(), parameters)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        flat, values = parameter.data.view(-1), []
        for sign in (1, -1):
            flat[-1] += sign * 1e-5
            values.append(float(found.log_prob(y).sum().detach()))
            flat[-1] -= sign * 1e-5
        assert (values[0] - values[1]) / 2e-5 == pytest.approx(float(gradient.reshape(-1)[-1]), rel=1e-6, abs=1e-7)


def test_maximum_likelihood_finds_the_numbers() -> None:
    """Of 2,000 draws of a process that is known."""
    true = "drift(x, t) = 2 * (1 - x); diffusion(t) = 0.5"
    data = dgmspec.compile(dgmspec.parse(text(true, "", "normal(-1, 0.2)")), dtype=torch.float64)
    found = dgmspec.compile(
        dgmspec.parse(
            text(OU.replace("learn θ : positive = 1", "param θ = 2"), "", "normal(-1, 0.2)")
            .replace("param θ = 2; ", "")
            .replace("θ", "2")
            .replace("\n}\n", "\nloss = nll\n}\n")
        ),
        dtype=torch.float64,
    )
    rows = data.sample(2000, seed=0)
    optimizer = torch.optim.Adam(found.parameters(), lr=0.1)
    for _ in range(60):
        optimizer.zero_grad()
        found.loss({"y": rows}).total.backward()
        optimizer.step()
    assert float(learned(found, "μ").detach()) == pytest.approx(1.0, abs=0.03)
    assert float(constrain(POSITIVE, learned(found, "σ").detach())) == pytest.approx(0.5, abs=0.02)


# ---- laws that are simulated ----------------------------------------------------------------------------------------


def test_a_net_in_the_drift_is_a_plain_loop() -> None:
    """And the gradient through the steps is that of the loop."""
    law = "net f(x, t) = mlp(4); learn k : positive = 0.3; drift(x, t) = f(x, t) - k * x; diffusion(t) = 0.5 * k"
    found = compiled(text(f"{law}; solver = euler_maruyama(steps = 5)"))
    p, raw = below(found, "f"), learned(found, "k")
    k = constrain(POSITIVE, raw)
    expected = euler(found, lambda x, t: net(p, torch.cat((x, time(x, t)), 1)) - k * x, lambda x, t: 0.5 * k)
    value = found.rsample(6, seed=3)
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.paths(6, seed=3)[1][-1], expected, rtol=1e-12, atol=1e-12)
    weights = [*p.values(), raw]
    pairs = [torch.autograd.grad(each.square().sum(), weights) for each in (value, expected)]
    for one, other in zip(*pairs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
        assert float(other.abs().max()) > 0


def test_nets_in_place_read_the_context() -> None:
    """A diffusion in place is a softplus of what its net gives."""
    law = "drift(x, t) = mlp(4); diffusion(t) = mlp(3); solver = euler_maruyama(steps = 4)"
    found = compiled(text(law, more="given c : real[3]", context=" | c"))
    c = torch.randn(1, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    f, g = below(found, "drift"), below(found, "diffusion")

    def spread(x: Tensor, t: float) -> Tensor:
        return F.softplus(net(g, torch.cat((c.expand(6, 3), time(x, t)), 1)))

    expected = euler(found, lambda x, t: net(f, torch.cat((x, c.expand(6, 3), time(x, t)), 1)), spread, given={"c": c})
    torch.testing.assert_close(found.sample(6, {"c": c}, seed=3), expected, rtol=1e-12, atol=1e-12)


def test_a_law_reads_the_variables_of_its_context() -> None:
    """One behind the bar among several, by a net and by the formula."""
    law = "drift(x, t) = f([x[0], d], t) - x * c; diffusion(x, t) = exp(d) * x; solver = milstein(steps = 4)"
    more = "given c : real[2]; given d : real\n net f(a, t) : real[2] = mlp(4)"
    found = compiled(text(law, more=more, context=" | c, d"))
    generator = torch.Generator().manual_seed(4)
    given = {"c": torch.randn(1, 2, dtype=torch.float64, generator=generator)}
    given["d"] = torch.randn(1, dtype=torch.float64, generator=generator)
    p, factor = below(found, "f"), given["d"].exp().unsqueeze(1)
    x, z = draws(found, given=given)
    h = 1.5 / 4
    for i in range(4):
        drift = net(p, torch.cat((x[:, :1], given["d"].expand(6, 1), time(x, i * h)), 1)) - x * given["c"]
        dw = math.sqrt(h) * z[:, i]
        x = x + h * drift + factor * x * dw + 0.5 * factor**2 * x * (dw**2 - h)
    torch.testing.assert_close(found.sample(6, given, seed=3), x, rtol=1e-12, atol=1e-12)
    assert not found.graph.steps[found.simulation().address].op.known  # type: ignore[attr-defined]  # a Simulation


def test_the_gradient_of_a_net_is_a_drift() -> None:
    law = "drift(x, t) = -grad(E(x) + dot(x, x), x); diffusion(t) = 1; solver = euler_maruyama(steps = 4)"
    found = compiled(text(law, more="net E(x) : real = mlp(4)"))
    p = below(found, "E")

    def drift(x: Tensor, t: float) -> Tensor:
        at = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(net(p, at).sum() + (at * at).sum(), at)
        return -slope

    torch.testing.assert_close(found.sample(6, seed=3), euler(found, drift, lambda x, t: 1.0), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("law", ["drift(a, b, t) = [f(a, b, t), -k * a]", "drift(a, b, t) = mlp(3)"])
def test_the_law_of_a_joint_state_is_learned(law: str) -> None:
    spec = (
        "dgm 1\nmodel M {\n latent a0 : real ~ normal(0, 1); latent b0 : real[2] ~ normal(1, 0.5)\n observe a : real\n"
        " observe b : real[2]\n net f(a, b, t) : real = mlp(3)\n learn k : real[2] = [1, 2]\n"
        " net g(b) : positive[2] = mlp(3)\n"
        f" sde [a0, b0] -> [a, b] over t in 0..1.5 {{ {law}; diffusion(a, b, t) = [0.5, g(b + k)]; "
        "solver = euler_maruyama(steps = 4) }\n}\n"
    )
    if "mlp(3)" in law:
        spec = spec.replace(" net f(a, b, t) : real = mlp(3)\n", "")
    found = compiled(spec)
    k, g = learned(found, "k"), below(found, "g")

    def drift(x: Tensor, t: float) -> Tensor:
        if "mlp(3)" in law:
            return net(below(found, "drift"), torch.cat((x, time(x, t)), 1))
        return torch.cat((net(below(found, "f"), torch.cat((x, time(x, t)), 1)), -k * x[:, :1]), 1)

    def spread(x: Tensor, t: float) -> Tensor:
        own = F.softplus(net(g, x[:, 1:] + k))
        return torch.cat((torch.full((len(x), 1), 0.5, dtype=x.dtype), own), 1)

    drawn, expected = found.sample(6, seed=3), euler(found, drift, spread)
    torch.testing.assert_close(drawn["a"], expected[:, 0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(drawn["b"], expected[:, 1:], rtol=1e-12, atol=1e-12)


def test_learned_numbers_in_a_diffusion_of_the_state_keep_milsteins_derivative() -> None:
    law = "learn s : positive[2]; drift(x, t) = 0.5 * x; diffusion(x, t) = s * x"
    found = compiled(text(f"{law}; solver = milstein(steps = 4)", prior="normal(1, 0.1)"))
    s = constrain(POSITIVE, learned(found, "s"))
    x, z = draws(found)
    h = 1.5 / 4
    for i in range(4):
        dw = math.sqrt(h) * z[:, i]
        x = x + 0.5 * h * x + s * x * dw + 0.5 * s**2 * x * (dw**2 - h)
    torch.testing.assert_close(found.sample(6, seed=3), x, rtol=1e-12, atol=1e-12)


def test_noise_is_shared_by_a_learned_matrix() -> None:
    law = (
        "learn L : real[2, 2] = [1, 0, 0.5, 2]; drift(x, t) = -x; diffusion(t) = L; solver = euler_maruyama(steps = 3)"
    )
    found = compiled(text(law))
    x, z = draws(found)
    for i in range(3):
        x = x - 0.5 * x + math.sqrt(0.5) * z[:, i] @ learned(found, "L").T
    torch.testing.assert_close(found.sample(6, seed=3), x, rtol=1e-12, atol=1e-12)


def test_a_network_of_the_users_own_is_a_drift() -> None:
    class Pull(nn.Module):
        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            return -x * t.reshape(-1, 1)

    law = "drift(x, t) = f(x, t); diffusion(t) = 1; solver = euler_maruyama(steps = 4)"
    found = compiled(text(law, more="net f(x, t) : real[2] = external"), nets={"f": Pull()})
    expected = euler(found, lambda x, t: -x * t, lambda x, t: 1.0)
    torch.testing.assert_close(found.sample(6, seed=3), expected, rtol=1e-12, atol=1e-12)


def test_the_naive_likelihood_trains_a_net_in_the_drift() -> None:
    """Down to about that of the process which made the data, from a drift that leads elsewhere."""
    spec = """dgm 1
    model M {
        latent x0 : real ~ normal(0, 0.1)
        latent u : real
        observe x : real
        sde x0 -> u over t in 0..1 {
            drift(x, t) = mlp(8); diffusion(t) = 0.5; solver = euler_maruyama(steps = 4)
        }
        generate x | u ~ normal(u, 0.3)
        loss = mc(32)
    }
    """
    found = dgmspec.compile(dgmspec.parse(spec), dtype=torch.float64, seed=0)
    x = 2 + math.sqrt(0.35) * torch.randn(256, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam(found.parameters(), lr=0.03)
    losses = []
    for step in range(80):
        optimizer.zero_grad()
        loss = found.loss({"x": x}, seed=step).total
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    best = 0.5 * math.log(2 * math.pi * 0.35) + 0.5
    assert losses[0] > best + 2 and sum(losses[-5:]) / 5 < best + 0.1


# ---- what is said of it ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("law", "size"),
    [
        (OU, ""),
        ("net f(x, t) = mlp(4); drift(x, t) = f(x, t) - x; diffusion(t) = 0.6", ""),
        (MATRICES["a vector"], "[2]"),
    ],
)
@pytest.mark.slow
def test_verify_tries_the_law_as_it_is_learned(law: str, size: str) -> None:
    found = verify(compiled(text(law, size)), seed=0)
    tried = [f for f in found.findings if f.claim in ("Fokker-Planck", "simulation")]
    assert tried and all(f.error is not None and f.holds for f in tried), [str(f) for f in tried]


@pytest.mark.slow
@pytest.mark.parametrize(
    "law",
    [
        f"{OU}; solver = exact(steps = 2)",
        "net f(x, t) = mlp(4); drift(x, t) = f(x, t); diffusion(t) = 1; solver = srk(steps = 2)",
    ],
)
def test_programs_compile_to_one_graph(law: str) -> None:
    torch._dynamo.reset()
    found = compiled(text(law))
    other = found.compiled(fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(other.sample(5, seed=0), found.sample(5, seed=0))
    if "exact" in law:
        y = found.sample(5, seed=0)
        torch.testing.assert_close(other.log_prob(y), found.log_prob(y))


def test_a_learned_law_is_kept_and_frozen(tmp_path: Any) -> None:
    found = compiled(text(OU))
    y = found.sample(4, seed=0)
    torch.testing.assert_close(found.freeze().log_prob(y), found.log_prob(y))
    found.save(tmp_path / "m")
    torch.testing.assert_close(dgmspec.load_model(tmp_path / "m").log_prob(y), found.log_prob(y))


@pytest.mark.parametrize(
    ("law", "loss", "code"),
    [
        ("drift(x, t) = mlp(4); diffusion(t) = 1", "nll", "DGM702"),
        ("learn A : real[2, 2]; drift(x, t) = t * (A @ x); diffusion(t) = 1", "nll", "DGM702"),
        ("learn a : real[3]; drift(x, t) = a * x; diffusion(t) = 1", "", "DGM310"),
        ("learn a; drift(x, t) = -sqrt(a) * x; diffusion(t) = 1", "", "DGM453"),
        ("learn a; drift(x, t) = -x; diffusion(t) = 1", "", "DGM243"),
        ("net f(x) = mlp(4); drift(x, t) = -x; diffusion(t) = 1", "", "DGM243"),
        ("net f(x) = mlp(4); drift(x, t) = f(x, t); diffusion(t) = 1", "", "DGM211"),
        ("net f(x) : real[3] = mlp(4); drift(x, t) = f(x); diffusion(t) = 1", "", "DGM310"),
        ("net f(x) = mlp(4); drift(x, t) = -x; diffusion(x, t) = f(x); solver = srk", "", "DGM654"),
    ],
)
def test_what_a_learned_law_does_not_have_is_told(law: str, loss: str, code: str) -> None:
    spec = text(law).replace("\n}\n", f"\nloss = {loss}\n}}\n" if loss else "\n}\n")
    assert code in {d.code for d in dgmspec.diagnose(spec).diagnostics}
