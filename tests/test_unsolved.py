"""Noising by laws that are not affine: states simulated, the reverse process and the flow by known scores."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

import dgmspec
from dgmspec import lang
from dgmspec.modules.compiled import CompiledModel
from dgmspec.modules.paths.process import Process
from dgmspec.modules.paths.unsolved import Reversed, implicit, noised
from dgmspec.modules.runner import UnavailableError
from dgmspec.ops.paths.unsolved import Unsolved

WELLS = (
    "fn pull(x) = (tanh(x / 0.5) - x) / 0.5",
    "mixture(normal(-1, 0.7071067811865476), normal(1, 0.7071067811865476))",
)
"""∇ log of a density with two wells, and the law itself."""


def text(
    drift: str,
    diffusion: str,
    prior: str = "normal(0, 1)",
    *lines: str,
    shape: str = "",
    top: str = "",
    learn: str = "learn score(x, t) = mlp(8)",
    loss: str = "ism",
    given: str = "",
) -> str:
    """A model around one law."""
    bar, context = (" | y", "given y : category(2)") if given else ("", "")
    body = "; ".join((f"drift(x, t) = {drift}", f"{diffusion}", *([learn] if learn else []), *lines))
    return (
        f"dgm 1\n{top}\nmodel M {{\nobserve x : real{shape}\n{context}\nlatent z : real{shape} ~ {prior}\n"
        f"sde x -> z{bar} over t in 0..1 {{ {body} }}\nloss = {loss}\n}}\n{given}"
    )


def model(*args: str, **options: str) -> CompiledModel:
    return dgmspec.compile(dgmspec.parse(text(*args, **options)), seed=0, dtype=torch.float64).eval()


def codes(*args: str, **options: str) -> list[str]:
    return [d.code for d in dgmspec.diagnose(text(*args, **options)).diagnostics if d.severity == "error"]


BENT = ("x - x^3", "diffusion(t) = 1")
READS = ("-x", "diffusion(x, t) = sqrt(1 + 0.5 * sin(x))")
PULLED = ("-dot(x, x) * x", "diffusion(x, t) = 1 + 0.1 * tanh(x)")
COUPLED = ("[x[0] * (1 - x[1]), x[1] * (x[0] - 1)]", "diffusion(t) = 1")


# ---- what is refused, and what stays --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "options", "expected"),
    [
        (BENT, {}, []),
        (BENT, {"loss": "ssm(projections = 2)"}, []),
        (READS, {}, []),
        (COUPLED, {"shape": "[2]"}, []),
        (("-grad(dot(x, x)^2, x)", "diffusion(t) = 1"), {"shape": "[2]"}, []),
        (BENT, {"loss": "nll"}, []),
        (BENT, {"loss": "dsm"}, ["DGM647"]),
        (READS, {"loss": "dsm"}, ["DGM647"]),
        (COUPLED, {"loss": "dsm", "shape": "[2]"}, ["DGM647"]),
        (BENT, {"loss": "vlb"}, ["DGM647"]),
        (BENT, {"learn": "learn noise(x, t) = mlp(8)"}, []),
        (BENT, {"learn": "learn clean(x, t) = mlp(8)"}, ["DGM650"]),
        ((*BENT, "normal(0, 1)", "times = importance"), {}, ["DGM652"]),
        ((*BENT, "normal(0, 1)", "precondition = edm"), {}, ["DGM650"]),
        ((*BENT, "normal(0, 1)", "solver = exact"), {}, ["DGM654"]),
        ((*READS, "normal(0, 1)", "solver = srk"), {}, ["DGM654"]),
        ((*BENT, "normal(0, 1)", "t_eps = 2"), {}, ["DGM642"]),
        (("-x", "diffusion(t) = 1", "normal(0, 1)", "solver = srk"), {}, ["DGM655"]),
        (("x - x^3", "diffusion(t) = 0"), {}, ["DGM644"]),
        ((*BENT, "normal(0, 1)"), {"given": "sample M { method = ddim }"}, ["DGM715"]),
        ((*BENT, "normal(0, 1)"), {"given": "sample M { method = pf_ode(solver = deis) }"}, ["DGM715"]),
        ((*BENT, "normal(0, 1)"), {"given": "sample M { method = reverse_sde(corrector = 1) }"}, ["DGM715"]),
    ],
)
def test_what_needs_a_kernel_is_refused_and_the_rest_stays(
    args: tuple[str, ...], options: dict[str, str], expected: list[str]
) -> None:
    if "given" in options:  # a block behind the model, not a context
        whole = text(*args) + options["given"]
        assert [d.code for d in dgmspec.diagnose(whole).diagnostics if d.severity == "error"] == expected
    else:
        assert codes(*args, **options) == expected


def test_an_affine_law_keeps_its_kernel() -> None:
    affine = model("-grad(x^2, x)", "diffusion(t) = 1", loss="dsm")
    assert float(affine.path.alpha(1.0)) == pytest.approx(math.exp(-2))
    bent = model(*BENT)
    with pytest.raises(UnavailableError, match="no formula"):
        _ = bent.path
    with pytest.raises(UnavailableError, match="ancestral"):
        bent.sample(2, method=lang.ancestral())


def test_what_is_not_proved_is_said() -> None:
    (said,) = [d.message for d in dgmspec.diagnose(text(*BENT)).diagnostics if d.code == "DGM404"]
    assert "follows the prior there" in said
    large = [d.message for d in dgmspec.diagnose(text(*BENT, shape="[3]")).diagnostics if d.code == "DGM404"]
    assert "50 steps of srk" in large[0] and len(large) == 2


# ---- simulated states -----------------------------------------------------------------------------------------------


def at_times(found: CompiledModel, x: Tensor, t: Tensor, seed: int = 0) -> Tensor:
    net = found.process
    generator = torch.Generator().manual_seed(seed)
    noise = {
        d.name: torch.randn(len(x), *d.shape, generator=generator, dtype=x.dtype)
        for d in net.op.simulation_draws(net.event)
    }
    return noised(net.op, net.law, x, t, noise)


@pytest.mark.parametrize(
    ("drift", "diffusion", "mean", "second"),
    [
        # 0 * x keeps the law, whose moments are known, from being read as affine.
        ("-2 * x", "diffusion(x, t) = 1 + 0 * x", lambda x, t: x * math.exp(-2 * t), None),
        ("0.3 * x", "diffusion(x, t) = 0.4 * x", lambda x, t: x * math.exp(0.3 * t), 2 * 0.3 + 0.16),
        ("0.3 * x", "diffusion(x, t) = 0.4 * x; calculus = stratonovich", lambda x, t: x * math.exp(0.38 * t), 0.92),
    ],
)
def test_states_have_the_moments_of_the_law_at_times_of_their_own(
    drift: str, diffusion: str, mean: Callable[[float, float], float], second: float | None
) -> None:
    found, rows, x = model(drift, diffusion), 10_000, 1.5
    times = torch.tensor([0.1, 1.0], dtype=torch.float64).repeat(rows // 2)
    y = at_times(found, torch.full((rows,), x, dtype=torch.float64), times)
    for t in (0.1, 1.0):
        part = y[times == t]
        square = x**2 * math.exp(second * t) if second else mean(x, t) ** 2 + (1 - math.exp(-4 * t)) / 4
        for value, expected in ((part, mean(x, t)), (part**2, square)):
            assert float(value.mean()) == pytest.approx(expected, abs=5 * float(value.std()) / len(part) ** 0.5 + 2e-4)


def test_noise_at_the_start_is_added() -> None:
    found = model(*BENT, "normal(0, 1)", "init_noise = 0.5")
    assert found.process.op.start(()) == 0.0
    y = at_times(found, torch.zeros(4000, dtype=torch.float64), torch.zeros(4000, dtype=torch.float64))
    assert float(y.std()) == pytest.approx(0.5, abs=0.03)


# ---- the loss -------------------------------------------------------------------------------------------------------


class _Known(Reversed):
    """c times the score of a normal law of deviation 0.7 about 0.2."""

    factor = 1.0

    def score(self, x: Tensor, t: object) -> Tensor:
        return -self.factor * (x - 0.2) / 0.49


def test_the_implicit_loss_is_least_at_the_score_and_its_value_is_known() -> None:
    """E [½ W s² + (W s)'] = -½ E [W s*²] at s = s*, W reading the state; by quadrature."""
    op = model(*READS).process.op
    x = torch.linspace(-6, 6, 1001, dtype=torch.float64)
    p = torch.exp(-((x - 0.2) ** 2) / 0.98) / (0.7 * math.sqrt(2 * math.pi))
    law = Process(lambda x, t: -x, lambda x, t: (1 + 0.5 * torch.sin(x)).sqrt())

    def loss(factor: float) -> float:
        net = _Known(op, {}, dgmspec.core.types.Type(dgmspec.core.types.REAL, ()), law)
        object.__setattr__(net, "factor", factor)
        flow, trace, weight = implicit(net, x, torch.full_like(x, 0.6), None)
        return float(torch.trapezoid(p * (0.5 * flow**2 / weight + trace), x))

    weight = 0.6 * (1 + 0.5 * torch.sin(x))
    least = -0.5 * float(torch.trapezoid(p * weight * ((x - 0.2) / 0.49) ** 2, x))
    assert loss(1.0) == pytest.approx(least, rel=1e-8)
    assert loss(0.9) == pytest.approx(least * (1 - 0.01), rel=1e-6) and loss(1.1) == pytest.approx(loss(0.9), rel=1e-6)


def test_losses_train_and_both_agree_on_average() -> None:
    whole, sliced = (model(*PULLED, shape="[2]", loss=loss) for loss in ("ism", "ssm(projections = 4)"))
    batch = {"x": torch.randn(4096, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))}
    for found in (whole, sliced):
        with torch.no_grad():
            for i, p in enumerate(found.parameters()):
                p += 0.3 * torch.randn(p.shape, dtype=p.dtype, generator=torch.Generator().manual_seed(i))
    first, second = (found.loss(batch, seed=0).total for found in (whole, sliced))
    assert float(first.detach()) == pytest.approx(float(second.detach()), rel=0.05)
    first.backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in whole.parameters())


def test_a_net_that_gives_noise_is_the_score_times_the_deviation_of_the_noise() -> None:
    """s = -ε̂ / √(σ_0² + (t - t_0) g²), at a time where that is small too."""
    lines = ("normal(0, 1)", "init_noise = 0.1")
    plain, scaled = (model(*READS, *lines, learn=f"learn {name}(x, t) = mlp(8)") for name in ("score", "noise"))
    scaled.load_state_dict(plain.state_dict())
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)
    for t in (1e-6, 0.7):
        deviation = (0.01 + t * (1 + 0.5 * torch.sin(x))).sqrt()
        torch.testing.assert_close(scaled.score(x, t), -plain.score(x, t) / deviation)
    batch = {"x": torch.randn(64, dtype=torch.float64)}
    scaled.loss(batch, seed=0).total.backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in scaled.parameters())


# ---- the way back ---------------------------------------------------------------------------------------------------

STATIONARY = ("0.25 * cos(x) - (0.5 + 0.25 * sin(x)) * tanh(x / 2)", "diffusion(x, t) = sqrt(1 + 0.5 * sin(x))")
"""f = (g²)'/2 + g² s/2 with the score s = -tanh(x/2) of the logistic law, which therefore stays as it is."""


def test_a_stationary_law_stays_where_the_noise_reads_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """The flow stands still, since what of it reads ∇·G cancels; the reverse process moves, and keeps the law."""
    found = model(*STATIONARY, "logistic(0, 1)")
    monkeypatch.setattr(Reversed, "_read", lambda self, x, t, given, dropped: -torch.tanh(x / 2))
    x = torch.linspace(-5, 5, 11, dtype=torch.float64)
    torch.testing.assert_close(found.log_prob(x), -x - 2 * torch.log1p(torch.exp(-x)), rtol=1e-10, atol=1e-10)
    drawn = found.sample(4000, seed=0, method=lang.reverse_sde(steps=100, spacing=lang.sym("uniform")))
    assert stats.kstest(drawn.numpy(), "logistic").pvalue > 0.01
    start = found.sample(4000, seed=0, method=lang.pf_ode(steps=4))
    assert float((drawn - start).abs().mean()) > 0.3
    # Without ∇·G the law would move: the noise is larger where sin x is.
    monkeypatch.setattr(Reversed, "divergence", lambda self, x, t: 0.0)
    wrong = found.sample(4000, seed=0, method=lang.reverse_sde(steps=100, spacing=lang.sym("uniform")))
    assert stats.kstest(wrong.numpy(), "logistic").pvalue < 1e-4


def test_the_flow_has_the_density_and_the_law_of_known_marginals(monkeypatch: pytest.MonkeyPatch) -> None:
    """An Ornstein-Uhlenbeck process written so that its kernel is not seen: N(0.5, 0.3²) at the start."""
    lines = ("t_eps = 0.01", "likelihood = pf_ode(solver = dopri8(rtol = 1e-8, atol = 1e-8))")

    def moments(t: float) -> tuple[float, float]:
        kept = math.exp(-4 * t)
        return 0.5 * math.exp(-2 * t), math.sqrt(0.09 * kept + (1 - kept) / 4)

    def score(self: Reversed, x: Tensor, t: object, given: object, dropped: object) -> Tensor:
        at = torch.as_tensor(t, dtype=x.dtype)
        kept = torch.exp(-4 * at)
        return -(x - 0.5 * torch.exp(-2 * at)) / (0.09 * kept + (1 - kept) / 4)

    end = "normal({}, {})".format(*moments(1.0))
    found = model("-2 * x", "diffusion(x, t) = 1 + 0 * x", end, *lines)
    monkeypatch.setattr(Reversed, "_read", score)
    loc, scale = moments(0.01)
    x = torch.linspace(-1, 2, 7, dtype=torch.float64)
    expected = torch.distributions.Normal(loc, scale).log_prob(x)
    torch.testing.assert_close(found.log_prob(x), expected, rtol=1e-6, atol=1e-6)
    for method in (lang.reverse_sde(steps=200), lang.pf_ode(steps=40), None):
        drawn = found.sample(4000, seed=1, method=method)
        assert stats.kstest(drawn.numpy(), "norm", (loc, scale)).pvalue > 0.01


def test_guidance_goes_beyond_the_context() -> None:
    found = model("-tanh(x)", "diffusion(t) = 1", given="train M { drop = 0.2; steps = 1 }")
    with torch.no_grad():
        for i, p in enumerate(found.parameters()):
            p += torch.randn(p.shape, dtype=p.dtype, generator=torch.Generator().manual_seed(i))
    context = {"y": torch.tensor([1])}
    drawn = [
        found.sample(64, context, seed=0, method=lang.reverse_sde(steps=10), guidance=w).detach() for w in (0.0, 2.0)
    ]
    assert all(bool(torch.isfinite(x).all()) for x in drawn) and float((drawn[0] - drawn[1]).abs().mean()) > 1e-3


# ---- learned --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_data_are_recovered_in_law(tmp_path: Path) -> None:
    """Two heaps of data drift into two wells; what is learned leads back, both ways, and has nearly their density.

    The prior's own draws are further away.
    """
    random = np.random.default_rng(0)
    heap = random.random(20_000) < 0.3
    rows = np.where(heap, -1.5 + 0.3 * random.normal(size=20_000), 0.5 + 0.5 * random.normal(size=20_000))
    top, prior = WELLS
    learn = "learn score(x, t) = mlp(64, 64, time = fourier(8))"
    found = text("pull(x) / 2", "diffusion(t) = 1", prior, "times = stratified", top=top, learn=learn)
    found = found.replace("0..1", "0..3")
    found += "train M { steps = 1_500; batch = 512; optimizer = adam(lr = 3e-3); schedule = cosine; ema = 0.99 }"
    run = dgmspec.train(dgmspec.parse(found), data={"x": torch.from_numpy(rows).float()}, out=tmp_path / "run")
    density = 0.3 * stats.norm(-1.5, 0.3).pdf(rows[:4000]) + 0.7 * stats.norm(0.5, 0.5).pdf(rows[:4000])
    with torch.no_grad():
        nats = -float(run.model.log_prob(torch.from_numpy(rows[:4000]).float()).mean())
    assert nats < -np.log(density).mean() + 0.09
    for method in (lang.reverse_sde(steps=200), lang.pf_ode(steps=50)):
        drawn = run.model.sample(4000, seed=1, method=method).numpy()
        assert stats.ks_2samp(drawn, rows).statistic < 0.08
    start = np.where(random.random(4000) < 0.5, -1, 1) + 0.5**0.5 * random.normal(size=4000)
    assert stats.ks_2samp(start, rows).statistic > 0.12


def test_the_step_says_which_law_it_is() -> None:
    assert isinstance(model(*BENT).process.op, Unsolved)
