"""Family 4xx, from 450: updates of the author's own bijectors, and why one is no bijection."""

from dgmspec.core.code import Code


def _file(bijector: str, step: str, x: str = "real[2]", z: str = "real[2] ~ normal(0, 1)") -> str:
    """A whole file with one bijector and one flow of it."""
    ends = f"    observe x : {x}\n    latent z : {z}\n"
    return f"dgm 1\nbijector {bijector}\nmodel M {{\n{ends}    flow x -> z {{\n        {step}\n    }}\n}}\n"


CODES: tuple[Code, ...] = (
    Code(
        "DGM450",
        "error",
        "an update that is not strictly monotone",
        "The derivative of an update's right side is positive on the whole open support of its variable, or negative.",
        "Where it is 0 the density divides by 0, and where it changes sign two old values have one new value. The "
        "Jacobian of `x <- x^2` is diagonal, so the map lies in the class F of maps with lower-triangular Jacobian; on "
        "all of ℝ it does not lie in the class M of invertible maps.",
        wrong=_file("square(x) { x <- x^2 }", "square", "real[2]", "positive[2] ~ exponential(1)"),
        right=_file("square(x) { x <- x^2 }", "square", "positive[2]", "positive[2] ~ exponential(1)"),
    ),
    Code(
        "DGM451",
        "error",
        "an update that does not depend on its variable",
        "The right side of an update depends on the variable on its left.",
        "Otherwise the old value is lost and nothing can be undone.",
        wrong=_file("swap(a, b) { a <- b; b <- a }", "swap(mask = half)"),
        right=_file("mix(a, b) { a <- a + b; b <- b - sinh(a) }", "mix(mask = half)"),
    ),
    Code(
        "DGM452",
        "error",
        "an update whose direction depends on another name",
        "An update is increasing for all values of its parameters and other parts, or decreasing for all of them.",
        "Between two directions lies a value that maps everything to one point: `a * x` with `a` = 0.",
        wrong=_file("stretch(x; a) { x <- a * x }", "elementwise(stretch)"),
        right=_file("stretch(x; a : positive) { x <- a * x }", "elementwise(stretch)"),
    ),
    Code(
        "DGM453",
        "error",
        "a formula that leaves its domain",
        "Logarithms, roots, powers and divisions are defined for every value that their arguments can take.",
        "Outside the domain the update has no value: `log(x)` needs a positive variable.",
        wrong=_file("fold(x) { x <- log(x) }", "fold", "real[2]", "real[2] ~ normal(0, 1)"),
        right=_file("fold(x) { x <- log(x) }", "fold", "positive[2]", "real[2] ~ normal(0, 1)"),
    ),
    Code(
        "DGM454",
        "error",
        "an update that could not be proved to be a bijection",
        "The domain, the monotonicity and the image of an update are proved from its formula alone, in bounded time.",
        "The formula may be a bijection all the same; without a proof nothing would guarantee its density.",
        wrong=_file("loop(x) { x <- arctan(x); x <- tan(x) }", "loop"),
        right=_file("loop(x) { x <- tanh(x); x <- (x + 1) / 2; x <- logit(x) }", "loop"),
    ),
    Code(
        "DGM455",
        "error",
        "a variable that its update uses as a whole",
        "The variable of an update occurs coordinate by coordinate: in no reduction, index, `@`, `[…]` or net.",
        "Each coordinate is updated by a scalar function of itself; its derivative is one number a coordinate.",
        wrong=_file("centre(x) { x <- x - mean(x) }", "centre"),
        right=_file("centre(a, b) { b <- b - mean(a); a <- a + sinh(sum(b)) }", "centre(mask = half)"),
    ),
    Code(
        "DGM456",
        "error",
        "an update that jumps",
        "An update is continuous in its variable: `sign` of it may not change sign inside the support.",
        "What lies in the gap of a jump is reached by no old value, so the image is no interval.",
        wrong=_file("jump(x) { x <- x + sign(x) }", "jump"),
        right=_file("jump(x) { x <- x + tanh(x) }", "jump"),
    ),
)
