"""CompiledModel: the public methods, seeds, masks, precision, copies, bundles, frozen models, callers' mistakes."""

from __future__ import annotations

import copy
import json
import math
import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import dgmspec
from dgmspec.algebra.nodes import Argument, Call, Name
from dgmspec.core.types import REAL, Type
from dgmspec.modules.compiled import CheckpointError, CompiledModel, UnavailableError
from dgmspec.modules.randomness import noise_for, step_noise
from dgmspec.ops.conditioners import Autoregressive, Coupling
from dgmspec.ops.linear import Dense, Linear, Plu, Triangular
from dgmspec.ops.masks import Alternate
from dgmspec.ops.nets import Made, Mlp
from dgmspec.ops.orders import Natural
from dgmspec.ops.scalar import Affine
from dgmspec.ops.structure import ActNorm, Permute, Reverse
from dgmspec.program.build import build_programs
from tests.graphs import flow_graph
from tests.zoo import randomise

DOUBLE = torch.float64


def coupling(k: int = 0) -> Coupling:
    return Coupling(scalar=Affine(), mask=Alternate(k=k), net=Mlp(hidden=(8,)))


def autoregressive() -> Autoregressive:
    return Autoregressive(scalar=Affine(), order=Natural(), net=Made(hidden=(12,)))


def build(
    steps: list, seed: int = 0, dtype: torch.dtype = DOUBLE, moved: bool = True, **graph: object
) -> CompiledModel:
    made = flow_graph(steps, **graph)  # type: ignore[arg-type]
    model = CompiledModel(made, build_programs(made), seed, dtype=dtype)
    if moved:
        randomise(model, seed)
    return model


def realnvp(**options: object) -> CompiledModel:
    return build([s for k in range(3) for s in (coupling(k), ActNorm(), Linear(form=Plu()))], **options)  # type: ignore[arg-type]


def compiled(text: str, **options: object) -> CompiledModel:
    return dgmspec.compile(dgmspec.parse(f"dgm 1\nmodel M {{\n{text}\n}}\n"), dtype=DOUBLE, **options)


X = torch.randn(7, 4, dtype=DOUBLE, generator=torch.Generator().manual_seed(5))


# ---- densities ------------------------------------------------------------------------------------------------------


def test_log_prob_is_the_change_of_variables() -> None:
    model = realnvp()
    jacobian = torch.autograd.functional.jacobian(lambda v: model.encode(v[None])[0], X[0])
    z = model.encode(X[:1])
    expected = -0.5 * (z**2).sum() - 2 * math.log(2 * math.pi) + torch.linalg.slogdet(jacobian).logabsdet
    torch.testing.assert_close(model.log_prob(X)[0], expected)
    assert model.density == "exact"


def test_steps_written_towards_the_data_give_the_inverse_model() -> None:
    there, back = build([coupling(), ActNorm()]), build([coupling(), ActNorm()], towards_data=True)
    back.load_state_dict({k.replace("x->z", "z->x"): v for k, v in there.state_dict().items()})
    torch.testing.assert_close(back.decode(X), there.encode(X))
    torch.testing.assert_close(back.encode(there.encode(X)), X)
    samples, log_prob = back.sample_and_log_prob(5, seed=1)
    torch.testing.assert_close(back.log_prob(samples), log_prob)


def test_samples_carry_their_density_and_encode_undoes_decode() -> None:
    model = realnvp()
    samples, log_prob = model.sample_and_log_prob(9, seed=3)
    torch.testing.assert_close(model.log_prob(samples), log_prob)
    torch.testing.assert_close(model.sample(9, seed=3), samples)
    torch.testing.assert_close(model.decode(model.encode(X)), X)


def test_the_ledger_sums_to_log_prob() -> None:
    model = realnvp()
    ledger = model.ledger(X)
    torch.testing.assert_close(ledger.total, model.log_prob(X))
    torch.testing.assert_close(sum(s.sign * s.logdet for s in ledger), ledger.total)
    assert [s.name for s in ledger][:3] == ["coupling(affine, alternate(0))", "actnorm", "linear(plu)"]
    assert all(s.logdet.shape == (7,) for s in ledger) and ledger[-1].kind == "log_prob" and len(ledger) == 10
    encoded = model.ledger(X, direction="encode")
    torch.testing.assert_close(encoded.total, ledger.total - ledger[-1].logdet)


def test_losses_have_terms_and_the_module_returns_the_total() -> None:
    model = realnvp()
    value = model.loss({"x": X})
    torch.testing.assert_close(value.total, -model.log_prob(X).mean())
    assert list(value.terms) == ["nll"]
    torch.testing.assert_close(model({"x": X}), value.total)
    torch.testing.assert_close(model(X), value.total)
    value.total.backward()
    assert all(p.grad is not None for p in model.parameters())


def test_reverse_kl_is_the_mean_log_ratio_of_its_own_samples() -> None:
    square = Call(name="sum", args=(Argument(value=Name(id="x") ** 2),))
    model = build([coupling(), ActNorm()], loss="reverse_kl", target=-(square / 2))
    found = model.loss(count=64, seed=4)
    samples, log_prob = model.sample_and_log_prob(64, seed=4)
    torch.testing.assert_close(found.total, (log_prob + 0.5 * (samples**2).sum(1)).mean())
    found.total.backward()
    with pytest.raises(ValueError, match="count"):
        model.loss()


def test_initialise_standardises_what_each_actnorm_meets() -> None:
    model = build([ActNorm(), coupling(), ActNorm()], moved=False)
    model.initialise({"x": 5 + 3 * X})
    z = model.encode(5 + 3 * X)
    torch.testing.assert_close(z.mean(0), torch.zeros(4, dtype=DOUBLE), atol=1e-12, rtol=0)
    torch.testing.assert_close(z.std(0, correction=0), torch.ones(4, dtype=DOUBLE))


# ---- contexts, learned parameters, external nets --------------------------------------------------------------------


def conditional() -> CompiledModel:
    return build([coupling(), coupling(1)], c=Type(REAL, (2,)))


def test_contexts_broadcast() -> None:
    model, c = conditional(), torch.randn(3, 2, dtype=DOUBLE)
    one = model.log_prob(X, given={"c": c[:1]})
    torch.testing.assert_close(one, model.log_prob(X, given={"c": c[:1].expand(7, 2)}))
    assert model.sample(5, given={"c": c[:1]}, seed=0).shape == (5, 4)
    many, log_prob = model.sample_and_log_prob(5, given={"c": c}, seed=0)
    assert many.shape == (5, 3, 4) and log_prob.shape == (5, 3)
    for j in range(3):
        torch.testing.assert_close(model.log_prob(many[:, j], given={"c": c[j : j + 1]}), log_prob[:, j])


def test_contexts_by_nets_and_formulas_and_learned_parameters() -> None:
    model = compiled("""
        observe x : real[2]
        given c : real[3]
        given s : real
        net h(c) : real[4] = mlp(5)
        learn a : positive = 2.0
        learn b : interval(-1, 3)
        latent z : real[2] ~ normal(b * s, a)
        flow x -> z | [h(c), 2 * s] { coupling(affine, mask = half, net = mlp(6)) }
        loss = 0.5 * nll""")
    assert {"M/h/0/weight", "M/a", "M/b"} <= model.state_dict().keys()
    given = {"c": torch.randn(7, 3, dtype=DOUBLE), "s": torch.randn(7, dtype=DOUBLE)}
    x = torch.randn(7, 2, dtype=DOUBLE)
    normal = torch.distributions.Normal(1.0 * given["s"][:, None], 2.0)
    torch.testing.assert_close(model.log_prob(x, given), normal.log_prob(model.encode(x, given)).sum(1))
    loss = model.loss({"x": x, **given})
    torch.testing.assert_close(loss.total, 0.5 * loss.terms["nll"])
    loss.total.backward()
    randomise(model)
    torch.testing.assert_close(model.decode(model.encode(x, given), given), x)


def test_external_nets_are_supplied_from_python() -> None:
    text = """
        observe x : real[2]
        given c : real[3]
        net h(c) : real[4] = external
        latent z : real[2] ~ normal(0, 1)
        flow x -> z | h(c) { coupling(affine, mask = half, net = mlp(6)) }
        loss = nll"""
    with pytest.raises(ValueError, match="net `h` is external"):
        compiled(text)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
    model = compiled(text, nets={"h": net})
    randomise(model)
    assert "M/h.0.weight" in model.state_dict()
    x, given = torch.randn(7, 2, dtype=DOUBLE), {"c": torch.randn(7, 3, dtype=DOUBLE)}
    model.loss({"x": x, **given}).total.backward()
    assert net[0].weight.grad is not None and net[0].weight.grad.abs().sum() > 0
    torch.testing.assert_close(copy.deepcopy(model).log_prob(x, given), model.log_prob(x, given))
    torch.testing.assert_close(model.compiled(backend="eager").log_prob(x, given), model.log_prob(x, given))


def test_an_external_net_gives_the_parameters_of_a_law() -> None:
    text = """
        net h(z) = external
        observe x : real[2]
        latent z : real[2] ~ normal(0, 1)
        generate x | z ~ normal(h(z), 2)
        infer z | x ~ normal(mlp(4))
        loss = elbo"""
    net = nn.Linear(2, 2)
    model = compiled(text, nets={"h": net})
    randomise(model)
    model.loss(torch.randn(4, 2, dtype=DOUBLE), seed=0).total.backward()
    assert net.weight.grad is not None and net.weight.grad.abs().sum() > 0


# ---- seeds ----------------------------------------------------------------------------------------------------------


def test_initial_values_depend_on_seed_and_address_alone() -> None:
    short, long = build([coupling()], moved=False), build([coupling(), coupling(1)], moved=False)
    for key, value in short.state_dict().items():
        torch.testing.assert_close(long.state_dict()[key], value, rtol=0, atol=0)
    single = build([coupling()], dtype=torch.float32, moved=False)
    for key, value in single.state_dict().items():
        torch.testing.assert_close(value, short.state_dict()[key].float(), rtol=0, atol=0)
    other = build([coupling()], seed=1, moved=False)
    key = "M/x->z/0/net/0/weight"
    assert not torch.equal(short.state_dict()[key], other.state_dict()[key])


def test_samples_do_not_depend_on_the_batch_split_or_the_precision() -> None:
    model = realnvp()
    whole = model.sample(600, seed=9)
    parts = [model.sample(count, seed=9, start=start) for start, count in ((0, 100), (100, 399), (499, 101))]
    torch.testing.assert_close(torch.cat(parts), whole)
    torch.testing.assert_close(copy.deepcopy(model).float().sample(600, seed=9).double(), whole, rtol=1e-3, atol=1e-3)
    assert not torch.equal(model.sample(5), model.sample(5))


def test_noise_by_rows_steps_and_laws() -> None:
    program = realnvp().program("sample")
    whole = noise_for(program, (0, 1000), 3, DOUBLE)["M/z/prior/noise"]
    rows = torch.tensor([999, 0, 255, 256, 257])
    torch.testing.assert_close(noise_for(program, rows, 3, DOUBLE)["M/z/prior/noise"], whole[rows], rtol=0, atol=0)
    assert not torch.equal(noise_for(program, (0, 9), 3, DOUBLE, again=1)["M/z/prior/noise"], whole[:9])
    step = step_noise(program, 64, 3, 17)["M/z/prior/noise"]
    part = step_noise(program, 16, 3, 17, start=48)["M/z/prior/noise"]
    torch.testing.assert_close(part, step[48:], rtol=0, atol=0)
    assert not torch.equal(step, step_noise(program, 64, 3, 18)["M/z/prior/noise"])


@pytest.mark.parametrize(("prior", "mean", "variance"), [
    ("uniform(-1, 3)", 1.0, 16 / 12), ("logistic(1, 0.5)", 1.0, 0.25 * math.pi**2 / 3), ("laplace(1, 2)", 1.0, 8.0),
    ("mixture(normal(-1, 1), normal(2, 0.5), weights = [1, 3])", 1.25, 0.25 + 0.75 * 0.25 + 0.25 * 1 + 3.75 - 1.5625),
])  # fmt: skip
def test_priors_draw_their_law(prior: str, mean: float, variance: float) -> None:
    support = "interval(-1, 3)" if prior.startswith("uniform") else "real"
    model = compiled(f"observe x : {support}[2]\nlatent z : {support}[2] ~ {prior}\nflow x -> z {{ permute(reverse) }}")
    samples = model.sample(40_000, seed=0)
    assert samples.mean().item() == pytest.approx(mean, abs=0.05)
    if not prior.startswith("mixture"):
        assert samples.var().item() == pytest.approx(variance, rel=0.05)


# ---- stochastic steps and bounds ------------------------------------------------------------------------------------


def test_dequantised_models_bound_and_sample_inside_the_support() -> None:
    model = compiled("""
        observe x : integer(0..3)[2]
        latent z : real[2] ~ normal(0, 1)
        flow x -> z { dequantize(uniform); logit(0.2) }
        loss = nll""")
    assert model.density == "lower bound" and model.dequantises
    x = torch.randint(0, 4, (50, 2), dtype=torch.uint8)
    torch.testing.assert_close(model.log_prob(x, seed=1), model.log_prob(x, seed=1))
    torch.testing.assert_close(model.log_prob(x, seed=1)[20:], model.log_prob(x[20:], seed=1, start=20))
    one, many = model.log_prob(x, seed=1), model.log_prob(x, samples=64, seed=1)
    assert many.mean() > one.mean()
    samples = model.sample(500, seed=2)
    assert bool(((samples >= 0) & (samples <= 3) & (samples == samples.floor())).all())
    torch.testing.assert_close(model.sample(200, seed=2, start=300), samples[300:])
    drawn, log_prob = model.sample_and_log_prob(500, seed=2)
    torch.testing.assert_close(drawn, samples)
    assert log_prob.shape == (500,)
    torch.testing.assert_close(model(x, seed=0, step=3), model(x, seed=0, step=3))
    assert model(x, seed=0, step=3) != model(x, seed=0, step=4)
    grid = torch.cartesian_prod(torch.arange(4), torch.arange(4))
    assert model.log_prob(grid, samples=2000, seed=0).exp().sum().item() <= 1 + 1e-3


# ---- masks, precision, copies ---------------------------------------------------------------------------------------


def masked_gradient(model: CompiledModel) -> None:
    model.zero_grad()
    model.loss({"x": X.to(model.dtype)}).total.backward()
    found = {k: p for k, p in model.named_parameters() if model.mask_of(k) is not None}
    assert found
    for key, parameter in found.items():
        free = model.mask_of(key)
        assert free is not None and parameter.grad is not None
        assert not parameter.grad[~free].any() and parameter.grad[free].any(), key
        assert not parameter[~free].any()


@pytest.mark.parametrize("change", [
    lambda m: m,
    copy.deepcopy,
    lambda m: pickle.loads(pickle.dumps(m)),  # noqa: S301  (our own bytes)
    lambda m: m.float(),
    lambda m: m.load_state_dict(copy.deepcopy(m.state_dict()), assign=True) and m,
    lambda m: m.load_state_dict({k: torch.ones_like(v) for k, v in m.state_dict().items()}) and m,
], ids=["built", "deepcopy", "pickle", "float", "assigned", "foreign"])  # fmt: skip
def test_masked_weights_keep_their_zeros_and_gradients(change) -> None:
    masked_gradient(change(build([autoregressive(), Linear(form=Triangular()), autoregressive()])))


def test_training_never_leaves_the_mask() -> None:
    model = build([autoregressive()])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model(X).backward()
        optimizer.step()
    for key, parameter in model.named_parameters():
        free = model.mask_of(key)
        assert free is None or not parameter[~free].any()


def test_copies_do_not_share_and_compute_the_same() -> None:
    model = realnvp()
    other = copy.deepcopy(model)
    torch.testing.assert_close(other.log_prob(X), model.log_prob(X))
    with torch.no_grad():
        next(other.parameters()).add_(1.0)
    assert not torch.equal(next(other.parameters()), next(model.parameters()))


def test_tables_lose_nothing_through_float() -> None:
    text = "observe x : real[2]\nlatent z : real[2] ~ normal(0, 0.1)\nflow x -> z { shift_scale(0.3, 0.7) }"
    model = compiled(text)
    x = torch.randn(5, 2, dtype=DOUBLE)
    expected = model.log_prob(x)
    torch.testing.assert_close(model.float().double().log_prob(x), expected, rtol=1e-15, atol=0)
    torch.testing.assert_close(model.encode(x), 0.3 + 0.7 * x, rtol=1e-15, atol=1e-16)


def test_half_precision_sums_in_float32() -> None:
    model = build([coupling(k) for k in range(4)], dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model.log_prob(X.float()).dtype == torch.float32


def test_parameters_are_read_at_every_call() -> None:
    model = realnvp()
    moved = {k: v + 0.1 for k, v in model.state_dict().items()}
    found = torch.func.functional_call(model, moved, (X,))
    other = copy.deepcopy(model)
    with torch.no_grad():
        for key, parameter in other.named_parameters():
            parameter.copy_(moved[key])
    torch.testing.assert_close(found, other(X))


def test_compiled_programs_follow_tensors_that_are_replaced() -> None:
    model = build([coupling(), autoregressive(), ActNorm()])
    fast = model.compiled(backend="eager")
    torch.testing.assert_close(fast.log_prob(X), model.log_prob(X))
    model.load_state_dict({k: (v + 0.1).clone() for k, v in model.state_dict().items()}, assign=True)
    torch.testing.assert_close(fast.log_prob(X), model.log_prob(X))
    model.float()
    torch.testing.assert_close(fast.log_prob(X), model.log_prob(X))


# ---- frozen models --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [Plu(), Triangular(), Dense()])
def test_a_frozen_model_computes_the_same(form) -> None:
    model = build([coupling(), ActNorm(), Linear(form=form), Permute(order=Reverse()), coupling(1), ActNorm()])
    frozen = model.freeze()
    assert [line.target for line in frozen.program("log_prob").instructions].count("affine") == 1
    torch.testing.assert_close(frozen.log_prob(X), model.log_prob(X))
    torch.testing.assert_close(frozen.sample(20, seed=0), model.sample(20, seed=0))
    torch.testing.assert_close(frozen.ledger(X).total, model.log_prob(X))
    torch.testing.assert_close(frozen.decode(frozen.encode(X)), X)
    assert not frozen.training and not any(p.requires_grad for p in frozen.parameters())
    torch.testing.assert_close(frozen.float().double().log_prob(X), model.log_prob(X), rtol=1e-5, atol=1e-5)
    with pytest.raises(UnavailableError, match="frozen"):
        frozen.loss(X)
    with pytest.raises(UnavailableError, match="frozen"):
        frozen.save("nowhere")
    with pytest.raises(UnavailableError, match="freeze it again"):
        frozen.load_state_dict(model.state_dict())
    assert not frozen.train().training


def test_frozen_models_fold_inside_conditional_arrows() -> None:
    model = build([coupling(), ActNorm(), Linear(form=Plu()), coupling(1)], c=Type(REAL, (2,)))
    frozen, given = model.freeze(), {"c": torch.randn(7, 2, dtype=DOUBLE)}
    assert [line.target for line in frozen.program("log_prob").instructions].count("affine") == 1
    torch.testing.assert_close(frozen.log_prob(X, given), model.log_prob(X, given))
    torch.testing.assert_close(
        frozen.sample(7, {"c": given["c"][:1]}, seed=0), model.sample(7, {"c": given["c"][:1]}, seed=0)
    )


def test_a_frozen_model_compiles_with_its_weights_as_constants() -> None:
    _compiles_frozen("aot_eager", "log_prob")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # Inductor's own
@pytest.mark.parametrize("method", ["log_prob", "decode"])
def test_packed_weights_compute_the_same(method: str) -> None:
    _compiles_frozen("inductor", method)


def _compiles_frozen(backend: str, method: str) -> None:
    """A frozen model with weights large enough to be packed, against itself, for batches of several sizes; where a
    gradient with respect to the data is asked for, it is there."""
    text = "observe x : real[2]; latent z : real[2] ~ normal(0, 1)\n"
    text += "flow x -> z { coupling(affine, mask = half, net = mlp(128, 128)) }"
    frozen = dgmspec.compile(dgmspec.parse(f"dgm 1\nmodel M {{ {text} }}")).freeze()
    compiled = frozen.compiled(backend=backend)
    for rows in (5, 9):
        x = torch.randn(rows, 2)
        torch.testing.assert_close(getattr(compiled, method)(x), getattr(frozen, method)(x))
    x.requires_grad_()
    slopes = [torch.autograd.grad(getattr(model, method)(x).sum(), x)[0] for model in (compiled, frozen)]
    torch.testing.assert_close(*slopes)


# ---- bundles --------------------------------------------------------------------------------------------------------

TEXT = """
    observe x : real[4]
    latent z : real[4] ~ normal(0, 1)
    flow x -> z { repeat 2 as k { coupling(affine, mask = alternate(k), net = mlp(8)); actnorm } }
    loss = nll"""


def test_saved_models_load_as_they_were(tmp_path: Path) -> None:
    model = compiled(TEXT, seed=3)
    randomise(model)
    model.save(tmp_path / "model")
    loaded = dgmspec.load_model(tmp_path / "model")
    assert loaded.dtype == DOUBLE and not loaded.training
    torch.testing.assert_close(loaded.log_prob(X), model.log_prob(X), rtol=0, atol=0)


@pytest.mark.parametrize(("file", "content", "words"), [
    ("bundle.json", None, "no saved model"), ("bundle.json", b"{", "damaged"),
    ("bundle.json", b"[1]", "not written by"),
    ("bundle.json", b'{"format": "dgmspec-model", "version": 99}', "version 99"),
    ("bundle.json", b'{"format": "dgmspec-model", "version": 1, "dtype": "float32"}', "damaged"),
    ("weights.safetensors", b"abc", "damaged"), ("weights.safetensors", None, "missing or damaged"),
    ("spec.dgm", b"\xff\xfe", "damaged"),
])  # fmt: skip
def test_corrupt_and_foreign_folders_are_refused(tmp_path: Path, file: str, content: bytes | None, words: str) -> None:
    path = compiled(TEXT).save(tmp_path / "model")
    if content is None:
        (path / file).unlink()
    else:
        (path / file).write_bytes(content)
    with pytest.raises(CheckpointError, match=words):
        dgmspec.load_model(path)


def test_weights_of_another_spec_are_refused(tmp_path: Path) -> None:
    path = compiled(TEXT).save(tmp_path / "model")
    (path / "spec.dgm").write_text((path / "spec.dgm").read_text().replace("mlp(8", "mlp(9"))
    with pytest.raises(CheckpointError, match="should have shape"):
        dgmspec.load_model(path)
    (path / "spec.dgm").write_text((path / "spec.dgm").read_text().replace("repeat 2", "repeat 3"))
    with pytest.raises(CheckpointError, match="do not belong together"):
        dgmspec.load_model(path)
    assert json.loads((path / "bundle.json").read_text())["model"] == "M"


def test_every_stage_can_be_dumped() -> None:
    stages: dict[str, object] = {}
    compiled(TEXT, dump=stages.__setitem__)
    assert list(stages)[:3] == ["spec", "diagnosis", "typed graph"] and list(stages)[-2:] == ["programs", "model"]
    plain: list[str] = []
    compiled(TEXT, optimize="O0", dump=lambda stage, result: plain.append(stage))
    assert plain == ["spec", "diagnosis", "typed graph", "programs", "model"]


# ---- as a torch Distribution ----------------------------------------------------------------------------------------


def test_a_model_is_a_torch_distribution() -> None:
    model, c = conditional(), torch.randn(3, 2, dtype=DOUBLE)
    law = model.distribution({"c": c})
    assert (law.batch_shape, law.event_shape) == ((3,), (4,))
    samples = law.rsample((2, 5))
    assert samples.shape == (2, 5, 3, 4) and samples.requires_grad
    assert not law.sample((2,)).requires_grad
    log_prob = law.log_prob(samples)
    assert log_prob.shape == (2, 5, 3)
    torch.testing.assert_close(log_prob[1, 2, 1:2], model.log_prob(samples[1, 2, 1:2], given={"c": c[1:2]}))
    plain = realnvp().distribution()
    assert plain.batch_shape == () and plain.sample().shape == (4,) and plain.log_prob(plain.sample()).shape == ()


# ---- callers' mistakes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("run", "words"), [
    (lambda m, c: m.log_prob(X[:, :3], given=c), r"`x` is real\[4\]: expected a tensor of shape \(batch, 4\), got"),
    (lambda m, c: m.log_prob("x", given=c), r"expected a tensor of shape \(batch, 4\), got str"),
    (lambda m, c: m.sample(-1, given=c), "how many samples is a whole number from 0 up, not -1"),
    (lambda m, c: m.sample((3,), given=c), r"from 0 up, not \(3,\)"),
    (lambda m, c: m.log_prob(X[0], given=c), r"expected a tensor of shape \(batch, 4\), got \(4,\)"),
    (lambda m, c: m.log_prob(X), r"given variable `c` is missing: pass a tensor of shape \(batch, 2\), given="),
    (lambda m, c: m.sample(3, given={"d": X}), "`c` is missing"),
    (lambda m, c: m.log_prob(X, given={**c, "d": X}), "`d` is no given variable"),
    (lambda m, c: m.log_prob(X, given={"c": torch.zeros(3, 2)}), "`x` has 7 rows, `c` has 3"),
    (lambda m, c: m.log_prob({"y": X}, given=c), "`x` is missing"),
    (lambda m, c: m.log_prob(X, given=X), "dict of tensors"),
    (lambda m, c: m.loss({"x": X}), r"the batch lacks `c` \(real\[2\]\)"),
])  # fmt: skip
def test_mistakes_name_the_variable_what_was_expected_and_what_came(run, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        run(conditional(), {"c": torch.zeros(1, 2)})


def test_gradients_row_by_row_of_a_discrete_model() -> None:
    laws = "generate x | z ~ bernoulli(mlp(4)); infer z | x ~ normal(mlp(4))"
    model = dgmspec.compile(
        dgmspec.parse(
            f"dgm 1\nmodel V {{ observe x : binary[3]; latent z : real ~ normal(0, 1); {laws}; loss = elbo }}"
        )
    )
    weights, rows = dict(model.named_parameters()), torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0]])

    def loss(weights: dict[str, torch.Tensor], row: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(model, weights, (row[None],), {"seed": 0})

    found = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0), randomness="same")(weights, rows)
    expected = torch.func.grad(loss)(weights, rows[1])
    for name, value in expected.items():
        torch.testing.assert_close(found[name][1], value, rtol=1e-4, atol=1e-6)


def test_what_a_model_lacks_is_said() -> None:
    model = build([coupling()], prior=None, loss=None)
    assert model.density == "none"
    torch.testing.assert_close(model.decode(model.encode(X)), X)
    for run in (lambda: model.log_prob(X), lambda: model.sample(3)):
        with pytest.raises(UnavailableError, match="prior"):
            run()
    with pytest.raises(UnavailableError, match="loss = nll"):
        model(X)
    with pytest.raises(ValueError, match="`backwards` is no direction"):
        model.ledger(X, direction="backwards")


def test_arrays_are_taken_as_they_come() -> None:
    model = realnvp(dtype=torch.float32)
    value: Tensor = model.as_input("x", X.numpy())
    assert value.dtype == torch.float32
    torch.testing.assert_close(model.log_prob(X.numpy()), model.log_prob(value))


def test_integer_samples_follow_the_density_where_the_map_leaves_mass_outside() -> None:
    text = """dgm 1
    model M { observe x : integer(0..3)[1]; latent z : real[1] ~ normal(0, 4);
              flow x -> z { dequantize(uniform); logit(0.1) } }
    """
    model = dgmspec.compile(dgmspec.parse(text), dtype=torch.float64)
    drawn = torch.bincount(model.sample(50_000, seed=1).long().flatten(), minlength=4) / 50_000
    mass = torch.stack([model.log_prob(torch.full((4_000, 1), k), seed=k).exp().mean() for k in range(4)])
    torch.testing.assert_close(drawn.double(), mass / mass.sum(), rtol=0, atol=0.01)
    with pytest.raises(UnavailableError, match="rsample"):
        model.rsample(3)
    assert not model.distribution().has_rsample
    with pytest.raises(ValueError, match="row 0, coordinate"):
        model.log_prob(torch.tensor([[-1.0], [5.0]]), seed=0)


def test_a_distribution_broadcasts_values_against_its_contexts() -> None:
    text = """dgm 1
    model M { given c : real[2]; observe x : real[2]; latent z : real[2] ~ normal(c, 1); flow x -> z { linear(plu) } }
    """
    model = dgmspec.compile(dgmspec.parse(text), dtype=torch.float64)
    law = model.distribution({"c": torch.randn(3, 2).double()})
    x = torch.randn(6, 1, 2).double()
    found = law.log_prob(x)
    assert found.shape == (6, 3)
    torch.testing.assert_close(found[:, 1], model.log_prob(x[:, 0], {"c": law.given["c"][1:2]}))
    assert law.log_prob(torch.zeros(2).double()).shape == (3,)
    with pytest.raises(RuntimeError):
        law.log_prob(torch.zeros(6, 2).double())


def test_float32_logit_agrees_with_itself_at_the_ends() -> None:
    for support in ("unit", "interval(1, 2)", "interval(-1, 1)"):
        text = f"""dgm 1
        model M {{ observe x : {support}[1]; latent z : real[1] ~ normal(0, 5); flow x -> z {{ logit }} }}
        """
        model = dgmspec.compile(dgmspec.parse(text))
        x, log_prob = model.sample_and_log_prob(100_000, seed=0)
        assert (model.log_prob(x) - log_prob).abs().max() < 3
