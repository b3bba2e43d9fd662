"""Documents of what is defined in a file, a model or an arrow's braces: types, functions, nets, steps, bijectors."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dgmspec.algebra.nodes import Call, Formula, Identifier, Name, Node, Range

__all__ = [
    "Apply",
    "Bijector",
    "Chain",
    "ChainParam",
    "Definition",
    "Dim",
    "Domain",
    "Fn",
    "InverseBlock",
    "Kernel",
    "Learn",
    "LearnFunction",
    "Names",
    "Net",
    "Repeat",
    "Setting",
    "Star",
    "Step",
    "TypeExpr",
    "Unknowns",
    "Update",
]


class Star(Node):
    """``*`` as a dimension: inferred from the arrow that produces the variable."""

    kind: Literal["star"] = "star"


Dim = Annotated[Formula | Star, Field(discriminator="kind")]
Domain = Annotated[Formula | Range, Field(discriminator="kind")]
Names = Annotated[tuple[Identifier, ...], Field(min_length=1)]


class TypeExpr(Node):
    """``real[2 * D]``, ``integer(0..16)[1, 8, 8]``, ``real[*]``, ``like(b)``: a support, its arguments, a shape."""

    name: Identifier
    args: tuple[Domain, ...] = ()
    dims: tuple[Dim, ...] = ()


# ---- definitions that may stand in several places -------------------------------------------------------------------


class Fn(Node):
    """``fn β(t) = EXPR``: a pure function."""

    kind: Literal["fn"] = "fn"
    name: Identifier
    args: Names
    value: Formula


class Net(Node):
    """``net s(a, t) : T = mlp(64)``: one network with its own parameters, shared by all its uses."""

    kind: Literal["net"] = "net"
    name: Identifier
    args: Names
    type: TypeExpr | None = None
    value: Formula


class Learn(Node):
    """``learn a : positive = 1.0``: a learned parameter."""

    kind: Literal["learn"] = "learn"
    name: Identifier
    type: TypeExpr | None = None
    value: Formula | None = None


class Setting(Node):
    """``name = EXPR``: ``loss = nll``, ``steps = 5_000``, ``solver = rk4(steps = 20)``."""

    kind: Literal["setting"] = "setting"
    name: Identifier
    value: Formula


class Definition(Node):
    """``velocity(y, t) = EXPR``, ``drift(x, t) = EXPR``: a named function of an arrow's braces."""

    kind: Literal["definition"] = "definition"
    name: Identifier
    args: Names
    value: Formula


class Kernel(Node):
    """``step(x, t) ~ normal(…)``, ``kernel(x, σ) ~ normal(x, σ)``: a conditional law in an arrow's braces."""

    kind: Literal["kernel"] = "kernel"
    name: Identifier
    args: Names
    law: Formula


class LearnFunction(Node):
    """``learn noise(x, t) = NET``: what the network of a diffusion, or of a score model, predicts."""

    kind: Literal["learn_function"] = "learn_function"
    name: Identifier
    args: Names
    value: Formula


# ---- steps of a flow ------------------------------------------------------------------------------------------------


class Apply(Node):
    """``name``, ``name(args)``, ``inverse name(args)``."""

    kind: Literal["apply"] = "apply"
    call: Annotated[Call | Name, Field(discriminator="kind")]
    inverse: bool = False


class InverseBlock(Node):
    """``inverse { steps }``: the steps undone, last first."""

    kind: Literal["inverse_block"] = "inverse_block"
    steps: tuple[Step, ...]


class Repeat(Node):
    """``repeat n { … }``, ``repeat n as k { … }`` with k = 0..n-1."""

    kind: Literal["repeat"] = "repeat"
    count: Formula
    index: Identifier | None = None
    steps: tuple[Step, ...]


Step = Annotated[Apply | InverseBlock | Repeat, Field(discriminator="kind")]


# ---- bijectors ------------------------------------------------------------------------------------------------------


class Update(Node):
    """``v <- EXPR``: a reversible update of one part."""

    kind: Literal["update"] = "update"
    target: Identifier
    value: Formula


class Unknowns(Node):
    """A parameter after ``;`` in a bijector's header: ``a : positive``."""

    name: Identifier
    type: TypeExpr | None = None


class Bijector(Node):
    """``bijector tilted(x; a : positive, b) { updates }``: the author's own map."""

    kind: Literal["bijector"] = "bijector"
    name: Identifier
    parts: Names
    parameters: tuple[Unknowns, ...] = ()
    body: tuple[Annotated[Update | Net | Learn | Fn, Field(discriminator="kind")], ...]


class ChainParam(Node):
    """A parameter of a named chain with its default: ``width = 64``."""

    name: Identifier
    value: Formula | None = None


class Chain(Node):
    """``bijector block(width = 64) = { steps }``: a named chain."""

    kind: Literal["chain"] = "chain"
    name: Identifier
    params: tuple[ChainParam, ...] = ()
    steps: tuple[Step, ...]
