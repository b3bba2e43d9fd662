"""Family 4xx, continued: orders of coordinates that a net follows, and the laws that follow them."""

from dgmspec.core.code import Code


def _flow(steps: str, x: str = "real[3]", z: str = "") -> str:
    """A whole file with one flow from x to z."""
    return (
        f"dgm 1\nmodel M {{\n    observe x : {x}\n    latent z : {z or x} ~ normal(0, 1)\n"
        f"    flow x -> z {{ {steps} }}\n}}\n"
    )


def _law(law: str, given: str = "") -> str:
    """A whole file with one law of a binary x."""
    return f"dgm 1\nmodel M {{\n    {given}observe x : binary[3]\n    generate {law}\n    loss = nll\n}}\n"


_MASKED = "net = masked_conv(8))"

CODES: tuple[Code, ...] = (
    Code(
        "DGM466",
        "error",
        "a graph of coordinates with a cycle",
        "The edges of `dag` never lead from a coordinate back to itself.",
        "Each coordinate is found once those it is conditioned on are known; around a cycle none is ever the first.",
        wrong=_flow("autoregressive(affine, order = dag([[0, 1], [1, 0]]), net = made(8))", "real[2]"),
        right=_flow("autoregressive(affine, order = dag([[0, 1]]), net = made(8))", "real[2]"),
    ),
    Code(
        "DGM467",
        "error",
        "a net too narrow for its graph",
        "Each hidden layer of a net over a graph has at least one unit for each different set of parents.",
        "A unit reads the parents that some coordinate has, all of them and nothing else. Without one for a set, an "
        "edge of the graph would be written and not learned.",
        wrong=_flow("autoregressive(affine, order = dag([[0, 1], [0, 2], [1, 2]]), net = made(1))"),
        right=_flow("autoregressive(affine, order = dag([[0, 1], [0, 2], [1, 2]]), net = made(16))"),
    ),
    Code(
        "DGM468",
        "error",
        "an order of pixels on an event without them",
        "`raster` orders the pixels of an event [c, h, w].",
        "A vector has no rows and no columns to go through.",
        wrong=_flow("autoregressive(affine, order = raster, net = made(8))"),
        right=_flow("autoregressive(affine, order = natural, net = made(8))"),
    ),
    Code(
        "DGM469",
        "error",
        "an order that the net cannot follow",
        "The net `masked_conv` follows `raster`, `natural` or `reverse`, and `transformer` any order but a graph.",
        "The kernels of `masked_conv` are the same at every pixel, so what comes before a pixel must be the same seen "
        "from every pixel; in a random order, or over a graph, it is not. A token of a `transformer` passes on what it "
        "has read of its own parents, which over a graph need not be parents of those who read it.",
        wrong=_flow(f"autoregressive(affine, order = random(1), {_MASKED}; flatten", "real[1, 2, 2]", "real[4]"),
        right=_flow(f"autoregressive(affine, order = raster, {_MASKED}; flatten", "real[1, 2, 2]", "real[4]"),
    ),
    Code(
        "DGM477",
        "error",
        "a law whose parameters a net gives has some of its own",
        "The law in `autoregressive(D, net = …)` is one of independent coordinates, written without parameters.",
        "The net gives the parameters of each coordinate from those before it; one written beside would not be read.",
        wrong=_law("x ~ autoregressive(bernoulli(0.3), net = made(8))"),
        right=_law("x ~ autoregressive(bernoulli, net = made(8))"),
    ),
    Code(
        "DGM478",
        "error",
        "an autoregressive law given several values",
        "One value after the bar conditions the net of an autoregressive law.",
        "Values of different types are joined by `[a, b]`, which says in which order.",
        wrong=_law("x | a, b ~ autoregressive(bernoulli, net = made(8))", "given a : real[2]; given b : real[3]; "),
        right=_law("x | [a, b] ~ autoregressive(bernoulli, net = made(8))", "given a : real[2]; given b : real[3]; "),
    ),
)
