"""A model's noising arrow from outside of its programs: its path, its score, and samplers along it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dgmspec.algebra.paths.gaussian import AbstractPath, GaussianPath
from dgmspec.algebra.paths.joint import JointPath
from dgmspec.algebra.paths.scalar import AbstractCurve
from dgmspec.core.samplers import AbstractSampler
from dgmspec.core.types import REAL, Type
from dgmspec.graph.graph import StepNode
from dgmspec.graph.standardizing import data_end
from dgmspec.modules.inputs import as_event, read_given
from dgmspec.modules.journeys import Noise, denoiser_of, journey, noising_step, reversed_of
from dgmspec.modules.paths.denoiser import AnyDenoiser, Denoiser, JointDenoiser
from dgmspec.modules.paths.descent import Known
from dgmspec.modules.paths.unsolved import Reversed, run_back
from dgmspec.modules.prepared import ANCHOR
from dgmspec.modules.runner import Given, UnavailableError
from dgmspec.modules.standardizing import behind
from dgmspec.modules.twin import by_row
from dgmspec.modules.variants import AbstractVaried
from dgmspec.ops.paths.arrows import Perturb
from dgmspec.ops.paths.learned import AbstractLearnedPath
from dgmspec.ops.paths.samplers import AbstractPathSampler, Ancestral, AnnealedLangevin, ReverseSde
from dgmspec.ops.paths.unsolved import Unsolved
from dgmspec.program.build import CONTEXT, END, START, Unavailable

__all__ = ["AbstractNoised", "NoisePath"]


@dataclass(frozen=True)
class NoisePath:
    """The derived path of a model: x_t = α(t) x_0 + m(t) + σ(t) ε, at a time or a tensor of times (any shape, in the
    precision of the times; a float gives float64)."""

    net: AnyDenoiser

    def alpha(self, t: Any) -> Tensor:
        """α(t)."""
        return self._at(t, 0)

    def mean(self, t: Any) -> Tensor:
        """m(t)."""
        return self._at(t, 1)

    def sigma(self, t: Any) -> Tensor:
        """σ(t)."""
        return self._at(t, 2)

    def log_snr(self, t: Any) -> Tensor:
        """log(α² / σ²)."""
        return self._at(t, 3)

    def drift(self, x: Tensor, t: Any) -> Tensor:
        """f(x, t) of the process."""
        found: Tensor = self.net.rates(_times(t, x), x.dtype).drift(x)
        return found

    def reverse_drift(self, x: Tensor, t: Any) -> Tensor:
        """f - G Gᵀ s: the drift of the process that runs from noise to data, with the learned score."""
        times = _times(t, x)
        flow = self.net.rates(times, x.dtype)
        found: Tensor = flow.drift(x) - flow.pull(self.net(x, times).score)
        return found

    def velocity(self, x: Tensor, t: Any) -> Tensor:
        """f - G Gᵀ s / 2: the probability flow, with the learned score."""
        times = _times(t, x)
        return self.net.velocity(x, times, self.net(x, times))

    @property
    def times(self) -> tuple[float, float]:
        """The earliest time in use and the last."""
        return self.net.op.start(self.net.event.shape), self.net.path.high

    def _at(self, t: Any, entry: int) -> Tensor:
        times = torch.as_tensor(t, dtype=None if isinstance(t, Tensor) else torch.float64)
        device = next(iter(self.net.p.values())).device if self.net.p else times.device
        if not isinstance(self.net, Denoiser):
            raise UnavailableError("the coefficients of this path are matrices: read them by `matrices(t)`")
        found = self.net.at(times.reshape(-1).to(device), times.dtype)[entry]
        return found.reshape(times.shape if self.net.path.alike else (*times.shape, -1))

    def matrices(self, t: float) -> tuple[Tensor, Tensor, Tensor]:
        """(Φ, m, L) of a joint state at a time, float64: x_t = Φ x_0 + m + L ε for the coordinates of one group, those
        without noise of their own first."""
        if not isinstance(self.net, JointDenoiser):
            raise UnavailableError("the coefficients of this path are numbers: `alpha(t)`, `mean(t)` and `sigma(t)`")
        signal, mean, factor = (torch.tensor(matrix, dtype=torch.float64) for matrix in self.net.path.at(t))
        return signal, mean, factor

    def between(self, s: float, t: float) -> tuple[Tensor, Tensor, Tensor]:
        """The law of x_t given x_s, s < t, float64: (α, m, σ) by the coordinate, or (Φ, m, L) as in `matrices`."""
        path = self.net.path
        found = path.between(s, t) if isinstance(path, JointPath) else _each(c.between(s, t) for c in _curves(path))
        signal, mean, spread = (torch.tensor(value, dtype=torch.float64) for value in found)
        return signal, mean, spread

    def posterior(self, s: float, t: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The law of x_s given x_t and x_0, s < t, float64: (A, B, m, τ) of N(A x_t + B x_0 + m, τ²), by the coordinate
        or as matrices with the covariance τ τᵀ."""
        path = self.net.path
        found = path.posterior(s, t) if isinstance(path, JointPath) else _each(c.posterior(s, t) for c in _curves(path))
        end, start, mean, spread = (torch.tensor(value, dtype=torch.float64) for value in found)
        return end, start, mean, spread


def _curves(path: AbstractPath) -> tuple[AbstractCurve, ...]:
    assert isinstance(path, GaussianPath), "a path has numbers for coefficients, or matrices"
    return path.curves


def _each(laws: Iterable[tuple[float, ...]]) -> list[Any]:
    """The numbers of laws by the coordinate, of one law for all as they are."""
    return [row[0] if len(row) == 1 else row for row in zip(*laws, strict=True)]


def _times(t: Any, x: Tensor) -> Tensor:
    """One time a row."""
    return torch.as_tensor(t, dtype=x.dtype, device=x.device).expand(x.shape[0])


class AbstractNoised(AbstractVaried, ABC):
    """What a model with a noising arrow has besides its programs."""

    @abstractmethod
    def log_prob(self, x: Any, given: Given = None) -> Tensor:
        """log p(x | given) in nats."""

    @abstractmethod
    def log_density(self, x: Any, given: Given = None) -> Tensor:
        """log p(x | given) up to a constant."""

    @property
    def path(self) -> NoisePath:
        """The derived path of the model's `sde`, `markov` or `perturb`; `UnavailableError` where it has none."""
        node = self._noising()
        if isinstance(node.op, Unsolved):
            raise UnavailableError(f"the law of x_{node.op.time} of {self.name} is not affine, and has no formula")
        return NoisePath(denoiser_of(node, self.graph, self.values()))

    @property
    def process(self) -> Reversed:
        """The `sde` of a model whose law is not affine, and its way back by the learned score."""
        node = self._noising()
        if not isinstance(node.op, Unsolved):
            raise UnavailableError(f"the law of {self.name} has a formula: see `path`")
        return reversed_of(node, self.graph, self.values())

    def score(self, x: Any, t: Any = None, given: Given = None) -> Tensor:
        """∇ log p_t(x), (batch, *event): the learned score at a time (or level) of the noising arrow; without a time
        that of ``learn score(x) = …``, or the gradient of `log_density` of a model whose density is a program. Where
        `density` is an estimate, so is this, by one draw; the slope of a bound by draws is no score, and is refused."""
        if t is None:
            return self._slope(x, given)
        node = self._noising()
        value = as_event("x", x, self._event(node).with_support(REAL), self.dtype, self.device)
        context = self._context_of(node, given, value.shape[0])
        if isinstance(node.op, Unsolved):
            if silent := node.op.silent(value.shape[1:]):
                raise UnavailableError(self._untold(", ".join(silent), "process"))
            times = by_row(_times(t, value), value)
            return reversed_of(node, self.graph, self.values(), context).score(value, times)
        net = denoiser_of(node, self.graph, self.values(), context)
        if isinstance(net, JointDenoiser) and net.plan.layout.silent:
            raise UnavailableError(self._untold(net.op.state, "path"))
        return net(value, _times(t, value)).score

    def _untold(self, state: str, view: str) -> str:
        return (
            "score: along this path the scores of the coordinates with noise of their own are learned, not that of "
            f"`{state}`; `{view}.reverse_drift` and `{view}.velocity` need no more"
        )

    def _slope(self, x: Any, given: Given) -> Tensor:
        if not isinstance(self.programs["score"], Unavailable):
            return self.run("score", self._read("score", x, given)[0])["score"]
        if len(self.observed) != 1:
            raise UnavailableError(f"score: a gradient by one observed variable; {self.name} has {len(self.observed)}")
        (name,) = self.observed
        if self.type_of(name).support.discrete:
            raise UnavailableError(f"score: `{name}` is {self.type_of(name)}, and a mass has no gradient by its value")
        if self.density == "lower bound" and self.dequantises:
            raise UnavailableError(f"score: the density of {self.name} is a lower bound, whose slope is no score")
        value = as_event(name, x, self.type_of(name), self.dtype, self.device).detach().requires_grad_()
        wanted = torch.is_grad_enabled()
        with torch.enable_grad():
            return torch.autograd.grad(self.log_density(value, given).sum(), value, create_graph=wanted)[0]

    def _noising(self) -> StepNode:
        found = noising_step(self.graph)
        if found is None:
            raise UnavailableError(f"{self.name} has no single `sde`, `markov` or `perturb`")
        return found

    def _event(self, node: StepNode) -> Type:
        event = self.graph.type_of(node.source)
        assert isinstance(event, Type)
        return event

    def _context_of(self, node: StepNode, given: Given, rows: int) -> Tensor | None:
        """The value of the arrow's context for each row."""
        if node.context is None:
            return None
        program = self.program("before")
        inputs = read_given(program, self.givens, given, self.dtype, self.device)
        expanded = {name: value.expand(rows, *value.shape[1:]) for name, value in inputs.items()}
        noise = self._noise(program, 0, rows, 0)
        return self.run("before", expanded | noise)[CONTEXT]

    # ---- samplers ---------------------------------------------------------------------------------------------------

    def default_method(self) -> AbstractSampler | None:
        """The sampler of a model whose own direction is no program: step by step along its noising arrow."""
        node = noising_step(self.graph)
        op = None if node is None else node.op
        if not isinstance(op, AbstractLearnedPath) or op.learn is None or not op.missing(False):
            return None
        if not op.discrete:
            return ReverseSde()
        return AnnealedLangevin() if isinstance(op, Perturb) else Ancestral()

    def _along(
        self,
        method: AbstractSampler,
        inputs: dict[str, Tensor],
        rows: int,
        seed: int,
        start: int | Tensor,
        known: Mapping[str, tuple[Tensor, Tensor]] | None = None,
        told: Callable[[int], None] = lambda done: None,
        guidance: float | None = None,
    ) -> dict[str, Tensor]:
        """Samples by a sampler along the noising arrow, and what comes of them in the rest of the model."""
        node = self._noising()
        if not isinstance(method, AbstractPathSampler) or not method.fits(node.op):
            raise UnavailableError(f"`{method.name}` does not run along the `{node.op.name}` of {self.name}")
        assert isinstance(node.op, AbstractLearnedPath)
        if (wrong := method.refusal(node.op)) is not None:
            raise UnavailableError(f"{wrong.message}; {wrong.help[0]}")
        if node.op.learn is None:
            raise UnavailableError(f"{self.name}: {node.op.missing(False)}")
        if guidance is not None and not node.op.drop:
            raise UnavailableError(
                f"guidance: {self.name} was never trained without its context; write `drop = 0.1` in its train block"
            )
        noise = Noise(seed, f"{node.address}/{method.name}", start, rows, self._like(), self._event(node).shape)
        x, context = self._end(node, inputs, rows, seed, start, noise)
        if isinstance(node.op, Unsolved):
            if known:
                raise UnavailableError(
                    f"known coordinates are kept by the kernel, and that of {self.name} has no formula"
                )
            net = reversed_of(node, self.graph, self.values(), context)
            clean = run_back(method, net, x, noise, told, guidance or 0.0)
        else:
            denoiser = denoiser_of(node, self.graph, self.values(), context)
            fixed = self._known(node, denoiser, known)
            clean = denoiser.values(journey(method, denoiser, noise, x, fixed, told, guidance or 0.0))
        program = self.program("after")
        return self.run("after", inputs | {START: clean} | self._noise(program, start, rows, seed))

    def _like(self) -> Tensor:
        found: Tensor = self.values()[ANCHOR]
        return found

    def _end(
        self, node: StepNode, inputs: dict[str, Tensor], rows: int, seed: int, start: int | Tensor, noise: Noise
    ) -> tuple[Tensor, Tensor | None]:
        """Draws of the arrow's end, from the prior or, without one, from the law of pure noise there."""
        program = self.program("before")
        found = self.run("before", inputs | self._noise(program, start, rows, seed)) if program.outputs else {}
        if END in found:
            return found[END], found.get(CONTEXT)
        if isinstance(node.op, Unsolved):
            raise UnavailableError("samples start from the prior at the end of the `sde`, and it has none")
        net = denoiser_of(node, self.graph, self.values())
        here = net.at(torch.tensor([net.path.high], device=self.device, dtype=torch.float64), self.dtype)
        drawn = noise()
        return here.noised(torch.zeros_like(drawn), drawn), found.get(CONTEXT)

    def _known(
        self, node: StepNode, net: AnyDenoiser, known: Mapping[str, tuple[Tensor, Tensor]] | None
    ) -> Known | None:
        """Fixed coordinates of the variable at the arrow's start."""
        if not known:
            return None
        (name, (values, mask)), *more = known.items()
        variable = self.graph.variables.get(name)
        if more or variable is None or data_end(self.graph, variable) != node.source:
            raise UnavailableError(f"known coordinates are those of the variable where the `{node.op.name}` starts")
        if not node.op.keeps:
            raise UnavailableError(
                f"known coordinates are put where the kernel has them, and along the `{node.op.name}` of {self.name}, "
                "whose coordinates mix, that hangs on those that are free"
            )
        values = behind(self.graph, variable, self.values(), values.to(self.device, self.dtype))
        return Known(net.data(values), mask.to(self.device))
