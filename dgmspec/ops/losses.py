"""Losses: what training minimises, in nats, summed over event dimensions and averaged over the batch."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from dgmspec.algebra.nodes import AbstractExpr
from dgmspec.core.losses import AbstractBound, AbstractCommitment, AbstractDensityLoss, AbstractPosteriorLoss


class Nll(AbstractDensityLoss):
    """The negative log-likelihood ``-E_data[log p(x)]``: forward KL(data ‖ model) up to the data's entropy."""

    name: ClassVar[str] = "nll"
    examples: ClassVar[tuple[str, ...]] = ("nll",)
    walk: ClassVar[Literal["log_prob", "sample_and_log_prob"]] = "log_prob"
    sign: ClassVar[Literal[1, -1]] = -1


class ReverseKl(AbstractDensityLoss):
    """KL(model ‖ target) up to the target's normaliser: ``E_q[log q(x) - e(x)]`` for ``observe x : T ~ exp(e(x))``.

    The model samples with reparametrised noise, so the gradient passes through the samples; no data are read.
    """

    name: ClassVar[str] = "reverse_kl"
    examples: ClassVar[tuple[str, ...]] = ("reverse_kl",)
    walk: ClassVar[Literal["log_prob", "sample_and_log_prob"]] = "sample_and_log_prob"
    sign: ClassVar[Literal[1, -1]] = 1
    against_target: ClassVar[bool] = True
    reads_data: ClassVar[bool] = False


class ForwardKl(AbstractPosteriorLoss):
    """``-E_data[log q(θ | x)]`` of the `infer` of an observed θ: the mean over x of KL(p(θ | x) ‖ q(θ | x)), up to the
    entropy of p(θ | x).

    Both are data, as the pairs of a simulator are. Beside `nll(x)`, which learns p(x | θ), one model has its likelihood
    and an amortised posterior; each term trains its own part alone. The posterior that the term is least for is that of
    the prior which the data were drawn from, whatever prior the model declares.
    Reference: Papamakarios and Murray 2016, "Fast ε-free inference of simulation models with Bayesian conditional
    density estimation"; Hinton, Dayan, Frey and Neal 1995, "The wake-sleep algorithm" (its sleep phase).
    """

    name: ClassVar[str] = "forward_kl"
    examples: ClassVar[tuple[str, ...]] = ("forward_kl", "forward_kl(theta)")


Draws = Annotated[int, Field(ge=1, le=100_000)]


class Elbo(AbstractBound):
    """Minus the evidence lower bound: ``-E_q[log p(x | z)] + beta KL(q(z | x) ‖ p(z))``.

    The divergence is in closed form where the pair of laws has one, which the ledger shows. With several latent
    variables it is a sum, and `free_bits` nats of each, as a mean over the batch, cost nothing: ``max(KL, free_bits)``.
    Its gradient is unbiased: through the draw, by the score with the mean of the row's other draws as baseline, or from
    all values; only `nearest` and `gumbel_softmax` put a surrogate's in its place, as `check --explain` says.
    With `beta` other than 1 or free bits it is no bound; reports print the plain bound. ``gradient = sticking`` passes
    the gradient of log q through the draw alone, which has no variance where q is the true posterior; behind a flow log
    q is worked out by undoing the flow from the draw, which costs its other direction.
    Reference: Kingma and Welling 2014; Higgins et al. 2017, "beta-VAE"; Kingma et al. 2016, "Improved variational
    inference with inverse autoregressive flow", section C.8 (free bits); Roeder, Wu and Duvenaud 2017, "Sticking the
    landing"; Vaitl, Nicoli, Nakajima and Kessel 2022, "Gradients should stay on path" (behind a flow).
    """

    name: ClassVar[str] = "elbo"
    examples: ClassVar[tuple[str, ...]] = (
        "elbo",
        "elbo(samples = 4)",
        "elbo(beta = 4, free_bits = 0.5)",
        "elbo(gradient = sticking)",
    )
    origin: ClassVar[Literal["posterior", "prior"]] = "posterior"
    pooled: ClassVar[Literal["average", "log_mean_exp"]] = "average"

    samples: Draws = Field(1, description="draws of the posterior for each row")
    beta: Annotated[float, Field(ge=0, allow_inf_nan=False)] | AbstractExpr = Field(
        1.0, description="the divergence's weight, which may be `anneal(…)`"
    )
    free_bits: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="nats of each latent variable's divergence that cost nothing"
    )
    gradient: Literal["full", "sticking"] = Field("full", description="of log q: full, or through the draw alone")

    @property
    def copies(self) -> int:
        return self.samples

    def divergence_weight(self) -> Any:
        return self.beta

    def free_nats(self) -> float:
        return self.free_bits

    def sticks(self) -> bool:
        return self.gradient == "sticking"


class Iwae(AbstractBound):
    """The importance-weighted bound ``-E[log 1/k Σ_i p(x, z_i) / q(z_i | x)]`` over k draws of the posterior.

    It grows with k towards log p(x); with k = 1 it is the evidence lower bound. The gradient is unbiased for the bound.
    Reference: Burda, Grosse and Salakhutdinov 2016, "Importance weighted autoencoders".
    """

    name: ClassVar[str] = "iwae"
    examples: ClassVar[tuple[str, ...]] = ("iwae(5)", "iwae(k = 5)")
    origin: ClassVar[Literal["posterior", "prior"]] = "posterior"
    pooled: ClassVar[Literal["average", "log_mean_exp"]] = "log_mean_exp"

    k: Draws = Field(5, description="draws of the posterior for each row")

    @property
    def copies(self) -> int:
        return self.k


class Mc(AbstractBound):
    """The naive Monte-Carlo likelihood ``-log 1/n Σ_i p(x | z_i)`` over n draws of the prior.

    Unbiased for p(x), a bound on log p(x) from below on average, and useless where few draws of the prior explain x.
    The gradient is unbiased for that bound.
    """

    name: ClassVar[str] = "mc"
    examples: ClassVar[tuple[str, ...]] = ("mc(100)", "mc(samples = 100)")
    origin: ClassVar[Literal["posterior", "prior"]] = "prior"
    pooled: ClassVar[Literal["average", "log_mean_exp"]] = "log_mean_exp"

    samples: Draws = Field(100, description="draws of the prior for each row")

    @property
    def copies(self) -> int:
        return self.samples


class Vq(AbstractCommitment):
    """The commitment of a posterior `nearest` to its codes: ``commitment · E Σ ‖e - c‖²``, the codes held fixed.

    Beside `elbo`, which trains the vectors by the gradient that passes straight through, and running means that train
    the codes: ``loss = elbo + vq(0.25)``.
    Reference: van den Oord, Vinyals and Kavukcuoglu 2017, equation 3.
    """

    name: ClassVar[str] = "vq"
    examples: ClassVar[tuple[str, ...]] = ("vq", "vq(0.25)", "vq(commitment = 0.25)")

    commitment: Annotated[float, Field(ge=0, allow_inf_nan=False)] | AbstractExpr = Field(
        0.25, description="the weight, which may be `anneal(…)`"
    )

    def weight(self) -> Any:
        return self.commitment
