"""Families 3xx and 4xx, continued: steps, masks and nets of images."""

from dgmspec.core.code import Code
from dgmspec.core.example import flow_text


def _flow(steps: str, x: str = "real[4, 8, 8]", z: str = "real[*] ~ normal(0, 1)") -> str:
    """A whole file with one flow from an image to z."""
    return flow_text(steps, x, z)


CODES: tuple[Code, ...] = (
    Code(
        "DGM342",
        "error",
        "an image whose sides or channels a squeeze does not divide",
        "`squeeze` and `haar` halve height and width, so both are even; their inverses need channels in fours. "
        "`max_pool(k)` divides every side by k.",
        "A block of pixels that reaches over the border has no place in the smaller image.",
        wrong=_flow("squeeze; actnorm; squeeze", "real[1, 14, 14]"),
        right=_flow("squeeze; actnorm; squeeze", "real[1, 16, 16]"),
    ),
    Code(
        "DGM343",
        "error",
        "a split that has no two halves",
        "`split` takes an even number of channels, the first dimension; `inverse split` puts back what was split off "
        "last.",
        "One half of the channels goes on and the other joins the latent, so both must exist and be alike.",
        wrong=_flow("split; actnorm", "real[1, 8, 8]"),
        right=_flow("squeeze; split; actnorm", "real[1, 8, 8]"),
    ),
    Code(
        "DGM344",
        "error",
        "parts of a latent on different supports",
        "All parts that `split` sets aside, and what remains, live on one support.",
        "They are joined to one latent variable, and a variable has one support.",
        wrong=_flow("split; sigmoid", "real[4]", "unit[*] ~ uniform(0, 1)"),
        right=_flow("sigmoid; split; elementwise(rqs(4))", "real[4]", "unit[*] ~ uniform(0, 1)"),
    ),
    Code(
        "DGM345",
        "error",
        "a learned prior of a part whose latent does not factorise",
        "`split(prior = net)` stands under a prior of independent coordinates.",
        "The net says where the part set aside lies given what goes on; that is its conditional law only if the prior "
        "gives the part a law that does not depend on the rest of the latent.",
        wrong=_flow("split(prior = mlp(8))", "real[2]", "real[*] ~ mixture(normal(-2, 1), normal(2, 1))"),
        right=_flow("split(prior = mlp(8)); actnorm", "real[2]"),
    ),
    Code(
        "DGM346",
        "error",
        "an image that a U-Net cannot halve or attend over",
        "`unet` halves height and width between two levels, so they are even there; it attends at heights that its "
        "levels have, with heads that divide their channels.",
        "What comes up again must fit what the way down kept, pixel by pixel.",
        wrong=_flow(
            "coupling(affine, mask = channels(0), net = unet(8, 16, 16)); "
            "coupling(affine, mask = channels(1), net = unet(8, 16, 16))",
            "real[2, 14, 14]",
        ),
        right=_flow(
            "coupling(affine, mask = channels(0), net = unet(8, 16, 16)); "
            "coupling(affine, mask = channels(1), net = unet(8, 16, 16))",
            "real[2, 12, 12]",
        ),
    ),
    Code(
        "DGM348",
        "error",
        "a joint state whose parts do not fit together",
        "The parts of an arrow's end `[a, b]` are observed or latent variables on one support, each named once.",
        "They stand end to end in one vector, on which the steps act as on any other; what is given has no density.",
        wrong=_flow("actnorm", "real[2]")
        .replace("    latent", "    observe y : positive\n    latent")
        .replace("flow x", "flow [x, y]"),
        right=_flow("actnorm", "real[2]")
        .replace("    latent", "    observe y : real\n    latent")
        .replace("flow x", "flow [x, y]"),
    ),
    Code(
        "DGM349",
        "error",
        "a magnitude of numbers that do not lie evenly about 0",
        "`abs` takes `real` or `interval(-b, b)` onto the numbers above 0, and its inverse takes these to both signs.",
        "Each magnitude stands for two values, of either sign; where one of them is none, there is nothing to draw.",
        wrong=_flow("abs", "interval(-1, 2)[2]", "positive[2] ~ exponential(1)"),
        right=_flow("abs", "real[2]", "positive[2] ~ exponential(1)"),
    ),
    Code(
        "DGM447",
        "error",
        "a net of images where there is no image",
        "`conv`, `resnet` and `unet` read events [c, h, w] and give an event of the same height and width.",
        "A convolution slides over rows and columns; a vector has none.",
        wrong=_flow(
            "coupling(affine, mask = half, net = conv(8)); coupling(affine, mask = alternate(1), net = mlp(8))",
            "real[4]",
        ),
        right=_flow(
            "coupling(affine, mask = channels(0), net = conv(8)); coupling(affine, mask = channels(1), net = conv(8))"
        ),
    ),
    Code(
        "DGM448",
        "error",
        "a mask of rows and columns on an event without them",
        "`checkerboard` divides the pixels of an event [h, w] or [c, h, w].",
        "The parity of row plus column has no meaning for a vector.",
        wrong=_flow(
            "coupling(affine, mask = checkerboard(0), net = mlp(8)); "
            "coupling(affine, mask = checkerboard(1), net = mlp(8))",
            "real[4]",
        ),
        right=_flow(
            "coupling(affine, mask = checkerboard(0), net = conv(8)); "
            "coupling(affine, mask = checkerboard(1), net = conv(8))"
        ),
    ),
    Code(
        "DGM449",
        "error",
        "a time setting where no time is read",
        "`time = …` of a net says how it reads the time of an arrow over time; other uses of a net have none.",
        "The setting would do nothing, and its author expects a net that changes with time.",
        wrong=_flow("coupling(affine, mask = half, net = mlp(8, time = fourier(16))); linear(plu)", "real[4]"),
        right=_flow("coupling(affine, mask = half, net = mlp(8)); linear(plu)", "real[4]"),
    ),
    Code(
        "DGM457",
        "error",
        "a transformer without a sequence",
        "`transformer` reads an event [n] or [n, d] as n tokens; where it is causal, what it gives divides among them.",
        "Attention is between tokens: a single number has none, and an image is read by `unet` or `conv`.",
        wrong=_flow("split(prior = transformer(8)); actnorm", "real[2, 1, 1]"),
        right=_flow("split(prior = conv(8)); actnorm", "real[2, 1, 1]"),
    ),
    Code(
        "DGM510",
        "warning",
        "batch normalisation that data meet backwards",
        "Data meet `batchnorm` forward: from x to z as `batchnorm`, from z to x as `inverse batchnorm`.",
        "It normalises what arrives at its beginning. Undone, it reads averages that no batch has moved.",
        wrong=_flow("inverse batchnorm", "real[2]").replace("}\n}", "}\n    loss = nll\n}"),
        right=_flow("batchnorm", "real[2]").replace("}\n}", "}\n    loss = nll\n}"),
    ),
)
