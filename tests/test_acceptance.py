"""What the shipped specs must reach, a few minutes each: `pytest -m slow -s tests/test_acceptance.py`."""

from __future__ import annotations

import os
import time
from pathlib import Path
from statistics import mean

import pytest

import dgmspec
from dgmspec.spec import override

MNIST = os.environ.get("DGMSPEC_MNIST")
"""The file train-images-idx3-ubyte.gz of MNIST, which is not part of this project."""

SPECS = Path(__file__).parent.parent / "specs"

pytestmark = pytest.mark.slow


def test_digits_beat_simple_densities_by_far(tmp_path: Path) -> None:
    spec = dgmspec.load(SPECS / "digits.dgm")
    reports = [dgmspec.train(spec, seed=seed, out=tmp_path / str(seed)).report for seed in range(3)]
    found = [report["test"]["bits_per_dim"] for report in reports]
    print("\ndigits, test bits/dim, seeds 0 to 2:", *(f"{bits:.4f}" for bits in found), f"mean {mean(found):.4f}")
    assert mean(found) <= 1.92
    for report, bits in zip(reports, found, strict=True):
        assert bits < min(report["baselines"].values()) - 0.2


@pytest.mark.parametrize("data", ["two_moons(n = 100_000)", "eight_gaussians(n = 100_000)"])
def test_splines_come_close_to_the_truth(data: str, tmp_path: Path) -> None:
    spec = override(dgmspec.load(SPECS / "nsf.dgm"), {"train.data": data})
    assert isinstance(spec, dgmspec.Spec)
    test = dgmspec.train(spec, out=tmp_path / "run").report["test"]
    print(f"\n{data}: gap to the truth {test['gap_to_entropy_nats']:.4f} ± {test['gap_stderr']:.4f} nats")
    assert -3 * test["gap_stderr"] < test["gap_to_entropy_nats"] < 0.05


@pytest.mark.skipif(MNIST is None, reason="DGMSPEC_MNIST names no file")
def test_glow_on_mnist_beats_independent_pixels_in_ten_minutes(tmp_path: Path) -> None:
    began = time.process_time()  # of all threads: what others do on the machine does not count
    run = dgmspec.train(dgmspec.load(SPECS / "glow.dgm"), paths={"mnist": MNIST}, out=tmp_path / "run")
    busy, report = time.process_time() - began, run.report
    bits, others = report["test"]["bits_per_dim"], report["baselines"]
    print(f"\nMNIST, uniform dequantisation, alpha = 0: {bits:.3f} bits/dim", end="")
    print(f" after {busy:.0f} core-seconds, {report['seconds']:.0f} s by the clock")
    print(f"histogram {others['histogram']:.3f}, full Gaussian {others['gaussian']:.3f}; see {run.path}/samples.png")
    assert bits < 1.69 and bits < others["histogram"]
    assert (run.path / "samples.png").exists()
    assert busy < 1200, "ten minutes of two cores"
