"""Lints over Jacobian facts: coordinates without a transform, groups that never meet, masks and orders that repeat."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

from dgmspec.checks.analysis import Analysis, ChainFacts, StepFacts, place
from dgmspec.core.diagnostics import Diagnostic, Label, Refusal
from dgmspec.core.jacobian import Dependency, Fact, Structure, row_bits
from dgmspec.graph.graph import Graph

_MOVES_NOTHING = (Structure.IDENTITY, Structure.DIAGONAL)
_SCALES = (Structure.DIAGONAL, Structure.PERMUTED_DIAGONAL)
_TRIANGULAR = (Structure.LOWER, Structure.UPPER, Structure.BLOCK_TRIANGULAR)


def check_jacobian(analysis: Analysis) -> Iterator[Diagnostic]:
    """DGM501 to 506, 508 and 509."""
    for chain in analysis.chains.values():
        yield from _untransformed(chain)
        yield from _strangers(chain)
        yield from _context(analysis.graph, chain)
        yield from _once(_masks(chain))
        yield from _once(_permutations(chain))
        yield from _once(_undone(chain))
        yield from _once(_linear(chain))
        yield from _triangular(chain)


def _once(diagnostics: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
    """Each finding once, where the turns of a repeat give it again and again."""
    yield from dict.fromkeys(diagnostics)


# ---- coordinates ----------------------------------------------------------------------------------------------------


def _untransformed(chain: ChainFacts) -> Iterator[Diagnostic]:
    """Coordinates that no step does more to than move or scale, in a chain that transforms others."""
    rows = chain.whole.dependency
    if rows is None or all(step.jacobian.constant is Fact.YES for step in chain.steps):
        return
    touched, everything = 0, (1 << len(rows.rows)) - 1
    for step in chain.steps:
        touched = _touched(step, touched)
        if touched == everything:
            return
    left = [i for i in range(len(rows.rows)) if not touched >> i & 1]
    inputs = sorted(rows.rows[i].bit_length() - 1 for i in left if rows.rows[i].bit_count() == 1)
    if inputs:
        yield Diagnostic(
            "DGM501",
            f"{coordinates(inputs)} of `{chain.arrow.source}` {_verb(inputs, 'is', 'are')} never transformed",
            chain.arrow.address,
            "no step does more than move or scale " + _verb(inputs, "it", "them"),
            help=(
                "add a step that transforms "
                + _verb(inputs, "it", "them")
                + ": another coupling whose mask is the other part, such as `alternate(1)` after `alternate(0)`",
            ),
        )


def _touched(step: StepFacts, before: int) -> int:
    """The outputs, as bits, that have been transformed once this step has run."""
    dependency = step.jacobian.dependency
    if dependency is None:
        return before
    carried = row_bits([i for i, row in enumerate(dependency.rows) if row & before])
    if step.jacobian.constant is Fact.YES:
        return carried
    everything = (1 << len(dependency.rows)) - 1
    return carried | everything & ~row_bits(untouched(step) or range(step.passed))


def untouched(step: StepFacts) -> tuple[int, ...] | None:
    """The coordinates that a step with a mask leaves as they are (those that were set aside among them); None where the
    step has no mask."""
    try:
        kept = step.node.op.untouched(step.before)
    except Refusal:
        return None
    return None if kept is None else (*range(step.passed), *(step.passed + i for i in kept))


def _strangers(chain: ChainFacts) -> Iterator[Diagnostic]:
    """Two coordinates that no output depends on together, in a chain that mixes others."""
    dependency = chain.whole.dependency
    if dependency is None or all(row.bit_count() == 1 for row in dependency.rows):
        return
    pairs = strangers(dependency)
    if not pairs:
        return
    more = f", nor do {len(pairs) - 1:,} other pairs" if len(pairs) > 1 else ""
    yield Diagnostic(
        "DGM502",
        f"{coordinates(pairs[0])} of `{chain.arrow.source}` never meet{more}",
        chain.arrow.address,
        "no output depends on both",
        notes=("what joins them in the data can be learned only through the other coordinates",),
        help=("add a step that mixes them: a `coupling` that reads one of them, or `linear(plu)`",),
    )


def strangers(dependency: Dependency) -> list[tuple[int, int]]:
    """The pairs of inputs that no output depends on together (cost: the ones of the distinct rows)."""
    met = [1 << j for j in range(dependency.columns)]
    for row in set(dependency.rows):
        left = row
        while left:
            low = left & -left
            met[low.bit_length() - 1] |= row
            left ^= low
    everything = (1 << dependency.columns) - 1
    if all(row == everything for row in met):
        return []
    return [(a, b) for a, row in enumerate(met) for b in range(a + 1, dependency.columns) if not row >> b & 1]


# ---- contexts, masks, permutations ----------------------------------------------------------------------------------


def _context(graph: Graph, chain: ChainFacts) -> Iterator[Diagnostic]:
    """A context that leaves every step's parameters as they would be without it."""
    if chain.arrow.context is None or any(map(_reads_context, chain.steps)):
        return
    read = graph.values[chain.arrow.context].variable
    labels = (Label(graph.variables[read].address, "declared here"),) if read else ()
    yield Diagnostic(
        "DGM503",
        "no step of this flow reads its context",
        f"{chain.arrow.address}/context/0",
        "never read",
        labels,
        help=("use a step with a network (`coupling`, `autoregressive`, `elementwise`), or leave the context out",),
    )


def _reads_context(step: StepFacts) -> bool:
    x = step.after if step.node.inverse else step.before
    try:
        return step.context is not None and step.node.op.reads_context(x, step.context)
    except Refusal:
        return True


def _masks(chain: ChainFacts) -> Iterator[Diagnostic]:
    """Steps with the same mask with nothing between them that moves or mixes coordinates."""
    last: tuple[StepFacts, tuple[int, ...]] | None = None
    for step in chain.steps:
        kept = untouched(step)
        if kept is None:
            if step.jacobian.structure not in _MOVES_NOTHING:
                last = None
            continue
        if last is not None and last[1] == kept and kept:
            yield Diagnostic(
                "DGM504",
                "this step transforms the same coordinates as the one before it",
                place(step.node),
                f"leaves {coordinates(kept)} untouched again",
                (Label(place(last[0].node), "the same mask"),) if place(last[0].node) != place(step.node) else (),
                help=("swap the mask (`alternate(k)` with the index of a repeat), or put a `permute` between the two",),
            )
        last = (step, kept)


def _permutations(chain: ChainFacts) -> Iterator[Diagnostic]:
    """Permutations that move nothing, and neighbours that undo each other."""
    last: StepFacts | None = None
    for step in chain.steps:
        if step.jacobian.named is Structure.IDENTITY:
            continue
        rows = step.jacobian.dependency
        if step.jacobian.named is not Structure.PERMUTATION or rows is None:
            last = None
            continue
        if rows == Dependency.diagonal(rows.columns) and step.before.shape == step.after.shape:
            yield Diagnostic(
                "DGM508",
                "this permutation moves nothing",
                place(step.node),
                "the identity",
                help=("leave it out, or write another order",),
            )
        elif (
            last is not None
            and last.jacobian.dependency is not None
            and (last.jacobian.dependency.then(rows) == Dependency.diagonal(rows.columns))
        ):
            yield Diagnostic(
                "DGM505",
                "this permutation undoes the one before it",
                place(step.node),
                "together the identity",
                (Label(place(last.node), "undone by the next"),) if place(last.node) != place(step.node) else (),
                help=("leave both out, or put a step between them",),
            )
        last = step


def _undone(chain: ChainFacts) -> Iterator[Diagnostic]:
    """A step without parameters and the same step undone: two log-determinants that are 0 together."""
    for first, second in pairwise(chain.steps):
        same = first.node.op == second.node.op and first.node.inverse is not second.node.inverse
        plain = not (first.parameters or first.node.op.stochastic(first.event) or _reads_context(first))
        if same and plain and first.jacobian.named not in (Structure.IDENTITY, Structure.PERMUTATION):
            yield Diagnostic(
                "DGM505",
                "this step undoes the one before it",
                place(second.node),
                "together the identity",
                (Label(place(first.node), "undone by the next"),) if place(first.node) != place(second.node) else (),
                help=("leave both out, or put a step between them",),
            )


def _linear(chain: ChainFacts) -> Iterator[Diagnostic]:
    """Learned affine steps with nothing between them that bends: together they are one, with one log-determinant.

    Two that scale count where only permutations stand between them, two that mix where scalings do as well: a scaling
    beside a mixing step is how data set its start. Two of low rank are no dearer than one of their joint rank.
    """
    scales: StepFacts | None = None
    mixes: StepFacts | None = None
    for step in chain.steps:
        facts = step.jacobian
        if facts.constant is not Fact.YES or _reads_context(step):
            scales = mixes = None
        elif _learns(step) and facts.structure in _SCALES:
            if scales is not None:
                yield _merged(scales, step, "scaling", "one `elementwise(affine)` or `actnorm` says as much")
            scales = step
        elif _learns(step) and facts.rank is None:
            if mixes is not None:
                yield _merged(mixes, step, "linear map", f"one `{step.name}` says as much")
            scales, mixes = None, step


def _learns(step: StepFacts) -> bool:
    return any(spec.trainable for spec in step.parameters)


def _merged(first: StepFacts, second: StepFacts, kind: str, remedy: str) -> Diagnostic:
    return Diagnostic(
        "DGM509",
        f"this step and the `{first.name}` before it are one {kind}, whose log-determinant is one number",
        place(second.node),
        "merges into the step before",
        (Label(place(first.node), f"the same {kind}"),) if place(first.node) != place(second.node) else (),
        notes=(
            f"as written {second.size:,} of {first.size + second.size:,} parameters add no map, and both are paid for",
        ),
        help=(f"leave one of them out ({remedy}), or put a step between them that bends",),
    )


def _triangular(chain: ChainFacts) -> Iterator[Diagnostic]:
    """A chain of several mixing steps that is triangular all the same."""
    mixing = [step for step in chain.steps if step.jacobian.structure in _TRIANGULAR]
    if len(mixing) < 2 or chain.whole.structure not in _TRIANGULAR or chain.whole.dependency is None:
        return
    yield Diagnostic(
        "DGM506",
        f"the whole map from `{chain.arrow.source}` to `{chain.arrow.target}` is triangular",
        chain.arrow.address,
        "all steps respect one order of the coordinates",
        notes=("its later coordinates never shape its earlier ones; a `permute` between the steps lifts that",),
    )


# ---- words ----------------------------------------------------------------------------------------------------------


def coordinates(indices: Iterable[int]) -> str:
    """``coordinate 0``, ``coordinates 0, 2 and 4``, ``coordinates 0, 1, 2, … (64 of them)``."""
    listed = list(indices)
    if len(listed) == 1:
        return f"coordinate {listed[0]}"
    if len(listed) > 6:
        return f"coordinates {', '.join(map(str, listed[:3]))}, … ({len(listed)} of them)"
    return f"coordinates {', '.join(map(str, listed[:-1]))} and {listed[-1]}"


def _verb(indices: list[int], one: str, many: str) -> str:
    return one if len(indices) == 1 else many
