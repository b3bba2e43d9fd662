"""Signatures ranked in messages: which operations a call that fits none may have meant."""

import pytest

import dgmspec

MODEL = """dgm 1
model M {{
    observe x : real[2]
    latent z : real[2] ~ {prior}
    flow x -> z {{
        coupling({scalar}, mask = half, net = {net})
    }}
}}
"""


def notes(scalar: str = "affine", net: str = "mlp(8)", prior: str = "normal(0, 1)") -> tuple[str, ...]:
    """The notes of the only finding."""
    (found,) = dgmspec.diagnose(MODEL.format(scalar=scalar, net=net, prior=prior)).diagnostics
    assert found.code in ("DGM230", "DGM232")
    return found.notes


def test_an_unknown_name_lists_the_operations_that_take_its_arguments() -> None:
    listed = notes(scalar="curve(bound = 2)")
    assert listed and "`rqs(bins = 8, bound = 3.0" in "".join(listed)
    assert all(line.endswith("takes these arguments") for line in listed)


def test_a_near_name_that_takes_the_call_needs_no_list() -> None:
    assert notes(scalar="afine(clamp = 2)") == ()
    assert notes(prior="normall(loc = 1)") == ()


def test_what_fits_comes_before_a_near_name_that_does_not_and_says_why() -> None:
    first, second, *_ = notes(net="mpl(8, tied = true)")
    assert first.startswith("near is `resmlp(") and first.endswith("takes these arguments")
    assert second.startswith("near is `mlp(") and second.endswith("has no argument `tied`")


def test_an_unknown_argument_names_who_has_it() -> None:
    form, *others = notes(net="made(8, blocks = 2)")
    assert form.startswith("its form is `made(")
    assert any(line.startswith("`resmlp(") for line in others)


@pytest.mark.parametrize("net", ["made(8, activaton = relu)", "mlp(8, 8, nonsense = 3)"])
def test_nobody_else_is_named_without_reason(net: str) -> None:
    assert len(notes(net=net)) == 1
