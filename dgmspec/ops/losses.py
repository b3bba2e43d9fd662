"""Losses: what training minimises, in nats, summed over event dimensions and averaged over the batch."""

from __future__ import annotations

from typing import ClassVar, Literal

from dgmspec.core.op import AbstractLoss


class Nll(AbstractLoss):
    """The negative log-likelihood ``-E_data[log p(x)]``: forward KL(data ‖ model) up to the data's entropy."""

    name: ClassVar[str] = "nll"
    examples: ClassVar[tuple[str, ...]] = ("nll",)
    walk: ClassVar[Literal["log_prob", "sample_and_log_prob"]] = "log_prob"
    sign: ClassVar[Literal[1, -1]] = -1


class ReverseKl(AbstractLoss):
    """KL(model ‖ target) up to the target's normaliser: ``E_q[log q(x) - e(x)]`` for ``observe x : T ~ exp(e(x))``.

    The model samples with reparametrised noise, so the gradient passes through the samples; no data are read.
    """

    name: ClassVar[str] = "reverse_kl"
    examples: ClassVar[tuple[str, ...]] = ("reverse_kl",)
    walk: ClassVar[Literal["log_prob", "sample_and_log_prob"]] = "sample_and_log_prob"
    sign: ClassVar[Literal[1, -1]] = 1
    against_target: ClassVar[bool] = True
