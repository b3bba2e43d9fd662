"""Programs: directions resolved from the graph, signs, dead slots, what is missing said in words; and the passes."""

from __future__ import annotations

import pytest

from dgmspec.core.types import REAL, Type, integers
from dgmspec.graph.graph import Graph
from dgmspec.graph.parameters import parameters
from dgmspec.ops.conditioners import Coupling, Elementwise
from dgmspec.ops.masks import Alternate
from dgmspec.ops.nets import Mlp
from dgmspec.ops.scalar import Affine, Sigmoid
from dgmspec.ops.stochastic import Dequantize, Uniform
from dgmspec.ops.structure import ActNorm, Flatten, Permute, Reshape, Reverse
from dgmspec.passes.table import PASSES, optimise
from dgmspec.program.apart import apart
from dgmspec.program.build import Unavailable, build_program, build_programs
from dgmspec.program.program import PHASES, Program
from tests.graphs import flow_graph

VECTOR = Type(REAL, (4,))


def coupling(k: int = 0) -> Coupling:
    return Coupling(scalar=Affine(), mask=Alternate(k=k), net=Mlp(hidden=(8,)))


def program(graph: Graph, phase: str) -> Program:
    built = build_program(graph, phase)  # type: ignore[arg-type]
    assert isinstance(built, Program), built
    return built


def targets(built: Program) -> list[str]:
    return [line.target for line in built.instructions]


def test_log_prob_runs_from_data_to_prior_and_adds() -> None:
    built = program(flow_graph([coupling(), ActNorm()]), "log_prob")
    assert targets(built) == ["forward", "forward", "log_prob", "total"]
    assert [(e.kind, e.sign, e.direction) for e in built.ledger] == [
        ("log_det", 1, "forward"), ("log_det", 1, "forward"), ("log_prob", 1, "")
    ]  # fmt: skip


def test_the_same_steps_written_towards_the_data_run_inverted() -> None:
    graph = flow_graph([coupling(), (ActNorm(), True)], towards_data=True)
    built = program(graph, "log_prob")
    assert [line.address for line in built.instructions[:2]] == ["M/z->x/1", "M/z->x/0"]
    assert targets(built)[:2] == ["forward", "inverse"], "an inverted step, undone, runs forward"
    assert targets(program(graph, "sample")) == ["draw", "forward", "inverse"]


def test_sampling_with_its_density_subtracts_what_it_meets() -> None:
    built = program(flow_graph([coupling(), ActNorm()]), "sample_and_log_prob")
    assert targets(built) == ["draw", "log_prob", "inverse", "inverse", "total"]
    assert [e.sign for e in built.ledger] == [1, -1, -1]
    assert [i.kind for i in built.inputs] == ["noise"] and not built.batches


def test_every_slot_dies_once_after_its_last_reader() -> None:
    built_all = build_programs(flow_graph([coupling(k) for k in range(3)], c=Type(REAL, (2,))))
    missing = [phase for phase, built in built_all.items() if not isinstance(built, Program)]
    assert missing == ["before", "after", "target", "score", "known"]
    for built in (built for built in built_all.values() if isinstance(built, Program)):
        dead: set[int] = set()
        for line in built.instructions:
            assert not dead.intersection(line.inputs), "a slot is read after its death"
            assert not dead.intersection(line.last_use)
            dead.update(line.last_use)
        assert not dead.intersection(built.outputs.values())


def test_dead_instructions_are_dropped() -> None:
    built = program(flow_graph([coupling(), ActNorm()]), "decode")
    assert targets(built) == ["inverse", "inverse"]
    assert targets(program(flow_graph([coupling(), ActNorm()]), "initialise")) == ["forward", "initialise"]


def test_losses_are_means_over_walks() -> None:
    built = program(flow_graph([coupling()]), "loss")
    assert targets(built)[-3:] == ["total", "mean", "formula"]
    assert list(built.outputs) == ["total", "nll"]


@pytest.mark.parametrize(
    ("graph", "phase", "words"),
    [
        (flow_graph([coupling()], prior=None), "log_prob", "give `z`, where its arrow ends, a prior"),
        (flow_graph([coupling()], prior=None), "sample", "prior"),
        (flow_graph([coupling()], loss=None), "loss", "add `loss = nll`"),
        (flow_graph([coupling()], loss="reverse_kl"), "loss", "observe x : T ~ exp(e)"),
        (Graph("M"), "log_prob", "observes nothing"),
    ],
)
def test_what_is_missing_is_said(graph: Graph, phase: str, words: str) -> None:
    built = build_program(graph, phase)  # type: ignore[arg-type]
    assert isinstance(built, Unavailable) and words in built.reason


def test_a_model_without_prior_still_encodes_and_decodes() -> None:
    graph = flow_graph([coupling()], prior=None)
    built = program(graph, "encode")
    assert targets(built) == ["forward"] and list(built.outputs) == ["z"] and len(built.ledger) == 1
    assert isinstance(build_program(graph, "decode"), Program)


def test_stochastic_steps_draw_forward_only_and_have_no_joint_walk() -> None:
    x = Type(integers(0, 0), (4,))
    graph = flow_graph([Dequantize(law=Uniform()), (Elementwise(scalar=Sigmoid()), True)], x)
    assert [i.name for i in program(graph, "log_prob").draws] == ["M/x->z/0/u"]
    assert [i.name for i in program(graph, "sample").draws] == ["M/z/prior/noise"]
    assert isinstance(build_program(graph, "sample_and_log_prob"), Unavailable)


def test_listing_reads_as_a_list() -> None:
    text = program(flow_graph([ActNorm()]), "log_prob").listing()
    assert text.splitlines()[0] == "log_prob(%0 = x)"
    assert "%1, %2 = forward M/x->z/0(%0)  free %0" in text and text.endswith("return log_prob = %4")
    assert all(p in PHASES for p in build_programs(flow_graph([ActNorm()])))


# ---- passes ---------------------------------------------------------------------------------------------------------

REVERSE = Permute(order=Reverse())
TURN = Permute(order=(1, 2, 3, 0))


def steps_after(graph: Graph) -> list[str]:
    after = optimise(graph)
    (arrow,) = after.arrows.values()
    return [after.steps[a].op.name + ("⁻¹" if after.steps[a].inverse else "") for a in arrow.steps]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([coupling(), REVERSE, TURN, coupling()], ["coupling", "permute", "coupling"]),
        ([coupling(), REVERSE, REVERSE, coupling()], ["coupling", "coupling"]),
        ([coupling(), TURN, (TURN, True)], ["coupling"]),
        ([coupling(), Reshape(dims=(4,)), coupling()], ["coupling"] * 2),
        ([Flatten(), ActNorm()], ["actnorm"]),
        ([REVERSE, REVERSE], ["permute"]),
        ([Reshape(dims=(2, 2)), Flatten(), coupling()], ["reshape", "flatten", "coupling"]),
        ([ActNorm(), (ActNorm(), True)], ["actnorm", "actnorm⁻¹"]),
        ([Elementwise(scalar=Sigmoid()), (Elementwise(scalar=Sigmoid()), True), coupling()], ["coupling"]),
    ],
)
def test_rewrites(before: list, after: list[str]) -> None:
    graph = flow_graph(before, VECTOR)
    assert steps_after(graph) == after
    assert parameters(optimise(graph)) == parameters(graph)


def test_couplings_that_take_turns_move_no_coordinate_in_between() -> None:
    swap = Permute(order=(1, 0, 3, 2))
    built = program(flow_graph([coupling(0), coupling(1), swap, coupling(1), coupling(0)]), "log_prob")
    assert targets(apart(built)) == ["gather", "gather", *["forward_part"] * 4, "gather", "log_prob", "total"]
    assert [line.index for line in apart(built).instructions if line.index] == [(0, 2), (1, 3), (0, 2, 1, 3)]


def test_permutations_of_whole_vectors_are_gathered_once_where_they_are_read() -> None:
    built = program(flow_graph([ActNorm(), REVERSE, TURN, ActNorm()]), "log_prob")
    found = apart(built)
    assert targets(found) == ["forward", "gather", "forward", "log_prob", "total"]
    # REVERSE reads x[3], x[2], x[1], x[0], and TURN the second to the first of that.
    assert found.instructions[1].index == (2, 1, 0, 3)
    assert len(found.instructions[-1].inputs) == 3


def test_joined_permutations_compose_in_the_right_order() -> None:
    (step,) = optimise(flow_graph([TURN, REVERSE], VECTOR)).steps.values()
    # TURN gathers x[1], x[2], x[3], x[0]; REVERSE then reads that backwards.
    assert step.op == Permute(order=(0, 3, 2, 1))


def test_o0_runs_no_pass_and_dumps_follow_the_table() -> None:
    graph = flow_graph([REVERSE, REVERSE, ActNorm()], VECTOR)
    assert optimise(graph, "O0") is graph
    seen: list[str] = []
    optimise(graph, "O1", lambda name, result: seen.append(name))
    assert seen == [entry.name for entry in PASSES]
