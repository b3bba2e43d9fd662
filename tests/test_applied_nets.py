"""Named nets applied to formulas: in contexts, in laws, in targets; against the same net by hand."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import dgmspec
from dgmspec.core.types import REAL, Type
from dgmspec.modules.compiled import CompiledModel
from tests.zoo import randomise

GENERATOR = torch.Generator().manual_seed(0)
X, C, D = (torch.randn(5, 2, dtype=torch.float64, generator=GENERATOR) for _ in range(3))


def model(members: str) -> CompiledModel:
    found = dgmspec.compile(dgmspec.parse(f"dgm 1\nmodel M {{\n{members}\n}}\n"), dtype=torch.float64).eval()
    randomise(found)
    return found


def net(found: CompiledModel, name: str, x: Tensor) -> Tensor:
    """An mlp of one hidden layer, by its weights."""
    p = dict(found.named_parameters())
    hidden = F.silu(x @ p[f"M/{name}/0/weight"].T + p[f"M/{name}/0/bias"])
    return hidden @ p[f"M/{name}/1/weight"].T + p[f"M/{name}/1/bias"]


def normal(x: Tensor, loc: Tensor, scale: Tensor | float = 1.0) -> Tensor:
    scale = torch.as_tensor(scale, dtype=x.dtype)
    return (-0.5 * ((x - loc) / scale) ** 2 - scale.log() - 0.5 * math.log(2 * math.pi)).sum(1)


@pytest.mark.parametrize(
    ("applied", "read"),
    [
        ("h(2 * c - 1)", lambda found: 2 * C - 1),
        ("h(pair(c, 3))", lambda found: C + 3),
        ("h([c[1], c[0]^2])", lambda found: torch.stack((C[:, 1], C[:, 0] ** 2), 1)),
        ("h(k * c)", lambda found: dict(found.named_parameters())["M/k"] * C),
        ("h(c + g(2 * c))", lambda found: C + net(found, "g", 2 * C)),
        ("h(2 * g(c))", lambda found: 2 * net(found, "g", C)),
    ],
)
def test_a_law_reads_a_net_of_a_formula(applied: str, read: object) -> None:
    found = model(
        "given c : real[2]\nlearn k = 0.5\nfn pair(a, b) = a + b\nnet g(c) : real[2] = mlp(3)\n"
        f"net h(c) : real[2] = mlp(4)\nobserve x : real[2] ~ normal(k + {applied} + 0 * g(c), 1)"
    )
    k = dict(found.named_parameters())["M/k"]
    expected = normal(X, k + net(found, "h", read(found)))  # type: ignore[operator]
    torch.testing.assert_close(found.log_prob(X, {"c": C}), expected)


def test_several_arguments_may_be_formulas_and_numbers() -> None:
    found = model("given c : real[2]\nnet h(a, b) : real[2] = mlp(4)\nobserve x : real[2] ~ normal(h(-c, 0.5), 1)")
    read = torch.cat((-C, torch.full((5, 1), 0.5, dtype=torch.float64)), 1)
    torch.testing.assert_close(found.log_prob(X, {"c": C}), normal(X, net(found, "h", read)))


def test_a_list_of_arrays_is_read_end_to_end() -> None:
    found = model(
        "given c : real[2]\ngiven d : real[2]\nnet h(a) : real[2] = mlp(4)\n"
        "observe x : real[2] ~ normal(h([c, d, sum(c)]), 1)"
    )
    read = torch.cat((C, D, C.sum(1, keepdim=True)), 1)
    torch.testing.assert_close(found.log_prob(X, {"c": C, "d": D}), normal(X, net(found, "h", read)))


def test_a_context_reads_a_net_of_a_formula() -> None:
    """And in the flow's nets it stands beside what they read."""
    members = (
        "given c : real[2]\nnet h(c) : real[3] = mlp(4)\nobserve x : real[2]\nlatent z : real[2] ~ normal(0, 1)\n"
        "flow x -> z | {} {{ elementwise(affine, net = mlp(4)) }}"
    )
    found, plain = model(members.format("h(2 * c)")), model(members.format("h(c)"))
    torch.testing.assert_close(found.log_prob(X, {"c": C}), plain.log_prob(X, {"c": 2 * C}))
    gradients = torch.autograd.grad(found.log_prob(X, {"c": C}).sum(), list(found.parameters()))
    assert all(float(g.abs().max()) > 0 for g in gradients)


def test_a_net_of_images_reads_a_formula_as_an_image() -> None:
    members = (
        "given i : real[1, 4, 4]\nnet h(i) : real[2, 4, 4] = conv(3)\nobserve x : real[2, 4, 4] ~ normal(h({}), 1)"
    )
    image = torch.randn(3, 1, 4, 4, dtype=torch.float64, generator=GENERATOR)
    x = torch.randn(3, 2, 4, 4, dtype=torch.float64, generator=GENERATOR)
    found, plain = model(members.format("2 * i - 1")), model(members.format("i"))
    torch.testing.assert_close(found.log_prob(x, {"i": image}), plain.log_prob(x, {"i": 2 * image - 1}))


def test_a_net_without_a_type_gives_the_parameters_of_a_law() -> None:
    found = model("given c : real[2]\nnet h(c) = mlp(4)\nobserve x : real[2] ~ normal(h(c^2))")
    loc, raw = net(found, "h", C**2).split(2, 1)
    torch.testing.assert_close(found.log_prob(X, {"c": C}), normal(X, loc, F.softplus(raw) + 1e-6))


def test_a_net_of_latent_values_is_learned_through_them() -> None:
    """Of a formula of z, whose type the flow alone gives."""
    found = model(
        "observe x : real[2]\nlatent z : real[2] ~ normal(0, 1)\nlatent w : real[*]\nflow z -> w { actnorm }\n"
        "net h(w) : real[2] = mlp(4)\ninfer z | x ~ normal(mlp(4))\ngenerate x | w ~ normal(h(2 * w), 1)\nloss = elbo"
    )
    found.loss({"x": X}, seed=0).total.backward()
    assert all(p.grad is not None and float(p.grad.abs().max()) > 0 for n, p in found.named_parameters() if "/h/" in n)


def test_a_target_reads_a_net_of_a_formula() -> None:
    found = model("net E(x) : real = mlp(4)\nobserve x : real[2] ~ exp(-E(x / 2) - dot(x, x))")
    (slope,) = torch.autograd.grad(-net(found, "E", (x := X.clone().requires_grad_()) / 2).sum() - (x * x).sum(), x)
    torch.testing.assert_close(found.score(X), slope)


def test_equal_formulas_are_worked_out_once() -> None:
    found = model(
        "given c : real[2]\nnet h(c) : real[2] = mlp(4)\n"
        "observe x : real[2] ~ normal(h(2 * c) + h(2 * c)^2, exp(h(3 * c)))"
    )
    assert len(found.graph.nets) == 2 and len(found.graph.formulas) == 2
    loc, scale = net(found, "h", 2 * C), net(found, "h", 3 * C).exp()
    torch.testing.assert_close(found.log_prob(X, {"c": C}), normal(X, loc + loc**2, scale))
    assert {found.graph.type_of(f.target) for f in found.graph.formulas.values()} == {Type(REAL, (2,))}


def test_a_network_of_the_users_own_reads_formulas() -> None:
    class Sum(nn.Module):
        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return a + b

    members = "given c : real[2]\nnet h(a, b) : real[2] = external\nobserve x : real[2] ~ normal(h([0, 1], 2 * c), 1)"
    found = dgmspec.compile(
        dgmspec.parse(f"dgm 1\nmodel M {{\n{members}\n}}\n"), nets={"h": Sum()}, dtype=torch.float64
    )
    expected = normal(X, 2 * C + torch.tensor([0.0, 1.0], dtype=torch.float64))
    torch.testing.assert_close(found.log_prob(X, {"c": C}), expected)


@pytest.mark.parametrize(
    ("applied", "code"),
    [("h(2 * z)", "DGM201"), ("h(2 * x)", "DGM712"), ("h(c @ c @ c)", "DGM312"), ("h(c, 2 * c)", "DGM211")],
)
def test_what_a_net_cannot_read_is_told(applied: str, code: str) -> None:
    members = f"given c : real[2]\nnet h(c) : real[2] = mlp(4)\nobserve x : real[2] ~ normal({applied}, 1)"
    assert code in {d.code for d in dgmspec.diagnose(f"dgm 1\nmodel M {{\n{members}\n}}\n").diagnostics}


@pytest.mark.parametrize("context", ["h(z, c)", "h([z, c])", "z, c", "z"])
@pytest.mark.parametrize("law", ["gumbel_softmax(mlp(4))", "nearest(mlp(4), dim = 2)"])
def test_a_label_in_a_list_passes_its_surrogates_gradient(law: str, context: str) -> None:
    """As it does as an argument by itself; the divergence is left out."""
    net = "" if context in ("z, c", "z") else f"net h({'a, b' if context == 'h(z, c)' else 'a'}) : real[2] = mlp(4)\n"
    found = model(
        f"given c : real\nobserve x : real[2]\nlatent z : category(3) ~ categorical(1)\ninfer z | x ~ {law}\n{net}"
        f"latent w : real[2] ~ normal(0, 1)\nflow x -> w | {context} {{ elementwise(affine, net = mlp(4)) }}\n"
        "loss = elbo(beta = 1e-12)"
    )
    found.train().loss({"x": X, "c": C[:, 0]}, seed=0).total.backward()
    reached = [p.grad for n, p in found.named_parameters() if "infer" in n and p.grad is not None]
    assert max(float(gradient.abs().max()) for gradient in reached) > 1e-5
