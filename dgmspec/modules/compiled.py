"""`CompiledModel`: the programs of one model over its parameters, as a torch module."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor

from dgmspec.checks.explain_html import drawing_html, flows_html
from dgmspec.core.address import seed_of
from dgmspec.core.markup import Html, fragment, tag
from dgmspec.core.samplers import AbstractSampler
from dgmspec.modules.asked import asked_sampler
from dgmspec.modules.bundle import CheckpointError, write_bundle
from dgmspec.modules.counting import counting
from dgmspec.modules.freeze import fold
from dgmspec.modules.law import Law
from dgmspec.modules.randomness import fresh_seed
from dgmspec.modules.redraws import redrawn
from dgmspec.modules.results import Ledger
from dgmspec.modules.runner import Given, UnavailableError
from dgmspec.modules.training import AbstractTrained
from dgmspec.ops.continuous.samplers import Solve
from dgmspec.ops.langevin import AbstractChain
from dgmspec.ops.paths.samplers import AbstractPathSampler
from dgmspec.program.build import Unavailable
from dgmspec.program.program import Phase

__all__ = ["CheckpointError", "CompiledModel", "UnavailableError"]


class CompiledModel(AbstractTrained):
    """A model: log-density, samples, both directions and the loss, over parameters named by their addresses.

    Tensors are (batch, *event); log-densities are in nats, (batch,). A method takes and returns a tensor where one
    variable is concerned, a dict by name where there are several. `given` maps each given variable to a tensor of
    batch 1 or of the full batch; with values of observed variables too, densities and samples are those of the others
    given these (see `conditional`). Randomness comes from `seed` (a fresh one when None), keyed per sample: row i of a
    call draws what sample `start + i` draws in any other call. A new model is in evaluation mode; ``train()`` turns
    dropout on.
    """

    # ---- densities --------------------------------------------------------------------------------------------------

    def log_prob(
        self,
        x: Any,
        given: Given = None,
        samples: int = 1,
        seed: int | None = None,
        start: int = 0,
        t: float | None = None,
    ) -> Tensor:
        """log p(x | given) in nats, (batch,); its exactness is `density`. With `t` it is that of x_t, where an `sde`
        starts at its prior, or of the state of an `ode` at that time.

        With stochastic steps, `samples` draws are joined: log of the mean density where each draw is a weight (which
        tightens a lower bound), the mean of the logs where it estimates or bounds a logarithm, as a `markov` does.
        """
        if t is not None:
            return self.until(t).log_prob(x, given, samples, seed, start)
        if (law := self.under(given)) is not self:
            return law.log_prob(x, given, samples, seed, start)
        inputs, batch = self._read("log_prob", x, given)
        program = self.program("log_prob")
        if not program.draws:
            return self.run("log_prob", inputs)["log_prob"]
        seed = fresh_seed() if seed is None else seed
        parts = [
            self.run("log_prob", inputs | self._noise(program, start, batch, seed, draw))["log_prob"]
            for draw in range(samples)
        ]
        if samples == 1:
            return parts[0]
        joined = torch.stack(parts)
        if not self.weighs:
            return joined.mean(0)
        return torch.logsumexp(joined, 0) - math.log(samples)

    def ledger(
        self,
        x: Any,
        given: Given = None,
        seed: int | None = None,
        start: int = 0,
        direction: Literal["log_prob", "encode"] = "log_prob",
    ) -> Ledger:
        """log p(x | given) by its contributions: each step's log-determinant and each prior's log-density.

        With ``direction="encode"`` the log-determinants alone, log|det ∂z/∂x|; no prior is needed.
        """
        if (law := self.under(given)) is not self:
            return law.ledger(x, given, seed, start, direction)
        inputs, batch = self._read(direction, x, given)
        program = self.program(direction)
        noise = self._noise(program, start, batch, seed)
        with counting() as solved:
            slots = self.keep(direction, inputs | noise)
        return self._ledger(program, slots, batch, solved)

    # ---- samples and both directions --------------------------------------------------------------------------------

    @torch.no_grad()
    def sample(
        self,
        n: int,
        given: Given = None,
        seed: int | None = None,
        start: int = 0,
        method: Any = None,
        known: Mapping[str, tuple[Tensor, Tensor]] | None = None,
        guidance: float | None = None,
        t: float | None = None,
    ) -> Any:
        """n samples, (n, *event); with a context of batch m > 1, n for each: (n, m, *event).

        `method` is a sampler of the library, such as ``lang.ddim(steps = 50)``, instead of the model's own direction;
        along a noising arrow `known` then fixes coordinates, name -> (values, mask that is true where they stand).
        `guidance` w makes each prediction there, or the velocity of an `ode`, (1 + w) times that given the context,
        less w times that without it. With `t` an `sde` that starts at its prior stops at that time, and of an `ode` it
        is the state there.
        """
        if t is not None:
            return self.until(t).sample(n, given, seed, start, method, known, guidance)
        seed = fresh_seed() if seed is None else seed
        chosen = self.default_method() if method is None else asked_sampler(method)
        if guidance is not None and not isinstance(chosen, AbstractPathSampler):
            return self.guided(guidance).sample(n, given, seed, start, method, known)
        if isinstance(chosen, Solve):
            return self.with_solver(chosen.solver).sample(n, given, seed, start)
        if isinstance(chosen, AbstractChain) and not known:
            return self.chains(n, chosen, given, seed, start).values
        if (law := self.under(given)) is not self:
            return law.sample(n, given, seed, start, method, known, guidance)
        if known and chosen is None:
            raise UnavailableError("known coordinates are kept by a sampler: say which with `method`")
        inputs, rows, shape = self._read_given("sample" if chosen is None else "after", n, given)
        found = self._sampled(chosen, inputs, rows, seed, start, known, guidance)
        return _single({name: value.reshape(*shape, *value.shape[1:]) for name, value in found.items()})

    def rsample(self, n: int, given: Given = None, seed: int | None = None, start: int = 0) -> Any:
        """Samples through which gradients pass to parameters and context; shapes as in `sample`.

        Not where steps floor or redraw their samples, through which no gradient passes.
        """
        if (law := self.under(given)) is not self:
            return law.rsample(n, given, seed, start)
        if self.redraws:
            raise UnavailableError("rsample: the density is a lower bound, whose samples are redrawn; use sample")
        if not self.differentiable:
            raise UnavailableError("rsample: no gradient passes a choice by a learned law; use sample")
        inputs, rows, shape = self._read_given("sample", n, given)
        noise = self._noise(self.program("sample"), start, rows, seed)
        found = self.run("sample", inputs | noise)
        return _single({name: value.reshape(*shape, *value.shape[1:]) for name, value in found.items()})

    def sample_and_log_prob(
        self, n: int, given: Given = None, seed: int | None = None, start: int = 0
    ) -> tuple[Any, Tensor]:
        """n samples with their log-densities, in one walk where every step is a bijection; gradients pass, but none
        from a sample to what it is chosen by (the weights of a `mixture`).

        Where steps draw both ways, as `metropolis` does, it is log q of the way that a sample took, less the log of the
        chance of that way back: exp(e - log q) then weighs samples towards the density exp(e), rightly on average.
        """
        if (law := self.under(given)) is not self:
            return law.sample_and_log_prob(n, given, seed, start)
        seed = fresh_seed() if seed is None else seed
        if isinstance(self.programs["sample_and_log_prob"], Unavailable):
            return self._sample_then_log_prob(n, given, seed, start)
        inputs, rows, shape = self._read_given("sample_and_log_prob", n, given)
        noise = self._noise(self.program("sample_and_log_prob"), start, rows, seed)
        found = self.run("sample_and_log_prob", inputs | noise)
        log_prob = found.pop("log_prob").reshape(shape)
        return _single({k: v.reshape(*shape, *v.shape[1:]) for k, v in found.items()}), log_prob

    def _sample_then_log_prob(self, n: int, given: Given, seed: int, start: int) -> tuple[Any, Tensor]:
        chosen = self.default_method()
        inputs, rows, shape = self._read_given("sample" if chosen is None else "after", n, given)
        with torch.no_grad():
            found = self._sampled(chosen, inputs, rows, seed, start)
        inputs = self._read_given("log_prob", n, given)[0]  # posteriors may read more than samples do
        log_prob = self.log_prob(found, inputs or None, seed=seed, start=start).reshape(shape)
        return _single({k: v.reshape(*shape, *v.shape[1:]) for k, v in found.items()}), log_prob

    def _sampled(
        self,
        method: AbstractSampler | None,
        inputs: dict[str, Tensor],
        rows: int,
        seed: int,
        start: int,
        known: Mapping[str, tuple[Tensor, Tensor]] | None = None,
        guidance: float | None = None,
    ) -> dict[str, Tensor]:
        """Samples by a sampler, or in the model's own direction; those outside the data's support are drawn again."""
        found = self._once(method, inputs, rows, seed, start, known, guidance)
        if self.simulates and method is None:
            self.check_paths(found)
        # What a sampler gives that is no number comes of the net, and not of chance.
        if not (self.redraws if method is None else any(step.op.part for step in self.graph.steps.values())):
            return found

        def draw(left: Tensor, again: int) -> dict[str, Tensor]:
            kept = {name: (_of(value, left), _of(mask, left)) for name, (value, mask) in (known or {}).items()}
            given = {name: value[left] for name, value in inputs.items()}
            return self._once(method, given, len(left), seed_of(seed, "again", again), start + left, kept, guidance)

        return redrawn(found, {name: self.type_of(name) for name in found}, draw)

    def _once(
        self,
        method: AbstractSampler | None,
        inputs: dict[str, Tensor],
        rows: int,
        seed: int,
        start: int | Tensor,
        known: Mapping[str, tuple[Tensor, Tensor]] | None,
        guidance: float | None,
    ) -> dict[str, Tensor]:
        """Samples as they come, at the indices from `start` on, or at these."""
        if method is not None:
            return self._along(method, inputs, rows, seed, start, known, guidance=guidance)
        return self.run("sample", inputs | self._noise(self.program("sample"), start, rows, seed))

    def encode(self, x: Any, given: Given = None, seed: int | None = None, start: int = 0, mean: bool = False) -> Any:
        """The latent variables behind the data: at the ends of the arrows that start there, and draws of the posteriors
        (with `mean` their means, where a law has one that is a value of the variable)."""
        phase: Phase = "encode_mean" if mean else "encode"
        inputs, batch = self._read(phase, x, given)
        return _single(self.run(phase, inputs | self._noise(self.program(phase), start, batch, seed)))

    def decode(self, z: Any, given: Given = None, seed: int | None = None, start: int = 0, mean: bool = False) -> Any:
        """The observed variables that latent values stand for: the inverse of `encode`, or draws of the laws given the
        latent values (their means where `mean` says so). Latent variables that do not matter then may be passed too."""
        phase: Phase = "decode_mean" if mean else "decode"
        if isinstance(z, Mapping):
            read = [i.name for i in self.program(phase).inputs]
            latent = [v.name for v in self.graph.variables.values() if v.role == "latent"]
            z = {name: value for name, value in z.items() if name in read or name not in latent}
        inputs, batch = self._read(phase, z, given)
        return _single(self.run(phase, inputs | self._noise(self.program(phase), start, batch, seed)))

    def distribution(self, given: Given = None) -> Law:
        """p(x | given) as a torch Distribution with `rsample`, for one observed variable."""
        if (law := self.under(given)) is not self:
            return law.distribution(given)
        if len(self.observed) != 1:
            raise ValueError(f"a torch Distribution has one variable, and {self.graph.name} has {len(self.observed)}")
        return Law(self, next(iter(self.observed)), given)

    # ---- in a notebook ----------------------------------------------------------------------------------------------

    def _repr_html_(self) -> Html:
        """For notebooks: what the model is, its plan with costs and dependencies, and its graph to unfold."""
        return fragment(
            tag("div", tag("b", self.name), f"   {self.extra_repr().removeprefix(f'{self.name}: ')}"),
            flows_html(self.graph),
            tag("details", tag("summary", "graph"), drawing_html(self.graph)),
        )

    # ---- other forms ------------------------------------------------------------------------------------------------

    def freeze(self) -> CompiledModel:
        """A new model for inference with constants folded: runs of steps with a constant Jacobian become one product
        with a matrix that is computed (and inverted) once, in float64, or one scale and shift where nothing mixes;
        constant log-determinants become one number."""
        frozen = copy.deepcopy(self).requires_grad_(False).eval()
        frozen.programs, tables = fold(self.programs, self._resources, self.values())
        frozen.frozen = True
        for key, table in tables.items():
            frozen.add_table(key, table)
        frozen._prepare()
        return frozen

    def train(self, mode: bool = True) -> Self:
        """As of any module; a frozen model stays in evaluation mode."""
        return super().train(mode and not self.frozen)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        if self.frozen:
            raise UnavailableError(
                "load_state_dict: a frozen model holds constants made of the weights it was frozen with; load into the "
                "model that `compile` gave, and freeze it again"
            )
        return super().load_state_dict(state_dict, strict, assign)

    def save(self, path: str | Path) -> Path:
        """Write the model as a folder: weights as safetensors, the spec as text, the rest as JSON."""
        if self.bundle is None or self.frozen:
            what = "a frozen model" if self.frozen else "a model without its spec"
            raise UnavailableError(f"save: {what} cannot be written; save the model that `compile` gave")
        return write_bundle(Path(path), self.bundle, self.state_dict())


def _of(value: Tensor, rows: Tensor) -> Tensor:
    """Some rows of what is given for each, or once for all."""
    return value[rows] if len(value) > 1 else value


def _single(found: dict[str, Tensor]) -> Any:
    """The tensor where there is one, else the dict."""
    return next(iter(found.values())) if len(found) == 1 else found
