"""What a text or a figure may not pass over in silence: senseless sizes, bounds, what is not done, changed defaults."""

from __future__ import annotations

import pytest
import torch

import dgmspec
from dgmspec.modules.journeys import denoiser_of
from dgmspec.modules.runner import UnavailableError
from dgmspec.runtime import kernels
from dgmspec.runtime.report import of_density
from dgmspec.spec.defaults import with_defaults

SDE = "sde x -> z over t in 0..1 { drift(x, t) = -x; diffusion(t) = 1; learn noise(x, t) = mlp(4) }"
CHAIN = "markov x -> z over t in 1..20 { step(x, t) ~ normal(sqrt(0.8) * x, sqrt(0.2)); learn noise(x, t) = mlp(4) }"
FLOW = "flow x -> z { coupling(affine, mask = half, net = mlp(4)) }"


def text(arrow: str = FLOW, loss: str = "nll", blocks: str = "", x: str = "real[2]", z: str = " ~ normal(0, 1)") -> str:
    return (
        f"dgm 1\nmodel M {{ observe x : {x}; latent z : real[2]{z}\n{arrow}\nloss = {loss} }}\n"
        f"train M {{ data = two_moons; steps = 1 }}\n{blocks}\n"
    )


@pytest.mark.parametrize(
    ("written", "code"),
    [
        (text(SDE, "dsm", "sample M { method = reverse_sde(steps = 1_000_000_000_000) }"), "DGM234"),
        (text(blocks="sample M { method = langevin(1_000_000_000_000, 0.1) }"), "DGM234"),
        (text(blocks="sample M { count = 1_000_000_000_000 }"), "DGM803"),
        (text().replace("two_moons", "two_moons(n = 1_000_000_000_000_000)"), "DGM234"),
        (text(loss="elbo(beta = anneal(0, 1, 0))"), "DGM235"),
        (text(loss="anneal(0, 1, 0) * nll"), "DGM235"),
        (text(CHAIN, "dsm", "sample M { method = ddim(steps = 500) }"), "DGM715"),
        (text("net v(y, t) = mlp(4); flow x -> z { sigmoid }", z=" ~ normal(0, v)"), "DGM211"),
    ],
)
def test_senseless_arguments_are_refused(written: str, code: str) -> None:
    found = [d.code for d in dgmspec.diagnose(written).diagnostics if d.severity == "error"]
    assert code in found, found


@pytest.mark.parametrize("declared", ["z[k] : real[2]8 for k in 1..3", "z : real[2]", "w : real[2]"])
def test_a_law_of_an_index_that_is_not_there_is_a_finding(declared: str) -> None:
    laws = "generate z[3] ~ normal(0, 1); generate x | z[3] ~ normal(mlp(4), 1); infer z[3] | x ~ normal(mlp(4))"
    written = f"dgm 1\nmodel M {{\nobserve x : real[2]\nlatent {declared}\n{laws}\nloss = elbo\n}}\n"
    assert any(d.severity == "error" for d in dgmspec.diagnose(written).diagnostics)


@pytest.mark.parametrize(
    ("written", "words", "not_words"),
    [
        (text(SDE, "dsm", x="unit[2]"), "of `logit`", "dequantize"),
        (text(SDE, "dsm", x="positive[2]"), "of `inverse exp`", "dequantize"),
        (text(SDE.replace("noise(x, t)", "noise(x, t, c)"), "dsm"), "`sde x -> z | c over …`", "?"),
        (text(CHAIN, "vlb", "sample M { method = pf_ode }"), "leave `method` out", "mala"),
    ],
)
def test_help_leads_on(written: str, words: str, not_words: str) -> None:
    help_ = " ".join(line for d in dgmspec.diagnose(written).diagnostics for line in d.help)
    assert words in help_ and not_words not in help_, help_


def test_the_plan_says_how_samples_come() -> None:
    for prior, said in ((" ~ normal(0, 1)", "in steps"), ("", "none without a prior")):
        assert f"sampling {said}" in dgmspec.diagnose(text(SDE, "dsm", z=prior)).explain("M")


def test_figures_of_bounds_and_estimates_say_so() -> None:
    bound = {"density": "lower bound", "nll_nats": 1.0, "rows": 3}
    assert [of_density(name, bound) for name in bound] == ["", ", an upper bound", ""]
    assert of_density("nll_nats", {**bound, "density": "exact"}) == ""
    assert of_density("gap_to_entropy_nats", {"density": "estimate"}) == ", an estimate"


def test_the_slope_of_a_bound_is_no_score() -> None:
    augmented = "flow x -> z { augment(1); actnorm }"
    model = dgmspec.compile(dgmspec.parse(text(augmented).replace("latent z : real[2]", "latent z : real[*]")))
    assert model.density == "lower bound"
    with pytest.raises(UnavailableError, match="lower bound, whose slope is no score"):
        model.score(torch.zeros(3, 2))


@pytest.mark.parametrize(
    ("arrow", "written"),
    [
        (SDE, ("init_noise = 0.0", "times = uniform", "likelihood = pf_ode(solver = rk4(steps = 50))", "mlp(4, act")),
        (CHAIN, ("variance = posterior", "times = uniform", "mlp(4, activation = silu")),
        ("ode x -> z over t in 0..1 { velocity(y, t) = mlp(4) }", ("solver = rk4(steps = ", "gradient = direct")),
    ],
)
def test_bundles_hold_the_defaults_of_braces(arrow: str, written: tuple[str, ...]) -> None:
    spec = dgmspec.parse(text(arrow, "nll" if arrow.startswith("ode") else "dsm"))
    full = with_defaults(spec)
    assert all(words in full.text() for words in written), full.text()
    first, second = (dgmspec.compile(s).graph.steps for s in (spec, full))
    assert [s.op for s in first.values()] == [s.op for s in second.values()]


LADDER = "perturb x over σ in geometric(5, 0.01, 8) { kernel(x, σ) ~ normal(x, σ); learn score(x, σ) = mlp(4) }"


@pytest.mark.parametrize("arrow", [CHAIN, LADDER])
def test_kernels_are_tried_and_a_lie_is_found(arrow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = f"dgm 1\nmodel M {{ observe x : real[2]; {'latent z : real[2];' if arrow is CHAIN else ''} {arrow} }}"
    model = dgmspec.compile(dgmspec.parse(spec)).double()
    (found,) = kernels.check_kernels(model)
    assert found.status == "checked", str(found)
    true = denoiser_of

    class Lying:
        def __init__(self, *given: object) -> None:
            self.true = true(*given)  # type: ignore[arg-type]
            self.op = self.true.op

        def at(self, *given: object) -> object:
            found = self.true.at(*given)  # type: ignore[arg-type]
            return found._replace(sigma=1.001 * found.sigma)

    monkeypatch.setattr(kernels, "denoiser_of", Lying)
    (found,) = kernels.check_kernels(model)
    assert found.status == "violated"
