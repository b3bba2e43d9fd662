"""Python constructors with the language's names: a spec built here and one read from text are the same thing.

    from dgmspec.lang import *

    realnvp = model(
        "RealNVP",
        observe("x", real[2]),
        latent("z", real[2], normal(0, 1)),
        flow("x", "z", repeat(8, "k", coupling(affine, mask=alternate(sym("k")), net=mlp(64, 64)), actnorm)),
        loss(nll),
    )

Every operation of the library is here under its name, every function of formulas too; `sym("k")` is a name in a
formula, and Python operators build formulas from it. Names that Python has as built-ins (`sum`, `max`, …) are not
imported by ``*``. An argument whose name is a Python keyword takes an underscore (``from_``).
"""

from __future__ import annotations

import builtins
import keyword
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Literal, cast

from dgmspec.algebra.nodes import (
    AbstractExpr,
    AbstractOperand,
    Arrow,
    Call,
    Constant,
    Formula,
    Index,
    Inverse,
    Name,
    Node,
    Operand,
    Range,
    expr,
)
from dgmspec.spec import model as documents
from dgmspec.spec.model import Spec as Spec
from dgmspec.spec.model import Step, TypeExpr
from dgmspec.spec.words import Word, as_value, library_words, stub

Value = Operand | str | bool | Iterable[Any]
"""What an argument may be: an expression, a number, a string, a list of these."""

Names = str | Iterable[str]

WORDS = library_words()


def __getattr__(name: str) -> Word:
    if name not in WORDS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return WORDS[name]


# ---- expressions ----------------------------------------------------------------------------------------------------


def sym(name: str) -> Name:
    """A name in a formula: ``2 * sym("t")``."""
    return Name(id=name)


def text(value: str) -> AbstractExpr:
    """A string of the language."""
    return expr(value)


def between(low: Operand, high: Operand) -> Range:
    """``low..high``, both ends included."""
    return Range(low=_formula(low), high=_formula(high))


def along(source: Names, target: Names) -> Arrow:
    """``source -> target`` as an argument, as in ``kinetic(along("u", "x"))``."""
    return Arrow(source=_end(source), target=_end(target))


def apply(name: str, *args: Value, **keywords: Value) -> Name | Call:
    """A call of something that the file defines: a function, a net, a chain."""
    named = {key: as_value(value) for key, value in keywords.items()}
    arguments = [{"value": as_value(arg)} for arg in args] + [{"name": k, "value": v} for k, v in named.items()]
    return Call.model_validate({"name": name, "args": arguments})


pi, inf, true, false = (Constant.model_validate({"name": name}) for name in ("pi", "inf", "true", "false"))


def _formula(value: object) -> Formula:
    return cast(Formula, as_value(value))


def _named(value: object) -> Formula:
    """A formula, where a string is a name."""
    return Name(id=value) if isinstance(value, str) else _formula(value)


def _end(names: Names) -> Any:
    found = _names(names)
    return Name(id=found[0]) if len(found) == 1 else expr([Name(id=name) for name in found])


def _names(names: Names) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _context(context: object) -> tuple[Formula, ...]:
    many = context if isinstance(context, (list, tuple)) else [context]
    return tuple(_named(part) for part in many)


# ---- types ----------------------------------------------------------------------------------------------------------


class Support:
    """A support: bare the type of a scalar event, with ``[…]`` that of an event of this shape (``"*"`` infers it)."""

    def __init__(self, name: str, *args: AbstractExpr) -> None:
        self.name = name
        self.args = args

    def __getitem__(self, dims: Value) -> TypeExpr:
        many = dims if isinstance(dims, tuple) else (dims,)
        shape = tuple(documents.Star() if dim == "*" else _formula(dim) for dim in many)
        return TypeExpr(name=self.name, args=cast(Any, self.args), dims=shape)

    __iter__ = None


Type = Support | TypeExpr
real, positive, unit, circle = map(Support, ("real", "positive", "unit", "circle"))
binary, simplex, cholesky = map(Support, ("binary", "simplex", "cholesky"))


def interval(low: Operand, high: Operand) -> Support:
    """The open interval (low, high)."""
    return Support("interval", _formula(low), _formula(high))


def integer(low: Operand, high: Operand) -> Support:
    """The whole numbers low..high, both included."""
    return Support("integer", between(low, high))


def category(count: Operand) -> Support:
    """The labels 0..count-1."""
    return Support("category", _formula(count))


def like(part: str) -> Support:
    """The type of another part."""
    return Support("like", Name(id=part))


def _type(of: Type | None) -> TypeExpr | None:
    return TypeExpr(name=of.name, args=cast(Any, of.args)) if isinstance(of, Support) else of


# ---- steps ----------------------------------------------------------------------------------------------------------

StepLike = Operand | Step


def inverse(*steps: StepLike) -> Inverse | documents.InverseBlock:
    """``inverse name(args)``, as a step or as an argument; several steps become a block, undone last first."""
    only = as_value(steps[0]) if len(steps) == 1 and isinstance(steps[0], AbstractOperand) else None
    return Inverse(of=only) if isinstance(only, (Name, Call)) else documents.InverseBlock(steps=_steps(steps))


def repeat(count: Operand, *steps: StepLike | str) -> documents.Repeat:
    """``repeat count { steps }``; a string before the steps is the name of the turn's index, counted from 0."""
    index = steps[0] if steps and isinstance(steps[0], str) else None
    return documents.Repeat(count=_formula(count), index=index, steps=_steps(steps[1:] if index else steps))


def _steps(steps: Iterable[object]) -> tuple[Step, ...]:
    return tuple(_step(step) for step in steps)


def _step(step: object) -> Step:
    if isinstance(step, (documents.Apply, documents.InverseBlock, documents.Repeat)):
        return step
    call = as_value(step)
    if isinstance(call, Inverse):
        return documents.Apply(call=call.of, inverse=True)
    return documents.Apply(call=cast(Any, call))


# ---- members of a model ---------------------------------------------------------------------------------------------


def observe(name: str, type: Type, prior: Operand | None = None) -> documents.Variable:
    """``observe name : type``, or with ``~ prior``."""
    return _variable("observe", name, type, prior)


def latent(name: str, type: Type, prior: Operand | None = None) -> documents.Variable:
    """``latent name : type ~ prior``."""
    return _variable("latent", name, type, prior)


def given(name: str, type: Type) -> documents.Variable:
    """``given name : type``."""
    return _variable("given", name, type, None)


def _variable(
    role: Literal["observe", "latent", "given"], name: str, type: Type, prior: Operand | None
) -> documents.Variable:
    law = None if prior is None else _formula(prior)
    return documents.Variable(role=role, name=name, type=cast(TypeExpr, _type(type)), prior=law)


def flow(source: Names, target: Names, *steps: StepLike, context: object = ()) -> documents.Flow:
    """``flow source -> target | context { steps }``."""
    return documents.Flow(source=_names(source), target=_names(target), context=_context(context), steps=_steps(steps))


def path(
    head: Literal["ode", "sde", "markov", "perturb"],
    source: Names,
    target: Names,
    *body: Node,
    over: tuple[str, AbstractExpr],
    context: object = (),
) -> documents.Path:
    """An arrow over a variable of time: ``path("ode", "x", "z", …, over=("t", between(0, 1)))``."""
    name, domain = over
    return documents.Path(
        head=head,
        source=_names(source),
        target=_names(target),
        context=_context(context),
        over=documents.Over(name=name, domain=cast(Any, as_value(domain))),
        body=cast(Any, body),
    )


def generate(target: str, law: Operand, context: object = ()) -> documents.Conditional:
    """``generate target | context ~ law``."""
    return _conditional("generate", target, law, context)


def infer(target: str, law: Operand, context: object = ()) -> documents.Conditional:
    """``infer target | context ~ law``."""
    return _conditional("infer", target, law, context)


def _conditional(
    head: Literal["generate", "infer"], target: object, law: Operand, context: object
) -> documents.Conditional:
    of = cast("Name | Index", _named(target))
    return documents.Conditional(head=head, target=of, context=_context(context), law=_formula(law))


def energy(name: str, args: Names, value: Operand) -> documents.Energy:
    """``energy name(args) = value``."""
    return documents.Energy(name=name, args=_names(args), value=_formula(value))


def net(name: str, args: Names, value: Operand, type: Type | None = None) -> documents.Net:
    """``net name(args) : type = value``."""
    return documents.Net(name=name, args=_names(args), type=_type(type), value=_formula(value))


def fn(name: str, args: Names, value: Operand) -> documents.Fn:
    """``fn name(args) = value``."""
    return documents.Fn(name=name, args=_names(args), value=_formula(value))


def learn(name: str, type: Type | None = None, value: Operand | None = None) -> documents.Learn:
    """``learn name : type = value``."""
    start = None if value is None else _formula(value)
    return documents.Learn(name=name, type=_type(type), value=start)


def predict(name: str, args: Names, value: Operand) -> documents.LearnFunction:
    """``learn name(args) = value``: what a network predicts."""
    return documents.LearnFunction(name=name, args=_names(args), value=_formula(value))


def define(name: str, args: Names, value: Operand) -> documents.Definition:
    """``name(args) = value`` in an arrow's braces."""
    return documents.Definition(name=name, args=_names(args), value=_formula(value))


def kernel(name: str, args: Names, law: Operand) -> documents.Kernel:
    """``name(args) ~ law`` in an arrow's braces."""
    return documents.Kernel(name=name, args=_names(args), law=_formula(law))


def setting(name: str, value: Value) -> documents.Setting:
    """``name = value``."""
    return documents.Setting(name=name, value=_formula(value))


def loss(value: Operand) -> documents.Setting:
    """``loss = value``."""
    return setting("loss", value)


# ---- items of a file ------------------------------------------------------------------------------------------------


def model(name: str, *members: Node) -> documents.Model:
    """``model name { members }``."""
    return documents.Model(name=name, members=cast(Any, members))


def param(name: str, value: Value, type: Type | None = None) -> documents.Param:
    """``param name : type = value``."""
    return documents.Param(name=name, type=_type(type), value=_formula(value))


def data(name: str, value: Operand) -> documents.Data:
    """``data name = value``."""
    return documents.Data(name=name, value=_formula(value))


def use(path: str, alias: str) -> documents.Use:
    """``use "path" as alias``."""
    return documents.Use(path=path, alias=alias)


def chain(name: str, *steps: StepLike, params: Mapping[str, Value | None] | None = None) -> documents.Chain:
    """``bijector name(params) = { steps }``; None stands for a parameter without a default."""
    own = tuple(
        documents.ChainParam(name=key, value=None if value is None else _formula(value))
        for key, value in (params or {}).items()
    )
    return documents.Chain(name=name, params=own, steps=_steps(steps))


def bijector(
    name: str, parts: Names, *body: Node, learned: Mapping[str, Type | None] | None = None
) -> documents.Bijector:
    """``bijector name(parts; learned) { body }``."""
    own = tuple(documents.Unknowns(name=key, type=_type(of)) for key, of in (learned or {}).items())
    return documents.Bijector(name=name, parts=_names(parts), parameters=own, body=cast(Any, body))


def update(target: str, value: Operand) -> documents.Update:
    """``target <- value``."""
    return documents.Update(target=target, value=_formula(value))


def train(of: str, **settings: Value) -> documents.Train:
    """``train of { settings }``; a string is a name, `text` makes it a label."""
    return documents.Train(model=of, settings=_settings(settings))


def sample(of: str, **settings: Value) -> documents.Sample:
    """``sample of { settings }``; a string is a name, `text` makes it a label."""
    return documents.Sample(model=of, settings=_settings(settings))


def _settings(settings: Mapping[str, Value]) -> tuple[documents.Setting, ...]:
    return tuple(documents.Setting(name=name, value=_named(value)) for name, value in settings.items())


# ---- what is exported -----------------------------------------------------------------------------------------------

_STATEMENTS = (
    "Spec",
    "along",
    "apply",
    "between",
    "bijector",
    "binary",
    "category",
    "circle",
    "chain",
    "data",
    "define",
    "energy",
    "false",
    "flow",
    "fn",
    "generate",
    "given",
    "inf",
    "infer",
    "integer",
    "interval",
    "inverse",
    "kernel",
    "latent",
    "learn",
    "like",
    "loss",
    "model",
    "net",
    "observe",
    "param",
    "path",
    "pi",
    "positive",
    "predict",
    "real",
    "repeat",
    "sample",
    "setting",
    "simplex",
    "sym",
    "text",
    "train",
    "true",
    "unit",
    "update",
    "use",
)

__all__ = sorted({*_STATEMENTS, *(name for name in WORDS if not hasattr(builtins, name))})


def stub_text() -> str:
    """The type stub of `dgmspec.lang` as it should stand beside it."""
    statements = (
        "from typing import Any\n\nfrom dgmspec.algebra.nodes import AbstractExpr, AbstractOperand, Call, Name\n"
    )
    listed = ",\n".join(f"    {name} as {name}" for name in sorted((*_STATEMENTS, "Value")))
    imports = f"{statements}from dgmspec.spec.lang import (\n{listed},\n)\n"
    return stub(WORDS.values(), imports, __all__, keyword.iskeyword)


if __name__ == "__main__":
    sys.stdout.write(stub_text())
