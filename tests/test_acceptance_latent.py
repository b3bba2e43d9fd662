"""What latent-variable models are built for, measured: minutes each, so they are marked slow (`pytest -m slow`).

DGMSPEC_MNIST names the file of training images (IDX, compressed or not); the test images lie beside it.
"""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import dgmspec
from dgmspec import cli

pytestmark = pytest.mark.slow
MNIST = os.environ.get("DGMSPEC_MNIST")

SPECS = Path(__file__).parent.parent / "specs"


def answered(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """What a command of the command line answers as JSON."""
    assert cli.run([*arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)["result"]
    return found


@pytest.mark.skipif(MNIST is None, reason="DGMSPEC_MNIST names no file")
def test_a_vae_on_mnist_in_ten_minutes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.set_num_threads(1)  # the time on the processor is then that of a watch
    train_file = Path(str(MNIST))
    test_file = train_file.with_name(train_file.name.replace("train", "t10k"))
    run, began = str(tmp_path / "run"), time.process_time()
    trained = answered(capsys, "train", str(SPECS / "vae_mnist.dgm"), "--data", f"images={train_file}", "--out", run)
    seconds = time.process_time() - began
    samples = os.environ.get("DGMSPEC_MNIST_SAMPLES", "500")
    found = answered(capsys, "eval", run, "--data", f"images={test_file}", "--whole", "--samples", samples)
    with capsys.disabled():
        print(
            f"\nMNIST, {found['binarization']} binarisation, {trained['steps']:,} steps in {seconds:.0f} s of processor"
        )
        print(f"test bound {-found['nll_nats']:.2f} ± {found['nll_stderr']:.2f} nats on {found['rows']:,} images")
        print(f"importance-sampled (k = {samples}) {-found['importance']['nll_nats']:.2f}")
        print(
            "published, dynamic binarisation, one layer: -86.8 (VAE), -84.8 (IWAE, k = 50); Burda et al. 2016, table 1"
        )
    assert found["binarization"] == "dynamic" and found["rows"] == 10_000
    assert -found["nll_nats"] >= -96 and found["importance"]["nll_nats"] < found["nll_nats"]


def test_a_vae_on_digits_and_all_its_figures(tmp_path: Path) -> None:
    from PIL import Image

    run = dgmspec.train(dgmspec.load(SPECS / "vae.dgm"), out=tmp_path / "run")
    found = dgmspec.evaluate(run.path, samples=500)
    bound, sampled = -found["nll_nats"], -found["importance"]["nll_nats"]
    print(f"\nvae.dgm on digits: test bound {bound:.2f} ± {found['nll_stderr']:.2f} nats on {found['rows']} images")
    print(f"importance-sampled (k = 500) {sampled:.2f}; divergence {found['divergences_nats']['z']:.2f}")
    assert found["density"] == "lower bound" and not found["collapsed"]
    assert -26 < bound < sampled - 0.3 and sampled > -25
    for name in ("reconstructions", "samples", "codes"):
        shown = np.asarray(Image.open(run.path / f"{name}.png").convert("L"), np.float64)
        # Two panels; in each digits or points stand out from their ground.
        spread = [float(half.std()) for half in np.array_split(shown, 2, axis=1)]
        print(f"{name}.png {shown.shape[1]} x {shown.shape[0]}, spread of grey {spread[0]:.0f} and {spread[1]:.0f}")
        assert min(spread) > 20
    # What the pictures show: reconstructions are nearer to their rows than other rows are, and codes part the digits.
    rows = torch.tensor(_digits(), dtype=torch.float32)
    codes = run.model.encode(rows, seed=0, mean=True)
    back = run.model.decode(codes, seed=0, mean=True)
    own, other = ((back - r).square().sum(1).mean() for r in (rows, rows.roll(1, 0)))
    print(f"squared distance to its reconstruction {own:.1f}, to another's {other:.1f}")
    assert own < 0.75 * other and bool((codes.std(0) > 0.5).all())


def _digits() -> np.ndarray[Any, Any]:
    """The digits by a threshold."""
    from sklearn.datasets import load_digits

    return np.asarray(load_digits().data >= 8)


@pytest.mark.parametrize("spec", ["made", "pixel_cnn"])
def test_autoregressive_laws_on_digits_are_below_a_mixture_of_categoricals(spec: str, tmp_path: Path) -> None:
    report = dgmspec.train(dgmspec.load(SPECS / f"{spec}.dgm"), out=tmp_path / "run").report
    bits, mixture = report["test"]["bits_per_dim"], report["baselines"]["mixture"]
    print(f"\n{spec}.dgm on digits: {bits:.3f} bits/dim; a mixture of categoricals {mixture:.3f}")
    print("digits.dgm, the best flow here: 1.85 (`test_acceptance.py`)")
    assert bits < mixture - 0.1


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
    spec = dgmspec.load(SPECS / "npe.dgm")
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
