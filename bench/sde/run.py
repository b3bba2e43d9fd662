"""500 Euler-Maruyama steps of a reverse-time sde with the same net, here, in torchsde and in a plain loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec

import torch
from torch import Tensor, nn

import dgmspec
from bench.agreement import in_float64
from bench.measure import Ratio, Times, interleaved, paired
from dgmspec import lang
from dgmspec.modules.compiled import CompiledModel

__all__ = ["LIBRARIES", "LOOP", "NETWORK", "OTHER", "OURS", "WORKLOADS", "Row", "Workload", "run"]

LIBRARIES = ("torchsde",)
OURS, NETWORK, LOOP, OTHER = "dgmspec", "net alone", "plain loop", "torchsde"
TOLERANCE = 1e-9
"""Largest difference of drifts in float64, relative to their size."""

TEXT = """dgm 1
fn β(t) = 0.1 + 19.9 * t
model VP {{
    observe x : real[{size}]
    latent z : real[{size}] ~ normal(0, 1)
    sde x -> z over t in 0..1 {{
        drift(x, t) = -β(t) / 2 * x
        diffusion(t) = sqrt(β(t))
        learn noise(x, t) = mlp({hidden}, {hidden})
    }}
    loss = dsm
}}
"""


@dataclass(frozen=True)
class Workload:
    """A variance-preserving sde over `size` coordinates whose noise is predicted by a net with two hidden layers."""

    name: str
    size: int
    hidden: int
    steps: int = 500
    batch: int = 1000

    @property
    def title(self) -> str:
        """The row's name."""
        return f"VP, D = {self.size}, 2 × {self.hidden}"

    def model(self, dtype: torch.dtype = torch.float32) -> CompiledModel:
        """Ours, after 200 steps on normal data: of a net that knows nothing, paths would leave for infinity."""
        found = dgmspec.compile(dgmspec.parse(TEXT.format(size=self.size, hidden=self.hidden)), seed=0)
        optimizer, generator = torch.optim.Adam(found.parameters(), lr=2e-3), torch.Generator().manual_seed(0)
        for step in range(200):
            optimizer.zero_grad()
            found.loss(torch.randn(256, self.size, generator=generator), seed=0, step=step).total.backward()
            optimizer.step()
        return found.to(dtype=dtype)


WORKLOADS = {w.name: w for w in (Workload("sde-2", 2, 256), Workload("sde-64", 64, 256))}


@dataclass(frozen=True)
class Row:
    """The times of a workload; `missing` says by library why it has none."""

    workload: Workload
    times: Mapping[str, Times]
    missing: Mapping[str, str]

    def ratio(self, above: str, below: str) -> Ratio:
        """How many times longer one case takes than another."""
        return paired(self.times[above], self.times[below])


class Reverse(nn.Module):
    """The reverse-time process as one writes it by hand, in the time s = 1 - t that rises."""

    noise_type, sde_type = "diagonal", "ito"

    def __init__(self, model: CompiledModel, size: int, hidden: int) -> None:
        super().__init__()
        layers = [nn.Linear(size + 1, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, size)]
        self.net = nn.Sequential(*layers)
        own = dict(model.named_parameters())
        weights = [own[key] for key in own if key.endswith("/weight")]
        biases = [own[key] for key in own if key.endswith("/bias")]
        with torch.no_grad():
            for layer, weight, bias in zip(self.net[::2], weights, biases, strict=True):
                layer.weight.copy_(weight)
                layer.bias.copy_(bias)

    def predict(self, t: Tensor, x: Tensor) -> Tensor:
        """The noise."""
        found: Tensor = self.net(torch.cat((x, t.to(x).expand(len(x), 1)), 1))
        return found

    def f(self, s: Tensor, x: Tensor) -> Tensor:
        """The drift in s."""
        t = 1 - s
        beta, grown = 0.1 + 19.9 * t, 0.1 * t + 9.95 * t**2
        sigma = (-torch.expm1(-grown)).sqrt()
        return 0.5 * beta * x - beta / sigma * self.predict(t, x)

    def g(self, s: Tensor, x: Tensor) -> Tensor:
        """The diffusion in s."""
        return (0.1 + 19.9 * (1 - s)).sqrt().expand(x.shape)


def run(workload: Workload, rounds: int, say: Callable[[str], None]) -> Row:
    """The row of a workload, after the drifts have been compared."""
    _agree(workload)
    model = workload.model()
    reverse = Reverse(model, workload.size, workload.hidden)
    method = lang.reverse_sde(steps=workload.steps)
    steps, batch, size, early = workload.steps, workload.batch, workload.size, 1e-5

    @torch.no_grad()
    def network() -> object:
        x, t = torch.zeros(batch, size), torch.tensor(0.5)
        for _ in range(steps):
            reverse.predict(t, x)
        return x

    @torch.no_grad()
    def loop() -> object:
        x, grid = torch.randn(batch, size), torch.linspace(0, 1 - early, steps + 1)
        for s, h in zip(grid, grid.diff(), strict=False):
            x = x + h * reverse.f(s, x) + h.sqrt() * reverse.g(s, x) * torch.randn(batch, size)
        return x

    cases = {OURS: lambda: model.sample(batch, seed=0, method=method), NETWORK: network, LOOP: loop}
    missing: dict[str, str] = {}
    if find_spec("torchsde") is None:
        missing[OTHER] = "is not installed"
    else:
        import torchsde

        @torch.no_grad()
        def other() -> object:
            grid = torch.tensor([0.0, 1 - early])
            return torchsde.sdeint(reverse, torch.randn(batch, size), grid, dt=(1 - early) / steps, method="euler")

        cases[OTHER] = other
    row = Row(workload, interleaved(cases, rounds), missing)
    say(f"{workload.name}, ms: " + ", ".join(f"{name} {1e3 * found.median:.0f}" for name, found in row.times.items()))
    return row


def _agree(workload: Workload) -> None:
    """Our derived reverse drift is the one written by hand."""
    model = workload.model(torch.float64)
    with in_float64(), torch.no_grad():
        reverse = Reverse(model, workload.size, workload.hidden)
        x = torch.randn(64, workload.size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        for t in (0.1, 0.5, 0.9):
            mine = -model.path.reverse_drift(x, t)
            theirs = reverse.f(torch.tensor(1 - t, dtype=torch.float64), x)
            off = float(((mine - theirs).abs() / mine.abs().clamp_min(1)).max())
            assert off < TOLERANCE, f"{workload.name}: drifts differ by {off:.1e}"
