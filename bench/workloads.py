"""What is timed: architectures that every library of the comparison can build, in sizes people use.

An architecture is a spec of ours; the adapters of the other libraries build the same map from the same numbers. Where
a library has its own form of a step (zuko's spline), it keeps that form.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

__all__ = ["WORKLOADS", "Workload"]

Kind = Literal["coupling", "autoregressive", "glow", "residual"]
Scalar = Literal["affine", "rqs", "mixture"]


LAYER_NORM = 0.97
"""Largest spectral norm of each of the three layers of a residual net."""


@dataclass(frozen=True)
class Workload:
    """`layers` layers over `size` coordinates, each with a net of two hidden layers of `hidden` rectified units.

    ``coupling``: couplings whose untouched coordinates alternate. ``autoregressive``: masked nets, the coordinates
    reversed after each. ``glow``: actnorm, a matrix by its triangular factors, and a coupling. ``residual``: the
    identity and a net of silu units, each of its layers held to the spectral norm 0.97.

    The scalar ``mixture`` is a neural autoregressive map: ours of `bins` sigmoids, zuko's a monotonic net.
    """

    name: str
    title: str
    kind: Kind
    scalar: Scalar
    size: int
    hidden: int
    layers: int
    batch: int = 512
    bins: int = 8
    bound: float = 3.0

    @property
    def raw(self) -> int:
        """How many numbers a net gives per coordinate."""
        return {"affine": 2, "rqs": 3 * self.bins - 1, "mixture": 3 * self.bins}[self.scalar]

    @property
    def comparable(self) -> bool:
        """Whether the libraries build one map of as many numbers; of neural maps each has a family of its own."""
        return self.scalar != "mixture"

    @property
    def unrolls(self) -> int:
        """How many steps of a sample depend on one another, layer by layer, coordinate by coordinate."""
        solved = 64 if self.scalar == "mixture" else 24 if self.kind == "residual" else 1
        return self.layers * solved * (self.size if self.kind == "autoregressive" else 1)

    @property
    def folds(self) -> bool:
        """Whether a frozen model is another program: runs of matrices folded, or weights large enough to be packed."""
        return self.kind == "glow" or self.hidden >= 256

    @property
    def draws_terms(self) -> bool:
        """Whether log-determinants are series whose number of terms is drawn, so that no one graph holds them."""
        return self.kind == "residual" and self.size > 2

    @property
    def mask(self) -> str:
        """Which coordinates a coupling leaves untouched: after a full matrix it may as well be the first half."""
        return "half" if self.kind == "glow" else "alternate(k)"

    @property
    def text(self) -> str:
        """The spec."""
        scalar = {
            "affine": "affine(clamp = inf)",
            "rqs": f"rqs({self.bins}, bound = {self.bound})",
            "mixture": f"sigmoid_mixture({self.bins})",
        }[self.scalar]
        widths = f"{self.hidden}, {self.hidden}, activation = relu"
        coupling = f"coupling({scalar}, mask = {self.mask}, net = mlp({widths}))"
        log_det = f"log_det = {'series, terms = 2' if self.draws_terms else 'exact'}"  # as normflows computes it
        steps = {
            "coupling": coupling,
            "autoregressive": f"autoregressive({scalar}, net = made({widths})); permute(reverse)",
            "glow": f"actnorm; linear(plu(seed = 1)); {coupling}",
            "residual": f"residual(mlp({self.hidden}, {self.hidden}), lipschitz = {LAYER_NORM**3}, {log_det})",
        }
        event = f"real[{self.size}]"
        return (
            f"dgm 1\nmodel M {{ observe x : {event}; latent z : {event} ~ normal(0, 1); loss = nll\n"
            f"flow x -> z {{ repeat {self.layers} as k {{ {steps[self.kind]} }} }} }}\n"
        )

    def small(self) -> Workload:
        """The same map with few hidden units, to be embedded in nets of full width: see `adapters.base.embed`."""
        return replace(self, hidden=2 * (self.size - 1)) if self.kind == "autoregressive" else self


WORKLOADS: dict[str, Workload] = {
    w.name: w
    for w in (
        Workload("realnvp-2", "RealNVP, D = 2", "coupling", "affine", 2, 64, 8),
        Workload("realnvp-64", "RealNVP, D = 64", "coupling", "affine", 64, 256, 8),
        Workload("maf-8", "MAF, D = 8", "autoregressive", "affine", 8, 64, 5),
        Workload("maf-64", "MAF, D = 64", "autoregressive", "affine", 64, 256, 5),
        Workload("nsf-8", "NSF coupling, D = 8", "coupling", "rqs", 8, 64, 8),
        Workload("nsf-64", "NSF coupling, D = 64", "coupling", "rqs", 64, 128, 8),
        Workload("nsf-ar-8", "NSF autoregressive, D = 8", "autoregressive", "rqs", 8, 64, 5),
        Workload("naf-8", "NAF, D = 8", "autoregressive", "mixture", 8, 64, 3),
        Workload("residual-2", "Residual blocks, D = 2", "residual", "affine", 2, 64, 4),
        Workload("residual-16", "Residual blocks, D = 16", "residual", "affine", 16, 64, 4),
        Workload("glow-64", "LU + affine coupling, D = 64", "glow", "affine", 64, 256, 8),
    )
}
