"""Family 2xx, from 230: names and arguments of calls, as their values are worked out."""

from dgmspec.core.code import Code


def _flow(step: str, x: str = "real[2]", z: str = "real[2] ~ normal(0, 1)", top: str = "") -> str:
    """A whole file with one flow of one step."""
    return (
        f"dgm 1\n{top and top + chr(10)}model M {{\n    observe x : {x}\n    latent z : {z}\n"
        f"    flow x -> z {{\n        {step}\n    }}\n}}\n"
    )


CODES: tuple[Code, ...] = (
    Code(
        "DGM230",
        "error",
        "a name that is not in this place's list",
        "A step, scalar bijector, net, mask, distribution, loss, … is looked up in the list of its role.",
        "The lists are closed: nothing outside the library and the file itself can be named.",
        wrong=_flow("actnrom"),
        right=_flow("actnorm"),
    ),
    Code(
        "DGM232",
        "error",
        "an argument that the call does not have",
        "Arguments are those of the operation's signature, positional ones first, each given once.",
        "A misspelt argument that were silently dropped would leave a default in its place.",
        wrong=_flow("autoregressive(affine, nte = made(8))"),
        right=_flow("autoregressive(affine, net = made(8))"),
    ),
    Code(
        "DGM233",
        "error",
        "a missing argument",
        "Every argument without a default is given.",
        "The library never guesses a size or a factor that the text does not fix.",
        wrong=_flow("autoregressive(affine)"),
        right=_flow("autoregressive(affine, net = made(8))"),
    ),
    Code(
        "DGM234",
        "error",
        "an argument of the wrong kind or out of range",
        "An argument's value has the type that the signature states, within its bounds.",
        "A spline with 0 bins or a net of width 2.5 does not exist.",
        wrong=_flow("elementwise(rqs(bins = 0))"),
        right=_flow("elementwise(rqs(bins = 8))"),
    ),
    Code(
        "DGM235",
        "error",
        "an expression without a value",
        "A constant expression divides by no zero, stays within the domain of its functions, and within 2^63 for whole "
        "numbers.",
        "Sizes and settings are worked out exactly and in bounded time, so `9^9^9` is refused rather than computed.",
        wrong=_flow("actnorm", x="real[9^9^9]", z="real[*] ~ normal(0, 1)"),
        right=_flow("actnorm", x="real[9^2]", z="real[*] ~ normal(0, 1)"),
    ),
    Code(
        "DGM236",
        "error",
        "a repeat with a count that is no number of steps",
        "A repeat's count is a whole number, 1 or more, and all steps of a model together are at most 10,000.",
        "Repeats are unrolled before a model is checked; the limit keeps that bounded.",
        wrong=_flow("repeat 1_000_000 { actnorm }"),
        right=_flow("repeat 10 { elementwise(rqs) }"),
    ),
    Code(
        "DGM239",
        "error",
        "a param set to a value it cannot take",
        "A param is a number or a list of numbers within its declared support, also when set from outside.",
        "Its type is the promise that the expressions which use it rely on.",
        wrong=_flow("actnorm", z="real[2] ~ normal(0, s)", top="param s : positive = -1"),
        right=_flow("actnorm", z="real[2] ~ normal(0, s)", top="param s : positive = 1"),
    ),
    Code(
        "DGM240",
        "error",
        "a model that the file does not have",
        "`--model` names one of the file's models; where the file holds several, one is named.",
        "Another model than the one asked for would be trained without a word.",
        wrong_command="`dgmspec train realnvp.dgm --model RealNPV`, where the file declares `model RealNVP`.",
    ),
    Code(
        "DGM241",
        "error",
        "an expression too large",
        "An expression has at most 100,000 parts once its functions are written out.",
        "A function that doubles its argument, applied a few dozen times, would fill any memory.",
        wrong_command="Twenty `fn`s, each of which adds the one before to itself.",
    ),
    Code(
        "DGM243",
        "warning",
        "declared and never used",
        "A given, net, fn, param, learned parameter, chain, data source or imported file is used by something.",
        "A name without a use is usually a name misspelt somewhere else.",
        wrong="dgm 1\nfn f(t) = 2 * t\nmodel M {\n    observe x : real[2]\n    latent z : real[2] ~ normal(0, 1)\n"
        "    flow x -> z { actnorm }\n}\n",
        right="dgm 1\nfn f(t) = 2 * t\nmodel M {\n    observe x : real[2]\n    latent z : real[2] ~ normal(0, f(1))\n"
        "    flow x -> z { actnorm }\n}\n",
    ),
    Code(
        "DGM244",
        "warning",
        "a name that hides one of the library",
        "The file's own names are read before the library's.",
        "That keeps a spec's meaning when the library grows, but a reader who knows the library is misled.",
        wrong=_flow("actnorm", z="real[2] ~ normal(0, exp(1))", top="fn exp(t) = 1 + t"),
        right=_flow("actnorm", z="real[2] ~ normal(0, exp1(1))", top="fn exp1(t) = 1 + t"),
    ),
)
