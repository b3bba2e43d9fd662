"""What scores and energies without an arrow reach: `pytest -m slow -s tests/test_acceptance_scores.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import dgmspec
from dgmspec import lang
from dgmspec.runtime.toys import TOYS
from tests.telling import told

SPECS = Path(__file__).parent.parent / "specs"

TEXT = """dgm 1
model M {{
    fn bell(a, b) = exp(-(a^2 + b^2) / 0.98)
    energy E(x) = -log(0.4 * bell(x[0] + 1.5, x[1]) + 0.6 * bell(x[0] - 1.5, x[1] - 1))
    observe x : real[2] ~ exp(-E(x))
    learn score(x) = mlp(64, 64)
    loss = {loss}
}}
"""


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["ism", "ssm", "dsm(sigma = 0.2)", "fisher"])
def test_losses_agree_on_what_they_minimise(loss: str) -> None:
    """Each learned score has a Fisher divergence below 5 % of the zero score's."""
    generator = torch.Generator().manual_seed(0)
    rows = 40_000
    first = torch.rand(rows, 1, generator=generator) < 0.4
    centres = torch.where(first, torch.tensor([[-1.5, 0.0]]), torch.tensor([[1.5, 1.0]]))
    x = centres + 0.7 * torch.randn(rows, 2, generator=generator)
    train, test = x[:30_000], x[30_000:]
    model = dgmspec.compile(dgmspec.parse(TEXT.format(loss=loss)), seed=0).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1500)
    for step in range(1500):
        batch = train[torch.randint(len(train), (512,), generator=generator)]
        optimizer.zero_grad()
        model.loss(batch, seed=0, step=step).total.backward()
        optimizer.step()
        schedule.step()
    model.eval()
    with torch.no_grad():
        known = model.known_score(test)
        share = float((model.score(test) - known).square().sum() / known.square().sum())
    print(f"{loss}: {share:.2%} of the zero score's Fisher divergence")
    assert share < 0.05


@pytest.mark.slow
def test_an_energy_is_nearer_to_the_moons_than_their_moments(tmp_path: Path) -> None:
    """10,000 draws of `ebm.dgm` by its own sampler are told from data much less often than normal ones of their mean
    and covariance, and less often than points of twice the noise, with 0.64."""
    run = dgmspec.train(dgmspec.load(SPECS / "ebm.dgm"), out=tmp_path / "run")
    samples = run.model.sample(10_000, seed=0, method=lang.hmc(steps=100, step_size=0.1)).numpy()
    data = TOYS["two_moons"](10_000, seed=1)
    normal = np.random.default_rng(0).multivariate_normal(data.mean(0), np.cov(data.T), len(data))
    ours, control = told(samples, data), told(normal, data)
    print(f"\ntold from data: {ours:.3f}; normal draws of the same moments: {control:.3f}")
    assert ours < 0.63 < 0.8 < control
