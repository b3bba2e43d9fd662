"""What latent-variable models are built for, measured: minutes each, so they are marked slow (`pytest -m slow`).

DGMSPEC_MNIST names the file of training images (IDX, compressed or not); the test images lie beside it.
"""

from __future__ import annotations

import gzip
import math
import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import dgmspec
from dgmspec.modules.compiled import CompiledModel

pytestmark = pytest.mark.slow
MNIST = os.environ.get("DGMSPEC_MNIST")

VAE = """dgm 1
model VAE {
    observe x : binary[784]
    latent z : real[32] ~ normal(0, 1)
    generate x | z ~ bernoulli(mlp(400, 400, activation = relu))
    infer z | x ~ normal(mlp(400, 400, activation = relu))
    loss = elbo
}
"""


def images(path: Path) -> Tensor:
    """Grey levels as shares of white, (rows, 784)."""
    raw = path.read_bytes()
    data = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    return torch.from_numpy(np.frombuffer(data, np.uint8, offset=16).reshape(-1, 784).copy()).float() / 255


def train_on_fresh_bits(model: CompiledModel, levels: Tensor, seconds: float, batch: int = 200) -> int:
    """Adam on images that are binarised anew at every step, for a time on the processor; the number of steps."""
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    model.train()
    began, step = time.process_time(), 0
    while (spent := (time.process_time() - began) / seconds) < 1:
        # The rate falls over the last third of the time.
        optimizer.param_groups[0]["lr"] = 1e-3 * min(1.0, 3 * (1 - spent) + 0.02)
        rows = levels[torch.randint(len(levels), (batch,), generator=generator)]
        x = (torch.rand(rows.shape, generator=generator) < rows).float()
        optimizer.zero_grad()
        model.loss({"x": x}, seed=0, step=step).total.backward()
        optimizer.step()
        step += 1
    model.eval()
    return step


@pytest.mark.skipif(MNIST is None, reason="DGMSPEC_MNIST names no file")
def test_a_vae_on_mnist_in_ten_minutes() -> None:
    torch.set_num_threads(1)  # the time on the processor is then that of a watch
    train_file = Path(str(MNIST))
    test_file = train_file.with_name(train_file.name.replace("train", "t10k"))
    model = dgmspec.compile(dgmspec.parse(VAE), seed=0)
    seconds = float(os.environ.get("DGMSPEC_MNIST_SECONDS", "600"))
    steps = train_on_fresh_bits(model, images(train_file), seconds)
    levels = images(test_file)
    x = (torch.rand(levels.shape, generator=torch.Generator().manual_seed(1)) < levels).float()
    with torch.no_grad():
        bound = torch.cat([model.log_prob(part, seed=0) for part in x.split(2000)]).mean().item()
        some = x[:500]
        likelihood = model.log_prob(some, samples=500, seed=0).mean().item()
        own = model.log_prob(some, seed=0).mean().item()
    print(f"\nMNIST, binarised anew at each step (dynamic), {steps:,} steps in {seconds:.0f} s of processor time:")
    print(f"test bound {bound:.2f} nats on 10,000 images")
    print(f"on 500 of them bound {own:.2f}, importance-sampled (k = 500) {likelihood:.2f}")
    print("published, dynamic binarisation, one layer: -86.8 (VAE), -84.8 (IWAE, k = 50); Burda et al. 2016, table 1")
    assert bound >= -96 and likelihood > own


# ---- posterior estimation on a simulator with a known posterior -----------------------------------------------------


def two_moons(theta: Tensor, generator: torch.Generator) -> Tensor:
    """The two-moons simulator: x = (r cos a + 1/4, r sin a) + (-|θ₁ + θ₂|, θ₂ - θ₁) / √2, a uniform on (-π/2, π/2), r
    normal(0.1, 0.01). Greenberg, Nonnenmacher and Macke 2019, appendix."""
    angle = math.pi * (torch.rand(len(theta), generator=generator) - 0.5)
    radius = 0.1 + 0.01 * torch.randn(len(theta), generator=generator)
    crescent = torch.stack([radius * angle.cos() + 0.25, radius * angle.sin()], 1)
    shift = torch.stack([-(theta[:, 0] + theta[:, 1]).abs(), theta[:, 1] - theta[:, 0]], 1)
    return crescent + shift / math.sqrt(2)


def true_posterior(x: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draws of p(θ | x) for the uniform prior on (-1, 1)²: the crescent's noise drawn, then both roots of the shift."""
    found: list[Tensor] = []
    while sum(map(len, found)) < count:
        angle = math.pi * (torch.rand(2 * count, generator=generator) - 0.5)
        radius = 0.1 + 0.01 * torch.randn(2 * count, generator=generator)
        shift = math.sqrt(2) * (x - torch.stack([radius * angle.cos() + 0.25, radius * angle.sin()], 1))
        total = -shift[:, 0]  # |θ₁ + θ₂|, which no θ gives where it is negative
        sign = torch.randint(0, 2, total.shape, generator=generator) * 2 - 1
        theta = torch.stack([(sign * total - shift[:, 1]) / 2, (sign * total + shift[:, 1]) / 2], 1)
        found.append(theta[(total >= 0) & (theta.abs() <= 1).all(1)])
    return torch.cat(found)[:count]


def two_sample_accuracy(first: Tensor, second: Tensor) -> float:
    """Cross-validated accuracy of a classifier between two samples: ½ where they are alike."""
    from sklearn.model_selection import cross_val_score
    from sklearn.neural_network import MLPClassifier

    both = torch.cat([first, second]).numpy()
    both = (both - both.mean(0)) / both.std(0)
    labels = np.repeat([0, 1], [len(first), len(second)])
    classifier = MLPClassifier((20, 20), max_iter=1000, early_stopping=True, random_state=0)
    return float(cross_val_score(classifier, both, labels, cv=5).mean())


def test_posterior_estimation_on_two_moons(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    theta = 2 * torch.rand(10_000, 2, generator=generator) - 1
    spec = dgmspec.load(Path(__file__).parent.parent / "specs" / "npe.dgm")
    x = two_moons(theta, generator)
    run = dgmspec.train(spec, data={"theta": theta.numpy(), "x": x.numpy()}, out=tmp_path / "run")
    truths = 2 * torch.rand(10, 2, generator=generator) - 1
    count = int(os.environ.get("DGMSPEC_TWO_MOONS", "10000"))
    found = []
    for seen in two_moons(truths, generator):
        drawn = run.model.sample(count, given={"x": seen[None]}, seed=1).reshape(-1, 2)
        found.append(two_sample_accuracy(drawn, true_posterior(seen, count, generator)))
    print("\ntwo moons, 10,000 pairs, accuracies:", *(f"{value:.3f}" for value in found), f"mean {np.mean(found):.3f}")
    assert np.mean(found) < 0.62
