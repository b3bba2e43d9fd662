"""What the shipped diffusions must reach, minutes each: `pytest -m slow -s tests/test_acceptance_diffusion.py`."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

import dgmspec
from dgmspec import lang
from dgmspec.modules.compiled import CompiledModel
from dgmspec.modules.paths.denoiser import Denoiser
from dgmspec.modules.paths.predicted import Predicted
from dgmspec.runtime.toys import TOYS
from dgmspec.spec import override
from tests.telling import told

SPECS = Path(__file__).parent.parent / "specs"

pytestmark = pytest.mark.slow

Array = NDArray[Any]


# ---- digits ---------------------------------------------------------------------------------------------------------


def test_guided_digits_are_read_as_their_labels(tmp_path: Path) -> None:
    """A classifier of real digits, at least 95 % right on held-out ones, reads at least 80 % of the samples as the
    label they were given; samples of every class vary about as much as real digits and are no copies of them."""
    x, y = load_digits(return_X_y=True)
    x, x_held, y, y_held = train_test_split(x, y, test_size=0.25, random_state=0, stratify=y)
    classifier = SVC(C=10, gamma=1e-3).fit(x, y)
    real = classifier.score(x_held, y_held)
    spec = dgmspec.load(SPECS / "guided_digits.dgm")
    run = dgmspec.train(spec, data={"x": x.reshape(-1, 1, 8, 8), "y": y}, out=tmp_path / "run")
    samples, labels = _guided(run.model, 40)
    right = classifier.predict(samples) == labels
    print(f"\nthe classifier is right on {real:.1%} of held-out digits, and reads {right.mean():.1%} of samples so")
    _print_classes(x, y, (x_held, y_held), (samples, labels), right)
    assert real >= 0.95 and right.mean() >= 0.8
    ours, held = _nearest(samples, x), _nearest(x_held, x)
    assert 0.5 < ours.mean() / held.mean() < 1.5 and float((ours < 0.25 * np.median(held)).mean()) < 0.05


def _guided(model: CompiledModel, each: int) -> tuple[Array, Array]:
    """So many samples of every label, as the spec's sample block has them."""
    given = {"y": torch.arange(10)}
    drawn = model.sample(each, given, seed=0, method=lang.ddim(steps=50), guidance=1.0)
    return drawn.reshape(-1, 64).numpy(), np.tile(np.arange(10), each)


def _nearest(rows: Array, others: Array) -> Array:
    """The distance of each row from the nearest of the others."""
    return np.sqrt(((rows[:, None] - others[None]) ** 2).sum(2).min(1))


def _print_classes(x: Array, y: Array, held: tuple[Array, Array], ours: tuple[Array, Array], right: Array) -> None:
    """By class: how many samples are read as it, how far they and held-out digits are from the nearest training digit
    of the class, and which share of held-out digits has a sample nearer than its nearest training digit is on
    average (coverage), beside the same share with as many training digits."""
    print("label  read as it  distance to training digits: samples, held out   coverage: samples, training digits")
    generator = np.random.default_rng(0)
    for label in range(10):
        (rows, labels), (there, named) = ours, held
        mine, kept, known = rows[labels == label], there[named == label], x[y == label]
        radius = _nearest(kept, known).mean() * 1.25
        some = known[generator.choice(len(known), min(len(mine), len(known)), replace=False)]
        near = [float((_nearest(kept, set_) < radius).mean()) for set_ in (mine, some)]
        far = [float(_nearest(set_, known).mean()) for set_ in (mine, kept)]
        print(
            f"{label:5}  {right[labels == label].mean():10.0%}  {far[0]:35.1f}, {far[1]:8.1f}   "
            f"{near[0]:17.0%}, {near[1]:15.0%}"
        )


def test_the_digits_of_the_chain_are_digits(tmp_path: Path) -> None:
    """Less than 15 minutes; of samples as of real digits the nearest training digits are of one class, and all classes
    are there."""
    run = dgmspec.train(dgmspec.load(SPECS / "digits_ddpm.dgm"), out=tmp_path / "run")
    samples = run.model.sample(400, seed=0, method=lang.ancestral()).reshape(-1, 64).numpy()
    x, y = load_digits(return_X_y=True)
    x, x_held, y, _ = train_test_split(x, y, test_size=0.25, random_state=0, stratify=y)
    neighbours = KNeighborsClassifier(5).fit(x, y)
    agreed = [float((neighbours.predict_proba(rows).max(1) == 1).mean()) for rows in (samples, x_held)]
    counts = np.bincount(neighbours.predict(samples), minlength=10)
    print(f"\n{run.report['seconds']:.0f} s; read as 0 to 9: {counts.tolist()}; pictures in {run.path}/samples.png")
    print(f"the five nearest digits are of one class for {agreed[0]:.1%} of samples, {agreed[1]:.1%} of real digits")
    assert run.report["seconds"] < 900 and (counts >= 10).all()
    assert agreed[0] > 0.8 * agreed[1]


# ---- losses ---------------------------------------------------------------------------------------------------------

PLACES = torch.tensor([[-1.5, 0.0], [1.0, 1.0], [0.5, -1.2]])
WEIGHTS = torch.tensor([0.5, 0.3, 0.2])
WIDTH = 0.4
PROCESS = {
    "sde": "sde x -> z over t in 0..1 { drift(x, t) = -5 * x; diffusion(t) = sqrt(10); t_eps = 0.01; ",
    "markov": "markov x -> z over t in 1..100 { step(x, t) ~ normal(sqrt(1 - 0.06) * x, sqrt(0.06)); ",
}


def _mixture(rows: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.multinomial(WEIGHTS, rows, replacement=True, generator=generator)
    return PLACES[chosen] + WIDTH * torch.randn(rows, 2, generator=generator)


def _score(x: torch.Tensor, alpha: float, sigma: float) -> torch.Tensor:
    """The score of the mixture behind the kernel N(α x_0, σ²)."""
    variance = alpha**2 * WIDTH**2 + sigma**2
    apart = alpha * PLACES - x.unsqueeze(1)
    shares = torch.softmax(WEIGHTS.log() - apart.square().sum(2) / (2 * variance), 1)
    return (shares.unsqueeze(2) * apart).sum(1) / variance


@pytest.mark.parametrize("loss", ["dsm", "ism", "ssm", "vlb"])
@pytest.mark.parametrize("process", PROCESS)
def test_every_loss_learns_the_score_of_a_mixture(process: str, loss: str, tmp_path: Path) -> None:
    """The Fisher divergence of the learned score is below 5 % of that of the zero score at each of five times.

    The earliest is the hardest: there the score bends most, and a net of two layers fits it last.
    """
    text = (
        "dgm 1\nmodel M {\n observe x : real[2]\n latent z : real[2] ~ normal(0, 1)\n "
        + PROCESS[process]
        + f"learn noise(x, t) = mlp(128, 128, 128, time = fourier(16)); times = stratified }}\n loss = {loss}\n}}\n"
        "train M { steps = 4_000; batch = 512; optimizer = adam(lr = 3e-3); schedule = cosine; ema = 0.999 }\n"
    )
    run = dgmspec.train(dgmspec.parse(text), data={"x": _mixture(50_000, 0).numpy()}, out=tmp_path / "run")
    clean, path, shares = _mixture(20_000, 1), run.model.path, list[float]()
    for share in (0.05, 0.1, 0.2, 0.4, 0.7):
        t = share if process == "sde" else float(round(100 * share))
        alpha, sigma = float(path.alpha(t)), float(path.sigma(t))
        x = alpha * clean + sigma * torch.randn(clean.shape, generator=torch.Generator().manual_seed(2))
        truth = _score(x, alpha, sigma)
        with torch.no_grad():
            learned = run.model.score(x, t)
        shares.append(float((learned - truth).square().sum() / truth.square().sum()))
    print(f"\n{process}, {loss}: {', '.join(f'{share:.2%}' for share in shares)} of the zero score's Fisher divergence")
    assert max(shares) < 0.05


def test_the_bound_of_the_improved_chain_is_near_that_of_the_exact_mean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound of `improved_ddpm.dgm`, and that of the same chain with E[x_0 | x_t] of the checkerboard in the net's
    place and the forward variance, which 800 steps bring to the entropy, log 32."""
    run = dgmspec.train(dgmspec.load(SPECS / "improved_ddpm.dgm"), out=tmp_path / "run")
    points = torch.from_numpy(TOYS["checkerboard"](4000, seed=5)).double()
    text, exact = (SPECS / "improved_ddpm.dgm").read_text().replace("variance = learned", "variance = forward"), {}
    text = text.replace("loss = dsm + 0.001 * vlb(trains = variance)", "loss = vlb")
    monkeypatch.setattr(Denoiser, "__call__", _known_mean)
    for steps in (50, 800):
        spec = dgmspec.parse(text.replace("param T = 50", f"param T = {steps}"))
        with torch.no_grad():
            found = dgmspec.compile(spec, dtype=torch.float64).log_prob(points, seed=0)
        exact[steps] = -float(found.mean()), float(found.std()) / len(points) ** 0.5
    ours = run.report["test"]["nll_nats"]
    print(f"\nimproved_ddpm: {ours:.3f} nats; exact mean: {exact[50][0]:.3f}, of 800 steps {exact[800][0]:.3f}")
    assert abs(exact[800][0] - math.log(32)) < 4 * exact[800][1] + 0.02
    assert ours < exact[50][0] + 0.15


def _known_mean(net: Denoiser, x: torch.Tensor, t: torch.Tensor, here: Any = None) -> Predicted[Any]:
    """E[x_0 | x_t] of a uniform law on the dark squares of a board: sums over squares of truncated normal laws."""
    here = net.at(t, x.dtype) if here is None else here
    y, width = x / here.alpha, (here.sigma / here.alpha).expand_as(x)
    edges = torch.linspace(-4, 4, 5, dtype=x.dtype)
    low, high = ((ends - y.unsqueeze(2)) / width.unsqueeze(2) for ends in (edges[:-1], edges[1:]))
    mass = (torch.special.ndtr(high) - torch.special.ndtr(low)).clamp(min=1e-300)
    bell = (-(low**2) / 2).exp() - (-(high**2) / 2).exp()
    first = y.unsqueeze(2) * mass + width.unsqueeze(2) * bell / math.sqrt(2 * math.pi)
    dark = (torch.arange(4).unsqueeze(1) + torch.arange(4)) % 2 == 0
    each = [torch.einsum("ni,nj,ij->n", a[:, 0], b[:, 1], dark.to(x)) for a, b in ((first, mass), (mass, first))]
    clean = torch.stack(each, 1) / torch.einsum("ni,nj,ij->n", mass[:, 0], mass[:, 1], dark.to(x)).unsqueeze(1)
    return Predicted(here, (x - here.mean - here.alpha * clean) / here.sigma, clean)


def test_a_law_that_is_not_affine_is_undone_down_to_eight_heaps(tmp_path: Path) -> None:
    """Of 10,000 samples of `wells.dgm`, whose score is learned at simulated states, nearly as many as of the data lie
    within three deviations of a heap, each heap has its share, and a classifier hardly tells them from data."""
    run = dgmspec.train(dgmspec.load(SPECS / "wells.dgm"), out=tmp_path / "run")
    samples = run.model.sample(ROWS, seed=0, method=lang.reverse_sde(steps=200)).numpy()
    angles = np.arange(8) * np.pi / 4
    far = ((samples[:, None] - 8**0.5 * np.stack([np.cos(angles), np.sin(angles)], 1)) ** 2).sum(2) ** 0.5
    inside, shares = (far.min(1) < 3 * 8**-0.5).mean(), np.bincount(far.argmin(1), minlength=8) / len(far)
    found = told(samples, TOYS["eight_gaussians"](ROWS, seed=1))
    gap, seconds = run.report["test"]["gap_to_entropy_nats"], run.report["seconds"]
    print(
        f"\n{inside:.1%} in a heap (of data 98.9 %), {shares.min():.3f} to {shares.max():.3f} in each; told {found:.3f}"
    )
    print(f"gap to the entropy {gap:.3f} nats, {seconds:.0f} s")
    assert inside > 0.93 and shares.min() > 0.1 and found < 0.6


# ---- toys -----------------------------------------------------------------------------------------------------------

ROWS = 10_000

TWICE: dict[str, dict[str, float]] = {
    "two_moons": {"noise": 0.1},
    "eight_gaussians": {"noise": 2**0.5 * 0.5},
    "circles": {"noise": 0.48},
    "rings": {"noise": 0.16},
    "pinwheel": {"radial_std": 0.6, "tangential_std": 0.2},
    "two_spirals": {"noise": 0.2},
    "swiss_roll": {"noise": 0.4},
    "checkerboard": {},
}
"""Constants for twice the noise of a set. A checkerboard has none, and N(0, 0.4²) is added to its cells of side 2:
with N(0, 0.2²), which takes a share of 0.15 out of them, the best classifier is right with (1 + 0.15) / 2 = 0.58."""


@pytest.fixture(scope="module")
def table() -> Iterator[list[str]]:
    """Lines that are printed together at the end."""
    lines: list[str] = []
    yield lines
    print("\n| set | samples | twice the noise | seconds of training, of sampling |\n| --- | ---: | ---: | ---: |")
    print("\n".join(lines))


@pytest.mark.parametrize("toy", TWICE)
def test_vp_sde_on_the_toys_cannot_be_told_from_data(toy: str, tmp_path: Path, table: list[str]) -> None:
    """10,000 samples against 10,000 points of the data, five folds: below 0.56, where points of twice the noise are
    told with more than 0.6."""
    spec = override(dgmspec.load(SPECS / "vp_sde.dgm"), {"train.data": f"{toy}(n = 100_000)"})
    assert isinstance(spec, dgmspec.Spec)
    run = dgmspec.train(spec, out=tmp_path / "run")
    begun = time.monotonic()
    samples = run.model.sample(ROWS, seed=0, method=lang.reverse_sde(steps=500)).numpy()
    took = time.monotonic() - begun
    ours, control = told(samples, TOYS[toy](ROWS, seed=1)), told(_noisier(toy), TOYS[toy](ROWS, seed=1))
    table.append(f"| {toy} | {ours:.3f} | {control:.3f} | {run.report['seconds']:.0f}, {took:.0f} |")
    assert ours < 0.56 and control > 0.6


def _noisier(toy: str) -> Array:
    points = TOYS[toy](ROWS, seed=2, **TWICE[toy])
    if TWICE[toy]:
        return points
    return points + 0.4 * np.random.default_rng(0).standard_normal(points.shape)
