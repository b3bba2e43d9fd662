"""Family 7xx: origins of variables, losses and samplers against the graph."""

from dgmspec.core.code import Code
from dgmspec.core.example import model_text

_X, _Z = "observe x : real[2]", "latent z : real[2] ~ normal(0, 1)"
_TARGET = "observe x : real[2] ~ exp(-dot(x, x) / 2)"
_FLOW = "flow x -> z { actnorm }"

CODES: tuple[Code, ...] = (
    Code(
        "DGM701",
        "error",
        "a variable with two origins",
        "A variable has one origin: a prior, or one arrow to a variable that has one.",
        "Two arrows into z are two densities of z, and the text does not say which is meant.",
        wrong=model_text(
            _X,
            "latent y : real[2]",
            _Z,
            "flow x -> z { actnorm }",
            "flow x -> y { actnorm }",
            "flow y -> z { actnorm }",
        ),
        right=model_text(_X, _Z, "flow x -> z { actnorm; permute(reverse) }"),
    ),
    Code(
        "DGM702",
        "error",
        "`nll` without a density",
        "`nll` needs log p(x): a chain of arrows from x to a variable with a prior.",
        "Without a prior at its end the chain is a map, not a distribution, and has no likelihood.",
        wrong=model_text(_X, "latent z : real[2]", _FLOW, "loss = nll"),
        right=model_text(_X, _Z, _FLOW, "loss = nll"),
    ),
    Code(
        "DGM703",
        "error",
        "`reverse_kl` without a target",
        "`reverse_kl` needs an unnormalised density of x beside the flow: `observe x : T ~ exp(e)`.",
        "KL(q || p) is an average over the model's own samples of log q - log p; without p there is nothing to "
        "compare with.",
        wrong=model_text(_X, _Z, _FLOW, "loss = reverse_kl"),
        right=model_text(_TARGET, _Z, _FLOW, "loss = reverse_kl"),
    ),
    Code(
        "DGM704",
        "error",
        "a target with learned parameters",
        "A target `~ exp(e)` beside an arrow is fixed: its formula holds no learned parameter.",
        "Its normalising constant is unknown and would change with the parameter, so minimising the loss over it would "
        "reward a growing constant instead of a better fit.",
        wrong=model_text(
            "learn a : positive = 1", "observe x : real[2] ~ exp(-a * dot(x, x))", _Z, _FLOW, "loss = reverse_kl"
        ),
        right=model_text(_TARGET, _Z, _FLOW, "loss = reverse_kl"),
    ),
    Code(
        "DGM705",
        "error",
        "a loss term that fits several variables",
        "A loss term without argument binds to the only variable it fits; where several fit, it names one.",
        "Which density is to be fitted is the author's decision.",
        wrong=model_text(
            "observe x : real[2]",
            "observe y : real[2]",
            "latent z : real[2] ~ normal(0, 1)",
            "latent w : real[2] ~ normal(0, 1)",
            "flow x -> z { actnorm }",
            "flow y -> w { actnorm }",
            "loss = nll",
        ),
        right=model_text(
            "observe x : real[2]",
            "observe y : real[2]",
            "latent z : real[2] ~ normal(0, 1)",
            "latent w : real[2] ~ normal(0, 1)",
            "flow x -> z { actnorm }",
            "flow y -> w { actnorm }",
            "loss = nll(x) + nll(y)",
        ),
    ),
    Code(
        "DGM706",
        "error",
        "a loss term that names no variable it could fit",
        "The argument of a loss term is an observed variable of the model.",
        "A loss is about the data; latent and given variables have none to fit.",
        wrong=model_text(_X, _Z, _FLOW, "loss = nll(y)"),
        right=model_text(_X, _Z, _FLOW, "loss = nll(x)"),
    ),
    Code(
        "DGM707",
        "error",
        "arrows that run in a circle",
        "Following the arrows from a variable never leads back to it.",
        "A variable that is a function of itself is an equation, not a model.",
        wrong=model_text(_X, "latent z : real[2]", "flow x -> z { actnorm }", "flow z -> x { actnorm }"),
        right=model_text(_X, "latent z : real[2] ~ normal(0, 1)", "flow x -> z { actnorm }"),
    ),
    Code(
        "DGM708",
        "error",
        "two priors on one chain",
        "A chain of flows has a prior at one of its variables only.",
        "The flow already carries the first prior to every variable it joins; a second would be another density for "
        "the same variable.",
        wrong=model_text("observe x : real[2] ~ normal(0, 1)", _Z, _FLOW),
        right=model_text(_X, _Z, _FLOW),
    ),
    Code(
        "DGM709",
        "warning",
        "a variable that stands alone",
        "An observed or latent variable has a density of its own or is an end of an arrow.",
        "Nothing generates it and nothing follows from it, so the model says nothing about it.",
        wrong=model_text(_X, _Z, "observe y : real[2]", _FLOW),
        right=model_text(_X, _Z, _FLOW),
    ),
    Code(
        "DGM710",
        "error",
        "a given variable with a density",
        "A `given` is supplied with every call: it has no prior and no arrow ends at it.",
        "A variable that the model must explain is `observe`; one it may draw is `latent`.",
        wrong=model_text(_X, _Z, "given c : real[2]", "flow x -> z { actnorm }", "flow z -> c { actnorm }"),
        right=model_text(_X, _Z, "given c : real[2]", "flow x -> z | c { elementwise(affine, net = mlp(8)) }"),
    ),
    Code(
        "DGM711",
        "error",
        "an unnormalised density where a distribution is needed",
        "`~ exp(e)` stands on an observed variable; a latent one has a distribution that can be drawn from.",
        "Sampling starts at the latent variable, and an unnormalised density cannot be drawn from directly.",
        wrong=model_text(_X, "latent z : real[2] ~ exp(-dot(z, z))", _FLOW),
        right=model_text(_X, _Z, _FLOW),
    ),
    Code(
        "DGM712",
        "error",
        "a prior over a variable that is not given",
        "The parameters of priors read given variables; a law that depends on others is written `generate z | y ~ …`.",
        "What they read must be known at the moment it is needed: a prior may depend on what is given, not on what it "
        "is to explain.",
        wrong=model_text(_X, "latent z : real[2] ~ normal(x, 1)", _FLOW),
        right=model_text(_X, "given c : real[2]", "latent z : real[2] ~ normal(c, 1)", _FLOW),
    ),
    Code(
        "DGM713",
        "error",
        "a loss that is no arithmetic over loss terms",
        "`loss` is a sum or product of loss terms, numbers and params, with at least one term.",
        "A loss without a term is a constant: nothing would be learned.",
        wrong=model_text(_X, _Z, _FLOW, "loss = 1 + 2"),
        right=model_text(_X, _Z, _FLOW, "loss = 2 * nll"),
    ),
    Code(
        "DGM714",
        "error",
        "a member or setting given twice, or unknown to a model",
        "A model's only setting is `loss`, once.",
        "Training settings stand in a `train` block, so that one model may be trained in several ways.",
        wrong=model_text(_X, _Z, _FLOW, "lss = nll"),
        right=model_text(_X, _Z, _FLOW, "loss = nll"),
    ),
    Code(
        "DGM715",
        "error",
        "a sampler that does not suit the model",
        "`langevin`, `mala` and `hmc` follow the density of one variable on ℝ or an interval, exact or known up to a "
        "constant; every other sampler runs along an arrow of its kind.",
        "A chain follows the slope of the log-density with normal noise: without a density there is no slope, and "
        "labels have none.",
        wrong=model_text("observe x : category(3) ~ categorical(logits = [0, 1, 2])")
        + "sample M { method = mala(500, 0.5) }\n",
        right=model_text(_TARGET) + "sample M { method = mala(500, 0.5) }\n",
    ),
    Code(
        "DGM716",
        "warning",
        "a loss term that training makes larger",
        "Every term of a loss is made smaller: `nll` is minus the log-likelihood, `elbo` and `iwae` are minus bounds.",
        "Papers maximise the evidence lower bound; `loss = -elbo` would drive it down, and the run would never end.",
        wrong=model_text(_X, _Z, _FLOW, "loss = -nll"),
        right=model_text(_X, _Z, _FLOW, "loss = nll"),
    ),
)
