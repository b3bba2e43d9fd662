"""What score matching reaches on a mixture of known score: `pytest -m slow -s tests/test_acceptance_scores.py`."""

from __future__ import annotations

import pytest
import torch

import dgmspec

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
