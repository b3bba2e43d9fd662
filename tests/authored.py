"""Author-written bijectors for the tests: those that are accepted, with the events they follow, and those refused."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Own:
    """Definitions, the steps that use them behind a type, what they give, whether a context reaches them."""

    bijector: str
    steps: str
    before: str = "real[4]"
    after: str = "real"
    context: bool = False

    def __str__(self) -> str:
        return f"{self.steps} | {self.before} | {self.bijector[:60]}"

    @property
    def text(self) -> str:
        """The model of these steps alone."""
        given, bar = ("    given c : real[2]\n", " | c") if self.context else ("", "")
        ends = f"    observe x : {self.before}\n{given}    latent z : {self.after}[*]\n"
        flow = f"    flow x -> z{bar} {{\n        {self.steps}\n    }}\n"
        return f"dgm 1\n{self.bijector}\nmodel M {{\n{ends}{flow}}}\n"


TILTED = "bijector tilted(x; a : positive, b) { x <- sinh(a * arcsinh(x) + b) }"
SLIDE = """bijector slide_coupling(a, b) {
    net s(a) : like(b) = mlp(8, 8)
    net m(a) : like(b) = mlp(8, 8)
    b <- (b - m(a)) * exp(-s(a))
}"""
REVNET = """bijector revnet(a, b) {
    net F(b) : like(a) = mlp(8); net G(a) : like(b) = mlp(8); a <- a + F(b); b <- b + G(a)
}"""
NAMED = f"{SLIDE}\nbijector block(w = 64) = {{ actnorm; linear(plu); slide_coupling(mask = half) }}"

_CONV = """bijector f(a, b) {
    net s(a) : like(b) = conv(2)
    net m(a) : like(b) = conv(2)
    b <- b * exp(s(a)) + m(a)
}"""

ACCEPTED = (
    # One part, no parameters: the map is a step by itself.
    Own("bijector f(x) { x <- x + 0.5 * sin(x) }", "f"),
    Own("bijector f(x) { x <- sinh(x) }", "f", "real[3]"),
    Own("bijector f(x) { x <- x^3 + x }", "inverse f"),
    Own("bijector f(x) { x <- 1 / (1 + exp(-x)) }", "f", "real[3]", "unit"),
    Own("bijector f(x) { x <- log(x / (1 - x)) }", "f", "unit[3]", "real"),
    Own("bijector f(x) { x <- x^2 }", "f", "positive[3]", "positive"),
    Own("bijector f(x) { x <- sqrt(x) }", "f", "positive[3]", "positive"),
    Own("bijector f(x) { x <- log(x); x <- x + tanh(x); x <- exp(x) }", "f", "positive[3]", "positive"),
    Own("bijector f(x) { x <- 1 / x }", "f", "positive[3]", "positive"),
    Own("bijector f(x) { x <- -x }", "f", "unit[3]", "interval(-1, 0)"),
    Own("bijector f(x) { x <- 2 * x - 1 }", "f", "unit[3]", "interval(-1, 1)"),
    Own("bijector f(x) { x <- erf(x) }", "f", "real[3]", "interval(-1, 1)"),
    Own("bijector f(x) { x <- softplus(x) }", "inverse f", "positive[3]", "real"),
    Own("param p = 3\nfn g(t) = t + tanh(t)\nbijector f(x) { fn h(t) = g(p * t); x <- h(x) }", "f"),
    Own("bijector f(x) { x <- x + exp(x) }", "f"),
    Own("bijector f(x) { x <- arctan(x) }", "f", "real[2]", "interval(-1.5707963267948966, 1.5707963267948966)"),
    Own(
        "bijector f(x) { x <- 2 * x; x <- x + 1; x <- sinh(x); x <- arcsinh(x / 3); x <- -x; x <- tanh(x); "
        "x <- (x + 1) / 2; x <- log(x); x <- -x; x <- log(x) }",
        "f",
    ),
    Own("bijector f(x) { x <- max(x, 3 * x) + abs(x) / 2 }", "f"),
    # One part with parameters, in every conditioner.
    Own(TILTED, "elementwise(tilted)"),
    Own(TILTED, "coupling(tilted, mask = half, net = mlp(8))"),
    Own(TILTED, "autoregressive(tilted, net = made(8))"),
    Own(TILTED, "inverse autoregressive(tilted, net = made(8))", "real[3]"),
    Own(TILTED, "coupling(inverse tilted, mask = alternate(1), net = mlp(8))"),
    Own(TILTED, "elementwise(tilted(a = 2)); elementwise(tilted(0.5, 1)); tilted(2, b = -1)"),
    Own(TILTED, "elementwise(tilted, net = mlp(8))", context=True),
    Own(TILTED, "coupling(tilted, mask = half, net = mlp(8))", "real[2, 2]", context=True),
    Own("bijector f(x; a : unit) { x <- x + a * sin(x) }", "elementwise(f)"),
    Own("bijector f(x; a : unit) { x <- x + a * sin(x) }", "coupling(f, mask = half, net = mlp(8))"),
    Own("bijector f(x; a : unit) { x <- x + a * sin(x) }", "autoregressive(f, net = made(8))", "real[3]"),
    Own("bijector f(x; a) { x <- x * exp(a) }", "elementwise(f)", "positive[3]", "positive"),
    Own("bijector f(x; a : positive) { x <- x^a }", "coupling(f, mask = half, net = mlp(8))", "unit[4]", "unit"),
    Own("bijector f(x; a : positive, b) { x <- sigmoid(a * logit(x) + b) }", "elementwise(f)", "unit[3]", "unit"),
    Own("bijector f(x; a : positive, b : interval(-1, 1)) { x <- a * x; x <- x + b }", "elementwise(f)"),
    # One part as a step: constants of its own, vectors.
    Own("bijector f(x) { learn a : positive = 2; x <- a * x }", "f"),
    Own("bijector f(x) { learn a : like(x); learn b : positive[4] = [1, 2, 3, 4]; x <- sinh(b * x + a) }", "f"),
    Own("bijector f(x) { x <- x + [1, 2, 3, 4] }", "f"),
    Own("bijector f(x; a : positive[2, 2]) { x <- x * sum(a) }", "f", "real[3]"),
    # Two parts.
    Own(SLIDE, "slide_coupling(mask = half)"),
    Own(SLIDE, "slide_coupling(mask = alternate(1))", "real[3]", context=True),
    Own(SLIDE, "inverse slide_coupling(parts = [3, 2])", "real[5]"),
    Own(SLIDE, "slide_coupling(mask = random(2))", "real[2, 2]"),
    Own(SLIDE, "slide_coupling(parts = [1, 2])", "real[3, 2, 2]", context=True),
    Own(REVNET, "revnet(mask = half)"),
    Own(REVNET, "inverse revnet(parts = [2, 3])", "real[5]", context=True),
    Own(NAMED, "block; inverse block"),
    Own("bijector f(a, b) { b <- b + sum(a); a <- a - mean(b) }", "f(mask = half)"),
    Own("bijector f(a, b) { b <- b * exp(tanh(a[0])); a <- a + b }", "f(parts = [2, 2])"),
    Own(
        "bijector f(a, b) { learn A : real[2, 2]; b <- b + A @ a; a <- a + norm(b) }",
        "f(mask = half); inverse f(mask = half)",
    ),
    Own("bijector f(a, b; k : positive) { b <- b + k * a }", "f(mask = half); f(0.5, mask = half)"),
    Own(
        "bijector f(a, b) { net w(a) : unit = mlp(8); net m(a, s) : like(b) = mlp(8); learn s = 1;"
        " b <- b + w(a) * sin(b); b <- b + m(a, s) }",
        "f(mask = half)",
    ),
    Own(
        "bijector f(a, b) { net s(a) : positive[2] = mlp(8); b <- sigmoid(s(a) * logit(b)); a <- a^2 }",
        "f(mask = half)",
        "unit[4]",
        "unit",
    ),
    Own(
        "bijector f(a, b) { net s(a) : like(b) = mlp(8); net t(a) : like(b) = mlp(8); b <- b * exp(s(a) * t(a)^2) }",
        "f(mask = half)",
    ),
    Own("bijector f(a, b) { net s(a) : real = resmlp(8); b <- b + s(a); b <- b * exp(s(a)) }", "f(mask = half)"),
    Own(SLIDE, "slide_coupling(mask = indices([]))", "real[2]", context=True),
    # Images: parts of whole channels, and pixels of a checkerboard, which nets of images meet in the event's shape.
    Own(SLIDE, "slide_coupling(mask = channels(1))", "real[4, 2, 2]"),
    Own(_CONV, "f(mask = channels(0))", "real[2, 3, 3]"),
    Own(_CONV, "f(mask = checkerboard(1)); inverse f(mask = checkerboard(0))", "real[1, 3, 3]", context=True),
    Own(_CONV, "f(parts = [1, 2])", "real[3, 2, 2]"),
    # Three parts.
    Own(
        "bijector f(a, b, c) { net n(a, c) : like(b) = mlp(8); net k(b) : like(c) = mlp(8);"
        " b <- b + n(a, c); c <- c * exp(k(b)); a <- a + tanh(a) }",
        "f(parts = [2, 1, 2])",
        "real[5]",
    ),
    Own(
        "bijector f(a, b, c) { b <- b + a; c <- c + b; a <- a + c }",
        "f(parts = [1, 1, 1]); permute(reverse)",
        "real[3, 2, 2]",
    ),
    Own(
        "bijector f(a, b, c) { net s(a, b) : real[3] = mlp(8); c <- c * exp(s(a, b)) }",
        "inverse f(parts = [1, 1, 3])",
        "real[5]",
        context=True,
    ),
)


@dataclass(frozen=True)
class Refused:
    """A bijector and its use, the code it gives and the piece of text that it points at."""

    bijector: str
    steps: str
    code: str
    at: str
    before: str = "real[4]"

    def __str__(self) -> str:
        return f"{self.code} {self.bijector[:70]} | {self.steps}"

    @property
    def text(self) -> str:
        """The model of these steps alone."""
        return Own(self.bijector, self.steps, self.before).text


_PLAIN = "bijector f(x) {{ x <- {} }}"


def _line(value: str, code: str, before: str = "real[3]", more: str = "") -> Refused:
    """One update of one variable, refused at the whole line."""
    return Refused(f"{more}bijector f(x) {{ x <- {value} }}", "f", code, f"x <- {value}", before)


REFUSED = (
    # Not strictly monotone on the support.
    _line("x^2", "DGM450"),
    _line("x^3", "DGM450"),
    _line("x + sin(x)", "DGM450"),
    _line("sin(x)", "DGM450"),
    _line("cosh(x)", "DGM450"),
    _line("abs(x)", "DGM450"),
    _line("x * exp(-x)", "DGM450"),
    _line("x + 2 * sin(x)", "DGM450"),
    _line("relu(x)", "DGM450"),
    _line("x^2 - x", "DGM450", "unit[3]"),
    _line("x - 1 / x", "DGM453", "real[3]"),
    _line("exp(-x^2)", "DGM450"),
    _line("max(x, 0)", "DGM450"),
    # Constant in the variable.
    _line("1", "DGM451"),
    _line("x - x", "DGM451"),
    _line("0 * x + 2", "DGM451"),
    Refused("bijector f(a, b) { a <- b; b <- a }", "f(mask = half)", "DGM451", "a <- b"),
    Refused("bijector f(a, b) { a <- a + b; a <- b }", "f(mask = half)", "DGM451", "a <- b"),
    Refused("bijector f(a, b) { net s(a) : like(b) = mlp(8); b <- s(a) }", "f(mask = half)", "DGM451", "b <- s(a)"),
    # The direction depends on something else.
    Refused("bijector f(x; a) { x <- a * x }", "elementwise(f)", "DGM452", "x <- a * x"),
    Refused("bijector f(x; a) { x <- sinh(a * x) }", "elementwise(f)", "DGM452", "x <- sinh(a * x)"),
    Refused("bijector f(a, b) { b <- b * a }", "f(mask = half)", "DGM452", "b <- b * a"),
    Refused(
        "bijector f(a, b) { net s(a) : like(b) = mlp(8); b <- b * s(a) }", "f(mask = half)", "DGM452", "b <- b * s(a)"
    ),
    Refused(
        "bijector f(a, b) { b <- b + b * tanh(sum(a)) * 2 }",
        "f(mask = half)",
        "DGM454",
        "b <- b + b * tanh(sum(a)) * 2",
    ),
    # Outside a domain.
    _line("log(x)", "DGM453"),
    _line("sqrt(x)", "DGM453"),
    _line("1 / x", "DGM453"),
    _line("logit(x)", "DGM453"),
    _line("log(x - 1)", "DGM453", "positive[3]"),
    _line("x^0.5", "DGM453"),
    _line("erfinv(x)", "DGM453"),
    Refused("bijector f(x) { x <- exp(x); x <- logit(x) }", "f", "DGM453", "x <- logit(x)"),
    # Not coordinatewise in the variable.
    _line("x - mean(x)", "DGM455"),
    _line("x / norm(x)", "DGM455"),
    _line("x + x[0]", "DGM455"),
    _line("[[1, 0], [1, 1]] @ x", "DGM455", "real[2]"),
    _line("x + dot(x, x)", "DGM455"),
    Refused("bijector f(x) { net s(x) : like(x) = mlp(8); x <- x + s(x) }", "f", "DGM455", "x <- x + s(x)"),
    Refused(
        "bijector f(a, b) { net s(a, b) : like(b) = mlp(8); b <- b + s(a, b) }",
        "f(mask = half)",
        "DGM455",
        "b <- b + s(a, b)",
    ),
    # A jump.
    _line("x + sign(x)", "DGM456"),
    # Images that depend on parameters, parts on different sets, images that the next step does not take.
    Refused("bijector f(x; a : positive) { x <- a * x }", "elementwise(f)", "DGM440", "x <- a * x", "unit[3]"),
    Refused("bijector f(a, b) { b <- exp(b) }", "f(mask = half)", "DGM440", "b <- exp(b)"),
    Refused("bijector f(x) { x <- exp(x) }", "f; logit", "DGM303", "logit"),
    Refused("bijector f(x) { x <- x + 1 }", "f", "DGM311", "f", "integer(0..3)[2]"),
    # How it is used.
    Refused(SLIDE, "slide_coupling", "DGM460", "slide_coupling"),
    Refused(
        SLIDE, "slide_coupling(mask = half, parts = [2, 2])", "DGM460", "slide_coupling(mask = half, parts = [2, 2])"
    ),
    Refused("bijector f(a, b, c) { b <- b + a + c }", "f(mask = half)", "DGM460", "half"),
    Refused("bijector f(a, b, c) { b <- b + a + c }", "f(parts = [2, 2])", "DGM460", "[2, 2]"),
    Refused(SLIDE, "slide_coupling(parts = [1, 2])", "DGM461", "[1, 2]"),
    Refused(SLIDE, "slide_coupling(mask = indices([0, 1, 2, 3]))", "DGM402", "indices([0, 1, 2, 3])"),
    Refused(SLIDE, "slide_coupling(msk = half)", "DGM232", "msk"),
    Refused(SLIDE, "coupling(slide_coupling, mask = half, net = mlp(8))", "DGM464", "slide_coupling"),
    Refused(TILTED, "tilted", "DGM442", "tilted"),
    Refused(TILTED, "elementwise(tilted(a = -1))", "DGM234", "-1"),
    Refused(TILTED, "elementwise(tilted(1, 2, 3))", "DGM232", "3"),
    Refused(TILTED, "elementwise(tilted(c = 1))", "DGM232", "c"),
    Refused("bijector f(x) { x <- sinh(x) }", "coupling(f, mask = half, net = mlp(8))", "DGM441", "f"),
    Refused(SLIDE, "inverse slide_coupling(parts = [1, 2])", "DGM461", "[1, 2]"),
    # What it declares.
    Refused(
        "bijector f(a, b) { net s(a) : real[3] = mlp(8); b <- b + s(a) }",
        "inverse f(mask = half)",
        "DGM312",
        "b <- b + s(a)",
    ),
    Refused("bijector f(a, b) { net s(a) = mlp(8); b <- b + s(a) }", "f(mask = half)", "DGM305", "net s(a) = mlp(8)"),
    Refused("bijector f(a, b) { net s(a) : like(c) = mlp(8); b <- b + s(a) }", "f(mask = half)", "DGM201", "c"),
    Refused(
        "bijector f(a, b) { net s(a) : real[3] = mlp(8); b <- b + s(a) }", "f(mask = half)", "DGM312", "b <- b + s(a)"
    ),
    Refused("bijector f(a, b) { net s(a) : like(b) = made(8); b <- b + s(a) }", "f(mask = half)", "DGM445", "made(8)"),
    Refused(
        "bijector f(a, b) { net s(a) : like(b) = mlp(8); b <- b + s(a); b <- b * exp(s([a, a])) }",
        "f(mask = half)",
        "DGM312",
        "b <- b * exp(s([a, a]))",
    ),
    Refused("net h(a) : real[2] = mlp(8)\nbijector f(a, b) { b <- b + h(a) }", "f(mask = half)", "DGM463", "b + h(a)"),
    Refused("bijector f(x; k : category(3)) { x <- x + k }", "elementwise(f)", "DGM463", "category(3)"),
    Refused("bijector f(x) { learn a : positive = -1; x <- x * a }", "f", "DGM234", "-1"),
    Refused(
        "bijector f(x; a : positive) { fn h(t) = a * t }", "elementwise(f)", "DGM462", "bijector f(x; a : positive)"
    ),
)
