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

from dgmspec.algebra.nodes import AbstractExpr, AbstractOperand, Call, Index, Inverse, Name, Node, Operand
from dgmspec.spec import expressions
from dgmspec.spec import model as documents
from dgmspec.spec.expressions import *  # noqa: F403  # half of what this module offers
from dgmspec.spec.expressions import Names, Type, as_context, as_formula, as_named, as_names, as_type
from dgmspec.spec.expressions import Value as Value
from dgmspec.spec.invalid import told
from dgmspec.spec.model import Spec as Spec
from dgmspec.spec.model import Step, TypeExpr
from dgmspec.spec.words import Word, as_value, library_words, stub

WORDS = library_words()


def __getattr__(name: str) -> Word:
    if name not in WORDS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return WORDS[name]


# ---- steps ----------------------------------------------------------------------------------------------------------

StepLike = Operand | Step


@told
def inverse(*steps: StepLike) -> Inverse | documents.InverseBlock:
    """``inverse name(args)``, as a step or as an argument; several steps become a block, undone last first."""
    only = as_value(steps[0]) if len(steps) == 1 and isinstance(steps[0], AbstractOperand) else None
    return Inverse(of=only) if isinstance(only, (Name, Call)) else documents.InverseBlock(steps=_steps(steps))


@told
def repeat(count: Operand, *steps: StepLike | str) -> documents.Repeat:
    """``repeat count { steps }``; a string before the steps is the name of the turn's index, counted from 0."""
    index = steps[0] if steps and isinstance(steps[0], str) else None
    return documents.Repeat(count=as_formula(count), index=index, steps=_steps(steps[1:] if index else steps))


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


@told
def observe(name: str, type: Type, prior: Operand | None = None) -> documents.Variable:
    """``observe name : type``, or with ``~ prior``."""
    return _variable("observe", name, type, prior)


@told
def latent(name: str, type: Type, prior: Operand | None = None) -> documents.Variable:
    """``latent name : type ~ prior``."""
    return _variable("latent", name, type, prior)


@told
def given(name: str, type: Type) -> documents.Variable:
    """``given name : type``."""
    return _variable("given", name, type, None)


def _variable(
    role: Literal["observe", "latent", "given"], name: str, type: Type, prior: Operand | None
) -> documents.Variable:
    law = None if prior is None else as_formula(prior)
    return documents.Variable(role=role, name=name, type=cast(TypeExpr, as_type(type)), prior=law)


@told
def flow(source: Names, target: Names, *steps: StepLike, context: object = ()) -> documents.Flow:
    """``flow source -> target | context { steps }``."""
    return documents.Flow(
        source=as_names(source), target=as_names(target), context=as_context(context), steps=_steps(steps)
    )


@told
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
        source=as_names(source),
        target=as_names(target),
        context=as_context(context),
        over=documents.Over(name=name, domain=cast(Any, as_value(domain))),
        body=cast(Any, body),
    )


@told
def generate(target: str, law: Operand, context: object = ()) -> documents.Conditional:
    """``generate target | context ~ law``."""
    return _conditional("generate", target, law, context)


@told
def infer(target: str, law: Operand, context: object = ()) -> documents.Conditional:
    """``infer target | context ~ law``."""
    return _conditional("infer", target, law, context)


def _conditional(
    head: Literal["generate", "infer"], target: object, law: Operand, context: object
) -> documents.Conditional:
    of = cast("Name | Index", as_named(target))
    return documents.Conditional(head=head, target=of, context=as_context(context), law=as_formula(law))


@told
def energy(name: str, args: Names, value: Operand) -> documents.Energy:
    """``energy name(args) = value``."""
    return documents.Energy(name=name, args=as_names(args), value=as_formula(value))


@told
def net(name: str, args: Names, value: Operand, type: Type | None = None) -> documents.Net:
    """``net name(args) : type = value``."""
    return documents.Net(name=name, args=as_names(args), type=as_type(type), value=as_formula(value))


@told
def fn(name: str, args: Names, value: Operand) -> documents.Fn:
    """``fn name(args) = value``."""
    return documents.Fn(name=name, args=as_names(args), value=as_formula(value))


@told
def learn(name: str, type: Type | None = None, value: Operand | None = None) -> documents.Learn:
    """``learn name : type = value``."""
    start = None if value is None else as_formula(value)
    return documents.Learn(name=name, type=as_type(type), value=start)


@told
def predict(name: str, args: Names, value: Operand) -> documents.LearnFunction:
    """``learn name(args) = value``: what a network predicts."""
    return documents.LearnFunction(name=name, args=as_names(args), value=as_formula(value))


@told
def define(name: str, args: Names, value: Operand) -> documents.Definition:
    """``name(args) = value`` in an arrow's braces."""
    return documents.Definition(name=name, args=as_names(args), value=as_formula(value))


@told
def kernel(name: str, args: Names, law: Operand) -> documents.Kernel:
    """``name(args) ~ law`` in an arrow's braces."""
    return documents.Kernel(name=name, args=as_names(args), law=as_formula(law))


@told
def setting(name: str, value: Value) -> documents.Setting:
    """``name = value``."""
    return documents.Setting(name=name, value=as_formula(value))


@told
def loss(value: Operand) -> documents.Setting:
    """``loss = value``."""
    return setting("loss", value)


# ---- items of a file ------------------------------------------------------------------------------------------------


@told
def model(name: str, *members: Node) -> documents.Model:
    """``model name { members }``."""
    return documents.Model(name=name, members=cast(Any, members))


@told
def param(name: str, value: Value, type: Type | None = None) -> documents.Param:
    """``param name : type = value``."""
    return documents.Param(name=name, type=as_type(type), value=as_formula(value))


@told
def data(name: str, value: Operand) -> documents.Data:
    """``data name = value``."""
    return documents.Data(name=name, value=as_formula(value))


@told
def use(path: str, alias: str) -> documents.Use:
    """``use "path" as alias``."""
    return documents.Use(path=path, alias=alias)


@told
def chain(name: str, *steps: StepLike, params: Mapping[str, Value | None] | None = None) -> documents.Chain:
    """``bijector name(params) = { steps }``; None stands for a parameter without a default."""
    own = tuple(
        documents.ChainParam(name=key, value=None if value is None else as_formula(value))
        for key, value in (params or {}).items()
    )
    return documents.Chain(name=name, params=own, steps=_steps(steps))


@told
def bijector(
    name: str, parts: Names, *body: Node, learned: Mapping[str, Type | None] | None = None
) -> documents.Bijector:
    """``bijector name(parts; learned) { body }``."""
    own = tuple(documents.Unknowns(name=key, type=as_type(of)) for key, of in (learned or {}).items())
    return documents.Bijector(name=name, parts=as_names(parts), parameters=own, body=cast(Any, body))


@told
def update(target: str, value: Operand) -> documents.Update:
    """``target <- value``."""
    return documents.Update(target=target, value=as_formula(value))


@told
def train(of: str, **settings: Value) -> documents.Train:
    """``train of { settings }``; a string is a name, `text` makes it a label."""
    return documents.Train(model=of, settings=_settings(settings))


@told
def sample(of: str, **settings: Value) -> documents.Sample:
    """``sample of { settings }``; a string is a name, `text` makes it a label."""
    return documents.Sample(model=of, settings=_settings(settings))


def _settings(settings: Mapping[str, Value]) -> tuple[documents.Setting, ...]:
    return tuple(documents.Setting(name=name, value=as_named(value)) for name, value in settings.items())


# ---- what is exported -----------------------------------------------------------------------------------------------

_STATEMENTS = (
    *expressions.__all__,
    "Spec",
    "bijector",
    "chain",
    "data",
    "define",
    "energy",
    "flow",
    "fn",
    "generate",
    "given",
    "infer",
    "inverse",
    "kernel",
    "latent",
    "learn",
    "loss",
    "model",
    "net",
    "observe",
    "param",
    "path",
    "predict",
    "repeat",
    "sample",
    "setting",
    "train",
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
