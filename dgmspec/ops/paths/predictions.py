"""What a net may predict along a Gaussian path, and where a path leaves nothing to predict it from."""

from __future__ import annotations

import math
from typing import Literal

from dgmspec.algebra.paths.gaussian import GaussianPath
from dgmspec.core.diagnostics import Refusal

__all__ = ["PREDICTIONS", "Prediction", "check_prediction"]

Prediction = Literal["noise", "clean", "score", "velocity", "v"]
PREDICTIONS: tuple[Prediction, ...] = ("noise", "clean", "score", "velocity", "v")

_PURE: float = -2 * math.log(1e6)
"""log-SNR below which nothing of the data is left: α/σ < 1e-6."""

_TRIED = 64


def check_prediction(learn: Prediction, path: GaussianPath, time: str, scaled: bool) -> None:
    """Refuse a prediction that the path, over the time of this name, does not have; `scaled` is a preconditioned net.

    All of them are at the argument `learn`.
    """
    if learn in ("noise", "score") and path.log_snr(path.high) < _PURE:
        raise Refusal(
            "DGM649",
            f"nothing of the data is left at {time} = {path.high:g}, and `{learn}` says nothing about them there",
            "learn",
            notes=("what is known of x_0 is (x_t - σ ε) / α, and α is 0",),
            help=(f"learn `clean` or `{'v' if path.discrete else 'velocity'}`, or end with a little signal left",),
        )
    if learn == "velocity" and path.discrete:
        raise Refusal(
            "DGM650",
            "a path with certain times only has no velocity",
            "learn",
            help=("learn `noise`, `clean` or `score`",),
        )
    if learn == "v":
        _check_unit_circle(path, time)
    if learn != "clean" and scaled:
        raise Refusal(
            "DGM650",
            f"a preconditioned net gives the clean data, not `{learn}`",
            "learn",
            help=("write `learn clean(…)`; noise, score and velocity follow from it",),
        )


def _check_unit_circle(path: GaussianPath, time: str) -> None:
    """`v` is a rotation of (x_0, ε), so α² + σ² has to be 1."""
    times = path.levels or [path.low + (path.high - path.low) * i / _TRIED for i in range(1, _TRIED + 1)]
    for curve in path.curves:
        for t in times:
            radius = curve.alpha(t) ** 2 + curve.sigma(t) ** 2
            if abs(radius - 1) > 1e-6:
                raise Refusal(
                    "DGM650",
                    f"`v` = α ε - σ x_0 needs α² + σ² = 1, and at {time} = {t:.4g} it is {radius:.6g}",
                    "learn",
                    help=("learn `velocity`, which every path in continuous time has, or `noise`",),
                )
