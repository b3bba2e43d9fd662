"""Family 4xx, from 450: updates of the author's own bijectors, and why one is no bijection."""

from dgmspec.core.code import Code

_HOW = "an update `v <- …` of a bijector of the author's own, on a support where it breaks this rule"

CODES: tuple[Code, ...] = (
    Code(
        "DGM450",
        "error",
        "an update that is not strictly monotone",
        "The derivative of an update's right side is positive on the whole open support of its variable, or negative.",
        "Where it is 0 the density divides by 0, and where it changes sign two old values have one new value.",
        wrong_command=_HOW,
    ),
    Code(
        "DGM451",
        "error",
        "an update that does not depend on its variable",
        "The right side of an update depends on the variable on its left.",
        "Otherwise the old value is lost and nothing can be undone.",
        wrong_command=_HOW,
    ),
    Code(
        "DGM452",
        "error",
        "an update whose direction depends on another name",
        "An update is increasing for all values of its parameters and other parts, or decreasing for all of them.",
        "Between two directions lies a value that maps everything to one point: `a * x` with `a` = 0.",
        wrong_command=_HOW,
    ),
    Code(
        "DGM453",
        "error",
        "a formula that leaves its domain",
        "Logarithms, roots, powers and divisions are defined for every value that their arguments can take.",
        "Outside the domain the update has no value: `log(x)` needs a positive variable.",
        wrong_command=_HOW,
    ),
    Code(
        "DGM454",
        "error",
        "an update that could not be proved to be a bijection",
        "The domain, the monotonicity and the image of an update are proved from its formula alone, in bounded time.",
        "The formula may be a bijection all the same; without a proof nothing would guarantee its density.",
        wrong_command=_HOW,
    ),
    Code(
        "DGM455",
        "error",
        "a variable that its update uses as a whole",
        "The variable of an update occurs coordinate by coordinate: in no reduction, index, `@`, `[…]` or net.",
        "Each coordinate is updated by a scalar function of itself; its derivative is one number a coordinate.",
        wrong_command=_HOW,
    ),
    Code(
        "DGM456",
        "error",
        "an update that jumps",
        "An update is continuous in its variable: `sign` of it may not change sign inside the support.",
        "What lies in the gap of a jump is reached by no old value, so the image is no interval.",
        wrong_command=_HOW,
    ),
)
