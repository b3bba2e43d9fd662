"""Family 8xx: data and training."""

from dgmspec.core.code import Code


def _train(
    *settings: str, x: str = "real[2]", z: str = "real[2]", loss: str = "    loss = nll\n", steps: str = "actnorm"
) -> str:
    """A whole file: a small flow and its train block."""
    body = "".join(f"    {setting}\n" for setting in settings)
    return (
        f"dgm 1\nmodel M {{\n    observe x : {x}\n    latent z : {z} ~ normal(0, 1)\n    flow x -> z {{ {steps} }}\n"
        f"{loss}}}\ntrain M {{\n{body}}}\n"
    )


def _guided(bar: str = " | y", train: tuple[str, ...] = (), sample: tuple[str, ...] = ()) -> str:
    """A whole file: a chain given a label, its train block and its sample block."""
    given = "    given y : category(3)\n" if bar else ""
    blocks = [
        f"{head} M {{ {'; '.join(lines)} }}\n"
        for head, lines in (("train", ("steps = 100", 'data = csv("rows.csv")', *train)), ("sample", sample))
        if lines
    ]
    return (
        f"dgm 1\nmodel M {{\n    observe x : real[2]\n{given}    latent z : real[2] ~ normal(0, 1)\n"
        f"    markov x -> z{bar} over t in 1..50 {{ step(x, t) ~ normal(0.9 * x, 0.44); learn noise(x, t) = mlp(8) }}\n"
        f"    loss = dsm\n}}\n{''.join(blocks)}"
    )


_GOOD = ("data = two_moons", "steps = 100")

CODES: tuple[Code, ...] = (
    Code(
        "DGM801",
        "error",
        "a setting that the block does not have",
        "A train block's settings are data, weights, steps, epochs, batch, optimizer, schedule, clip, ema, accumulate, "
        "precision, compile, standardize, drop, validate, stop and seed.",
        "A misspelt setting that were dropped would leave a default in its place.",
        wrong=_train(*_GOOD, "bacth = 64"),
        right=_train(*_GOOD, "batch = 64"),
    ),
    Code(
        "DGM802",
        "error",
        "how long to train: both ways or neither",
        "A train block says `steps` or `epochs`, one of the two.",
        "Two lengths contradict each other, and none is no plan.",
        wrong=_train("data = two_moons", "steps = 100", "epochs = 3"),
        right=_train(*_GOOD),
    ),
    Code(
        "DGM803",
        "error",
        "a setting with a value it cannot take",
        "Counts are whole numbers from 1 up, rates positive, and the others as their operations declare.",
        "A batch of 0 rows or an average with decay 1 trains nothing.",
        wrong=_train(*_GOOD, "batch = 0"),
        right=_train(*_GOOD, "batch = 64"),
    ),
    Code(
        "DGM804",
        "error",
        "training data of another type than the variable",
        "What a data source gives has the support and shape of the variable it fills.",
        "A density on real[2] says nothing about whole numbers in an image.",
        wrong=_train("data = digits(flat = true)", "steps = 100", x="real[64]", z="real[64]"),
        right=_train(
            "data = digits(flat = true)",
            "steps = 100",
            x="integer(0..16)[64]",
            z="real[64]",
            steps="dequantize(uniform); logit",
        ),
    ),
    Code(
        "DGM805",
        "warning",
        "training without data",
        "A loss that averages over observations needs `data`, in the block or as arrays from Python.",
        "`nll` is the mean of -log p(x) over data; only a loss such as `reverse_kl` draws its own points.",
        wrong=_train("steps = 100"),
        right=_train(*_GOOD),
    ),
    Code(
        "DGM806",
        "error",
        "training without a loss",
        "A model that is trained has a `loss`.",
        "Nothing says what training should make smaller.",
        wrong=_train(*_GOOD, loss=""),
        right=_train(*_GOOD),
    ),
    Code(
        "DGM808",
        "warning",
        "data that the training does not use",
        "`data` stands where some loss term averages over observations.",
        "A loss that draws its own points leaves the data unread.",
        wrong=(
            "dgm 1\nmodel M {\n    observe x : real[2] ~ exp(-dot(x, x) / 2)\n    latent z : real[2] ~ normal(0, 1)\n"
            "    flow x -> z { actnorm }\n    loss = reverse_kl\n}\n"
            "train M {\n    data = two_moons\n    steps = 100\n}\n"
        ),
        right=(
            "dgm 1\nmodel M {\n    observe x : real[2] ~ exp(-dot(x, x) / 2)\n    latent z : real[2] ~ normal(0, 1)\n"
            "    flow x -> z { actnorm }\n    loss = reverse_kl\n}\ntrain M {\n    steps = 100\n}\n"
        ),
    ),
    Code(
        "DGM809",
        "warning",
        "stopping without validation",
        "`stop` stands beside `validate`.",
        "It counts readings of the validation loss; without any the run goes on to its last step.",
        wrong=_train(*_GOOD, "stop = patience(10)"),
        right=_train(*_GOOD, "validate = holdout(0.1)", "stop = patience(10)"),
    ),
    Code(
        "DGM810",
        "error",
        "columns for a variable that the model does not have",
        "The names that a file source gives columns, keys or files to are observed or given variables of the model.",
        "A column for a misspelt variable would be left unread, and the variable without data.",
        wrong=_train('data = csv("moons.csv", y = ["a", "b"])', "steps = 100"),
        right=_train('data = csv("moons.csv", x = ["a", "b"])', "steps = 100"),
    ),
    Code(
        "DGM811",
        "error",
        "a data file outside the folder",
        "The path of a data file is relative to the folder of the spec, with forward slashes, and stays inside it.",
        "A spec from a stranger reads nothing but what lies beside it; other places are named by who runs it, with "
        "`--data NAME=PATH`.",
        wrong=_train('data = csv("../moons.csv", x = ["a", "b"])', "steps = 100"),
        right=_train('data = csv("moons.csv", x = ["a", "b"])', "steps = 100"),
    ),
    Code(
        "DGM812",
        "error",
        "standardising what has no scale of its own",
        "With `standardize = true` every observed variable is `real`, and the end of one flow.",
        "A shift and a scale that come from the data would move integers off the whole numbers, and an interval to one "
        "that nobody declared; without a flow nothing lies between the data and their law.",
        wrong=_train(
            "data = digits(flat = true)",
            "steps = 100",
            "standardize = true",
            x="integer(0..16)[64]",
            z="real[64]",
            steps="dequantize(uniform); logit",
        ),
        right=_train(*_GOOD, "standardize = true"),
    ),
    Code(
        "DGM813",
        "error",
        "a context dropped that nothing reads",
        "`drop` stands in the train block of a model with a noising arrow or an `ode` whose nets read a context, "
        "trained by a loss about that arrow.",
        "Of a share of the rows the net is shown a learned stand-in for the context, so that samples may be guided; "
        "without a context there is nothing to leave out.",
        wrong=_guided(bar="", train=("drop = 0.1",)),
        right=_guided(train=("drop = 0.1",)),
    ),
    Code(
        "DGM814",
        "error",
        "guidance without what it compares",
        "`guidance` stands in the sample block of a model trained with `drop`, of an `ode` or beside a sampler along "
        "its noising arrow.",
        "A guided sample moves away from the prediction without the context: a net that always saw one has no such "
        "prediction, and other ways to sample predict nothing.",
        wrong=_guided(sample=("guidance = 2",)),
        right=_guided(train=("drop = 0.1",), sample=("guidance = 2",)),
    ),
    Code(
        "DGM815",
        "error",
        "a given value of another type",
        "The value of a given variable in a sample block has its size and lies in its support.",
        "Of another label or another shape the model says nothing.",
        wrong=_guided(sample=("y = 7",)),
        right=_guided(sample=("y = 2",)),
    ),
    Code(
        "DGM816",
        "error",
        "known coordinates that nothing keeps",
        "The value of an observed variable in a sample block, some of its numbers `free`, stands beside a sampler "
        "along a noising arrow with a kernel that starts there.",
        "At each time such a sampler puts the known coordinates where the kernel has them; other ways to draw would "
        "draw them anew.",
        wrong=_guided(bar="", sample=("x = [0.5, free]", "method = mala(steps = 10, step_size = 0.1)")),
        right=_guided(bar="", sample=("x = [0.5, free]", "method = ddim(steps = 20)")),
    ),
    Code(
        "DGM817",
        "error",
        "weights that no row can count by",
        "`weights` names a column of the data that is no variable of the model, and every term of the loss that reads "
        "rows is a mean of numbers of single rows.",
        "A row of weight 2 counts as two of it would. A loss that draws its own points has no rows to weigh, and pairs "
        "that are made of a whole batch are no sum over its rows.",
        wrong=_train("data = two_moons", 'weights = "w"', "steps = 100"),
        right=_train('data = csv("moons.csv", x = ["a", "b"])', 'weights = "w"', "steps = 100"),
    ),
)
