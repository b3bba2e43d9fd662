"""What other libraries, and papers, call what the language has under another name, by the role of the name.

An edit distance finds misspelt names, and takes `rk45` for `rk4`; these are spelt right, elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["USUAL", "usual"]

_AFFINE = "coupling(affine, mask = half, net = mlp(64))"
_MIXTURE = "mixture(normal(-1, 1), normal(1, 1))"
_HMC = "hmc(steps = 100, step_size = 0.1)"
_SDE = "reverse_sde(steps = 500)"
_CORRECTED = "reverse_sde(steps = 500, corrector = 1)"
_FLOW = "pf_ode(steps = 50)"

USUAL: Final[Mapping[str, Mapping[str, str]]] = {
    "distribution": {
        **dict.fromkeys(("gaussian", "diag_normal", "diagonal_normal", "diag_gaussian"), "normal"),
        **dict.fromkeys(("multi_normal", "mvn", "multivariate_gaussian"), "multivariate_normal(scale_tril = L)"),
        **dict.fromkeys(("bernoulli_logit", "bernoulli_logits"), "bernoulli(logits = …)"),
        **dict.fromkeys(("categorical_logit", "categorical_logits", "onehot_categorical"), "categorical(logits = …)"),
        **dict.fromkeys(("gmm", "gaussian_mixture", "mog"), _MIXTURE),
        **dict.fromkeys(("gumbel", "concrete", "relaxed_categorical"), "gumbel_softmax"),
        **dict.fromkeys(("neg_binomial", "nb"), "negative_binomial"),
        "double_exponential": "laplace",
    },
    "step": {
        **dict.fromkeys(("affine_coupling", "coupling_affine", "realnvp", "real_nvp"), _AFFINE),
        **dict.fromkeys(("additive_coupling", "nice"), "coupling(additive, mask = half, net = mlp(64))"),
        **dict.fromkeys(("spline_coupling", "rqs_coupling", "nsf"), "coupling(rqs(8), mask = half, net = mlp(64))"),
        **dict.fromkeys(("maf", "masked_affine", "masked_autoregressive"), "autoregressive(affine, net = made(64))"),
        **dict.fromkeys(("iaf", "inverse_autoregressive"), "inverse autoregressive(affine, net = made(64))"),
        **dict.fromkeys(("invertible_conv", "invertible_1x1_conv", "inv_conv", "conv_1x1"), "conv1x1(plu)"),
        **dict.fromkeys(("reverse", "flip", "swap"), "permute(reverse)"),
        **dict.fromkeys(("shuffle", "permutation"), "permute(random(0))"),
        **dict.fromkeys(("lu", "plu", "lu_linear"), "linear(plu)"),
        **dict.fromkeys(("iresnet", "residual_block"), "residual(mlp(64))"),
        "bnaf": "block_autoregressive(hidden = 8)",
        "householder": "orthogonal(householder)",
        "mcmc": "metropolis(E, scale = 0.5)",
    },
    "scalar": {
        **dict.fromkeys(("spline", "rational_quadratic", "rational_quadratic_spline", "monotonic_rqs"), "rqs(8)"),
        **dict.fromkeys(("naf", "dsf"), "sigmoid_mixture(8)"),
        **dict.fromkeys(("monotonic_affine", "scale_shift"), "affine"),
        **dict.fromkeys(("shift", "translation"), "additive"),
    },
    "linear_form": {"lu": "plu"},
    "mask": {"even": "alternate(0)", "odd": "alternate(1)", "channel_wise": "channels(0)"},
    "loss": {
        **dict.fromkeys(("mle", "log_prob", "log_likelihood", "max_likelihood", "maximum_likelihood"), "nll"),
        **dict.fromkeys(("reconstruction", "recon", "beta_elbo", "beta_vae"), "elbo(beta = 4)"),
        **dict.fromkeys(("kld", "kl_divergence", "vae", "vi"), "elbo"),
        **dict.fromkeys(("iwelbo", "iw_elbo", "importance_weighted"), "iwae(5)"),
        **dict.fromkeys(("fm", "cfm", "conditional_flow_matching", "rectified_flow"), "flow_matching"),
        **dict.fromkeys(("denoising_score_matching", "simple", "epsilon", "ddpm"), "dsm"),
        **dict.fromkeys(("score_matching", "hyvarinen", "implicit_score_matching"), "ism"),
        **dict.fromkeys(("sliced_score_matching", "sliced"), "ssm"),
        **dict.fromkeys(("pcd", "persistent_cd"), "cd(10, persistent = true)"),
        "contrastive_divergence": "cd(10)",
    },
    "sampler": {
        **dict.fromkeys(("nuts", "mcmc"), _HMC),
        **dict.fromkeys(("euler_maruyama", "sde", "exponential"), _SDE),
        **dict.fromkeys(("predictor_corrector", "pc"), _CORRECTED),
        **dict.fromkeys(("probability_flow", "heun", "edm"), _FLOW),
        **dict.fromkeys(("dpm_solver", "dpm"), "pf_ode(steps = 20, solver = dpm_solver)"),
        "ddpm": "ancestral",
        **dict.fromkeys(("ula", "sgld"), "langevin(steps = 100, step_size = 0.01)"),
    },
    "solver": {**dict.fromkeys(("rk45", "ode45", "dopri"), "dopri5"), "rk2": "midpoint"},
    "net": {
        **dict.fromkeys(("dense", "fc", "linear"), "mlp()"),
        **dict.fromkeys(("cnn", "conv2d"), "conv(32)"),
        **dict.fromkeys(("gpt", "attention"), "transformer(64)"),
        "pixelcnn": "masked_conv(32)",
    },
    "data": {
        **dict.fromkeys(("moons", "make_moons"), "two_moons"),
        "make_circles": "circles",
        **dict.fromkeys(("mnist", "fashion_mnist"), 'idx("train-images-idx3-ubyte.gz")'),
        **dict.fromkeys(("cifar", "cifar10"), 'images("folder")'),
    },
    "embedding": dict.fromkeys(("sinusoidal", "positional"), "fourier(16)"),
    "choice": {"swish": "silu"},
    "type": {
        **dict.fromkeys(("vector", "row_vector", "float", "matrix", "tensor"), "real"),
        **dict.fromkeys(("int", "natural"), "integer(0..255)"),
        **dict.fromkeys(("bool", "boolean"), "binary"),
        **dict.fromkeys(("label", "class", "onehot"), "category(10)"),
        **dict.fromkeys(("angle", "torus", "periodic"), "circle"),
        "cholesky_factor_cov": "cholesky",
    },
    "function": {
        **dict.fromkeys(("pow", "power"), "x^a"),
        **dict.fromkeys(("square", "squared"), "x^2"),
        **dict.fromkeys(("matmul", "mm"), "A @ x"),
        "ln": "log(x)",
        "softmax": "exp(x - logsumexp(x))",
        "log_softmax": "x - logsumexp(x)",
        "log_sigmoid": "-softplus(-x)",
        "atan": "arctan(x)",
        "asinh": "arcsinh(x)",
        "inv_logit": "sigmoid(x)",
        "expit": "sigmoid(x)",
        "log_sum_exp": "logsumexp(x)",
    },
    "prediction": {
        **dict.fromkeys(("epsilon", "eps", "ε"), "noise"),
        **dict.fromkeys(("x0", "x_start", "denoiser", "data"), "clean"),
    },
    "ode": dict.fromkeys(("f", "field", "vector_field", "dynamics", "drift"), "velocity(y, t) = …"),
    "train": {
        **dict.fromkeys(("lr", "learning_rate"), "optimizer = adam(lr = 1e-3)"),
        "weight_decay": "optimizer = adamw(weight_decay = 0.01)",
        **dict.fromkeys(("batch_size", "batchsize"), "batch = 256"),
        **dict.fromkeys(("iterations", "iters", "num_steps", "max_steps", "n_steps"), "steps = 1_000"),
        **dict.fromkeys(("n_epochs", "num_epochs", "max_epochs"), "epochs = 10"),
        **dict.fromkeys(("clip_grad", "grad_clip", "max_grad_norm"), "clip = 1"),
        **dict.fromkeys(("patience", "early_stopping"), "stop = patience(10)"),
        **dict.fromkeys(("dataset", "train_data"), "data = two_moons"),
        **dict.fromkeys(("dtype", "amp"), "precision = bf16"),
        "val_fraction": "validate = holdout(0.1)",
    },
    "sample": {
        **dict.fromkeys(("n", "num", "size", "num_samples", "n_samples"), "count = 1_000"),
        **dict.fromkeys(("w", "cfg", "guidance_scale"), "guidance = 2"),
    },
}
"""What to write, as it stands in a text."""


def usual(role: str, name: str) -> tuple[str, ...]:
    """The help for a name that is another's name for something of this role; nothing where it is none."""
    found = USUAL.get(role, {}).get(name)
    return (f"here it is `{found}`",) if found else ()
