"""What every method of a model rests on: its programs prepared, callers' tensors read, a program run."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Mapping
from numbers import Integral
from typing import Any, Literal, Self

import torch
from torch import Tensor, fx, nn

from dgmspec.core.losses import AbstractLoss
from dgmspec.core.steps import AbstractStep
from dgmspec.core.types import Type
from dgmspec.graph.choices import learns_choice
from dgmspec.graph.graph import Graph
from dgmspec.modules.bundle import Bundle
from dgmspec.modules.fx import Backend, to_fx
from dgmspec.modules.inputs import as_event, batch_of, broadcast, checked_event, read_given, read_variables
from dgmspec.modules.interpreter import Interpreter
from dgmspec.modules.prepared import ANCHOR, Resources
from dgmspec.modules.randomness import fresh_seed, noise_for
from dgmspec.modules.registry import step_twin
from dgmspec.modules.store import AbstractStore
from dgmspec.modules.twin import Modules
from dgmspec.program.apart import apart
from dgmspec.program.build import Unavailable
from dgmspec.program.program import Phase, Program

__all__ = ["AbstractRunner", "Density", "Given", "Programs", "UnavailableError"]

Given = Mapping[str, Any] | None
Density = Literal["exact", "estimate", "lower bound", "unnormalised", "none"]
Programs = Mapping[Phase, Program | Unavailable]


_MADE = ("_interpreters", "_walked", "_fast", "_resources", "_backend", "_conditionals")
"""What a copy of a model makes anew."""

_LARGE = 2**14
"""Numbers of a weight from which on its product is worth a call of oneDNN, which takes 15 µs."""


class UnavailableError(RuntimeError):
    """The model has no such direction; the message says what it lacks."""


class AbstractRunner(AbstractStore, ABC):
    """A model's graph, programs and weights; the public methods are the subclass's matter."""

    def __init__(
        self,
        graph: Graph,
        programs: Programs,
        seed: int = 0,
        nets: Mapping[str, nn.Module] | None = None,
        bundle: Bundle | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        in_pieces: bool = True,
    ) -> None:
        super().__init__()
        self.graph, self.programs, self.seed, self.bundle = graph, dict(programs), seed, bundle
        self.frozen, self._in_pieces = False, in_pieces
        self._changes: tuple[Callable[[AbstractStep], AbstractStep], ...] = ()
        self._externals = _attach(self, graph, nets or {})
        self.add_initial(graph, seed)
        self._backend: Backend | None = None
        self._prepare()
        self.to(device=device, dtype=dtype or torch.get_default_dtype())
        self.eval()
        self._try_externals()

    def _prepare(self) -> None:
        """Closures of all programs: made again after copying, for they hold no tensor of the model."""
        self._resources = Resources({key: self._modules[key] for key in self._externals})  # type: ignore[misc]
        self._fast: dict[Phase, Program] = {}
        self._walked: dict[Phase, Interpreter] = {}
        self._interpreters: dict[Phase, Interpreter] = {}
        self._conditionals: dict[frozenset[str], Self] = {}
        for program in self.programs.values():
            if isinstance(program, Program):
                self._prepare_program(program)
        for key in self._resources.tables.keys() - self._masters.keys():
            self.add_table(key, self._resources.tables[key])

    def _prepare_program(self, program: Program) -> None:
        """The closures of one program, and of the one that is run in its place."""
        fast = apart(program) if self._in_pieces else program
        self._fast[program.phase], self._walked[program.phase] = fast, Interpreter(program, self._resources)
        self._interpreters[program.phase] = Interpreter(fast, self._resources)

    def _try_externals(self) -> None:
        """Run the user's own networks once where an operation knows what it will give them."""
        for step in self.graph.steps.values():
            event = self.graph.type_of(step.source)
            if step.op.externals() and isinstance(event, Type):
                step_twin(step.op).examine(step.op, event, self.externals, self._buffers[ANCHOR])  # type: ignore[arg-type]

    # ---- what the model is ------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The model's name in its spec."""
        return self.graph.name

    @property
    def observed(self) -> dict[str, Type]:
        """The types of the observed variables by name."""
        return {name: self.type_of(name) for name in self.graph.observed}

    @property
    def givens(self) -> dict[str, Type]:
        """The types of the conditioning variables by name."""
        return {name: self.type_of(name) for name in self.graph.givens}

    def extra_repr(self) -> str:
        """What the model is, in one line: what `print` shows of it."""
        count, kind = sum(p.numel() for p in self.parameters()), str(self.dtype).removeprefix("torch.")
        said = f"{self.name}: log-density {self.density}, {count:,} parameters, {kind} on {self.device}"
        return f"{said}, frozen" if self.frozen else said

    def type_of(self, variable: str) -> Type:
        """The type of a variable."""
        if variable not in self.graph.variables:
            raise ValueError(f"`{variable}` is no variable of {self.name}")
        found = self.graph.type_of(self.graph.variables[variable].value)
        assert isinstance(found, Type)
        return found

    @property
    def density(self) -> Density:
        """What `log_prob` returns: the exact density, an unbiased estimate, a lower bound on average; or nothing, where
        `log_density` gives it up to a constant (``unnormalised``) or nothing does (``none``)."""
        program = self.programs["log_prob"]
        if isinstance(program, Unavailable):
            return "none" if isinstance(self.programs["target"], Unavailable) else "unnormalised"
        return program.density

    @property
    def loss_unit(self) -> Literal["nats", ""]:
        """``nats`` where a term of the loss is a density or a bound of one; other losses are numbers of their own."""
        terms = self.graph.loss.terms.values() if self.graph.loss is not None else ()
        return "nats" if any(isinstance(term.op, AbstractLoss) and term.op.of_density for term in terms) else ""

    @property
    def redraws(self) -> bool:
        """Whether a step of the model may sample values outside the data's support, which are drawn again."""
        return any(step.op.spills for step in self.graph.steps.values())

    @property
    def differentiable(self) -> bool:
        """Whether gradients pass through samples: none are redrawn, none chosen by a learned law."""
        chosen = any(step.op.chooses for step in self.graph.steps.values())
        chosen = chosen or any(v.prior and learns_choice(self.graph, v.prior) for v in self.graph.variables.values())
        return not (self.redraws or chosen) and all(law.op.density != "estimate" for law in self.graph.laws)

    @property
    def weighs(self) -> bool:
        """Whether exp of a draw of `log_prob` is right on average, so that draws join by the log of their mean."""
        laws = all(law.op.density != "estimate" for law in self.graph.laws)
        return laws and all(step.op.weighs for step in self.graph.steps.values())

    @property
    def externals(self) -> Modules:
        """The user's own networks by address."""
        return self._resources.modules

    @property
    def dequantises(self) -> bool:
        """Whether `log_prob` draws randomness, so that averaging several draws is worth while."""
        program = self.programs["log_prob"]
        return isinstance(program, Program) and bool(program.draws)

    @property
    def trains_all(self) -> bool:
        """Whether the loss reads every weight that is trained; of an external net, all are taken to be read."""
        read = {key for call in self._interpreters["loss"].calls for _, key in call.parameters}
        return all(name in read or "." in name for name, p in self.named_parameters() if p.requires_grad)

    def program(self, phase: Phase) -> Program:
        """The program of a phase; `UnavailableError` says what the model lacks for it."""
        found = self.programs.get(phase)
        if found is None:
            raise ValueError(f"`{phase}` is no direction of a model; those are: {', '.join(self.programs)}")
        if isinstance(found, Unavailable):
            raise UnavailableError(f"{phase}: {found.reason}")
        return found

    def executed(self, phase: Phase) -> Program:
        """The program as `run` executes it: that of the phase, with vectors in pieces where `compile` optimises."""
        return self._fast[self.program(phase).phase]

    def as_input(self, variable: str, array: Any) -> Tensor:
        """An array of a variable's events as a tensor of the model's precision on its device."""
        return as_event(variable, array, self.type_of(variable), self.dtype, self.device)

    # ---- running ----------------------------------------------------------------------------------------------------

    def run(self, phase: Phase, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A program's results by name; `inputs` are all of the program's, randomness among them."""
        if self._backend is not None:
            self._backend.follow(self.placed)
            return self._backend(self.executed(phase), self.training, inputs, lambda: self.to_fx(phase))
        return self._interpreters[phase](self.values(), inputs, self.training)

    def keep(self, phase: Phase, inputs: Mapping[str, Tensor]) -> list[Any]:
        """Every slot of a program after a run, for those who look at what lies between its ends."""
        return self._walked[self.program(phase).phase].keep(self.values(), inputs, self.training)

    def compiled(self, ahead: bool = False, **options: Any) -> Self:
        """The same model, parameters shared, whose programs run through torch.compile with `options`.

        Those of a frozen model with large nets, on a processor, hold the weights as they are when they are first run.
        With `ahead`, on a processor, programs that need no gradient (under ``torch.no_grad()``, or of a frozen model),
        and a loss with its gradients (`pull`), are C++ functions, where torch can export them: calls cost less,
        compiling takes 10 s and more in each process. Large products in float32 go through oneDNN on a processor.
        """
        other = type(self).__new__(type(self))
        large = max((p.numel() for p in self.parameters()), default=0) >= _LARGE
        closed, processor = not self._resources.modules, self.device.type == "cpu"
        backend = Backend(options, closed, self.frozen, self.frozen and large and processor, ahead and processor)
        other.__dict__ = {**self.__dict__, "_backend": backend}
        return other

    def with_programs(self, programs: Programs) -> Self:
        """The same model, parameters shared, by other programs."""
        other = type(self).__new__(type(self))
        other.__dict__ = {**self.__dict__, "programs": dict(programs), "_backend": None}
        other._prepare()
        return other

    def to_fx(self, phase: Phase) -> fx.GraphModule:
        """A program as a torch.fx GraphModule that shares this model's parameters; its inputs are the program's."""
        return to_fx(self.executed(phase), self.values(), self._resources, self.training)

    # ---- reading what callers pass ----------------------------------------------------------------------------------

    def _read(self, phase: Phase, values: Any, given: Given) -> tuple[dict[str, Tensor], int]:
        program = self.program(phase)
        inputs = read_variables(program, values, self.dtype, self.device)
        inputs |= self._contexts(program, given)
        batch = batch_of(inputs)
        return broadcast(inputs, batch), batch

    def _contexts(self, program: Program, given: Given) -> dict[str, Tensor]:
        if given is None and not program.givens:
            return {}
        return read_given(program, self.givens, given, self.dtype, self.device)

    def _read_given(self, phase: Phase, n: int, given: Given) -> tuple[dict[str, Tensor], int, tuple[int, ...]]:
        """Contexts repeated for n samples each, how many rows that makes, and the shape (n,) or (n, m)."""
        if not isinstance(n, Integral) or n < 0:
            raise ValueError(f"how many samples is a whole number from 0 up, not {n!r}")
        n = int(n)
        inputs = self._contexts(self.program(phase), given)
        m = batch_of(inputs)
        repeated = {k: v.expand(n, m, *v.shape[1:]).reshape(n * m, *v.shape[1:]) for k, v in inputs.items()}
        return repeated, n * m, (n,) if m == 1 else (n, m)

    def _read_batch(self, program: Program, batch: Any, count: int | None) -> tuple[dict[str, Tensor], int]:
        types = program.events
        if batch is None:
            batch = {}
        elif not isinstance(batch, Mapping):
            batch = {next(iter(types), "x"): batch}
        missing = [name for name in types if name not in batch]
        if missing:
            raise ValueError(f"the batch lacks `{missing[0]}` ({types[missing[0]]}); it has: {', '.join(batch) or '–'}")
        inputs = {n: checked_event(n, batch[n], t, self.dtype, self.device) for n, t in types.items()}
        if not program.batches:
            if count is None:
                raise ValueError("this loss draws its samples from the model: say how many with `count`")
            return broadcast(inputs, count), count
        rows = batch_of(inputs)
        return broadcast(inputs, rows), rows

    def _noise(
        self, program: Program, start: int | Tensor, count: int, seed: int | None, draw: int = 0
    ) -> dict[str, Tensor]:
        """Per-sample noise from the index `start` on, or of these; draw k > 0 is another, independent draw under the
        same seed."""
        if not program.draws:
            return {}
        seed = fresh_seed() if seed is None else seed
        rows = start if isinstance(start, Tensor) else (start, count)
        return noise_for(program, rows, seed, self.dtype, self.device, draw)

    # ---- copying ----------------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        return {k: v for k, v in state.items() if k not in _MADE}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._backend = None
        self._prepare()


def _attach(model: nn.Module, graph: Graph, nets: Mapping[str, nn.Module]) -> tuple[str, ...]:
    """Register the user's own networks under the addresses of the nets declared ``external``."""
    wanted = graph.externals
    missing = [name for name in wanted if name not in nets]
    if missing:
        raise ValueError(f"net `{missing[0]}` is external: pass nets={{'{missing[0]}': a torch.nn.Module}}")
    unknown = [name for name in nets if name not in wanted]
    if unknown:
        raise ValueError(f"{graph.name} declares no external net `{unknown[0]}`; it has: {', '.join(wanted) or 'none'}")
    for name, address in wanted.items():
        model.add_module(address, nets[name])
    return tuple(wanted.values())
