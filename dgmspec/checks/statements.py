"""Statements about a flow as a whole: which output may read which input, what is proved, what class of map it is."""

from __future__ import annotations

from typing import Final

from dgmspec.checks.analysis import ChainFacts
from dgmspec.checks.jacobian import strangers
from dgmspec.core.jacobian import EXACT_UP_TO, Fact, Structure

__all__ = ["TRIANGULAR", "classes", "dense_from", "possible", "proved"]

TRIANGULAR: Final = (Structure.LOWER, Structure.UPPER, Structure.BLOCK_TRIANGULAR)
_DIAGONAL: Final = (Structure.IDENTITY, Structure.DIAGONAL)


def possible(chain: ChainFacts) -> str:
    """Which output may depend on which input, after cancellations: absence is proved, presence is possible."""
    dependency = chain.whole.dependency
    resizing = next((i for i, step in enumerate(chain.steps, 1) if step.resizes), None)
    if resizing is not None:
        return f"dependencies are not followed through step {resizing}, which changes the number of coordinates"
    if dependency is None:
        return f"dependencies are not computed beyond {EXACT_UP_TO} coordinates"
    full = dense_from(chain)
    if full is not None:
        return f"every output depends on every input from step {full} on"
    if all(row.bit_count() == 1 for row in dependency.rows):
        return "each output depends on one input alone"
    ones = sum(row.bit_count() for row in dependency.rows)
    apart = strangers(dependency)
    said = f"{ones:,} of {len(dependency.rows) * dependency.columns:,} dependencies of an output on an input"
    return f"{said}; coordinates {apart[0][0]} and {apart[0][1]} never meet" if apart else said


def proved(chain: ChainFacts, assumed: tuple[str, ...]) -> tuple[str, ...]:
    """Whether the whole is invertible, keeps volume and is triangular; then what its steps have proofs of."""
    reasons = dict.fromkeys(reason for step in chain.steps for reason in step.facts.proved)
    if (drawn := _drawn(chain)) is not None:
        return (f"step {drawn} draws its end given its start: a law, and nothing is inverted", *reasons)
    if (chained := _chained(chain)) is not None:
        return (f"step {chained} draws both ways: log_prob is a variational bound, and nothing is inverted", *reasons)
    said = [_invertible(chain, assumed)]
    volume = _volume_preserving(chain)
    if volume is not Fact.UNKNOWN:
        said.append("volume-preserving" if volume is Fact.YES else "not volume-preserving")
    if chain.whole.dependency is not None:
        triangular = chain.whole.pattern in (*TRIANGULAR, *_DIAGONAL)
        said.append(f"Jacobian {'' if triangular else 'not '}triangular as a whole")
    return (*said, *reasons)


def _invertible(chain: ChainFacts, assumed: tuple[str, ...]) -> str:
    if folding := _folding(chain):
        return f"step {folding[0]} takes several values to one, and the way back draws among them"
    said = "invertible" + (" onto its image" if chain.widenings else "")
    said += " but for what is assumed" if assumed else ""
    stochastic = next((i for i, step in enumerate(chain.steps, 1) if step.node.op.stochastic(step.event)), None)
    return said if stochastic is None else f"{said}; step {stochastic} is stochastic, undone exactly"


def _volume_preserving(chain: ChainFacts) -> Fact:
    """Whether |det J| = 1 whatever the parameters. A step with parameters of its own and a determinant that is not 1
    cannot be balanced by the others for every value of them."""
    if any(step.parameters and step.jacobian.unit_det is Fact.NO for step in chain.steps):
        return Fact.NO
    return chain.whole.unit_det


def _chained(chain: ChainFacts) -> int | None:
    """The number of a step that draws both ways: a chain of draws, which no map undoes."""
    drawn = (step.cost.log_det == "bound" or step.node.op.balances for step in chain.steps)
    return next((i for i, draws in enumerate(drawn, 1) if draws), None)


def _folding(chain: ChainFacts) -> list[int]:
    """The numbers of the steps that take several values to one."""
    return [i for i, step in enumerate(chain.steps, 1) if step.node.op.folds and not step.node.inverse]


def _drawn(chain: ChainFacts) -> int | None:
    """The number of a step that draws its end given its start."""
    return next((i for i, step in enumerate(chain.steps, 1) if step.node.op.random), None)


def classes(chain: ChainFacts, assumed: tuple[str, ...]) -> str:
    """Invertible maps, maps with lower-triangular Jacobian, or both."""
    invertible = "invertible maps" + (" (assumed)" if assumed else "")
    structure = chain.whole.pattern
    if _chained(chain) is not None or _drawn(chain) is not None:
        return "chains of random steps: a law of the data, not a map"
    if _folding(chain):
        return "surjections: a map towards the latent, random from it on"
    if any(step.resizes or step.node.op.folds for step in chain.steps):
        return "surjections: invertible from the latent on, random towards it"
    if chain.whole.dependency is None:
        return invertible
    if structure in (Structure.LOWER, *_DIAGONAL):
        return f"{invertible} and maps with lower-triangular Jacobian, both"
    if structure in TRIANGULAR:
        return f"{invertible} and, in another order of the coordinates, maps with lower-triangular Jacobian"
    return f"{invertible}, not maps with lower-triangular Jacobian"


def dense_from(chain: ChainFacts) -> int | None:
    """The number of the step from which on every output depends on every input; None where that never happens."""
    for number, prefix in enumerate(chain.prefixes, 1):
        if prefix.dependency is not None and prefix.dependency.is_full:
            return number
    return None
