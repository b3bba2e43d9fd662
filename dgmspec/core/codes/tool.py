"""Family 9xx: the tool itself."""

from dgmspec.core.code import Code

_PLAIN = (
    "dgm 1\nmodel M {\n    observe x : real[2]\n    latent z : real[2] ~ normal(0, 1)\n    flow x -> z { actnorm }\n}\n"
)

CODES: tuple[Code, ...] = (
    Code(
        "DGM901",
        "error",
        "a member that this version reads but does not compile",
        "Flows, generate, infer, energies, scores and arrows over time are compiled; what a member says beyond that, "
        "such as a net in the law of an `sde`, is read, printed and kept.",
        "Refusing them plainly is better than compiling a model that leaves out what its text says.",
        wrong="dgm 1\nmodel M {\n    latent x0 : real ~ normal(0, 1)\n    observe x : real\n    net f(x) = mlp(8)\n"
        "    sde x0 -> x over t in 0..1 { drift(x, t) = f(x); diffusion(t) = 1 }\n}\n",
        right=_PLAIN,
    ),
)
