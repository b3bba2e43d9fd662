"""Conditioners, masks, orders and nets: patterns, parameters, both ways, and the cost of the incremental inverse."""

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from random import Random
from typing import Any

import networkx as nx
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from dgmspec.core.diagnostics import Refusal
from dgmspec.core.jacobian import Fact, Structure
from dgmspec.core.nets import NetUse
from dgmspec.core.steps import AbstractStep
from dgmspec.core.types import REAL, UNIT, Type, category
from dgmspec.modules import registry
from dgmspec.modules.initial import mask_of
from dgmspec.modules.nets import below
from dgmspec.modules.nets.layered import apply
from dgmspec.modules.registry import scalar_twin, step_twin
from dgmspec.modules.twin import StepContext
from dgmspec.ops.conditioners import Autoregressive, Coupling, Elementwise
from dgmspec.ops.masks import Alternate, Half, Indices, RandomMask, shuffled
from dgmspec.ops.nets import Made, Mlp, ResMlp
from dgmspec.ops.orders import Dag, Natural, RandomOrder, Reverse
from dgmspec.ops.scalar import Additive, Affine, Exp, InverseScalar, Rqs, ShiftScale
from tests.flows import compiled

BATCH = 4
GIVEN = Type(REAL, (2,))
EVENTS = (Type(REAL, (5,)), Type(REAL, (2, 3)), Type(UNIT, (4,)))
MASKS = (Half(), Alternate(k=0), Alternate(k=1), RandomMask(seed=1), Indices(at=(2, 0)))
ORDERS = (Natural(), Reverse(), RandomOrder(seed=3), Dag(edges=((3, 0), (0, 1), (3, 2))))
NETS = (
    Made(hidden=(12, 9)),
    Made(hidden=(7, 7, 7), residual=True),
    ResMlp(width=9, blocks=2, step=0.5),
    ResMlp(width=6, blocks=2, tied=True, activation="gelu"),
    Mlp(hidden=(2,), activation="tanh"),
    Mlp(),
)
STEPS: list[AbstractStep] = [
    *(Elementwise(scalar=scalar) for scalar in (Affine(), Additive(), Rqs(bins=4))),
    *(Coupling(scalar=Rqs(bins=4), mask=mask, net=Mlp(hidden=(8,))) for mask in MASKS),
    Coupling(scalar=InverseScalar(of=Rqs(bins=4)), mask=Half(), net=ResMlp(width=8)),
    Coupling(scalar=Affine(), mask=Alternate(), net=Mlp(hidden=(8, 8), norm="layer")),
    *(Autoregressive(scalar=Rqs(bins=4), order=order, net=NETS[0]) for order in ORDERS),
    *(Autoregressive(scalar=Affine(clamp=1), order=RandomOrder(seed=1), net=net) for net in NETS),
    Autoregressive(scalar=Additive(), net=Made(hidden=(8,))),
]
CASES = [
    (step, event, given)
    for step in STEPS
    for event in EVENTS
    for given in (None, GIVEN)
    if event.support == REAL or "Rqs" in repr(step)
]


class Recorder(dict[str, Tensor]):
    """A mapping that remembers what was read."""

    def __init__(self, values: Mapping[str, Tensor]) -> None:
        super().__init__(values)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Tensor:
        self.read.add(name)
        return super().__getitem__(name)

    def items(self):  # type: ignore[no-untyped-def]
        return [(name, self[name]) for name in self]


def values(step: AbstractStep, event: Type, given: Type | None, scale: float = 0.3) -> dict[str, Tensor]:
    """Parameters drawn away from their start, and the tables."""
    found = {}
    for spec in step.parameters(event, given):
        found[spec.name] = scale * torch.randn(spec.shape, dtype=torch.float64)
        if spec.mask is not None:
            found[spec.name] *= mask_of(spec.mask)
    return {**found, **step_twin(step).tables(step, event, given)}


def context(step: AbstractStep, event: Type, given: Type | None) -> StepContext:
    c = None if given is None else torch.randn(BATCH, *given.shape, dtype=torch.float64)
    return StepContext(event, given, c, plan=step_twin(step).plan(step, event, given))


def events(event: Type) -> Tensor:
    x = torch.randn(BATCH, *event.shape, dtype=torch.float64)
    return x.sigmoid() if event.support == UNIT else x


@pytest.mark.parametrize(("step", "event", "given"), CASES, ids=str)
def test_laws(step: AbstractStep, event: Type, given: Type | None) -> None:
    twin, p, ctx, x = step_twin(step), values(step, event, given), context(step, event, given), events(event)
    y, ladj = twin.forward(step, p, x, ctx)
    back, ladj_back = twin.inverse(step, p, y, ctx)
    torch.testing.assert_close(back, x, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(ladj_back, -ladj, rtol=1e-6, atol=1e-6)
    with torch.no_grad():
        torch.testing.assert_close(twin.inverse(step, p, y, ctx)[0], back, rtol=1e-9, atol=1e-9)
    jacobian = torch.autograd.functional.jacobian(lambda v: twin.forward(step, p, v, ctx)[0].flatten(1).sum(0), x)
    jacobian = jacobian.reshape(event.size, BATCH, event.size).transpose(0, 1)
    torch.testing.assert_close(ladj.expand(BATCH), torch.linalg.slogdet(jacobian).logabsdet)
    claimed = step.jacobian(event, given).dependency
    assert claimed is not None
    real = (jacobian.abs() > 1e-13).any(0).tolist()
    assert [[claimed.depends(i, j) for j in range(event.size)] for i in range(event.size)] == real


@pytest.mark.parametrize(("step", "event", "given"), CASES, ids=str)
def test_parameters_are_what_the_twin_reads(step: AbstractStep, event: Type, given: Type | None) -> None:
    declared = {spec.name for spec in step.parameters(event, given)}
    twin, ctx, x = step_twin(step), context(step, event, given), events(event)
    for way in (twin.forward, twin.inverse):
        p = Recorder(values(step, event, given))
        way(step, p, x, ctx)
        assert declared <= p.read <= set(p)


@pytest.mark.parametrize(("step", "event", "given"), CASES, ids=str)
def test_a_step_starts_at_the_identity(step: AbstractStep, event: Type, given: Type | None) -> None:
    p = values(step, event, given)
    for spec in step.parameters(event, given):
        if spec.init.kind == "constant":
            p[spec.name] = torch.full(spec.shape, spec.init.value, dtype=torch.float64)
    x = events(event)
    y, ladj = step_twin(step).forward(step, p, x, context(step, event, given))
    torch.testing.assert_close(y, x)
    torch.testing.assert_close(ladj, torch.zeros_like(ladj))


def test_scalar_events_and_categories() -> None:
    step, event = Elementwise(scalar=Rqs(bins=4)), Type(REAL)
    labels = Type(category(3))
    specs = step.parameters(event, labels)
    assert specs[0].shape == (64, 3)
    ctx = StepContext(event, labels, torch.tensor([0, 2, 1, 2]))
    x = torch.randn(BATCH, dtype=torch.float64)
    p = values(step, event, labels)
    y, ladj = step_twin(step).forward(step, p, x, ctx)
    assert y.shape == ladj.shape == (BATCH,)
    torch.testing.assert_close(step_twin(step).inverse(step, p, y, ctx)[0], x)


def test_constant_log_dets_do_not_follow_the_batch() -> None:
    event = Type(REAL, (3,))
    for step in (Elementwise(scalar=Affine()), Elementwise(scalar=ShiftScale(scale=(1.0, 2.0, -3.0)))):
        _, ladj = step_twin(step).forward(step, values(step, event, None), events(event), context(step, event, None))
        assert ladj.dim() == 0
    _, ladj = step_twin(step).forward(step, values(step, event, None), events(event), context(step, event, None))
    assert ladj.item() == pytest.approx(math.log(6))


# ---- the incremental inverse ----------------------------------------------------------------------------------------


def plain_inverse(step: Autoregressive, p: dict[str, Tensor], y: Tensor, ctx: StepContext) -> Tensor:
    """One full pass of the net per coordinate: after pass r the first r + 1 coordinates of the order are right."""
    own, x = below(p, "net"), torch.zeros_like(y)
    for _ in range(y.shape[1]):
        raw = apply(step.net, own, x, ctx.given, False).reshape(len(y), -1, y.shape[1]).movedim(1, 0)
        x, _ = scalar_twin(step.scalar).inverse(step.scalar, raw, y, ctx.event.support)
    return x


@pytest.mark.parametrize("net", NETS, ids=str)
@pytest.mark.parametrize("given", [None, GIVEN], ids=str)
def test_incremental_inverse_equals_one_pass_per_coordinate(net: Mlp, given: Type | None) -> None:
    event = Type(REAL, (19,))
    step = Autoregressive(scalar=Affine(clamp=0.5), order=RandomOrder(seed=5), net=net)
    p, ctx, y = values(step, event, given, 0.2), context(step, event, given), events(event)
    with torch.no_grad():
        x, _ = step_twin(step).inverse(step, p, y, ctx)
    torch.testing.assert_close(x, plain_inverse(step, p, y, ctx), rtol=1e-7, atol=1e-7)


def test_gradients_through_the_inverse_are_those_of_the_inverse_function() -> None:
    event = Type(REAL, (18,))
    step = Autoregressive(scalar=Affine(clamp=0.5), net=Made(hidden=(20, 20)))
    p, ctx, y = values(step, event, None, 0.2), context(step, event, None), events(event).requires_grad_()
    for name in p:
        p[name].requires_grad_()
    x, _ = step_twin(step).inverse(step, p, y, ctx)
    names, direction = sorted(p), torch.randn_like(x)
    grads = torch.autograd.grad((x * direction).sum(), [y, *(p[n] for n in names)])
    at = x.detach().requires_grad_()
    forward, _ = step_twin(step).forward(step, p, at, ctx)
    jacobian = torch.autograd.functional.jacobian(lambda v: step_twin(step).forward(step, p, v, ctx)[0].sum(0), at)
    solved = torch.linalg.solve(jacobian.transpose(0, 1).mT, direction.unsqueeze(-1)).squeeze(-1)
    expected = torch.autograd.grad((forward * -solved).sum(), [p[n] for n in names])
    torch.testing.assert_close(grads[0], solved)
    masks = {s.name: mask_of(s.mask) for s in step.parameters(event, None) if s.mask is not None}
    for name, grad, other in zip(names, grads[1:], expected, strict=True):
        torch.testing.assert_close(grad, other * masks.get(name, torch.tensor(1)))


def test_the_inverse_costs_the_arithmetic_of_about_one_pass() -> None:
    event = Type(REAL, (64,))
    step = Autoregressive(scalar=Affine(), net=Made(hidden=(256, 256)))
    p, ctx, y = values(step, event, None, 0.02), context(step, event, None), events(event)
    counts = []
    for way in (step_twin(step).forward, step_twin(step).inverse):
        with FlopCounterMode(display=False) as flops, torch.no_grad():
            way(step, p, y, ctx)
        counts.append(flops.get_total_flops())
    assert counts[1] <= counts[0]


# ---- masks, orders, nets, facts -------------------------------------------------------------------------------------


def test_masks() -> None:
    assert Half().untouched((5,)) == (0, 1)
    assert Alternate(k=0).untouched((5,)) == Alternate(k=2).untouched((5,)) == (0, 2, 4)
    assert Alternate(k=1).untouched((5,)) == Alternate(k=-1).untouched((5,)) == (1, 3)
    assert Indices(at=(3, 1)).untouched((2, 2)) == (1, 3)
    assert RandomMask(seed=3).untouched((9,)) == RandomMask(seed=3).untouched((3, 3))
    assert len(RandomMask(seed=4).untouched((9,))) == 4


def test_draws_are_the_same_everywhere() -> None:
    assert shuffled(8, 0) == (3, 7, 5, 2, 4, 1, 6, 0)
    assert RandomOrder(seed=2).precedence((6,)).ranks == shuffled(6, 2)


def graph(count: int, seed: int) -> Dag:
    """A graph over `count` coordinates in which each pair of a hidden order has an edge with a chance of one half."""
    draws = Random(seed)
    order = shuffled(count, seed)
    pairs = [(order[i], order[j]) for j in range(count) for i in range(j)]
    return Dag(edges=tuple(pair for pair in pairs if draws.random() < 0.5))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("given", [None, GIVEN], ids=str)
def test_a_graph_is_the_dependency_and_its_depth_the_passes(seed: int, given: Type | None) -> None:
    event, order = Type(REAL, (7,)), graph(7, seed)
    step = Autoregressive(scalar=Affine(clamp=0.5), order=order, net=Made(hidden=(24, 24), residual=True))
    known = nx.DiGraph(order.edges)
    known.add_nodes_from(range(7))
    assert step.cost(event, given).inverse.passes == nx.dag_longest_path_length(known) + 1
    claimed = step.jacobian(event, given).dependency
    assert claimed is not None
    edges = {(j, i) for i in range(7) for j in range(7) if i != j and claimed.depends(i, j)}
    assert edges == set(order.edges)
    p, ctx, x = values(step, event, given), context(step, event, given), events(event)
    y, ladj = step_twin(step).forward(step, p, x, ctx)
    jacobian = torch.autograd.functional.jacobian(lambda v: step_twin(step).forward(step, p, v, ctx)[0].sum(0), x)
    assert {(j, i) for i, _, j in (jacobian.abs() > 1e-13).nonzero().tolist() if i != j} == edges
    solved = [0]

    def counted(*args: Any) -> tuple[Tensor, Tensor]:
        solved[0] += 1
        return inverse(*args)

    inverse = scalar_twin(step.scalar).inverse
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry._FOUND, Affine, replace(scalar_twin(step.scalar), inverse=counted))
        back, ladj_back = step_twin(step).inverse(step, p, y, ctx)
    assert solved == [step.cost(event, given).inverse.passes]
    torch.testing.assert_close(back, x)
    torch.testing.assert_close(ladj_back, -ladj)


@pytest.mark.parametrize(
    ("edges", "net", "code"),
    [
        (((0, 1), (1, 2), (2, 0)), Made(hidden=(8,)), "DGM466"),
        (((1, 1),), Made(hidden=(8,)), "DGM466"),
        (((0, 3),), Made(hidden=(8,)), "DGM304"),
        (((0, 1), (0, 2), (1, 2)), Made(hidden=(8, 1)), "DGM467"),
    ],
)
def test_graphs_that_cannot_be_an_order_are_refused(edges: tuple[tuple[int, int], ...], net: Made, code: str) -> None:
    step = Autoregressive(scalar=Affine(), order=Dag(edges=edges), net=net)
    with pytest.raises(Refusal) as refused:
        step.infer_type(Type(REAL, (3,)), None)
        step.parameters(Type(REAL, (3,)), None)
    assert refused.value.code == code


@pytest.mark.parametrize("net", NETS, ids=str)
@pytest.mark.parametrize("size", [2, 3, 7])
def test_every_hidden_unit_is_of_use(net: Mlp, size: int) -> None:
    for use in (NetUse(((size,),), (2 * size,)), NetUse(((size,),), (2 * size,), (3,))):
        specs = {s.name: s for s in net.masked_parameters(use, Natural().precedence((size,)))}
        masks = [mask_of(s.mask) for s in specs.values() if s.mask is not None]
        for before, after in pairwise(masks):
            assert before.any(1).all(), "a unit reads something"
            assert after.any(0).all(), "a unit is read"


def test_zero_starts_the_last_layer_alone() -> None:
    specs = Mlp(hidden=(4,)).net_parameters(NetUse(((3,),), (2,), zero=True))
    assert [(s.name, s.init.kind) for s in specs] == [
        ("0/weight", "uniform"), ("0/bias", "uniform"), ("1/weight", "constant"), ("1/bias", "constant"),
    ]  # fmt: skip
    assert specs[0].init.value == pytest.approx(3**-0.5)


def test_dropout_acts_while_training_alone() -> None:
    event = Type(REAL, (6,))
    for step in (
        Coupling(scalar=Affine(), mask=Half(), net=Mlp(hidden=(32,), dropout=0.5)),
        Autoregressive(scalar=Affine(), net=ResMlp(width=32, dropout=0.5)),
    ):
        p, ctx, x = values(step, event, None), context(step, event, None), events(event)
        training = replace(ctx, training=True)
        for way in (step_twin(step).forward, step_twin(step).inverse):
            torch.testing.assert_close(way(step, p, x, ctx)[0], way(step, p, x, ctx)[0])
            assert not torch.equal(way(step, p, x, training)[0], way(step, p, x, training)[0])


def test_facts() -> None:
    event = Type(REAL, (4,))
    additive = Coupling(scalar=Additive(), mask=Half(), net=Mlp(hidden=(8,))).jacobian(event, None)
    assert additive.unit_det is Fact.YES and additive.structure is Structure.LOWER
    assert Elementwise(scalar=Affine()).jacobian(event, GIVEN).constant is Fact.YES
    assert Elementwise(scalar=Additive()).jacobian(event, None).orthogonal is Fact.YES
    cost = Autoregressive(scalar=Affine(), net=Made()).cost(event, None)
    assert (str(cost.forward), str(cost.inverse)) == ("1 pass", "4 passes")
    assert str(Elementwise(scalar=Affine()).cost(event, None).forward) == "–"
    large = Type(REAL, (600,))
    reverse = Autoregressive(scalar=Affine(), order=Reverse(), net=Made())
    assert reverse.jacobian(large, None).structure is Structure.UPPER


# ---- refusals -------------------------------------------------------------------------------------------------------

MLP = Mlp(hidden=(4,))


@pytest.mark.parametrize(
    ("step", "event", "code"),
    [
        (Coupling(scalar=Affine(), mask=Half(), net=MLP), Type(REAL, (1,)), "DGM402"),
        (Coupling(scalar=Affine(), mask=Indices(at=(0, 1)), net=MLP), Type(REAL, (2,)), "DGM402"),
        (Coupling(scalar=Affine(), mask=Indices(at=(5,)), net=MLP), Type(REAL, (2,)), "DGM304"),
        (Coupling(scalar=Exp(), mask=Half(), net=MLP), Type(REAL, (2,)), "DGM441"),
        (Autoregressive(scalar=Affine(), net=MLP), Type(REAL, (1,)), "DGM443"),
        (Autoregressive(scalar=Affine(), net=MLP), Type(UNIT, (3,)), "DGM440"),
        (Coupling(scalar=Affine(), mask=Half(), net=MLP), Type(REAL, (2**21,)), "DGM446"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_types_that_a_step_cannot_take_are_refused(step: AbstractStep, event: Type, code: str) -> None:
    with pytest.raises(Refusal, match=code):
        step.infer_type(event, None)


def test_nets_in_the_wrong_place_are_refused() -> None:
    event = Type(REAL, (3,))
    with pytest.raises(Refusal, match="DGM445"):
        Coupling(scalar=Affine(), mask=Half(), net=Made(hidden=(4,))).parameters(event, None)
    with pytest.raises(Refusal, match="DGM444"):
        Autoregressive(scalar=Affine(), net=Mlp(hidden=(4,), norm="layer")).parameters(event, None)


def test_a_context_replaces_untouched_coordinates() -> None:
    event = Type(REAL, (1,))
    step = Coupling(scalar=Affine(), mask=Half(), net=MLP)
    assert step.infer_type(event, GIVEN) == event
    y, ladj = step_twin(step).forward(step, values(step, event, GIVEN), events(event), context(step, event, GIVEN))
    assert y.shape == (BATCH, 1) and ladj.shape == (BATCH,)


def test_residual_widths_must_agree() -> None:
    with pytest.raises(ValueError, match="equal widths"):
        Made(hidden=(4, 5), residual=True)


@pytest.mark.parametrize("support", ["real", "positive", "circle"])
@pytest.mark.parametrize(
    "step",
    ["coupling(affine, mask = half, net = mlp(4))", "autoregressive(affine, net = made(4))", "planar(net = mlp(4))"],
)
def test_a_context_of_one_number(support: str, step: str) -> None:
    model = compiled(
        f"dgm 1\nmodel M {{ observe x : real[2]; given c : {support}; latent z : real[2] ~ normal(0, 1)\n"
        f"flow x -> z | c {{ {step} }} }}"
    )
    x, c = torch.randn(3, 2, dtype=torch.float64), torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    together = model.log_prob(x, given={"c": c})
    alone = torch.cat([model.log_prob(x[i : i + 1], given={"c": c[i : i + 1]}) for i in range(3)])
    torch.testing.assert_close(together, alone)
    assert not torch.allclose(together, model.log_prob(x, given={"c": c.flip(0)}))
