"""The ends of an `sde` over several variables: which parts the data give at the start, and one prior at the other end,
or at the start of a process that runs forwards.

A latent part with `infer v ~ normal(…)` has a law of its own at the start, whatever the data are. It is drawn there by
a step of the arrow, and no variable of the graph: the state stands between that step and the process.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from dgmspec.algebra.paths.joint import Start
from dgmspec.algebra.paths.parts import Parts
from dgmspec.core.address import Address, child
from dgmspec.core.types import REAL, Type
from dgmspec.graph.building import Building
from dgmspec.graph.flows import lower_end
from dgmspec.graph.graph import Prior, StepNode, Value, ValueId, VariableNode
from dgmspec.ops.distributions.line import Normal
from dgmspec.ops.paths.joint import Started
from dgmspec.spec.model import Path

__all__ = ["Source", "forward_source", "joint_prior", "joint_source", "moments_of"]


@dataclass(frozen=True)
class Source:
    """The start of an arrow: the variable there, the value that the process starts from, and the parts of the state."""

    variable: VariableNode
    value: ValueId
    parts: Parts
    starts: tuple[Start | None, ...]
    steps: tuple[Address, ...] = ()
    """The step that draws parts, where some are drawn."""


def joint_source(building: Building, member: Path, at: Address) -> Source:
    """The start of an arrow of one variable or several; raises `Reported` where it holds a mistake."""
    parts, starts = [], []
    for name in member.source:
        lower_end(building, (name,), at)
        parts.append((name, _shape(building, name, at) if len(member.source) > 1 else ()))
        starts.append(_start(building, name, at) if len(member.source) > 1 else None)
    given = tuple(name for name, start in zip(member.source, starts, strict=True) if start is None)
    if not given:
        message = "every part of the state has a law of its own at the start, and none is given by the data"
        building.findings.refuse("DGM674", message, at, "no data", ("declare one of them `observe`",))
    variable = lower_end(building, given, at)
    if len(given) == len(parts):
        return Source(variable, variable.value, tuple(parts), tuple(starts))
    step = child(at, "start")
    value = f"{step}:out"
    building.values[value] = Value(value)
    op = Started(parts=tuple(parts), starts=tuple(starts))
    drawn = [name for name in member.source if name not in given]
    label = f"draws {', '.join(drawn)}"
    building.steps[step] = StepNode(step, op, False, variable.value, value, None, at, label, at)
    for name in drawn:
        del building.values[building.variables.pop(name).value]
    return Source(variable, value, tuple(parts), tuple(starts), (step,))


def forward_source(building: Building, member: Path, at: Address) -> Source:
    """The start of an arrow that runs forwards from the prior there; raises `Reported` where it holds a mistake."""
    for name in member.source:
        lower_end(building, (name,), at)
    several = len(member.source) > 1
    parts = tuple((name, _shape(building, name, at) if several else ()) for name in member.source)
    variable = joint_prior(building, member.source, at)
    return Source(variable, variable.value, parts, (None,) * len(parts))


def joint_prior(building: Building, names: tuple[str, ...], at: Address) -> VariableNode:
    """An end of an arrow; where all of its parts have normal priors of numbers, these as one."""
    end = lower_end(building, names, at)
    nodes = [building.variables[name] for name in names]
    priors = [node.prior for node in nodes if node.prior is not None]
    if len(names) == 1 or not priors:
        return end
    laws = [moments_of(node) for node in nodes]
    if len(priors) < len(names) or None in laws:
        lacking = next(n.name for n, law in zip(nodes, laws, strict=True) if law is None)
        building.findings.refuse(
            "DGM674",
            f"the priors of the parts of {end.name} are one law together, and that of `{lacking}` is no normal law of "
            "numbers",
            building.variables[lacking].address,
            "a part of the state",
            (f"write `latent {lacking} : … ~ normal(0, 1)`, or let a single vector with any prior be the state there",),
        )
    loc: list[float] = []
    scale: list[float] = []
    for node, law in zip(nodes, laws, strict=True):
        size = math.prod(_shape(building, node.name, at))
        for row, numbers in zip((loc, scale), law or (), strict=True):
            row += numbers * size if len(numbers) == 1 else numbers
        building.variables[node.name] = replace(node, prior=None)
    op = Normal(loc=tuple(loc), scale=tuple(scale))
    building.variables[end.name] = replace(end, prior=Prior(priors[0].address, end.name, op))
    return building.variables[end.name]


def moments_of(variable: VariableNode, law: Prior | None = None) -> Start | None:
    """Mean and standard deviation of a normal prior, or of another `law`, whose parameters are numbers."""
    law = law or variable.prior
    if law is None or not isinstance(law.op, Normal):
        return None
    loc, scale = (value if isinstance(value, tuple) else (value,) for value in (law.op.loc, law.op.scale))
    numbers = all(isinstance(item, (int, float)) for item in (*loc, *scale))
    return (loc, scale) if numbers else None  # type: ignore[return-value]  # they are numbers


def _shape(building: Building, name: str, at: Address) -> tuple[int, ...]:
    """The shape of a part, a number or a vector."""
    type_ = building.variables[name].declared
    if not isinstance(type_, Type) or len(type_.shape) > 1:
        message = f"`{name}` is part of a joint state: a number or a vector of a size that is written out"
        building.findings.refuse("DGM675", message, at, "no vector", (f"declare `{name} : real[2]`, say",))
    if type_.support != REAL:
        message = f"noise takes values in all of ℝ, and the part `{name}` is {type_}"
        building.findings.refuse(
            "DGM301", message, at, help=("map it there first by a flow, and let that be the part",)
        )
    return type_.shape


def _start(building: Building, name: str, at: Address) -> Start | None:
    """The law of a part at the start; None where the data, or arrows from them, give it."""
    node = building.variables[name]
    if node.role == "observe" or node.posterior is None:
        if node.prior is not None:
            building.findings.refuse(
                "DGM674",
                f"`{name}` stands at the start of the path, and a prior would be a second origin: samples end there",
                node.prior.address,
                "a prior at the start",
                (f"write `infer {name} ~ …` in place of it: the law that `{name}` has beside the data",),
            )
        return None
    law = moments_of(node, node.posterior)
    if law is None:
        building.findings.refuse(
            "DGM674",
            f"the law of `{name}` at the start is a part of the kernel, which is normal: a normal law of numbers",
            node.posterior.address,
            "no normal law of numbers",
            (f"write `infer {name} ~ normal(0, 0.1)`",),
        )
    return law
