"""Family 672 to 677: arrows over several variables, or over a vector whose coordinates mix."""

from dgmspec.core.code import Code
from dgmspec.core.example import model_text

_ENDS = (
    "observe x : real[2]",
    "latent v : real[2]",
    "infer v ~ normal(0, 0.1)",
    "latent xT : real[2] ~ normal(0, 1)",
    "latent vT : real[2] ~ normal(0, 0.5)",
)
_DRIFT, _DIFFUSION = "drift(x, v, t) = [16 * v, -4 * x - 16 * v]", "diffusion(t) = [0, sqrt(8)]"
_NOISE = "learn noise(x, v, t) = mlp(8)"


def _sde(*lines: str) -> str:
    return f"sde [x, v] -> [xT, vT] over t in 0..1 {{ {'; '.join(lines)} }}"


_CLD = _sde(_DRIFT, _DIFFUSION, _NOISE)
_RIGHT = model_text(*_ENDS, _CLD)

CODES: tuple[Code, ...] = (
    Code(
        "DGM672",
        "error",
        "noise that does not reach every coordinate",
        "Noise enters each coordinate of a joint state: as its own, or by the drift from another that it has entered.",
        "Otherwise the covariance of the state is singular at every time, and there is no density to learn a score of.",
        wrong=model_text(*_ENDS, _sde("drift(x, v, t) = [-x, -4 * x - 16 * v]", _DIFFUSION, _NOISE)),
        right=_RIGHT,
    ),
    Code(
        "DGM673",
        "error",
        "what a joint state does not have",
        "Along an `sde` whose coordinates mix, `noise` or `score` is learned, the loss is `dsm` with the weight "
        "`simple` or `likelihood`, and the samplers are `reverse_sde` by `euler_maruyama` or `heun` and `pf_ode` by "
        "`euler` or `heun`.",
        "α and σ are matrices there, and only the scores of the coordinates that have noise of their own are learned: "
        "what divides by α or σ, or reads their ratio, has no meaning.",
        wrong=model_text(*_ENDS, _CLD, "loss = dsm(weight = snr)"),
        right=model_text(*_ENDS, _CLD, "loss = dsm"),
    ),
    Code(
        "DGM674",
        "error",
        "a law at an end of a joint state",
        "At the start of a joint state each part is given by data, or latent with `infer v ~ normal(…)` of numbers; at "
        "its end, or at the start of a process that runs forwards, the priors of the parts are normal laws of numbers, "
        "for all of them or for none.",
        "The law at the start is a part of the kernel, that at the end what the path is compared with, and priors of "
        "parts are one law together: all are normal.",
        wrong=model_text(
            "observe x : real[2]",
            "latent v : real[2] ~ normal(0, 0.1)",
            "latent z : real[4] ~ normal(0, 1)",
            f"sde [x, v] -> z over t in 0..1 {{ {_DRIFT}; {_DIFFUSION} }}",
        ),
        right=_RIGHT,
    ),
    Code(
        "DGM675",
        "error",
        "the law of a joint state that is not one for each part",
        "The drift of a joint state is a function of its parts and the time that lists the drifts of the parts, and "
        "the diffusion lists theirs (one of the time, or of both where it reads the state); the parts are numbers or "
        "vectors of a known size.",
        "The names in the braces stand for the parts, in the order of the arrow's ends.",
        wrong=model_text(*_ENDS, _sde("drift(x, v, t) = 16 * v", _DIFFUSION, _NOISE)),
        right=_RIGHT,
    ),
    Code(
        "DGM676",
        "error",
        "a step or a kernel that mixes coordinates",
        "A `markov` and a `perturb` act on each coordinate of one variable by itself. An `sde` may mix the coordinates "
        "of a vector, or lead over several variables.",
        "Such a step or kernel is written as `normal(…, …)`, whose noise is independent: what the covariance is of "
        "coordinates that drive each other is derived, from the drift of an `sde`.",
        wrong=model_text(
            "observe x : real[2]",
            "latent z : real[2] ~ normal(0, 1)",
            "markov x -> z over t in 1..50 { step(x, t) ~ normal([[0.9, 0.1], [0, 0.9]] @ x, 0.4) }",
        ),
        right=model_text(
            "observe x : real[2]",
            "latent z : real[2] ~ normal(0, 1)",
            "sde x -> z over t in 0..3 { drift(x, t) = [[-2, 1], [-1, -2]] @ x; diffusion(t) = 2 }",
        ),
    ),
    Code(
        "DGM677",
        "error",
        "what nothing trains in the law of a noising arrow",
        "The law of an arrow from data to noise applies no nets; that of an `sde` reads learned numbers where it is "
        "affine and acts on each coordinate by itself.",
        "The losses of other laws, `dsm`, `ism` and `ssm`, would train a bad path, as they would any other (DGM671); "
        "the matrices of a kernel that mixes coordinates are worked out once, of numbers that are known. Processes "
        "that run forwards from a prior have no such limit.",
        wrong=model_text(*_ENDS, _sde("learn k : positive", "drift(x, v, t) = [k * v, -4 * x - 16 * v]", _DIFFUSION)),
        right=_RIGHT,
    ),
)
