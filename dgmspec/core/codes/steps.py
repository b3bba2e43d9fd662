"""Family 4xx, from 440: scalar bijectors, conditioners and their nets."""

from dgmspec.core.code import Code
from dgmspec.core.example import flow_text

CODES: tuple[Code, ...] = (
    Code(
        "DGM440",
        "error",
        "a map whose image of a bounded support is not fixed",
        "The image of a step is known from the text: a learned shift or scale takes all of ℝ, and a fixed one takes "
        "every coordinate to the same interval.",
        "A learned shift moves (0, 1) to an interval that changes while training: no prior could be declared on it.",
        wrong=flow_text("elementwise(affine); logit", x="unit[2]"),
        right=flow_text("logit; elementwise(affine)", x="unit[2]"),
    ),
    Code(
        "DGM441",
        "error",
        "a conditioner of a scalar bijector without parameters",
        "`coupling` and `autoregressive` take a scalar bijector that has parameters for their net to give.",
        "`tanh` is the same map whatever the other coordinates are; there is nothing to condition.",
        wrong=flow_text(
            "coupling(leaky_relu, mask = half, net = mlp(8)); coupling(affine, mask = alternate(1), net = mlp(8))"
        ),
        right=flow_text("leaky_relu; coupling(affine, mask = alternate(1), net = mlp(8))"),
    ),
    Code(
        "DGM442",
        "error",
        "a scalar bijector with parameters that stands as a step",
        "A scalar bijector is a step by itself only where it has no parameters; the others stand in a conditioner.",
        "`affine` alone does not say if its shift and scale are learned constants or functions of other coordinates.",
        wrong=flow_text("affine"),
        right=flow_text("elementwise(affine)"),
    ),
    Code(
        "DGM443",
        "error",
        "an autoregressive step of one coordinate",
        "An autoregressive step has two coordinates or more, or a context to condition on.",
        "The first coordinate has none before it: its parameters would be constants, which `elementwise` says plainly.",
        wrong=flow_text("autoregressive(affine, net = made(8))", "real[1]", "real[1] ~ normal(0, 1)"),
        right=flow_text("elementwise(affine)", "real[1]", "real[1] ~ normal(0, 1)"),
    ),
    Code(
        "DGM444",
        "error",
        "a net that cannot be masked",
        "The net of an autoregressive step is `made`, or an `mlp` or `resmlp` without normalisation.",
        "The parameters of a coordinate read those before it alone; layer normalisation would let every unit see all.",
        wrong=flow_text("autoregressive(affine, net = mlp(8, norm = layer))"),
        right=flow_text("autoregressive(affine, net = mlp(8))"),
    ),
    Code(
        "DGM445",
        "error",
        "a masked net without an order of its coordinates, or with two",
        "`made` and `masked_conv` are nets of autoregressive steps and laws, in the order stated there, and of the "
        "velocity of an `ode`, in their own.",
        "Their zeros follow from the order of the coordinates that they condition; elsewhere there is no such order.",
        wrong=flow_text(
            "coupling(affine, mask = half, net = made(8)); permute(reverse); "
            "coupling(affine, mask = half, net = mlp(8))"
        ),
        right=flow_text(
            "coupling(affine, mask = half, net = mlp(8)); permute(reverse); coupling(affine, mask = half, net = mlp(8))"
        ),
    ),
    Code(
        "DGM465",
        "error",
        "a net whose Lipschitz constant is not certified",
        "The net of a `residual` step is an `mlp`, or of images a `conv`, without normalisation and dropout.",
        "The step is invertible because its net contracts: the norms of the layers multiply to less than 1. Skips, "
        "normalisation and masks of dropped units have no such product.",
        wrong=flow_text("residual(mlp(8, norm = layer))"),
        right=flow_text("residual(mlp(8))"),
    ),
    Code(
        "DGM458",
        "error",
        "an energy that no step can move by",
        "The energy of a `metropolis` or `hmc` step is one number: a formula of the state, written `_`, and of what "
        "stands behind the flow's bar, or the name of a function of the state.",
        "The step adds the change of its energy to the log-density; an array is no such number, and what does not read "
        "the state never changes.",
        wrong=flow_text("actnorm; metropolis(_^2 / 2, scale = 0.5)"),
        right=flow_text("actnorm; metropolis(dot(_, _) / 2, scale = 0.5)"),
    ),
    Code(
        "DGM446",
        "error",
        "an event too large to be divided",
        "A coupling or an autoregressive step takes an event of at most 2^20 coordinates.",
        "Both list every coordinate; the limit keeps a check's time and memory bounded.",
        wrong=flow_text("coupling(affine, mask = half, net = mlp(1))", "real[2_000_000]", "real[*] ~ normal(0, 1)"),
        right=flow_text("elementwise(affine)", "real[2_000_000]", "real[*] ~ normal(0, 1)"),
    ),
)
