"""Mixtures of logistic distribution functions in log-space, over planes of raw parameters.

With ``A = Σ w σ(z)``, ``B = Σ w σ(-z)`` and ``C = Σ w a σ(z) σ(-z)``, each carried as its logarithm, the mixture is A,
its logit ``log A - log B`` and their slopes C and C / (A B): A + B = 1 is never subtracted from 1.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from dgmspec.core.types import REAL, Support
from dgmspec.modules.scalar.fixed import sigmoid_inverse
from dgmspec.modules.solve import solve
from dgmspec.modules.twin import ScalarTwin
from dgmspec.ops.scalar.fixed import Sigmoid
from dgmspec.ops.scalar.mixture import MAX_LOG_SLOPE, AbstractMixtureMap, LogisticMixtureCdf, SigmoidMixture

Result = tuple[Tensor, Tensor]
_SIGMOID = Sigmoid()


class _Components(NamedTuple):
    """Log-weights, slopes with their logarithms plus the log-weights, and shifts, (k, …) each."""

    log_weight: Tensor
    slope: Tensor
    log_mass: Tensor
    shift: Tensor


def _components(op: AbstractMixtureMap, raw: Tensor) -> _Components:
    log_slope = MAX_LOG_SLOPE * torch.tanh(raw[op.k : 2 * op.k] / MAX_LOG_SLOPE)
    spread = torch.linspace(-1, 1, op.k, dtype=raw.dtype, device=raw.device) if op.k > 1 else raw.new_zeros(1)
    log_weight = raw[: op.k].log_softmax(0)
    shift = raw[2 * op.k :] + spread.reshape(op.k, *[1] * (raw.dim() - 1))
    return _Components(log_weight, log_slope.exp(), log_weight + log_slope, shift)


def _logs(of: _Components, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log A, log B and log C at x."""
    z = of.slope * x + of.shift
    up, down = logsigmoid(z), logsigmoid(-z)
    log_a, log_b = torch.logsumexp(of.log_weight + up, 0), torch.logsumexp(of.log_weight + down, 0)
    return log_a, log_b, torch.logsumexp(of.log_mass + up + down, 0)


def _logit(of: _Components, x: Tensor) -> Result:
    log_a, log_b, log_c = _logs(of, x)
    return log_a - log_b, log_c - log_a - log_b


def sigmoid_mixture_forward(op: SigmoidMixture, raw: Tensor, x: Tensor, support: Support) -> Result:
    return _logit(_components(op, raw), x)


def sigmoid_mixture_inverse(op: SigmoidMixture, raw: Tensor, y: Tensor, support: Support) -> Result:
    return _solved(op, raw, y)


def _solved(op: AbstractMixtureMap, raw: Tensor, y: Tensor) -> Result:
    """x with logit F(x) = y: it lies between the points where single components have the logit y."""
    of = _components(op, raw)
    with torch.no_grad():
        low, high = ((y - of.shift) / of.slope).aminmax(dim=0)
    return solve(lambda x: _logit(of, x), y, REAL, bracket=(low, high))


def logistic_mixture_cdf_forward(op: LogisticMixtureCdf, raw: Tensor, x: Tensor, support: Support) -> Result:
    log_a, _, log_c = _logs(_components(op, raw), x)
    return log_a.exp().clamp(max=1), log_c


def logistic_mixture_cdf_inverse(op: LogisticMixtureCdf, raw: Tensor, y: Tensor, support: Support) -> Result:
    logit, log_rise = sigmoid_inverse(_SIGMOID, raw, y, REAL)
    x, log_slope = _solved(op, raw, logit)
    return x, log_slope + log_rise


TWINS = {
    SigmoidMixture: ScalarTwin(sigmoid_mixture_forward, sigmoid_mixture_inverse, loop="bounded"),
    LogisticMixtureCdf: ScalarTwin(logistic_mixture_cdf_forward, logistic_mixture_cdf_inverse, loop="bounded"),
}
