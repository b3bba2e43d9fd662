"""Family 7xx, continued: what losses ask of latent variables and their posteriors."""

from dgmspec.core.code import Code
from dgmspec.core.example import model_text

_X, _Z = "observe x : real[2]", "latent z : real[2] ~ normal(0, 1)"
_GENERATE, _INFER = "generate x | z ~ normal(mlp(8))", "infer z | x ~ normal(mlp(8))"

CODES: tuple[Code, ...] = (
    Code(
        "DGM729",
        "error",
        "`nll` where the likelihood is not tractable",
        "`nll` needs log p(x): with a latent variable behind x it is an integral, which is known where the variable is "
        "discrete with few values.",
        "For other latent variables there are bounds: `elbo` and `iwae`.",
        wrong=model_text(_X, _Z, _GENERATE, "loss = nll"),
        right=model_text(_X, _Z, _GENERATE, _INFER, "loss = elbo"),
    ),
    Code(
        "DGM730",
        "error",
        "a bound without a latent variable",
        "`elbo`, `iwae` and `mc` average over latent variables that generate the data.",
        "A flow determines its noise from the data, so its likelihood is known and nothing is left to average over.",
        wrong=model_text(_X, _Z, "flow x -> z { actnorm }", "loss = elbo"),
        right=model_text(_X, _Z, "flow x -> z { actnorm }", "loss = nll"),
    ),
    Code(
        "DGM731",
        "error",
        "a latent variable without a posterior",
        "`elbo` and `iwae` draw each latent variable from its `infer`; discrete ones with few values are summed over.",
        "The bound compares the posterior with the law that generates the variable, and is tight where it is the true "
        "one.",
        wrong=model_text(_X, _Z, _GENERATE, "loss = elbo"),
        right=model_text(_X, _Z, _GENERATE, _INFER, "loss = elbo"),
    ),
    Code(
        "DGM732",
        "error",
        "a posterior that the estimator has no gradient for",
        "A draw that jumps needs a mean over several draws; `gradient = sticking` needs a differentiable law, and "
        "behind it steps that can be undone exactly.",
        "The score of a discrete law weighs each draw by how much better it is than the other draws of the row. To "
        "keep the parameters of log q fixed while the draw moves, log q must be a function of the draw.",
        wrong=model_text(
            "observe x : real[2]",
            "latent z : binary[12] ~ bernoulli(0.5)",
            "generate x | z ~ normal(mlp(8))",
            "infer z | x ~ bernoulli(mlp(8))",
            "loss = elbo",
        ),
        right=model_text(
            "observe x : real[2]",
            "latent z : binary[12] ~ bernoulli(0.5)",
            "generate x | z ~ normal(mlp(8))",
            "infer z | x ~ bernoulli(mlp(8))",
            "loss = elbo(samples = 4)",
        ),
    ),
    Code(
        "DGM733",
        "error",
        "weights for a divergence that does not exist",
        "`beta` and `free_bits` weigh the divergences of posteriors; a variable that is summed over has none.",
        "The sum over a discrete variable stands inside the logarithm and is no difference of two laws.",
        wrong=model_text(
            _X,
            "latent k : category(3) ~ categorical([1, 1, 1])",
            "generate x | k ~ normal(mlp())",
            "loss = elbo(beta = 2)",
        ),
        right=model_text(
            _X,
            "latent k : category(3) ~ categorical([1, 1, 1])",
            "generate x | k ~ normal(mlp())",
            "infer k | x ~ categorical(mlp(8))",
            "loss = elbo(beta = 2)",
        ),
    ),
    Code(
        "DGM735",
        "error",
        "weights of draws that are no weights",
        "`iwae` and `mc` take the log of a mean over draws; each part of the density is exact, or right on average.",
        "exp of an unbiased estimate, or of a bound, of a logarithm may be too large on average, so that the log of a "
        "mean of such values may lie above log p; the mean of the logarithms does not.",
        wrong=model_text(
            _X,
            "latent z : real[2]",
            "latent w : real[2] ~ normal(0, 1)",
            _GENERATE,
            _INFER,
            "markov z -> w over t in 1..20 { step(z, t) ~ normal(0.8 * z, 0.6); learn noise(z, t) = mlp(8) }",
            "loss = iwae(5)",
        ),
        right=model_text(
            _X,
            "latent z : real[2]",
            "latent w : real[2] ~ normal(0, 1)",
            _GENERATE,
            _INFER,
            "markov z -> w over t in 1..20 { step(z, t) ~ normal(0.8 * z, 0.6); learn noise(z, t) = mlp(8) }",
            "loss = elbo",
        ),
    ),
    Code(
        "DGM737",
        "error",
        "a learned choice that is drawn while training",
        "What a loss passes is drawn by smooth maps: `abs(net)` and `max_pool`, whose way back chooses a sign or a "
        "place by a learned law, are passed as they are written. What `reverse_kl` and `mc` draw, the components of a "
        "`mixture` or labels, is drawn by fixed chances.",
        "A choice does not change a little when its law does, so the gradient of what follows does not reach the law: "
        "it would be trained by noise. The choices of `abs` and `sort` are fair, with nothing to learn.",
        wrong=model_text(
            "observe x : positive[2]",
            "latent z : real[2] ~ normal(0, 1)",
            "flow x -> z { inverse abs(net = mlp(8)) }",
            "loss = nll",
        ),
        right=model_text(
            "observe x : real[2]",
            "latent z : positive[2] ~ exponential(1)",
            "flow x -> z { abs(net = mlp(8)) }",
            "loss = nll",
        ),
    ),
    Code(
        "DGM739",
        "error",
        "a label with a surrogate that a formula names",
        "Of a label drawn by `gumbel_softmax` or `nearest` nets read what stands for it; formulas of an arrow that "
        "name variables behind its bar do not.",
        "A label is a whole number: a formula of it passes no gradient back, and the law of the label would be trained "
        "as if the arrow did not read it.",
        wrong=model_text(
            "observe x : real[2]",
            "latent k : category(3) ~ categorical(1)",
            "infer k | x ~ gumbel_softmax(mlp(8))",
            "latent z : real[2] ~ normal(0, 1)",
            "net v(y, t, k) = mlp(8)",
            "ode x -> z | k over t in 0..1 { velocity(y, t) = v(y, t, k) }",
            "loss = elbo",
        ),
        right=model_text(
            "observe x : real[2]",
            "latent k : category(3) ~ categorical(1)",
            "infer k | x ~ gumbel_softmax(mlp(8))",
            "latent z : real[2] ~ normal(0, 1)",
            "ode x -> z | k over t in 0..1 { velocity(y, t) = mlp(8) }",
            "loss = elbo",
        ),
    ),
    Code(
        "DGM738",
        "error",
        "no posterior for `forward_kl`",
        "`forward_kl(theta)` is about the `infer` of an observed variable, which reads the other observed ones, or "
        "given ones.",
        "The term is minus the mean of log q(θ | x) over pairs of data: q needs to be there, and to be a function of "
        "the pair alone.",
        wrong=model_text(
            "observe theta : real[2] ~ normal(0, 1)",
            _X,
            "generate x | theta ~ normal(mlp(8))",
            "loss = nll(x) + forward_kl(theta)",
        ),
        right=model_text(
            "observe theta : real[2] ~ normal(0, 1)",
            _X,
            "generate x | theta ~ normal(mlp(8))",
            "infer theta | x ~ normal(mlp(8))",
            "loss = nll(x) + forward_kl(theta)",
        ),
    ),
)
