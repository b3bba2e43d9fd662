"""Family 4xx, from 460: bijectors of the author's own, where they are used and what they declare."""

from dgmspec.core.code import Code


def _file(bijector: str, step: str, x: str = "real[4]", z: str = "real[4] ~ normal(0, 1)") -> str:
    """A whole file with one bijector and one flow of it."""
    return (
        f"dgm 1\nbijector {bijector}\nmodel M {{\n    observe x : {x}\n    latent z : {z}\n"
        f"    flow x -> z {{\n        {step}\n    }}\n}}\n"
    )


_SLIDE = "slide(a, b) { net m(a) : like(b) = mlp(8); b <- sinh(b) - m(a); a <- a + sum(b) }"
_THREE = "ring(a, b, c) { b <- b + sum(a); c <- c * exp(tanh(b)); a <- sinh(a) + sum(c) }"

CODES: tuple[Code, ...] = (
    Code(
        "DGM460",
        "error",
        "an event that is not divided between the parts of a bijector",
        "A bijector of two parts is used with a mask, whose untouched set is part one, or with `parts = [n, m]`; one "
        "of more parts with `parts`, one count for each.",
        "Which coordinates are which part decides what the map is, so the text says it where the map is used.",
        wrong=_file(_SLIDE, "slide"),
        right=_file(_SLIDE, "slide(mask = half)"),
    ),
    Code(
        "DGM461",
        "error",
        "parts that do not add up to the event",
        "The counts of `parts` add up to the event's first dimension, which is that of the channels for an image.",
        "Every coordinate belongs to one part.",
        wrong=_file(_THREE, "ring(parts = [1, 1, 1])"),
        right=_file(_THREE, "ring(parts = [2, 1, 1])"),
    ),
    Code(
        "DGM462",
        "error",
        "a bijector without an update",
        "The body of a bijector holds at least one update, `x <- …`.",
        "Without one the map changes nothing, whatever it declares.",
        wrong=_file("still(x; a : positive) { fn f(t) = a * t }", "elementwise(still)"),
        right=_file("still(x; a : positive) { fn f(t) = a * t; x <- f(x) }", "elementwise(still)"),
    ),
    Code(
        "DGM463",
        "error",
        "a declaration that cannot stand in a bijector",
        "Parameters, learned constants and the values of nets are real numbers of a stated shape; nets are of the "
        "library.",
        "Each use of a bijector makes them anew, so there is nothing from outside to share, and a map of the reals is "
        "moved by real numbers.",
        wrong=_file("jump(x; k : integer(0..3)) { x <- x + k }", "elementwise(jump)"),
        right=_file("jump(x; k : interval(0, 3)) { x <- x + k }", "elementwise(jump)"),
    ),
    Code(
        "DGM464",
        "error",
        "a step of its own in the place of a scalar bijector",
        "A bijector is a scalar one if it has one part and neither nets nor `learn`s nor arrays; the others are steps.",
        "A conditioner moves coordinates one by one and supplies what stands after the `;`: several parts, or "
        "constants of the map's own, leave it nothing to do.",
        wrong=_file(_SLIDE, "elementwise(slide)"),
        right=_file(_SLIDE, "slide(mask = alternate(1))"),
    ),
)
