"""Family 64x to 69x: `sde`, `markov` and `perturb` arrows."""

from dgmspec.core.code import Code
from dgmspec.core.example import model_text

_X, _Z = "observe x : real[2]", "latent z : real[2] ~ normal(0, 1)"


def _sde(*lines: str, over: str = "t in 0..1") -> str:
    return f"sde x -> z over {over} {{ {'; '.join(lines)} }}"


def _chain(*lines: str) -> str:
    body = "; ".join(("step(x, t) ~ normal(0.9 * x, 0.44)", "learn noise(x, t) = mlp(8)", *lines))
    return f"markov x -> z over t in 1..50 {{ {body} }}"


def _learned_chain() -> str:
    body = f"learn b : unit = 0.2; step(x, t) ~ normal(sqrt(1 - b) * x, sqrt(b)); {_NOISE}"
    return f"markov x -> z over t in 1..50 {{ {body} }}"


_DRIFT, _DIFFUSION = "drift(x, t) = -5 * x", "diffusion(t) = sqrt(10)"
_NOISE = "learn noise(x, t) = mlp(8)"
_OU = _sde(_DRIFT, _DIFFUSION)

_LADDER = "perturb x over s in geometric(10, 0.01, 10) { kernel(x, s) ~ normal(x, s); learn noise(x, s) = mlp(8) }"

_START, _END = "latent x0 : real[2] ~ normal(0, 1)", "observe x : real[2]"


def _forwards(*lines: str) -> str:
    return f"sde x0 -> x over t in 0..1 {{ {'; '.join(lines)} }}"


CODES: tuple[Code, ...] = (
    Code(
        "DGM640",
        "error",
        "a path without its law",
        "An `sde` has `drift(x, t) = …` and `diffusion(t) = …`; a `markov` has `step(x, t) ~ normal(…)`, a `perturb` "
        "`kernel(x, t) ~ normal(…)`.",
        "Kernel, reverse process and likelihood are all derived from these, so they have to be there.",
        wrong=model_text(_X, _Z, _sde(_DRIFT)),
        right=model_text(_X, _Z, _OU),
    ),
    Code(
        "DGM641",
        "error",
        "what does not belong into the braces of a path",
        "The braces of a path hold its law, `learn noise | clean | score | velocity | v (x, t) = NET`, `fn`s and the "
        "settings of the reference.",
        "A name that nobody reads would be left unheeded.",
        wrong=model_text(_X, _Z, _sde(_DRIFT, _DIFFUSION, "drfit(x, t) = x")),
        right=model_text(_X, _Z, _OU),
    ),
    Code(
        "DGM642",
        "error",
        "the time of a path",
        "The time of an `sde` rises between two finite numbers from the data to the noise, steps of a `markov` are "
        "counted from 1 to 100,000 at most (to 400,000 in all where each coordinate has coefficients of its own), "
        "levels of a `perturb` are positive.",
        "The first variable stands at the start of the time and the second at its end; the process that runs the other "
        "way is derived.",
        wrong=model_text(_X, _Z, _sde(_DRIFT, _DIFFUSION, over="t in 1..0")),
        right=model_text(_X, _Z, _OU),
    ),
    Code(
        "DGM643",
        "error",
        "a scale of a path that is not positive",
        "The scale of `step` and of `kernel` is positive at every time behind the start.",
        "It is a standard deviation, and the score divides by it.",
        wrong=model_text(_X, "perturb x -> z over t in 0..1 { kernel(x, t) ~ normal(x, t - 0.5) }", _Z),
        right=model_text(_X, "perturb x -> z over t in 0..1 { kernel(x, t) ~ normal((1 - t) * x, t) }", _Z),
    ),
    Code(
        "DGM644",
        "error",
        "no diffusion",
        "The diffusion of an `sde` is positive from the start of time.",
        "Without noise x_t is a function of x_0: there is no density to follow, no score to learn.",
        wrong=model_text(_X, _Z, _sde(_DRIFT, "diffusion(t) = 0")),
        right=model_text(_X, _Z, _OU),
    ),
    Code(
        "DGM645",
        "error",
        "noise that time takes away",
        "Along a path the share of the data is positive and the ratio of signal to noise never rises.",
        "A kernel whose ratio rises belongs to no process: g(t)² would be negative. Most often the ends are exchanged.",
        wrong=model_text(_X, _Z, "perturb x -> z over t in 0..1 { kernel(x, t) ~ normal(t * x, 1.1 - t) }"),
        right=model_text(_X, _Z, "perturb x -> z over t in 0..1 { kernel(x, t) ~ normal((1 - t) * x, t) }"),
    ),
    Code(
        "DGM646",
        "error",
        "integrals that do not converge",
        "∫ a dt and ∫ g(t)² dt exist over the whole time of an `sde`, within the range of float64, and some thousand "
        "polynomials follow them.",
        "They are the logarithm of α(t) and the variance of the kernel.",
        wrong=model_text(_X, _Z, _sde("drift(x, t) = -x / t", "diffusion(t) = 1")),
        right=model_text(_X, _Z, _OU),
    ),
    Code(
        "DGM647",
        "error",
        "a law that is not affine in the state",
        "`dsm`, `vlb` and the steps of `markov` and `perturb` take a mean a(t) x + b(t) and a scale of the time alone.",
        "Only then is x_t given x_0 normal, with a mean and a variance that have formulas. An `sde` with any other law "
        "is simulated, and its score learned by `ism` or `ssm`.",
        wrong=model_text(_X, _Z, "markov x -> z over t in 1..50 { step(x, t) ~ normal(0.9 * x^3, 0.44) }"),
        right=model_text(_X, _Z, "markov x -> z over t in 1..50 { step(x, t) ~ normal(0.9 * x, 0.44) }"),
    ),
    Code(
        "DGM648",
        "warning",
        "a prior that the path does not end at",
        "The law of x_T, at the end of time, is that of the prior there, to 0.01 nats per dimension.",
        "Samples start from the prior: where it is not the law of x_T, the reverse process runs on points it was never "
        "trained on.",
        wrong=model_text(_X, "latent z : real[2] ~ normal(0, 3)", _OU),
        right=model_text(_X, _Z, _OU),
    ),
    Code(
        "DGM649",
        "error",
        "noise predicted where nothing else is left",
        "`noise` and `score` are learned along paths that keep some signal to their end.",
        "Where α is 0 the noise is x_T itself: to predict it says nothing of the data, which follow from it by a "
        "division by 0.",
        wrong=model_text(
            _X,
            _Z,
            "perturb x -> z over t in 0..1 { kernel(x, t) ~ normal((1 - t) * x, t); learn noise(x, t) = mlp(8) }",
        ),
        right=model_text(
            _X,
            _Z,
            "perturb x -> z over t in 0..1 { kernel(x, t) ~ normal((1 - t) * x, t); learn velocity(x, t) = mlp(8) }",
        ),
    ),
    Code(
        "DGM650",
        "error",
        "a prediction that the path does not have",
        "`v` needs α² + σ² = 1, `velocity` continuous time, and a preconditioned net gives `clean`.",
        "v = α ε - σ x_0 is a rotation of (x_0, ε) only then, a velocity is a derivative by time, and a preconditioned "
        "net is stated for the clean data.",
        wrong=model_text(
            _X,
            "latent z : real[2] ~ normal(0, 10)",
            "perturb x -> z over t in 0..10 { kernel(x, t) ~ normal(x, t); learn v(x, t) = mlp(8) }",
        ),
        right=model_text(
            _X,
            "latent z : real[2] ~ normal(0, 10)",
            "perturb x -> z over t in 0..10 { kernel(x, t) ~ normal(x, t); learn velocity(x, t) = mlp(8) }",
        ),
    ),
    Code(
        "DGM651",
        "error",
        "a loss with nothing to train",
        "A loss along a path trains the net that is learned there.",
        "The path itself has no parameters: its kernel is derived.",
        wrong=model_text(_X, _Z, _OU, "loss = dsm"),
        right=model_text(_X, _Z, _sde(_DRIFT, _DIFFUSION, _NOISE), "loss = dsm"),
    ),
    Code(
        "DGM652",
        "error",
        "a loss that this kind of path does not have",
        "`likelihood` weighs by g(t)², `log_normal` and `importance` draw from an interval, `vlb` is the bound of a "
        "chain or an integral over continuous time, and a weight reads the time, alpha, sigma and snr.",
        "What a path has follows from its time: an interval has a diffusion, a chain has steps.",
        wrong=model_text(_X, _LADDER, "loss = vlb"),
        right=model_text(_X, _LADDER, "loss = dsm"),
    ),
    Code(
        "DGM653",
        "error",
        "a weight without a finite integral",
        "With `weight = likelihood` the earliest time is later than the start, where σ is 0.",
        "g²/σ² grows like 1/t there, and so does the loss of a net that errs at all.",
        wrong=model_text(_X, _Z, _sde(_DRIFT, _DIFFUSION, _NOISE, "t_eps = 0"), "loss = dsm(weight = likelihood)"),
        right=model_text(_X, _Z, _sde(_DRIFT, _DIFFUSION, _NOISE), "loss = dsm(weight = likelihood)"),
    ),
    Code(
        "DGM670",
        "error",
        "what is learned along an arrow and no loss trains, or the other way round",
        "Beside `variance = learned` the loss holds a bound, such as `vlb`; `vlb(trains = variance)` stands beside "
        "`variance = learned`. Beside an `sde` that runs forwards with a learned law it holds a density or a bound.",
        "`dsm` compares means alone: the variance, or the law, would stay where it starts.",
        wrong=model_text(_X, _Z, _chain("variance = learned"), "loss = dsm"),
        right=model_text(_X, _Z, _chain("variance = learned"), "loss = dsm + 0.001 * vlb(trains = variance)"),
    ),
    Code(
        "DGM671",
        "error",
        "a learned path under a loss that is no density",
        "Where the law of a path reads a learned number, the loss is a density or a bound: `vlb` or `nll`.",
        "`dsm`, `ism` and `ssm` are small where the path makes prediction easy, whether or not it leads to the prior: "
        "they would train a bad path.",
        wrong=model_text(_X, _Z, _learned_chain(), "loss = dsm"),
        right=model_text(_X, _Z, _learned_chain(), "loss = vlb"),
    ),
    Code(
        "DGM654",
        "error",
        "a scheme that does not solve this process",
        "`exact` simulates an `sde` from a prior with an affine drift, `srk` one whose diffusion is a function of the "
        "time, `milstein` and `heun` one where each coordinate of the diffusion reads its own coordinate of the state "
        "alone, by a formula that has a derivative, as Stratonovich's calculus does.",
        "A scheme has its order for the processes that it is made for; for others it converges more slowly, or to "
        "another law.",
        wrong=model_text(_START, _END, _forwards("drift(x, t) = x - x^3", "diffusion(t) = 1", "solver = exact")),
        right=model_text(
            _START, _END, _forwards("drift(x, t) = x - x^3", "diffusion(t) = 1", "solver = srk(steps = 100)")
        ),
    ),
    Code(
        "DGM655",
        "error",
        "a scheme where nothing is simulated",
        "`solver` in the braces of an `sde` from data to noise says how a law is simulated that is not affine.",
        "The kernel of an affine law is derived: to simulate it would be slower and less exact.",
        wrong=model_text(_X, _Z, _sde(_DRIFT, _DIFFUSION, "solver = srk(steps = 50)")),
        right=model_text(_X, _Z, _OU),
    ),
)
