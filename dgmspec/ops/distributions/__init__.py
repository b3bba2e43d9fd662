"""Distributions of an event, under torch.distributions' parameter names."""

from dgmspec.ops.distributions.autoregressive import Autoregressive
from dgmspec.ops.distributions.bounded import Beta, Exponential, Gamma, Uniform
from dgmspec.ops.distributions.circle import VonMises
from dgmspec.ops.distributions.discrete import (
    Bernoulli,
    BetaBinomial,
    Categorical,
    DiscretizedLogistic,
    NegativeBinomial,
    Poisson,
)
from dgmspec.ops.distributions.empirical import Empirical
from dgmspec.ops.distributions.line import Cauchy, Laplace, Logistic, Normal, StudentT
from dgmspec.ops.distributions.mixture import Mixture
from dgmspec.ops.distributions.multivariate import MultivariateNormal
from dgmspec.ops.distributions.positive import HalfCauchy, HalfNormal, LogNormal
from dgmspec.ops.distributions.product import AbstractParametric, AbstractProduct
from dgmspec.ops.distributions.relaxed import GumbelSoftmax, Nearest
from dgmspec.ops.distributions.resampled import Resampled
from dgmspec.ops.distributions.vamp import Vamp

__all__ = [
    "AbstractParametric",
    "AbstractProduct",
    "Autoregressive",
    "Bernoulli",
    "Beta",
    "BetaBinomial",
    "Categorical",
    "Cauchy",
    "DiscretizedLogistic",
    "Empirical",
    "Exponential",
    "Gamma",
    "GumbelSoftmax",
    "HalfCauchy",
    "HalfNormal",
    "Laplace",
    "LogNormal",
    "Logistic",
    "Mixture",
    "MultivariateNormal",
    "Nearest",
    "NegativeBinomial",
    "Normal",
    "Poisson",
    "Resampled",
    "StudentT",
    "Uniform",
    "Vamp",
    "VonMises",
]
