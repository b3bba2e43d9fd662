"""Family 4xx, continued: orders of coordinates that a net follows."""

from dgmspec.core.code import Code


def _flow(step: str, x: str = "real[3]") -> str:
    """A whole file with one step from x to z."""
    return (
        f"dgm 1\nmodel M {{\n    observe x : {x}\n    latent z : {x} ~ normal(0, 1)\n"
        f"    flow x -> z {{\n        {step}\n    }}\n}}\n"
    )


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
)
