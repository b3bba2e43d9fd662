"""A model's density from outside of its programs where it may be known up to a constant only, and chains along it."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from dgmspec.checks.analysis import Analysis
from dgmspec.checks.sampling import check_sampler
from dgmspec.modules.asked import asked_sampler
from dgmspec.modules.inputs import as_event, batch_of, read_given
from dgmspec.modules.journeys import Noise
from dgmspec.modules.langevin import Field, run_chains
from dgmspec.modules.noising import AbstractNoised
from dgmspec.modules.randomness import fresh_seed
from dgmspec.modules.results import Chains
from dgmspec.modules.runner import Given, UnavailableError
from dgmspec.modules.unconstrained import Map, onto_support
from dgmspec.ops.langevin import AbstractChain
from dgmspec.program.build import Unavailable
from dgmspec.program.program import Phase

__all__ = ["AbstractChained"]

BY_CHAIN = ("acceptance", "step_size", "diverged")
"""What is one number a chain."""


class AbstractChained(AbstractNoised, ABC):
    """What a model has besides its programs where one of its observed variables has a slope to follow."""

    def log_density(self, x: Any, given: Given = None) -> Tensor:
        """log p(x | given) up to a constant, (batch,): the e of a variable `~ exp(e)`, else `log_prob`."""
        if isinstance(self.programs["target"], Unavailable):
            return self.log_prob(x, given)
        return self.run("target", self._read("target", x, given)[0])["log_prob"]

    def known_score(self, x: Any, given: Given = None) -> Tensor:
        """∇e(x), (batch, *event): the score of the density ``~ exp(e)`` that stands beside the model's own."""
        ((name, type_),) = self.observed.items()
        value = as_event(name, x, type_, self.dtype, self.device).detach().requires_grad_()
        with torch.enable_grad():
            density = self.run("known", self._read("known", value, given)[0])["log_prob"]
            return torch.autograd.grad(density.sum(), value)[0]

    @torch.no_grad()
    def chains(self, n: int, method: Any, given: Given = None, seed: int | None = None, start: int = 0) -> Chains:
        """What `sample` returns by a `method` that follows the density, such as ``lang.hmc(100, 0.1)``, with the
        log-density of each value (up to a constant), its chain's acceptance rate, both (n,) or (n, m), and what else
        `Chains` holds.

        Where `given` holds values of observed variables too, (batch, *event), the one that is left is drawn from its
        posterior: the joint density follows it alone.
        """
        op = asked_sampler(method)
        if not isinstance(op, AbstractChain):
            raise TypeError(f"chains are those of langevin(…), mala(…) or hmc(…), not of {op.name}")
        known = {name: value for name, value in (given or {}).items() if name in self.observed}
        for wrong in check_sampler(Analysis(self.graph), op, self.name, frozenset(known)):
            raise UnavailableError(f"{wrong.message}; {wrong.help[0]}")
        phase = self._followed()
        inputs, rows, shape = self._fixed(phase, n, known, given)
        name = next(name for name in self.observed if name not in known)
        type_, at, like = self.type_of(name), f"{self.name}/{name}/{op.name}", self._like()
        seed = fresh_seed() if seed is None else seed
        noise = Noise(seed, at, start, rows, like, type_.shape)
        chance = Noise(seed, f"{at}/chance", start, rows, like, (), "uniform")
        onto = onto_support(type_) or _as_it_is
        found = run_chains(op, self._field(phase, inputs, name, onto), noise, chance)
        values, stretched = onto(found.values)
        log_density = None if found.log_density is None else (found.log_density - stretched).reshape(shape)
        by_chain = {
            key: value.reshape(shape) for key, value in vars(found).items() if key in BY_CHAIN and value is not None
        }
        return replace(found, **by_chain, values=values.reshape(*shape, *type_.shape), log_density=log_density)

    def _followed(self) -> Phase:
        """The program whose result, or its slope, chains follow."""
        phases: tuple[Phase, ...] = ("score", "target")
        return next((p for p in phases if not isinstance(self.programs[p], Unavailable)), "log_prob")

    def _fixed(
        self, phase: Phase, n: int, known: Mapping[str, Any], given: Given
    ) -> tuple[dict[str, Tensor], int, tuple[int, ...]]:
        """What stands while chains move, repeated for n samples each, how many rows that makes, and the shape (n,) or
        (n, m)."""
        others = {name: value for name, value in (given or {}).items() if name not in known}
        inputs = read_given(self.program(phase), self.givens, others, self.dtype, self.device)
        inputs |= {k: as_event(k, v, self.type_of(k), self.dtype, self.device) for k, v in known.items()}
        m = batch_of(inputs)
        repeated = {k: v.expand(n, m, *v.shape[1:]).reshape(n * m, *v.shape[1:]) for k, v in inputs.items()}
        return repeated, n * m, (n,) if m == 1 else (n, m)

    def _field(self, phase: Phase, inputs: Mapping[str, Tensor], name: str, onto: Map) -> Field:
        """The log-density of one variable, as the numbers of ℝ that `onto` takes to its support, and its slope; of a
        learned score, which is one of a variable on ℝ, the score alone."""
        if phase == "score":
            return lambda x: (None, self.run(phase, {**inputs, name: x})["score"])

        def field(u: Tensor) -> tuple[Tensor, Tensor]:
            with torch.enable_grad():
                here = u.detach().requires_grad_()
                x, stretched = onto(here)
                value = self.run(phase, {**inputs, name: x})["log_prob"] + stretched
                (slope,) = torch.autograd.grad(value.sum(), here)
            return value.detach(), slope

        return field


def _as_it_is(u: Tensor) -> tuple[Tensor, Tensor]:
    """Of a variable that lives on all of ℝ."""
    return u, u.new_zeros(u.shape[0])
