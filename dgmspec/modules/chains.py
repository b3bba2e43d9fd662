"""A model's density from outside of its programs where it may be known up to a constant only, and chains along it."""

from __future__ import annotations

from abc import ABC
from typing import Any

import torch
from torch import Tensor

from dgmspec.checks.analysis import Analysis
from dgmspec.checks.sampling import check_sampler
from dgmspec.modules.langevin import run_chains
from dgmspec.modules.noising import AbstractNoised, Noise, sampler_of
from dgmspec.modules.randomness import fresh_seed
from dgmspec.modules.results import Chains
from dgmspec.modules.runner import Given, UnavailableError
from dgmspec.ops.langevin import AbstractChain
from dgmspec.program.build import Unavailable
from dgmspec.program.program import Phase

__all__ = ["AbstractChained"]


class AbstractChained(AbstractNoised, ABC):
    """What a model has besides its programs where its one observed variable has a slope to follow."""

    def log_density(self, x: Any, given: Given = None) -> Tensor:
        """log p(x | given) up to a constant, (batch,): the e of a variable `~ exp(e)`, else `log_prob`."""
        if isinstance(self.programs["target"], Unavailable):
            return self.log_prob(x, given)
        return self.run("target", self._read("target", x, given)[0])["log_prob"]

    @torch.no_grad()
    def chains(self, n: int, method: Any, given: Given = None, seed: int | None = None, start: int = 0) -> Chains:
        """What `sample` returns by a `method` that follows the density, such as ``lang.mala(500, 0.5)``, with the
        log-density of each value (up to a constant) and its chain's acceptance rate, both (n,) or (n, m)."""
        op = sampler_of(method)
        if not isinstance(op, AbstractChain):
            raise TypeError(f"chains are those of lang.langevin(…) or lang.mala(…), not of {op.name}")
        for wrong in check_sampler(Analysis(self.graph), op, self.name):
            raise UnavailableError(f"{wrong.message}; {wrong.help[0]}")
        seed = fresh_seed() if seed is None else seed
        phase: Phase = "log_prob" if isinstance(self.programs["target"], Unavailable) else "target"
        inputs, rows, shape = self._read_given(phase, n, given)
        ((name, type_),) = self.observed.items()
        at, like = f"{self.name}/{name}/{op.name}", self._like()
        noise = Noise(seed, at, start, rows, like, type_.shape)
        chance = Noise(seed, f"{at}/chance", start, rows, like, (), "uniform")
        found = run_chains(op, lambda x: self.run(phase, inputs | {name: x})["log_prob"], noise, chance)
        values = found.values.reshape(*shape, *type_.shape)
        return Chains(values, found.log_density.reshape(shape), found.acceptance.reshape(shape))
