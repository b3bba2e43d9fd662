"""Twins: the torch half of an operation, as pure functions.

A family file ``modules/<family>.py`` holds one entry per class of ``ops/<family>.py`` in its table ``TWINS``. Nothing
in a twin owns a parameter: `p` maps the names of the operation's `ParamSpec`s (relative to its address) and of its own
`tables` to tensors. Tensors have exactly one batch dimension before the event: ``(batch, *event)``; a context is
``(batch, *event of c)``. Log-determinants are in nats, summed over the event: shape ``(batch,)``, or a 0-dimensional
tensor where they do not depend on the data. No twin branches on tensor values, synchronises with the host or indexes by
a boolean mask, so that every program compiles as a full graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from torch import Tensor, nn

from dgmspec.core.masking import Precedence
from dgmspec.core.types import Shape, Support, Type

Parameters = Mapping[str, Tensor]

Modules = Mapping[str, nn.Module]
"""The user's own networks by address."""

NO_MODULES: Final[Modules] = MappingProxyType({})

EXACT = ":exact"
"""Ending of the names of tables that stay float64 in a model of any precision."""


@dataclass(frozen=True)
class StepContext:
    """What a step sees besides its input: types (static), the context's value, its draws."""

    event: Type
    """The type before the step as written (the input of `forward`, the output of `inverse`)."""
    given_type: Type | None = None
    given: Tensor | None = None
    noise: Mapping[str, Tensor] = field(default_factory=dict)
    training: bool = False
    counted: bool = True
    """Whether anybody reads the log-determinant: where not, zero may stand for it."""
    plan: Any = None
    """What the twin's `plan` worked out for this use."""
    address: str = ""
    """Where the step stands in its model, for errors."""
    modules: Modules = field(default_factory=dict)


StepFunction = Callable[[Any, Parameters, Any, StepContext], tuple[Any, Tensor]]


def no_tables(op: Any, event: Type, given: Type | None) -> dict[str, Tensor]:
    """The tables of an operation that needs none."""
    return {}


def no_plan(op: Any, event: Type, given: Type | None) -> None:
    """Of an operation that works nothing out before."""


def no_examination(op: Any, event: Type, modules: Modules, like: Tensor) -> None:
    """Of an operation that reads no network of the user's own."""


@dataclass(frozen=True)
class StepTwin:
    """``forward(op, p, x, ctx) -> (y, log|det ∂y/∂x|)``; ``inverse(op, p, y, ctx) -> (x, log|det ∂x/∂y|)``.

    `tables` gives constants (index tensors, float64 constants) that become buffers, never part of the state dict.
    `plan` works out, before anything is traced, what the functions then find as `StepContext.plan`.
    ``examine(op, event, modules, like)`` refuses networks of the user's own that do not serve the step, in the
    precision and on the device of `like`.
    `initialise(op, p, batch, ctx, inverse)` returns new values for some parameters from the first batch, which arrives
    at the step's end where `inverse` is true. `update(op, p, batch, ctx)` does so from every batch of training that
    meets the step forward. A step that sets parts aside gives, and its inverse takes, a tuple (event, *parts).
    ``part(op, p, kept, moved, ctx, inverse) -> (moved, log|det|)`` is the step on its two parts, (batch, n) each, where
    the operation `divides` its event.
    """

    forward: StepFunction
    inverse: StepFunction
    tables: Callable[[Any, Type, Type | None], dict[str, Tensor]] = no_tables
    initialise: Callable[[Any, Parameters, Tensor, StepContext, bool], dict[str, Tensor]] | None = None
    update: Callable[[Any, Parameters, Tensor, StepContext], dict[str, Tensor]] | None = None
    part: Callable[[Any, Parameters, Tensor, Tensor, StepContext, bool], tuple[Tensor, Tensor]] | None = None
    plan: Callable[[Any, Type, Type | None], Any] = no_plan
    examine: Callable[[Any, Type, Modules, Tensor], None] = no_examination
    loop: str = "none"
    """``none``, ``bounded`` or ``adaptive``; adaptive ones are opaque to `to_fx`."""


def no_preparation(op: Any, support: Support) -> None:
    """Of a scalar bijector that looks nothing up."""


ScalarFunction = Callable[[Any, Tensor, Tensor, Support], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class ScalarTwin:
    """Elementwise: ``forward(op, raw, x, support) -> (y, log|dy/dx|)`` with ``raw[k]`` broadcasting against `x`;
    ``inverse(op, raw, y, support) -> (x, log|dx/dy|)``. `support` (static) is that of x in both directions. The
    log-derivative broadcasts against `x`: it has the shape of `raw[k]` where it does not depend on x."""

    forward: ScalarFunction
    inverse: ScalarFunction
    loop: str = "none"
    prepare: Callable[[Any, Support], None] = no_preparation
    """(op, support of x): works out, before anything is traced, what the functions look up."""
    preimage: Callable[[Any, Tensor, Tensor, Support], Tensor] | None = None
    """``(op, raw, y, support) -> x``: `inverse` without the slope, where that costs much less."""

    def solve(self, op: Any, raw: Tensor, y: Tensor, support: Support, counted: bool) -> tuple[Tensor, Tensor]:
        """`inverse`, with zero for the slope where nobody reads it and it would cost something."""
        if counted or self.preimage is None:
            return self.inverse(op, raw, y, support)
        return self.preimage(op, raw, y, support), y.new_zeros(())


Solve = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
Read = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class MaskedTwin:
    """The inverse of an autoregressive step along its masked net, level by level of the order.

    ``invert(op, p, y, c, solve, read, plan, training) -> (x, log|det ∂x/∂y|)`` of `y` (batch, d, …) and the context `c`
    (batch, *event of c) or None. ``solve(raw (P, m, batch), y (m, batch, …)) -> (x (m, batch), log|dx/dy|)`` inverts
    the m coordinates of a level, ``read(x (m, batch)) -> (m, features, batch)`` is what the net reads of them.
    ``plan(op, shape, order, context, features)`` works out what depends on no tensor, ``tables`` index tensors that
    `p` then holds.
    """

    invert: Callable[..., tuple[Tensor, Tensor]]
    plan: Callable[[Any, Shape, Precedence, Shape | None, int], Any]
    tables: Callable[[Any, Shape, Precedence], dict[str, Tensor]]


@dataclass(frozen=True)
class EmbeddingTwin:
    """``apply(op, p, x) -> features``: (batch, numbers) -> (batch, op.size(numbers))."""

    apply: Callable[[Any, Parameters, Tensor], Tensor]


@dataclass(frozen=True)
class NetTwin:
    """``apply(op, p, h, c, training)``, by what the net reads (`AbstractNet`).

    A vector: `h` (batch, numbers) and the context `c` (batch, numbers) or None -> (batch, numbers). An image: `h`
    (batch, channels, height, width) and the conditions `c` (batch, numbers) or None -> the same with other channels. A
    sequence: `h` (batch, rows, numbers a row) and the conditions -> (batch, numbers). `function` may read what it is to
    give off the shapes of its parameters. `masked` belongs to nets that have an autoregressive reading.

    The result has the precision of `h`: under autocast the net alone runs in half precision, and every map and
    log-determinant made of its result in the model's.
    """

    function: Callable[[Any, Parameters, Tensor, Tensor | None, bool], Tensor]
    masked: MaskedTwin | None = None

    def apply(self, op: Any, p: Parameters, h: Tensor, c: Tensor | None, training: bool) -> Tensor:
        """The net's result."""
        return self.function(op, p, h, c, training).to(h.dtype)


@dataclass(frozen=True)
class DistributionTwin:
    """``log_prob(op, p, x, ctx) -> (batch,)`` in nats over the whole event; ``draw(op, p, ctx, batch) -> x`` turns
    ``ctx.noise`` into one event per row. `p` holds the evaluated parameters: floats or tensors that broadcast.

    ``mean(op, p, ctx, like)`` is the mean of each coordinate (of a label the most probable one), broadcasting against
    `like`, a tensor (batch, *event); None where the law has none. ``divergence(op, p, other, p_other, ctx, like)`` is
    KL(op ‖ other), (batch,), where the operation says that it has one. `tables` and `plan` are those of a step, for a
    law with parameters of its own; `p` then holds these and the tables as well.
    """

    log_prob: Callable[[Any, Mapping[str, Any], Tensor, StepContext], Tensor]
    draw: Callable[[Any, Mapping[str, Any], StepContext, int], Tensor]
    mean: Callable[[Any, Mapping[str, Any], StepContext, Tensor], Any] | None = None
    divergence: Callable[[Any, Mapping[str, Any], Any, Mapping[str, Any], StepContext, Tensor], Tensor] | None = None
    features: Callable[[Any, Mapping[str, Any], StepContext, Tensor], Tensor] | None = None
    """(op, p, ctx, labels drawn) -> what nets read of them, with the surrogate's gradient, where the law relaxes."""
    embed: Callable[[Any, Mapping[str, Any], Tensor, StepContext], Tensor] | None = None
    """(op, p, labels, ctx) -> what nets read of labels from elsewhere."""
    update: Callable[[Any, Mapping[str, Any], StepContext, Tensor], dict[str, Tensor]] | None = None
    """(op, p, ctx, like) -> new values of the law's own parameters."""
    commitment: Callable[[Any, Mapping[str, Any], StepContext, Tensor], Tensor] | None = None
    """(op, p, ctx, like) -> the squared distance from the codes, (batch,)."""
    tables: Callable[[Any, Type, Type | None], dict[str, Tensor]] = no_tables
    plan: Callable[[Any, Type, Type | None], Any] = no_plan


def no_term_tables(op: Any, step: Any, event: Type) -> dict[str, Tensor]:
    """The tables of a term that needs none."""
    return {}


def no_term_plan(op: Any, step: Any, event: Type) -> None:
    """The plan of a term that needs none."""


@dataclass(frozen=True)
class TermTwin:
    """A loss about one step: ``function(op, step, p, x, ctx) -> (batch,)`` from values x at the step's start, or
    ``function(op, step, p, x, y, begins, ctx)`` from those at both ends where the loss reads `pairs`, `begins` saying
    whether x is the data's. `p` holds the step's parameters and tables and those of ``tables(op, step, event)``,
    ``ctx.plan`` what ``plan(op, step, event)`` worked out before anything is traced."""

    function: Callable[..., Tensor]
    tables: Callable[[Any, Any, Type], dict[str, Tensor]] = no_term_tables
    plan: Callable[[Any, Any, Type], Any] = no_term_plan


@dataclass(frozen=True)
class ScoreContext:
    """What a loss about a score sees besides the data: the model's `law` of the variable and the known `target` (the
    same where there is none), each with ``log_density``, ``slope``, ``score`` and ``score_and_trace``; its draws."""

    event: Type
    law: Any
    target: Any
    noise: Mapping[str, Tensor]
    training: bool
    plan: Any = None


def no_score_plan(op: Any, event: Type) -> None:
    """The plan of a loss about a score that needs none."""


@dataclass(frozen=True)
class ScoreTwin:
    """A loss about a score: ``function(op, p, x, ctx) -> ((batch,), new values of what it keeps)``; `p` holds what it
    keeps, ``ctx.plan`` what ``plan(op, event)`` worked out before anything is traced."""

    function: Callable[[Any, Parameters, Tensor, ScoreContext], tuple[Tensor, dict[str, Tensor]]]
    plan: Callable[[Any, Type], Any] = no_score_plan


def rows_of(values: Iterable[Tensor]) -> int:
    """The batch of what broadcasts together: one row stands for any number, none included."""
    return next((value.shape[0] for value in values if value.shape[0] != 1), 1)


def flat_rows(x: Tensor) -> Tensor:
    """(batch, *event) -> (batch, numbers), of an empty batch too."""
    return x.flatten(1) if x.dim() > 1 else x.unsqueeze(1)


def by_row(values: Tensor, like: Tensor) -> Tensor:
    """One value a row, (batch,), or one for all, (1,), shaped to broadcast against `like`, (batch, *event)."""
    return values.reshape(-1, *(1,) * (like.dim() - 1)) if like.dim() else values.reshape(())


def sum_event(ladj: Tensor, event: Type) -> Tensor:
    """The sum over the event dimensions of a per-coordinate term (batch, *event) -> (batch,)."""
    return ladj.flatten(1).sum(1) if event.shape else ladj
