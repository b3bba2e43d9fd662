"""Family 3xx: supports and shapes."""

from dgmspec.core.code import Code

_HEAD = "dgm 1\n"


def _flow(x: str, z: str, steps: str, more: str = "") -> str:
    """A whole file with one flow from x to z."""
    lines = "".join(f"        {step}\n" for step in steps.split("; ") if step)
    return (
        f"{_HEAD}model M {{\n    observe x : {x}\n    latent z : {z}\n    flow x -> z {{\n{lines}    }}\n"
        f"{more and f'    {more}' + chr(10)}}}\n"
    )


CODES: tuple[Code, ...] = (
    Code(
        "DGM301",
        "error",
        "the shape that arrives is not the shape declared",
        "The event shape at the end of an arrow equals the shape of the variable it reaches.",
        "A flow neither drops nor adds coordinates: two shapes that differ cannot be the two ends of one bijection.",
        wrong=_flow("real[2]", "real[3] ~ normal(0, 1)", "actnorm"),
        right=_flow("real[2]", "real[2] ~ normal(0, 1)", "actnorm"),
    ),
    Code(
        "DGM302",
        "error",
        "the image of a flow is not the support of its prior",
        "The image of the chain equals the support of the prior at its end: every point the prior can draw has exactly "
        "one point of the data space that maps to it.",
        'If the image is smaller, the prior\'s mass outside it belongs to no data: the "density" integrates to less '
        "than 1 and samples from there have no inverse. If it is larger, some data would have density zero.",
        wrong=_flow("real[2]", "real[2] ~ normal(0, 1)", "actnorm; sigmoid"),
        right=_flow("real[2]", "unit[2] ~ uniform(0, 1)", "actnorm; sigmoid"),
    ),
    Code(
        "DGM303",
        "error",
        "a step is applied outside its domain",
        "The support that reaches a step lies within the step's domain; a step that scales, shifts or mixes by learned "
        "amounts takes ℝ alone, since its image of a bounded set would move as it learns.",
        "`logit` is defined on (0, 1) alone; on other inputs it has no value, so the chain has no density there. An "
        "image that is by design a part of ℝ, that of `logit(alpha)`, is read as a part of ℝ (DGM308).",
        wrong=_flow("real[2]", "real[2] ~ normal(0, 1)", "logit"),
        right=_flow("unit[2]", "real[2] ~ normal(0, 1)", "logit"),
    ),
    Code(
        "DGM304",
        "error",
        "a step cannot take an event of this shape",
        "The shape that reaches a step is one that the step accepts.",
        "A permutation of three coordinates, say, has no meaning for an event of two.",
        wrong=_flow("real[2]", "real[2] ~ normal(0, 1)", "permute([2, 0, 1])"),
        right=_flow("real[2]", "real[2] ~ normal(0, 1)", "permute([1, 0])"),
    ),
    Code(
        "DGM305",
        "error",
        "a dimension that nothing fixes",
        "Every `[*]` follows from the arrow that joins the variable to one whose shape is known.",
        "A dimension that the text does not fix is an error, never a guess.",
        wrong=_flow("real[*]", "real[*] ~ normal(0, 1)", "actnorm"),
        right=_flow("real[2]", "real[*] ~ normal(0, 1)", "actnorm"),
    ),
    Code(
        "DGM306",
        "error",
        "a distribution does not live on its variable's support",
        "The support of a distribution equals the support of the variable it is declared for.",
        "A variable declared `real` whose density is zero below 0 is no real variable: the two statements contradict "
        "each other, and the arrows that reach it would be checked against the wrong one.",
        wrong=_flow("real[2]", "real[2] ~ exponential(1)", "actnorm"),
        right=_flow("positive[2]", "positive[2] ~ exponential(1)", "permute(reverse)"),
    ),
    Code(
        "DGM307",
        "error",
        "an event or a number of parameters beyond the limit",
        "An event has at most 10^9 elements, a model at most 10^9 parameters.",
        "The limit is checked from the text alone, before any memory is asked for; beyond it a slip of a digit is "
        "likelier than a machine that could hold the model.",
        wrong=_flow(
            "real[100_000]", "real[100_000] ~ normal(0, 1)", "coupling(affine, mask = half, net = mlp(100_000))"
        ),
        right=_flow("real[100]", "real[100] ~ normal(0, 1)", "autoregressive(affine, net = made(100))"),
    ),
    Code(
        "DGM308",
        "note",
        "an into-map is accepted: the density is a lower bound",
        "A step that says itself that its image is a part of the line (`logit(alpha)`) stands before steps that need "
        "the line and before a wider prior; towards the data it is undone, `inverse logit(alpha)`, behind them. Steps "
        "between that keep an interval, such as splines, keep the image.",
        "The prior's mass outside the image belongs to no data, so the density integrates to what is left, and "
        "`log_prob` lies below that of the samples by the logarithm of this share; `sample` draws again what falls "
        "outside.",
        wrong=_flow("unit[2]", "real[2] ~ normal(0, 1)", "logit(0.05)"),
        right=_flow("unit[2]", "real[2] ~ normal(0, 1)", "logit"),
    ),
    Code(
        "DGM309",
        "error",
        "a type that describes no set of values",
        "Bounds stand in order, counts and dimensions are positive whole numbers, and `*` stands alone.",
        "`interval(1, -1)` is empty and `real[0]` has no coordinate, so no density lives there.",
        wrong=_flow("interval(1, -1)[2]", "real[2] ~ normal(0, 1)", "logit"),
        right=_flow("unit[2]", "real[2] ~ normal(0, 1)", "logit"),
    ),
    Code(
        "DGM310",
        "error",
        "a parameter whose shape does not fit the event",
        "A distribution's parameter is a number, or an array that broadcasts to the shape of the event.",
        "Three means cannot be the means of two coordinates.",
        wrong=_flow("real[2]", "real[2] ~ normal([0, 1, 2], 1)", "actnorm"),
        right=_flow("real[2]", "real[2] ~ normal([0, 1], 1)", "actnorm"),
    ),
    Code(
        "DGM311",
        "error",
        "a bijection of a continuous variable met a discrete one",
        "A step with a derivative takes a continuous event; integers pass `dequantize` first.",
        "Change of variables multiplies a density by |det J|; whole numbers carry masses, which no Jacobian changes.",
        wrong=_flow("integer(0..16)[4]", "real[4] ~ normal(0, 1)", "actnorm"),
        right=_flow("integer(0..16)[4]", "real[4] ~ normal(0, 1)", "dequantize(uniform); logit; actnorm"),
    ),
    Code(
        "DGM312",
        "error",
        "parts of an expression whose shapes do not agree",
        "Arrays in a formula broadcast against each other, an index stays inside its array, and `@` joins equal sizes.",
        "A sum of two and three coordinates has no meaning.",
        wrong=_flow("real[2] ~ exp(-dot(x, [1, 2, 3])^2)", "real[2] ~ normal(0, 1)", "actnorm", "loss = reverse_kl"),
        right=_flow("real[2] ~ exp(-dot(x, x) / 2)", "real[2] ~ normal(0, 1)", "actnorm", "loss = reverse_kl"),
    ),
    Code(
        "DGM313",
        "error",
        "a map of the line met angles",
        "A step on `circle` joins its two ends: -π and π are one point, before it and after it.",
        "A map that treats angles as numbers tears the circle at ±π and gives that one point two densities.",
        wrong=_flow("circle[2]", "circle[2] ~ uniform(-pi, pi)", "elementwise(affine)"),
        right=_flow("circle[2]", "circle[2] ~ uniform(-pi, pi)", "elementwise(rqs)"),
    ),
)
