"""Sampling a masked autoregressive flow: ours against zuko and nflows, in one process, interleaved.

    pip install -c constraints.txt -e '.[bench]' && python -m bench.maf_sampling

D = 64, hidden 2 × 256, 5 layers, batch 512, affine maps, float32, one thread by default. Prints the median of each
library, and the ratio of the best peer to ours, pair by pair. Before timing, our samples are checked against our own
log_prob in float64 (the incremental inverse must invert the network it claims to).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

import dgmspec

SPEC = """dgm 1
model MAF {
    observe x : real[%(d)d]
    latent  z : real[%(d)d] ~ normal(0, 1)
    flow x -> z {
        repeat 5 {
            autoregressive(affine, net = made(256, 256, activation = relu))
            permute(reverse)
        }
    }
}
"""


def ours(size: int, batch: int) -> Callable[[], object]:
    """Our compiled model's `sample`, after a round trip in float64."""
    spec = dgmspec.parse(SPEC % {"d": size})
    double = dgmspec.compile(spec, dtype=torch.float64)
    with torch.no_grad():
        for parameter in double.parameters():
            parameter.copy_(torch.where(parameter == 0, parameter, parameter + 0.01 * torch.randn_like(parameter)))
        z = torch.randn(64, size, dtype=torch.float64)
        torch.testing.assert_close(double.encode(double.decode(z)), z, rtol=1e-8, atol=1e-8)
    model = dgmspec.compile(spec).eval()
    return lambda: model.sample(batch)


def zukos(size: int, batch: int) -> Callable[[], object]:
    """zuko's MAF of the same shape."""
    import zuko

    flow = zuko.flows.MAF(size, transforms=5, hidden_features=(256, 256)).eval()
    return lambda: flow().sample((batch,))


def nflowss(size: int, batch: int) -> Callable[[], object]:
    """nflows' MAF of the same shape."""
    from nflows.distributions.normal import StandardNormal
    from nflows.flows import Flow
    from nflows.transforms import CompositeTransform, MaskedAffineAutoregressiveTransform, ReversePermutation

    steps = [
        step
        for _ in range(5)
        for step in (
            MaskedAffineAutoregressiveTransform(size, 256, num_blocks=1, use_residual_blocks=False),
            ReversePermutation(size),
        )
    ]
    flow = Flow(CompositeTransform(steps), StandardNormal([size])).eval()
    return lambda: flow.sample(batch)


def main() -> None:
    """Time the three and print a table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--size", type=int, default=64)
    options.add_argument("--batch", type=int, default=512)
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--threads", type=int, default=1)
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    cases = {"dgmspec": ours, "zuko": zukos, "nflows": nflowss}
    calls = {name: make(chosen.size, chosen.batch) for name, make in cases.items()}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    with torch.no_grad():
        for round_ in range(chosen.rounds + 1):
            for name, call in calls.items():
                start = time.process_time()
                call()
                if round_:
                    seconds[name].append(time.process_time() - start)
    print(f"MAF sample, D={chosen.size}, batch {chosen.batch}, 5 x 2x256, {chosen.threads} thread(s)")
    for name, times in seconds.items():
        print(f"  {name:8s} {1e3 * statistics.median(times):9.2f} ms")
    best = [min(a, b) for a, b in zip(seconds["zuko"], seconds["nflows"], strict=True)]
    ratios = sorted(peer / mine for peer, mine in zip(best, seconds["dgmspec"], strict=True))
    print(f"  best peer / dgmspec: median {statistics.median(ratios):.1f}, range {ratios[0]:.1f} to {ratios[-1]:.1f}")


if __name__ == "__main__":
    main()
