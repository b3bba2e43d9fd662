"""Several mistakes in one text: each is reported, once, and none brings another one along."""

from collections import Counter
from itertools import combinations

import pytest

import dgmspec

GOOD = """dgm 1
param depth = 2
param width : positive = 8
fn ramp(t) = 1 + 2 * t
data moons = two_moons(n = 200)
bijector block(size = 8) = {
    coupling(affine, mask = half, net = mlp(size))
    permute(reverse)
}

model M {
    observe x : real[2]
    given c : real[3]
    learn a : positive = 1
    latent z : real[2] ~ normal(0, ramp(a))
    flow x -> z | c {
        actnorm
        repeat depth as k {
            coupling(affine, mask = alternate(k), net = mlp(width))
        }
        block(size = width)
        elementwise(rqs(bins = 4))
    }
    loss = nll
}

model Other {
    observe y : real[2]
    latent w : real[2] ~ normal(0, 1)
    flow y -> w { actnorm; linear(plu) }
    loss = nll
}

train Other {
    data = moons
    steps = 10
    optimizer = adam(lr = 1e-3)
}
"""

MISTAKES = {
    "head": ("param depth", "parma depth", "DGM116"),
    "param": ("positive = 8", "positive = -8", "DGM239"),
    "formula": ("2 * t", "2 t", "DGM111"),
    "unknown name": ("2 * t", "2 * s", "DGM201"),
    "data argument": ("n = 200", "m = 200", "DGM232"),
    "chain head": ("bijector block", "bijecter block", "DGM116"),
    "step of a chain": ("coupling(affine, mask = half", "coupling(affin, mask = half", "DGM230"),
    "type": ("x : real[2]", "x : reel[2]", "DGM213"),
    "given": ("given c", "givne c", "DGM116"),
    "learn": ("a : positive", "a : positiv", "DGM213"),
    "prior": ("~ normal(0, ramp(a))", "~ nrmal(0, ramp(a))", "DGM230"),
    "prior with =": ("~ normal(0, ramp(a))", "= normal(0, ramp(a))", "DGM110"),
    "step": ("        actnorm\n", "        actnrom\n", "DGM230"),
    "scalar": ("coupling(affine, mask = alternate", "coupling(afine, mask = alternate", "DGM230"),
    "free index": ("alternate(k)", "alternate(j)", "DGM201"),
    "step argument": ("bins = 4", "bims = 4", "DGM232"),
    "loss": ("    }\n    loss = nll", "    }\n    loss = nnl", "DGM230"),
    "loss with :": ("    }\n    loss = nll", "    }\n    loss: nll", "DGM110"),
    "other type": ("y : real[2]", "y : raal[2]", "DGM213"),
    "other shape": ("w : real[2]", "w : real[3]", "DGM301"),
    "other step": ("{ actnorm; linear(plu) }", "{ actnorm; linear(plu }", "DGM113"),
    "train model": ("train Other", "train Othre", "DGM201"),
    "setting": ("steps = 10", "stpes = 10", "DGM801"),
    "optimizer": ("adam(", "Adam(", "DGM230"),
    "sign": ("lr = 1e-3", "lr == 1e-3", "DGM105"),
}


DEPENDENT = (
    {"chain head", "step of a chain"},
    {"other type", "other shape"},
    {"other shape", "other step"},
    {"train model", "setting"},
    {"train model", "optimizer"},
    {"optimizer", "sign"},
)
"""The first of these takes away what the second is about."""


def errors(text: str) -> Counter[str]:
    return Counter(d.code for d in dgmspec.diagnose(text).diagnostics if d.severity == "error")


def planted(*names: str) -> tuple[str, Counter[str]]:
    """The text with these mistakes, and the codes that it should show."""
    text = GOOD
    for name in names:
        right, wrong, _ = MISTAKES[name]
        assert text.count(right) == 1, (name, text.count(right))
        text = text.replace(right, wrong)
    return text, Counter(MISTAKES[name][2] for name in names)


def compatible(*names: str) -> bool:
    """Whether the mistakes stand in different places, and each can be seen beside the others."""
    places = {GOOD.index(MISTAKES[name][0]) for name in names}
    return len(places) == len(names) and not any(pair <= set(names) for pair in DEPENDENT)


def test_the_text_without_mistakes_is_right() -> None:
    assert not errors(GOOD)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_error(name: str) -> None:
    text, expected = planted(name)
    assert errors(text) == expected, [str(d) for d in dgmspec.diagnose(text).diagnostics]


CHOSEN = [*combinations(MISTAKES, 2), *list(combinations(MISTAKES, 3))[::23], *list(combinations(MISTAKES, 5))[::997]]


@pytest.mark.parametrize("names", [names for names in CHOSEN if compatible(*names)], ids="+".join)
def test_several_mistakes_are_as_many_errors(names: tuple[str, ...]) -> None:
    text, expected = planted(*names)
    assert errors(text) == expected, [str(d) for d in dgmspec.diagnose(text).diagnostics]
