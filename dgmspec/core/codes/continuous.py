"""Family 6xx, 600 to 639: `ode` arrows."""

from dgmspec.core.code import Code


def _ode(
    *body: str, over: str = "t in 0..1", ends: str = "x -> z", x: str = "real[2]", more: str = "", size: int = 2
) -> str:
    """A whole file with one ode between x and z."""
    lines = "".join(f"        {line}\n" for line in body)
    return (
        f"dgm 1\nmodel M {{\n    observe x : {x}\n{more}    latent z : real[{size}] ~ normal(0, 1)\n"
        f"    ode {ends} over {over} {{\n{lines}    }}\n}}\n"
    )


_V = "velocity(y) = -y"

CODES: tuple[Code, ...] = (
    Code(
        "DGM600",
        "error",
        "what an `ode` does not hold, or lacks",
        "The braces of an `ode` hold one `velocity(y, t) = …`, the settings `solver`, `trace` and `gradient`, and "
        "definitions of their own.",
        "A velocity is all that moves the state; noise belongs to an `sde`.",
        wrong=_ode("drift(y, t) = -y"),
        right=_ode(_V),
    ),
    Code(
        "DGM601",
        "error",
        "an `ode` on a set that paths may leave",
        "The state of an `ode` runs over all of ℝ.",
        "Nothing in a velocity keeps a path inside an interval, so the density would leak out of it; a map onto ℝ "
        "before the arrow does.",
        wrong=_ode(_V, x="unit[2]"),
        right=_ode(_V, x="unit[2]", more="    latent u : real[2]\n    flow x -> u { logit }\n", ends="u -> z"),
    ),
    Code(
        "DGM602",
        "error",
        "a velocity of another shape than its state",
        "The velocity gives one number for each coordinate of the state.",
        "It is the rate at which that coordinate changes.",
        wrong=_ode("velocity(y) = [y[0], y[1], y[0]]"),
        right=_ode("velocity(y) = [y[1], y[0]]"),
    ),
    Code(
        "DGM603",
        "error",
        "a time that does not pass",
        "The time of an `ode` runs from one finite number to another, up or down: `over t in 0..1`.",
        "Between equal times the arrow is the identity, and to infinity no solver arrives.",
        wrong=_ode(_V, over="t in 1..1"),
        right=_ode(_V),
    ),
    Code(
        "DGM604",
        "error",
        "a velocity of something else than state, time and context",
        "A velocity takes the state and the time, in this order, and reads the variables behind the arrow's bar.",
        "The equation is solved for the state as a function of time; whatever else it reads is held fixed meanwhile, "
        "and must be known.",
        wrong=_ode("velocity(y, t) = c * y", more="    given c : real\n"),
        right=_ode("velocity(y) = c * y", more="    given c : real\n", ends="x -> z | c"),
    ),
    Code(
        "DGM605",
        "error",
        "dropout inside an equation",
        "The nets of a velocity, and of the law of an `sde`, have no dropout.",
        "They are evaluated many times on the way; with other units dropped each time they are no one function, and "
        "what follows is the path of no equation.",
        wrong=_ode("velocity(y, t) = mlp(8, dropout = 0.1)"),
        right=_ode("velocity(y, t) = mlp(8)"),
    ),
    Code(
        "DGM606",
        "warning",
        "an exact trace that is dear",
        "An exact trace without a formula takes one derivative for each coordinate; from 17 on that is worth a word.",
        "Every evaluation of the velocity then costs as much as so many; an unbiased estimate costs two.",
        wrong=_ode("velocity(y, t) = mlp(8, 8, 8)", "trace = exact", x="real[20]").replace(
            "z : real[2]", "z : real[20]"
        ),
        right=_ode("velocity(y, t) = mlp(8, 8)", "trace = exact", x="real[20]", size=20),
    ),
    Code(
        "DGM607",
        "warning",
        "an estimate where the trace itself costs no more",
        "A trace is estimated where it has no formula.",
        "An estimate adds noise to every likelihood and to every gradient of training, for nothing here.",
        wrong=_ode("velocity(y, t) = mlp(8, 8)", "trace = hutchinson"),
        right=_ode("velocity(y, t) = mlp(8, 8)"),
    ),
    Code(
        "DGM608",
        "warning",
        "a velocity that does not read its state",
        "A velocity depends on the state.",
        "Where it does not, all points move alike: the arrow is a shift, for which no equation need be solved.",
        wrong=_ode("velocity(y, t) = [t, 1]"),
        right=_ode("velocity(y, t) = t - y"),
    ),
    Code(
        "DGM609",
        "note",
        "a velocity that does not read its time",
        "A velocity that names the time reads it.",
        "`velocity(y) = …` says that the equation is the same at all times.",
        wrong=_ode("velocity(y, t) = -y"),
        right=_ode(_V),
    ),
    Code(
        "DGM610",
        "error",
        "more directions at right angles than there are coordinates",
        "`hutchinson(orthogonal, samples = k)` takes at most as many directions as the event has coordinates.",
        "In d dimensions only d directions stand at right angles to one another; with d the trace is exact.",
        wrong=_ode("velocity(y, t) = mlp(8, 8, 8)", "trace = hutchinson(orthogonal, samples = 3)"),
        right=_ode("velocity(y, t) = mlp(8, 8, 8)", "trace = hutchinson(orthogonal, samples = 2)"),
    ),
    Code(
        "DGM611",
        "error",
        "a teacher whose weights the model does not hold",
        "`reflow` is about an `ode` whose nets are of the library.",
        "The weights of its teacher are copies of the velocity's as they were when training began; those of an "
        "`external` net are Python's.",
        wrong=_ode("velocity(y, t) = f(y, t)", more="    net f(y, t) = external\n    loss = reflow\n"),
        right=_ode("velocity(y, t) = mlp(8)", more="    loss = reflow\n"),
    ),
)
