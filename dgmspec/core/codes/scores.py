"""Family 7xx: energies and scores."""

from dgmspec.core.code import Code
from dgmspec.core.example import model_text

_X = "observe x : real[2]"
_E, _P = "energy E(x) = mlp(8)", "observe x : real[2] ~ exp(-E(x))"
_S = "learn score(x) = mlp(8)"
_FLOW = ("latent z : real[2] ~ normal(0, 1)", "flow x -> z { actnorm }")


def _train(settings: str) -> str:
    return f"train M {{ data = two_moons; steps = 10; {settings} }}\n"


CODES: tuple[Code, ...] = (
    Code(
        "DGM750",
        "error",
        "a learned function of no arrow that is no score",
        "A member `learn NAME(…) = NET` is `learn score(x) = NET` of an observed variable x whose shape is known.",
        "What else a net predicts, noise, clean data or a velocity, is about a path of noise, and stands in the braces "
        "of its arrow.",
        wrong=model_text(_X, "learn noise(x) = mlp(8)", "loss = ism"),
        right=model_text(_X, _S, "loss = ism"),
    ),
    Code(
        "DGM751",
        "error",
        "a score beside a density",
        "A variable with a learned score gets no density from an arrow or a distribution.",
        "A density has a score of its own, its slope, and two of them would be two models of the same data. "
        "`~ exp(e)` may stand beside it: it is a known law to compare with.",
        wrong=model_text(_X, *_FLOW, _S, "loss = nll"),
        right=model_text(_X, _S, "loss = ism"),
    ),
    Code(
        "DGM752",
        "error",
        "a loss about an energy or a score that the model does not have",
        "`cd` needs an energy, `ism`, `ssm` and `dsm` without an arrow an energy or a score, `fisher` a score beside "
        "the known density.",
        "Chains of `cd` and its gradient are those of an energy; a variable that an arrow gives a density is trained "
        "by its likelihood.",
        wrong=model_text(_X, _S, "loss = cd(10)"),
        right=model_text(_E, _P, "loss = cd(10)"),
    ),
    Code(
        "DGM753",
        "error",
        "a loss about a score of a variable that is not real",
        "`cd`, `ism`, `ssm` and `dsm` without an arrow are about variables on all of ℝ.",
        "They integrate by parts without a boundary, or add normal noise, which leaves every other set.",
        wrong=model_text("energy E(x) = mlp(8)", "observe x : unit[2] ~ exp(-E(x))", "loss = ism"),
        right=model_text(_E, _P, "loss = ism"),
    ),
    Code(
        "DGM754",
        "error",
        "noise that nothing, or two things, say",
        "`dsm(sigma = …)` says the noise of an energy or a score without an arrow; along an arrow the path does.",
        "Denoising score matching learns the score of data with noise, and how much of it is a part of the model.",
        wrong=model_text(_E, _P, "loss = dsm"),
        right=model_text(_E, _P, "loss = dsm(sigma = 0.1)"),
    ),
    Code(
        "DGM755",
        "warning",
        "weights chosen by a loss that measures nothing",
        "`validate` and `stop` go by the loss on held-out rows, which for `cd` is the difference of energies between "
        "these and chains.",
        "It is near 0 whenever the chains are where the data are, also for a poor model, and moves by chance.",
        wrong=model_text(_E, _P, "loss = cd(2)", below=_train("validate = holdout(0.1)")),
        right=model_text(_E, _P, "loss = cd(2)", below=_train("ema = 0.999")),
    ),
    Code(
        "DGM756",
        "error",
        "a batch larger than the kept chains",
        "Every row of a batch moves one of the chains that `cd(…, persistent = true)` keeps, so `buffer` is at least "
        "`batch`.",
        "A chain that moved twice in one step would be two states in one place.",
        wrong=model_text(_E, _P, "loss = cd(2, persistent = true, buffer = 100)", below=_train("batch = 200")),
        right=model_text(_E, _P, "loss = cd(2, persistent = true, buffer = 1_000)", below=_train("batch = 200")),
    ),
)
