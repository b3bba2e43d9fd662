"""Other models over the same parameters: solved more finely or otherwise, guided, given some observed variables."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Self

from dgmspec.core.steps import AbstractStep
from dgmspec.graph.conditioning import conditioned
from dgmspec.graph.graph import StepNode
from dgmspec.graph.words import describe
from dgmspec.modules.asked import asked_solver
from dgmspec.modules.runner import AbstractRunner, Given, UnavailableError
from dgmspec.ops.continuous import Ode
from dgmspec.program.build import build_programs
from dgmspec.program.program import Instruction, Program

__all__ = ["AbstractVaried"]


class AbstractVaried(AbstractRunner, ABC):
    """A model that gives others over its own parameters, each by programs of its own."""

    def refined(self) -> Self:
        """The same model, parameters shared, whose equations are solved more finely: at twice the steps, or a tenth of
        the tolerance. The same object where it solves none."""
        return self._with_steps(lambda op: op.refined())

    def tightened(self) -> Self:
        """Likewise with every equation solved as closely as can be, and no trace estimated."""
        return self._with_steps(lambda op: op.tightened())

    def with_solver(self, solver: Any) -> Self:
        """Likewise with every `ode` solved by `solver`, a call such as ``lang.dopri5(rtol = 1e-8)``; `UnavailableError`
        where there is none."""
        by = asked_solver(solver)
        other = self._with_steps(lambda op: op.model_copy(update={"solver": by}) if isinstance(op, Ode) else op)
        if not any(isinstance(step.op, Ode) for step in self.graph.steps.values()):
            raise UnavailableError(f"{self.name} has no `ode` to solve")
        return other

    def guided(self, guidance: float) -> Self:
        """Likewise with every velocity that was trained without its context too as (1 + w) times that given it, less w
        times that without; `UnavailableError` where there is none."""
        if not any(isinstance(step.op, Ode) and step.op.drop for step in self.graph.steps.values()):
            raise UnavailableError(
                "guidance: a sampler along a noising arrow has it, say which with `method`; so has an `ode` of a model "
                f"trained with `drop`, and {self.name} has none"
            )
        return self._with_steps(
            lambda op: op.model_copy(update={"guidance": guidance}) if isinstance(op, Ode) and op.drop else op
        )

    def double_steps(self) -> bool:
        """From here on this very model takes twice the steps along every `ode` of fixed steps; False where there is
        none, or no room for more."""
        other = self._with_steps(lambda op: op.doubled() if isinstance(op, Ode) else op)
        if other is self:
            return False
        self.programs = other.programs
        nodes = {at: _doubled(node) for at, node in self.graph.steps.items()}
        self.graph = replace(self.graph, steps=nodes)
        if self._backend is not None:
            self._backend.forget()
        self._prepare()
        return True

    def conditional(self, known: Iterable[str]) -> Self:
        """The same model, parameters shared, as the law of its other observed variables given these: generated from
        them, or inferred. `UnavailableError` where it says neither. Of a `compiled` model it runs as it is."""
        names = frozenset(known)
        if names not in self._conditionals:
            law = conditioned(self.graph, names)
            if law is None:
                rest = ", ".join(f"`{name}`" for name in self.observed if name not in names)
                given = ", ".join(f"`{name}`" for name in self.observed if name in names)
                raise UnavailableError(
                    f"given {given}, {self.name} neither generates nor infers {rest or 'anything'}: write an `infer` "
                    "and train it by `forward_kl`, or draw by chains, `method = hmc(100, 0.1)`"
                )
            view = self.with_programs(build_programs(law))
            view.graph, view._changes = law, ()
            for change in self._changes:
                view = view._with_steps(change)
            self._conditionals[names] = view
        return self._conditionals[names].train(self.training)

    def under(self, given: Given) -> Self:
        """The model itself, or `conditional` on the observed variables that `given` has values of."""
        if given is None:
            return self
        known = [name for name in self.observed if isinstance(given, Mapping) and name in given]
        return self.conditional(known) if known else self

    def _with_steps(self, change: Callable[[AbstractStep], AbstractStep]) -> Self:
        programs = {
            phase: _with_changed(program, change) if isinstance(program, Program) else program
            for phase, program in self.programs.items()
        }
        if programs == self.programs:
            return self
        other = self.with_programs(programs)
        other._changes = (*self._changes, change)
        return other


def _changed(line: Instruction, change: Callable[[AbstractStep], AbstractStep]) -> Instruction:
    if line.bodies:
        return replace(line, bodies=tuple(_with_changed(body, change) for body in line.bodies))
    return replace(line, op=change(line.op)) if isinstance(line.op, AbstractStep) else line


def _with_changed(program: Program, change: Callable[[AbstractStep], AbstractStep]) -> Program:
    return replace(program, instructions=tuple(_changed(line, change) for line in program.instructions))


def _doubled(node: StepNode) -> StepNode:
    if not isinstance(node.op, Ode):
        return node
    op = node.op.doubled()
    return replace(node, op=op, label=describe(op))
