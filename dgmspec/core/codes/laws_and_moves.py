"""Families 340s and 470s to 490: structures that move or reshape coordinates, and the parameters of distributions."""

from dgmspec.core.code import Code
from dgmspec.core.example import flow_text


def _prior(law: str, support: str = "real[2]") -> str:
    """A whole file whose flow keeps the support, with `law` as its prior."""
    return flow_text("permute(reverse)", x=support, z=f"{support} ~ {law}")


def _rows(kept: str, x: str) -> str:
    """A whole file whose flow of time starts from rows of a file."""
    return (
        f'dgm 1\nmodel M {{\n    observe x : {x}\n    latent z : {x} ~ empirical(npy("start.npy"), {kept})\n'
        "    ode z -> x over t in 0..1 { velocity(y, t) = mlp(8) }\n    loss = flow_matching\n}\n"
    )


def _learned(law: str) -> str:
    """The same with a learned `sigma` in the model."""
    return _prior(law).replace("    latent", "    learn sigma : positive = 1\n    latent")


CODES: tuple[Code, ...] = (
    Code(
        "DGM340",
        "error",
        "an inverse reshape whose result nothing fixes",
        "`flatten` and `reshape` forget the shape they started from, so their inverses need it written: "
        "`reshape([1, 8, 8])`.",
        "A vector of 64 coordinates is an image in many ways, and the text does not say which is meant.",
        wrong=flow_text("inverse flatten; flatten", x="real[64]", z="real[64] ~ normal(0, 1)"),
        right=flow_text("reshape([1, 8, 8]); flatten", x="real[64]", z="real[64] ~ normal(0, 1)"),
    ),
    Code(
        "DGM341",
        "error",
        "dequantisation of something that is not a range of integers",
        "`dequantize` takes integer(a..b) onto interval(a, b + 1), and its inverse takes such an interval back.",
        "It adds a draw between 0 and 1 to a whole number; real values need none, and labels have no order in which a "
        "neighbour would be near.",
        wrong=flow_text("dequantize(uniform)"),
        right=flow_text("dequantize(uniform); logit", x="integer(0..16)[2]"),
    ),
    Code(
        "DGM347",
        "error",
        "an argmax of something that is not labels",
        "`argmax` takes category(k) to real numbers, and its inverse takes as many numbers back to labels.",
        "It draws numbers of which the label's is the largest; integers have an order, which `dequantize` keeps, and "
        "real values need no draw.",
        wrong=flow_text("argmax", x="integer(0..16)[2]"),
        right=flow_text("dequantize(uniform); logit", x="integer(0..16)[2]"),
    ),
    Code(
        "DGM481",
        "error",
        "a covariance that is none",
        "`multivariate_normal` has one matrix: `scale_tril`, lower triangular with a positive diagonal, or "
        "`covariance_matrix`, symmetric and positive definite.",
        "Without an inverse and a positive determinant there is no density.",
        wrong=flow_text("actnorm", z="real[2] ~ multivariate_normal(covariance_matrix = [[1, 2], [2, 1]])"),
        right=flow_text("actnorm", z="real[2] ~ multivariate_normal(covariance_matrix = [[2, 1], [1, 2]])"),
    ),
    Code(
        "DGM490",
        "error",
        "more rows of data than a law keeps",
        "`empirical` keeps at most 1,000,000 rows, and 67,108,864 numbers in all.",
        "They are part of the model: they stand in memory, in every checkpoint and in what is saved. A random part of "
        "a larger set does as well.",
        wrong=_rows("rows = 500_000", "real[4, 8, 8]"),
        right=_rows("rows = 20_000", "real[4, 8, 8]"),
    ),
    Code(
        "DGM470",
        "error",
        "a parameter of a distribution outside its domain",
        "Scales, rates, concentrations and degrees of freedom are positive; where they are formulas, for all values of "
        "what these read.",
        "For other values the formula is no probability density: it is not positive or does not integrate to 1. A "
        "scale without a sign passes 0 sooner or later, where the loss is no number.",
        wrong=_prior("normal(0, -1)"),
        right=_prior("normal(0, 1)"),
    ),
    Code(
        "DGM471",
        "error",
        "bounds of a uniform distribution that do not stand in order",
        "`uniform(low, high)` has low < high.",
        "An interval without length holds no density.",
        wrong=_prior("uniform(1, 0)", "unit[2]"),
        right=_prior("uniform(0, 1)", "unit[2]"),
    ),
    Code(
        "DGM472",
        "error",
        "weights that do not fit their mixture",
        "A mixture has at least one component, and as many weights as components, all positive; "
        "a formula for them has one entry for each component.",
        "The weights are relative chances and are divided by their sum; a component with weight 0 is never drawn and "
        "would make the log of its weight infinite.",
        wrong=_prior("mixture(normal(-2, 1), normal(2, 1), weights = [1, 2, 3])"),
        right=_prior("mixture(normal(-2, 1), normal(2, 1), weights = [1, 2])"),
    ),
    Code(
        "DGM473",
        "error",
        "components of a mixture on different supports",
        "All components of a mixture live on one support.",
        "The support of the whole would be the union, on parts of which some components have no density.",
        wrong=_prior("mixture(normal(-2, 1), exponential(1))"),
        right=_prior("mixture(normal(-2, 1), laplace(2, 1))"),
    ),
    Code(
        "DGM474",
        "error",
        "a parameter that is not a constant",
        "The bounds of `uniform` and the concentration of `von_mises` are numbers or params; other parameters may be "
        "formulas or networks.",
        "The bounds are the support, which a flow's image is compared with; and the draws around 0 of a von Mises law "
        "come from outside, made before anything else runs.",
        wrong=(
            "dgm 1\nmodel M {\n    observe x : circle[2]\n    learn a : positive = 1\n"
            "    latent z : circle[2] ~ von_mises(0, a)\n    flow x -> z { permute(reverse) }\n}\n"
        ),
        right=(
            "dgm 1\nmodel M {\n    observe x : circle[2]\n    learn a : real\n"
            "    latent z : circle[2] ~ von_mises(a, 2)\n    flow x -> z { permute(reverse) }\n}\n"
        ),
    ),
    Code(
        "DGM475",
        "warning",
        "a scale that looks like a variance",
        "`normal(loc, scale)` takes a standard deviation: the square of a `sigma`, `std` or `scale` is not its scale.",
        "Papers write N(μ, σ²), with the variance; read as a standard deviation it is another distribution, which "
        "trains as well and is noticed late.",
        wrong=_learned("normal(0, sigma^2)"),
        right=_learned("normal(0, sigma)"),
    ),
    Code(
        "DGM476",
        "error",
        "probabilities given twice",
        "`bernoulli` and `categorical` take either `probs` or `logits`, or neither for equal chances.",
        "One follows from the other; given both, the text would say two things about the same chance.",
        wrong=_prior("bernoulli(probs = 0.5, logits = 0)", "binary[2]"),
        right=_prior("bernoulli(logits = 0)", "binary[2]"),
    ),
)
