"""A spec with every default of its library calls and train settings written out.

``rqs`` becomes ``rqs(bins = 8, bound = 3.0)``: a text that says everything means the same under a later release whose
defaults differ. What a default leaves open (``none``: the run's seed, no schedule) is not written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, TypeVar

from dgmspec.algebra.nodes import (
    AbstractExpr,
    Argument,
    Call,
    Factor,
    Inverse,
    Name,
    Neg,
    Product,
    Sum,
    Term,
    Vector,
    children,
    expr,
)
from dgmspec.algebra.rewrite import rebuild
from dgmspec.core.op import AbstractOp
from dgmspec.ops import Parameter, find, signature
from dgmspec.spec.diagnose import diagnose
from dgmspec.spec.model import (
    Apply,
    Bijector,
    Chain,
    Conditional,
    Data,
    Definition,
    Flow,
    InverseBlock,
    Item,
    LearnFunction,
    Member,
    Model,
    Net,
    Param,
    Path,
    Repeat,
    Sample,
    Setting,
    Spec,
    Step,
    Train,
    Use,
    Variable,
)

__all__ = ["as_written", "with_defaults"]

_E = TypeVar("_E", bound=AbstractExpr)


def with_defaults(spec: Spec) -> Spec:
    """The same spec, and the files it uses, with all defaults written out; nothing else changes."""
    sources = {path: _source(text, path, spec.sources) for path, text in spec.sources.items()}
    return Spec(*_items(spec), edition=spec.edition, sources=sources)


def as_written(value: Any) -> AbstractExpr:
    """A value of an argument as an author writes it: an operation as its call, a choice as its name."""
    if isinstance(value, AbstractOp):
        args = [
            Argument(name=None if p.variadic else p.name, value=as_written(given))
            for p in signature(type(value))
            if not p.keywords
            for given in (getattr(value, p.attribute) if p.variadic else (getattr(value, p.attribute),))
            if given is not None
        ]
        ordered = tuple(sorted(args, key=lambda arg: arg.name is not None))
        return Call(name=value.name, args=ordered) if args else Name(id=value.name)
    if isinstance(value, str):
        return Name(id=value)
    if isinstance(value, (list, tuple)):
        return Vector(items=tuple(as_written(item) for item in value))
    return expr(value)


def _source(text: str, path: str, sources: dict[str, str]) -> str:
    """A used file's text with its defaults written out; one that is no spec by itself stays as it is."""
    found = diagnose(text, sources, name=path).spec
    return text if found is None else Spec(*_items(found), edition=found.edition).text()


def _items(spec: Spec) -> tuple[Item, ...]:
    own = frozenset(i.name for i in spec.items if isinstance(i, (Param, Data, Bijector, Chain, Net)))
    aliases = frozenset(i.alias for i in spec.items if isinstance(i, Use))
    writer = _Writer(own | aliases)
    return tuple(writer.item(item) for item in spec.items)


class _Writer:
    """Rewrites the parts of one file; `own` are the names that the file itself gives a meaning, `priors` the variables
    of the model at hand that have a law of their own, from which an `sde` is simulated."""

    def __init__(self, own: frozenset[str], priors: Collection[str] = ()) -> None:
        self.own, self.priors = own, priors

    # ---- statements -------------------------------------------------------------------------------------------------

    def item(self, item: Item) -> Item:
        match item:
            case Data():
                return item.model_copy(update={"value": self.call(("data",), item.value)})
            case Net():
                return item.model_copy(update={"value": self.call(("net",), item.value)})
            case Chain():
                inner = _Writer(self.own | {p.name for p in item.params})
                return item.model_copy(update={"steps": inner.steps(item.steps)})
            case Bijector():
                inner = _Writer(self.own | set(item.parts) | {p.name for p in item.parameters})
                body = tuple(inner.item(part) if isinstance(part, Net) else part for part in item.body)
                return item.model_copy(update={"body": body})
            case Model():
                starts = {m.name for m in item.members if isinstance(m, Variable) and m.role == "latent" and m.prior}
                inner = _Writer(self.own | {m.name for m in item.members if isinstance(m, (Variable, Net))}, starts)
                return item.model_copy(update={"members": tuple(inner.member(m) for m in item.members)})
            case Train() | Sample():
                cls = find("block", item.kind)
                known = () if cls is None else signature(cls)
                return item.model_copy(update={"settings": self.settings(item.settings, known)})
        return item

    def member(self, member: Member) -> Member:
        match member:
            case Variable() if member.prior is not None:
                return member.model_copy(update={"prior": self.call(("distribution",), member.prior)})
            case Flow():
                return member.model_copy(update={"steps": self.steps(member.steps)})
            case Net():
                return member.model_copy(update={"value": self.call(("net",), member.value)})
            case LearnFunction():
                return member.model_copy(update={"value": self.call(("net",), member.value)})
            case Conditional():
                return member.model_copy(update={"law": self.nets(member.law)})
            case Path():
                return member.model_copy(update={"body": self.braces(member)})
            case Setting(name="loss"):
                return member.model_copy(update={"value": self.terms(member.value)})
        return member

    def braces(self, path: Path) -> tuple[Any, ...]:
        """The braces of an arrow in continuous time or of a chain: its settings, its nets, its formulas as they are."""
        settings = [part for part in path.body if isinstance(part, Setting)]
        simulated = path.head == "sde" and path.source[0] in self.priors
        cls = find("settings", "simulation" if simulated else path.head)
        written = self.settings(settings, () if cls is None else signature(cls))
        body = [self.within(part) for part in path.body if not isinstance(part, Setting)]
        return (*body, *written)

    def within(self, part: Any) -> Any:
        match part:
            case LearnFunction() | Net():
                return part.model_copy(update={"value": self.call(("net",), part.value)})
            case Definition():
                return part.model_copy(update={"value": self.nets(part.value)})
        return part

    def nets(self, formula: AbstractExpr) -> AbstractExpr:
        """The nets written in place inside a formula or a law, whose own defaults stay: a law of a net has none."""
        if isinstance(formula, Call) and formula.name not in self.own and find("net", formula.name) is not None:
            return self.call(("net",), formula)
        return rebuild(formula, [self.nets(part) for part in children(formula)])

    def steps(self, steps: Iterable[Step]) -> tuple[Step, ...]:
        return tuple(self.step(step) for step in steps)

    def step(self, step: Step) -> Step:
        match step:
            case Repeat():
                inner = _Writer(self.own | ({step.index} if step.index else set()))
                return step.model_copy(update={"steps": inner.steps(step.steps)})
            case InverseBlock():
                return step.model_copy(update={"steps": self.steps(step.steps)})
            case Apply():
                return step.model_copy(update={"call": self.call(("step", "scalar"), step.call)})
        return step

    def settings(self, written: Iterable[Setting], parameters: Iterable[Parameter]) -> tuple[Setting, ...]:
        """Settings as written, each with its own defaults, and after them those that were left out."""
        known = {p.name: p for p in parameters}
        given = [
            s.model_copy(update={"value": self.value(known[s.name], s.value)}) if s.name in known else s
            for s in written
        ]
        named = {s.name for s in given}
        rest = [p for p in known.values() if p.name not in named and not p.required and p.default is not None]
        return (*given, *(Setting(name=p.name, value=as_written(p.default)) for p in rest))

    # ---- expressions ------------------------------------------------------------------------------------------------

    def call(self, roles: tuple[str, ...], written: _E) -> _E:
        """A call or a name in the place of an operation, with its defaults; anything else as it is."""
        if isinstance(written, Inverse):
            return written.model_copy(update={"of": self.call(roles, written.of)})
        if not isinstance(written, (Call, Name)) or getattr(written, "quoted", False):
            return written
        name = written.id if isinstance(written, Name) else written.name
        if name in self.own and isinstance(written, Call):
            # What the file defines has no defaults of the library's, but a mask that divides an event may.
            own = (arg.model_copy(update={"value": self.call(("mask",), arg.value)}) for arg in written.args)
            return Call(name=name, args=tuple(own))  # type: ignore[return-value]
        cls = next((found for role in roles if (found := find(role, name))), None)
        if cls is None or name in self.own:
            return written
        args = self.arguments(cls, written.args if isinstance(written, Call) else ())
        return Call(name=name, args=args) if args else written  # type: ignore[return-value]

    def arguments(self, cls: type[AbstractOp], written: tuple[Argument, ...]) -> tuple[Argument, ...]:
        """The arguments as written, each with its own defaults, and after them those that were left out."""
        parameters = signature(cls)
        places = [p for p in parameters if not p.keywords]
        known = {p.name: p for p in places}
        variadic = next((p for p in parameters if p.variadic), None)
        rest = next((p for p in parameters if p.keywords), None)
        args: list[Argument] = []
        given: set[str] = set()
        for i, arg in enumerate(written):
            position = variadic or (places[i] if i < len(places) else None)
            parameter = known.get(arg.name, rest) if arg.name is not None else position
            if parameter is None:
                return written
            given.add(arg.name or parameter.name)
            args.append(Argument(name=arg.name, value=self.value(parameter, arg.value)))
        optional = (p for p in places if not (p.required or p.variadic))
        left_out = (p for p in optional if p.name not in given)
        defaults = [(p.name, as_written(p.default)) for p in left_out if p.default is not None]
        return (*args, *(Argument(name=name, value=value) for name, value in defaults))

    def value(self, parameter: Parameter, written: AbstractExpr) -> AbstractExpr:
        """An argument: a choice of the closed list stays, an operation gets its defaults, also inside a list."""
        if isinstance(written, Name) and written.id in parameter.choices:
            return written
        if isinstance(written, Vector) and parameter.roles:
            return Vector(items=tuple(self.call(parameter.roles, item) for item in written.items))
        return self.call(parameter.roles, written)

    def terms(self, formula: AbstractExpr) -> AbstractExpr:
        """The terms of a loss inside its arithmetic."""
        match formula:
            case Sum():
                return Sum(terms=tuple(Term(sign=t.sign, of=self.terms(t.of)) for t in formula.terms))
            case Product():
                factors = (Factor(op=f.op, of=self.terms(f.of)) for f in formula.factors)
                return Product(factors=tuple(factors))
            case Neg():
                return Neg(of=self.terms(formula.of))
        return self.call(("loss",), formula)
