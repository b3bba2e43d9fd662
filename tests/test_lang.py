"""Specs built in Python: the same documents as those read from text."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import dgmspec.lang as lang
from dgmspec.core.diagnostics import SpecError
from dgmspec.lang import *  # noqa: F403
from dgmspec.ops import library, signature
from dgmspec.spec import Spec, diagnose, parse
from dgmspec.spec.bodies import TYPES
from dgmspec.spec.lang import _STATEMENTS, WORDS, stub_text

TEXT = """dgm 1
param depth = 8
fn β(t) = 0.1 + 19.9 * t

model RealNVP {
    observe x : real[2]
    latent z : real[2] ~ normal(0, 1)
    given c : interval(-1, 1)[8]
    given i : integer(0..255)[3, 32, 32]
    latent w : real[*]
    net h(c) : real[16] = mlp(64)
    learn a : positive = 1.0
    flow x -> z | h(c) {
        repeat depth as k {
            coupling(affine, mask = alternate(k), net = mlp(64, 64, activation = silu))
            actnorm
        }
        inverse sigmoid
        inverse {
            exp
            softplus
        }
        elementwise(inverse affine)
    }
    ode x -> w over t in 0..1 {
        velocity(y, t) = -1 / 2 * β(t) * y^2
        trace = exact
    }
    generate x | z ~ normal(mlp(400))
    loss = nll + 0.01 * kinetic(x -> w)
}

train RealNVP {
    steps = 5000
    data = csv("events.csv", x = ["px", "py"])
}
"""


def built() -> Spec:
    t, y, k, c = sym("t"), sym("y"), sym("k"), sym("c")  # noqa: F405
    realnvp = model(  # noqa: F405
        "RealNVP",
        observe("x", real[2]),  # noqa: F405
        latent("z", real[2], normal(0, 1)),  # noqa: F405
        given("c", interval(-1, 1)[8]),  # noqa: F405
        given("i", integer(0, 255)[3, 32, 32]),  # noqa: F405
        latent("w", real["*"]),  # noqa: F405
        net("h", "c", mlp(64), real[16]),  # noqa: F405
        learn("a", positive, 1.0),  # noqa: F405
        flow(  # noqa: F405
            "x",
            "z",
            repeat(  # noqa: F405
                sym("depth"),  # noqa: F405
                "k",
                coupling(affine, mask=alternate(k), net=mlp(64, 64, activation="silu")),  # noqa: F405
                actnorm,  # noqa: F405
            ),
            inverse(sigmoid),  # noqa: F405
            inverse(exp, softplus),  # noqa: F405
            elementwise(inverse(affine)),  # noqa: F405
            context=apply("h", c),  # noqa: F405
        ),
        path(  # noqa: F405
            "ode",
            "x",
            "w",
            define("velocity", ["y", "t"], -sym("one") / 2 * apply("β", t) * y**2),  # noqa: F405
            setting("trace", sym("exact")),  # noqa: F405
            over=("t", between(0, 1)),  # noqa: F405
        ),
        generate("x", normal(mlp(400)), "z"),  # noqa: F405
        loss(nll + 0.01 * apply("kinetic", along("x", "w"))),  # noqa: F405
    )
    events = apply("csv", "events.csv", x=["px", "py"])  # noqa: F405
    return Spec(
        param("depth", 8),  # noqa: F405
        fn("β", "t", 0.1 + 19.9 * t),  # noqa: F405
        realnvp,
        train("RealNVP", steps=5000, data=events),  # noqa: F405
    )


def test_python_and_text_spell_the_same_spec() -> None:
    text = TEXT.replace("-1 / 2", "-one / 2").replace("param depth = 8", "param depth = 8\nparam one = 1")

    assert Spec(built().items[0], param("one", 1), *built().items[1:]) == parse(text)  # noqa: F405
    assert parse(TEXT).text() == TEXT


def test_a_built_model_prints_checks_and_reads_back() -> None:
    made = model(  # noqa: F405
        "M",
        observe("x", real[2]),  # noqa: F405
        latent("z", real[2], normal(0, 1)),  # noqa: F405
        flow("x", "z", actnorm, linear(plu)),  # noqa: F405
        loss(nll),  # noqa: F405
    )

    assert parse(made.text()) == Spec(made)
    assert not Spec(made).check()


@pytest.mark.parametrize("name", sorted(WORDS))
def test_every_name_of_the_library_is_a_word(name: str) -> None:
    word = getattr(lang, name)

    assert word is WORDS[name] and repr(word) == name
    assert word() == sym(name)  # noqa: F405
    assert hasattr(builtins, name) or name in lang.__all__


def test_every_argument_of_the_library_is_accepted() -> None:
    for operation in library():
        word = WORDS.get(operation.name)
        for parameter in signature(operation) if word and operation.role != "block" else ():
            assert parameter.name in str(word(**{parameter.name: 1}))  # type: ignore[misc]


def test_numbers_of_numpy_are_numbers() -> None:
    assert lang.mlp(np.int64(64)) == lang.mlp(64)
    assert lang.param("a", [np.float32(0.5), -1]) == lang.param("a", [0.5, -1])


def test_an_unknown_argument_is_refused_at_once() -> None:
    with pytest.raises(SpecError, match="did you mean `mask`"):
        lang.coupling(lang.affine, msak=lang.half)
    with pytest.raises(SpecError, match="no argument"):
        lang.exp(base=2)
    with pytest.raises(SpecError):
        lang.mlp(object())
    with pytest.raises(AttributeError):
        lang.couplin  # noqa: B018


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: lang.flow("x", "z", "actnorm"), '`flow`: the text "actnorm" cannot be a step'),
        (lambda: lang.flow(3, "z"), "`flow`: 3 cannot be a name"),
        (lambda: lang.observe("x", 3), "`observe`: 3 cannot be a type"),
        (lambda: lang.observe("x y", lang.real), "`observe`: 'x y' cannot be a name"),
        (lambda: lang.model("M", "x"), "`model`: 'x' cannot be a member of a model"),
        (lambda: lang.model("M", lang.param("a", 1)), "`model`: a param cannot be a member of a model"),
        (lambda: lang.train("M", **{"learning rate": 1}), "`train`: 'learning rate' cannot be a name"),
        (lambda: lang.sym("2x"), "`sym`: '2x' cannot be a name"),
        (lambda: Spec(lang.observe("x", lang.real)), "`Spec`: a variable cannot be an item of a file"),
    ],
)
def test_what_makes_no_document_is_said_in_the_language_s_words(build: Callable[[], object], said: str) -> None:
    with pytest.raises(SpecError) as caught:
        build()
    assert said in str(caught.value)
    assert {found.code for found in caught.value.diagnostics} == {"DGM227"}


def test_every_type_of_the_language_has_a_constructor() -> None:
    assert set(TYPES) <= set(lang.__all__)
    assert "learn L : cholesky[2, 2]" in model("M", learn("L", cholesky[2, 2])).text()  # noqa: F405


def test_words_and_statements_share_no_name() -> None:
    assert not set(_STATEMENTS) & set(WORDS)


def test_mistakes_of_objects_are_found_as_those_of_text_are() -> None:
    wrong = Spec(model("M", observe("x", real[2]), flow("x", "y", actnorm)))  # noqa: F405

    assert "DGM201" in {d.code for d in diagnose(wrong.text()).diagnostics}


def test_the_stub_is_current() -> None:
    stub = Path(lang.__file__).with_suffix(".pyi")

    assert stub.read_text() == stub_text(), "run: python -m dgmspec.spec.lang > dgmspec/lang.pyi"
