"""Indexed latent variables: ``z[k]`` for each k of a range, with the laws of all of them in one line."""

from __future__ import annotations

import pytest
import torch

import dgmspec
from dgmspec.graph.words import law_label
from tests.test_latent import DOUBLE, text

HVAE = (
    "observe x : binary[6]",
    "latent z[k] : real[2 * k] for k in 1..T",
    "generate z[k] | z[k + 1] ~ normal(mlp(4 * k))",
    "generate z[T] ~ normal(0, 1)",
    "generate x | z[1] ~ bernoulli(mlp(4))",
    "infer z[1] | x ~ normal(mlp(4))",
    "infer z[k] | z[k - 1] ~ normal(mlp(4)) for k in 2..T",
    "loss = elbo",
)


def spec(*members: str) -> dgmspec.Spec:
    return dgmspec.parse(text(*members).replace("dgm 1\n", "dgm 1\nparam T = 3\n"))


def test_laws_are_written_for_each_k_at_which_all_that_they_read_is_there() -> None:
    model = dgmspec.compile(spec(*HVAE), dtype=DOUBLE)
    assert [law_label(model.graph, law) for law in model.graph.laws] == [
        "x | z_1 ~ bernoulli(mlp(4))",
        "z_1 | z_2 ~ normal(mlp(4))",
        "z_1 | x ~ normal(mlp(4))",
        "z_2 | z_3 ~ normal(mlp(8))",
        "z_2 | z_1 ~ normal(mlp(4))",
        "z_3 ~ normal",
        "z_3 | z_2 ~ normal(mlp(4))",
    ]
    x = torch.ones(5, 6, dtype=DOUBLE)
    assert {name: tuple(z.shape) for name, z in model.encode(x, seed=0).items()} == {
        "z_1": (5, 2),
        "z_2": (5, 4),
        "z_3": (5, 6),
    }
    deeper = dgmspec.compile(spec(*HVAE), params={"T": 5})
    assert len(deeper.graph.laws) == 11 and deeper.sample(3, seed=0).shape == (3, 6)
    assert "M/generate z(k)[k=2]/law/net/0/weight" in dict(deeper.named_parameters())
    assert dgmspec.parse(spec(*HVAE).text()) == spec(*HVAE)


def test_a_prior_and_contexts_read_indexed_variables_too() -> None:
    found = dgmspec.compile(
        spec(
            "observe x : real[2]",
            "latent z[i] : real[2] ~ normal(i, 1) for i in 1..2",
            "latent w : real[2] ~ normal(0, 1)",
            "flow x -> w | [z[1], z[2]] { coupling(affine, mask = half, net = mlp(4)) }",
            "infer z[i] | x ~ normal(mlp(4))",
            "loss = elbo",
        )
    )
    ledger = found.loss_ledger(torch.zeros(2, 2), seed=0)[1]
    assert [step.kind for step in ledger].count("kl") == 2 and found.density == "lower bound"


REFUSED = {
    "beyond": ("generate x | z[4] ~ bernoulli(mlp(4))", "beyond"),
    "all of them": ("generate x | z ~ bernoulli(mlp(4))", "stands for several"),
    "a fraction": ("generate x | z[1.5] ~ bernoulli(mlp(4))", "whole number"),
    "its own range": ("generate z[k] | z[k + 1] ~ normal(mlp(4)) for k in 1..T", "beyond"),
    "another index": ("generate z[k] | x ~ normal(mlp(4)) for j in 1..T", "has not `j`"),
    "data": ("observe y[k] : real[2] for k in 1..2", "only latent"),
    "no range": ("latent y[k] : real[2]", "runs over"),
    "a falling range": ("latent y[k] : real[2] for k in 3..1", "runs from 3 to 1"),
    "the name taken": ("latent z_2 : real[2] ~ normal(0, 1)", "has this name already"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_index_can_be_is_refused_where_it_stands(name: str) -> None:
    member, said = REFUSED[name]
    written = text("observe x : binary[6]", "latent z[k] : real[2] for k in 1..T", member)
    found = dgmspec.diagnose(written.replace("dgm 1\n", "dgm 1\nparam T = 3\n")).diagnostics
    errors = [d for d in found if d.severity == "error"]
    assert [d.code for d in errors] == ["DGM736"] and said in errors[0].message and errors[0].help


def test_two_laws_of_one_of_them_are_told_at_their_lines() -> None:
    members = (*HVAE[:-1], "generate z[2] ~ normal(0, 2)", HVAE[-1])
    found = dgmspec.diagnose(text(*members).replace("dgm 1\n", "dgm 1\nparam T = 3\n"))
    (error,) = [d for d in found.diagnostics if d.severity == "error"]
    assert error.code == "DGM720" and "`z[2]`" in error.message


def test_findings_name_them_as_they_are_written() -> None:
    """What the help says can be written down as it stands; a variable that is called `z_2` itself keeps its name."""
    without = [member for member in HVAE if not member.startswith("infer z[k]")]
    written = text(*without).replace("dgm 1\n", "dgm 1\nparam T = 3\n")
    found = dgmspec.diagnose(written).diagnostics
    assert [(d.code, d.help) for d in found] == [
        ("DGM731", ("write `infer z[2] | x ~ …`",)),
        ("DGM731", ("write `infer z[3] | x ~ …`",)),
    ]
    assert [label.text for d in found for label in d.labels] == ["`z[2]` is latent", "`z[3]` is latent"]
    same = dgmspec.diagnose(text("latent z[k] : real ~ normal(0, 1) for k in 1..2", "latent z_2 : real")).diagnostics
    assert next(d for d in same if d.code == "DGM736").message == "`z_2` has this name already"
