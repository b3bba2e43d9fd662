"""Hypothesis strategies for the whole document language, and for mutated texts.

`specs()` gives specs that read as they print and whose names are all declared: every item, member, step, type and
expression occurs. A `Maker` draws choice by choice, which is far quicker than strategies made of strategies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from dgmspec.algebra.functions import FUNCTIONS
from dgmspec.algebra.nodes import (
    AbstractExpr,
    Argument,
    Arrow,
    Call,
    Constant,
    Factor,
    Index,
    Inverse,
    Name,
    Neg,
    Number,
    Power,
    Product,
    Range,
    Sum,
    Term,
    Text,
    Vector,
)
from dgmspec.spec import model as m

T = TypeVar("T")

# Words that are keywords in other places, and names beyond ASCII, stand among the plain ones.
WORDS = ("a", "b1", "x0", "σ_max", "β", "step", "model", "flow", "net", "over", "as", "in", "data", "latent", "observe")
LIBRARY = ("actnorm", "coupling", "affine", "half", "mlp", "normal", "alternate", "rqs", "for", "sample", "grad2")
KEYWORDS = ("mask", "net", "as", "in")
LABELS = st.text(max_size=8).map(lambda text: "".join(c for c in text if c.isprintable() and c != '"'))
COUNTS = tuple(st.integers(0, n) for n in range(40))
WHOLE = st.integers(0, 10**99)
FLOATS = st.floats(0, allow_nan=False, allow_infinity=False)
FUNCTION_NAMES = tuple(sorted(FUNCTIONS))

Scope = tuple[str, ...]
Calls = dict[str, int]


class Maker:
    """Draws pieces of documents. Names that a piece may mention are passed down as its scope."""

    def __init__(self, draw: DrawFn) -> None:
        self.draw = draw

    # ----------------------------------------------------------------------------------------------------- choices

    def upto(self, most: int) -> int:
        """A whole number from 0 to `most`."""
        return self.draw(COUNTS[most])

    def pick(self, options: Sequence[T]) -> T:
        """One of the options."""
        return options[self.upto(len(options) - 1)]

    def maybe(self, make: Callable[[], T]) -> T | None:
        """Nothing, or something."""
        return make() if self.upto(1) else None

    def many(self, make: Callable[[], T], most: int, least: int = 0) -> tuple[T, ...]:
        """Between `least` and `most` of something."""
        return tuple(make() for _ in range(least + self.upto(most - least)))

    def shuffled(self, items: Sequence[T]) -> tuple[T, ...]:
        """The items in another order."""
        rest, out = list(items), []
        while rest:
            out.append(rest.pop(self.upto(len(rest) - 1)))
        return tuple(out)

    def fresh(self, prefix: str, taken: set[str]) -> str:
        """A name that is not taken yet; it is taken from then on."""
        word = self.pick((prefix, *WORDS))
        name = word if word not in taken else next(f"{word}_{i}" for i in range(999) if f"{word}_{i}" not in taken)
        taken.add(name)
        return name

    # ------------------------------------------------------------------------------------------------- expressions

    def number(self) -> Number:
        """A literal, small, large or with a point."""
        kind = self.upto(3)
        return Number(value=self.upto(12) if kind < 2 else self.draw(WHOLE) if kind == 2 else abs(self.draw(FLOATS)))

    def formula(self, names: Scope = (), calls: Calls | None = None, depth: int = 2) -> Any:
        """A formula over declared names; `calls` are functions that may be applied, with their arities."""
        kind = self.upto(10) if depth else self.upto(3)
        inner = lambda: self.formula(names, calls, depth - 1)  # noqa: E731
        match kind:
            case 0 | 1:
                return Name(id=self.pick(names)) if names else self.number()
            case 2:
                return self.number()
            case 3:
                return Constant.model_validate({"name": self.pick(("pi", "inf", "true", "false"))})
            case 4:
                return Neg(of=inner())
            case 5:
                first = inner()
                tail = self.many(lambda: Term(sign=self.pick(("+", "-")), of=inner()), 2, 1)
                return first if isinstance(first, Sum) else Sum(terms=(Term(of=first), *tail))
            case 6:
                first = inner()
                factors = self.many(lambda: Factor(op=self.pick(("*", "/", "@")), of=inner()), 2, 1)
                return first if isinstance(first, Product) else Product(factors=(Factor(of=first), *factors))
            case 7:
                return Power(base=inner(), exponent=inner())
            case 8:
                return Index(of=inner(), index=inner())
            case 9:
                return Vector(items=self.many(inner, 3))
        name = self.pick((*(calls or ()), *FUNCTION_NAMES))
        arity = calls[name] if calls and name in calls else FUNCTIONS[name].arity
        return Call(name=name, args=tuple(Argument(value=inner()) for _ in range(arity)))

    def call(self, names: Scope = (), calls: Calls | None = None, depth: int = 2) -> Any:
        """A library name, or a call of one with arguments of every sort."""
        if not depth or self.upto(2) == 0:
            return Name(id=self.pick(LIBRARY))
        positional = [Argument(value=self.argument(names, calls, depth)) for _ in range(self.upto(2))]
        keywords = self.shuffled(KEYWORDS)[: self.upto(2)]
        named = [Argument(name=k, value=self.argument(names, calls, depth, arrows=False)) for k in keywords]
        return Call(name=self.pick(LIBRARY), args=(*positional, *named))

    def argument(self, names: Scope, calls: Calls | None, depth: int, arrows: bool = True) -> AbstractExpr:
        """What may stand as an argument of a library's call."""
        match self.upto(4 + bool(names) * (1 + arrows)):
            case 0:
                return self.formula(names, calls, depth)
            case 1:
                return self.call(names, calls, depth - 1)
            case 2:
                return Text(value=self.draw(LABELS))
            case 3:
                return Inverse(of=self.call(names, calls, depth - 1))
            case 4:
                return self.range(names)
            case 5:
                return Name(id=self.pick(names), quoted=True)
        return Arrow(source=Name(id=self.pick(names)), target=Vector(items=(Name(id=self.pick(names)),)))

    def range(self, names: Scope) -> Range:
        """``low..high``."""
        return Range(low=self.formula(names, depth=1), high=self.formula(names, depth=1))

    def type(self, names: Scope = ()) -> m.TypeExpr:
        """A type with dimensions over params."""
        args = {
            "interval": lambda: (self.formula(names, depth=1), self.formula(names, depth=1)),
            "integer": lambda: (self.range(names),),
            "category": lambda: (self.formula(names, depth=1),),
        }
        name = self.pick(("real", "positive", "unit", "circle", "binary", "simplex", *args))
        dims = self.many(lambda: self.formula(names, depth=1) if self.upto(2) else m.Star(), 2)
        return m.TypeExpr(name=name, args=args[name]() if name in args else (), dims=dims)

    # -------------------------------------------------------------------------------------------- steps, bijectors

    def steps(self, names: Scope = (), depth: int = 2) -> tuple[Any, ...]:
        """Steps of a flow, nested at most `depth` deep."""
        return self.many(lambda: self.step(names, depth), 3)

    def step(self, names: Scope, depth: int) -> Any:
        """One step."""
        match self.upto(3) if depth else 0:
            case 0 | 1:
                return m.Apply(call=self.call(names), inverse=bool(self.upto(1)))
            case 2:
                return m.InverseBlock(steps=self.steps(names, depth - 1))
        index = self.pick((None, "k", "in"))
        inner = names if index is None else (*names, index)
        return m.Repeat(count=self.formula(names), index=index, steps=self.steps(inner, depth - 1))

    def chain(self, name: str, names: Scope) -> m.Chain:
        """A named chain of steps."""
        taken = set(names)
        params = self.many(
            lambda: m.ChainParam(name=self.fresh("width", taken), value=self.maybe(lambda: self.formula(names))), 2
        )
        return m.Chain(name=name, params=params, steps=self.steps((*names, *(p.name for p in params))))

    def bijector(self, name: str, names: Scope) -> m.Bijector:
        """A bijector of the author's own."""
        taken = {*names, "u"}
        parts = self.many(lambda: self.fresh("x", taken), 2, 1)
        learned = self.many(
            lambda: m.Unknowns(name=self.fresh("a", taken), type=self.maybe(lambda: self.type(names))), 2
        )
        like = m.TypeExpr(name="like", args=(Name(id=parts[0]),))
        net = m.Net(name=self.fresh("F", taken), args=("u",), type=self.pick((None, like)), value=self.call(names))
        learn = m.Learn(name=self.fresh("w", taken), type=None, value=self.maybe(self.number))
        seen = (*names, *parts, *(unknown.name for unknown in learned), learn.name)
        updates = [m.Update(target=part, value=self.formula(seen, {net.name: 1})) for part in parts]
        return m.Bijector(name=name, parts=parts, parameters=learned, body=(net, *updates, learn))

    # ------------------------------------------------------------------------------------------------------ models

    def model(self, name: str, params: Scope, hidden: set[str]) -> m.Model:
        """A model with members of every sort; none of them has a name in `hidden`."""
        taken = {*hidden, *params}
        x, z, c, w = (self.fresh(n, taken) for n in ("x", "z", "c", "w"))
        net = m.Net(name=self.fresh("h", taken), args=("u",), type=self.type(params), value=self.call(params))
        learn = m.Learn(name=self.fresh("r", taken), type=self.maybe(lambda: self.type(params)))
        seen, calls = (*params, x, z, c, learn.name), {net.name: 1}
        variables = [
            m.Variable(role="observe", name=x, type=self.type(params), prior=self.maybe(lambda: self.law(seen, calls))),
            m.Variable(role="latent", name=z, type=self.type(params), prior=self.maybe(lambda: self.law(seen, calls))),
            m.Variable(role="given", name=c, type=self.type(params)),
            self.indexed(w, params),
        ]
        members = [
            net,
            learn,
            m.Energy(name=self.fresh("E", taken), args=("u",), value=self.call((*seen, "u"))),
            m.LearnFunction(name=self.fresh("score", taken), args=("u",), value=self.call(seen)),
            m.Fn(name=self.fresh("f", taken), args=("t", "u"), value=self.formula((*params, "t", "u"))),
            m.Flow(source=(x,), target=(z,), context=self.context(seen, calls), steps=self.steps(seen)),
            self.path((x, z, c), seen, calls, taken),
            self.conditional(x, w, seen, calls),
            m.Setting(name="loss", value=self.formula(seen, calls)),
        ]
        return m.Model(name=name, members=self._members(variables, members))

    def _members(self, variables: list[Any], members: list[Any]) -> tuple[Any, ...]:
        """The variables, the two members that others mention, and some of the rest, in any order."""
        needed, rest = members[:2], members[2:]
        return self.shuffled([*variables, *needed, *self.shuffled(rest)[: self.upto(len(rest))]])

    def law(self, names: Scope, calls: Calls) -> Any:
        """A distribution, or ``exp(-…)``."""
        if self.upto(1):
            return self.call(names, calls)
        return Call(name="exp", args=(Argument(value=Neg(of=self.formula(names, calls))),))

    def context(self, names: Scope, calls: Calls) -> tuple[Any, ...]:
        """What follows the bar of an arrow."""
        return self.many(lambda: self.formula(names, calls), 2)

    def indexed(self, name: str, params: Scope) -> m.Variable:
        """``latent w[k] : T for k in 1..K``."""
        domain = Range(low=Number(value=1), high=self.formula(params))
        return m.Variable(
            role="latent", name=name, index="k", type=self.type((*params, "k")), repeat=m.For(index="k", domain=domain)
        )

    def conditional(self, x: str, w: str, names: Scope, calls: Calls) -> m.Conditional:
        """``generate`` or ``infer``, of a plain or an indexed variable."""
        target = self.pick((Name(id=x), Index(of=Name(id=w), index=Name(id="k"))))
        return m.Conditional(
            head=self.pick(("generate", "infer")),
            target=target,
            context=self.context(names, calls),
            law=self.law(names, calls),
            repeat=m.For(index="k", domain=self.range(())) if isinstance(target, Index) and self.upto(1) else None,
        )

    def path(self, ends: tuple[str, str, str], names: Scope, calls: Calls, hidden: set[str]) -> m.Path:
        """An ode, sde, markov or perturb arrow with everything in its braces."""
        x, z, c = ends
        head = self.pick(("ode", "sde", "markov", "perturb"))
        inner, taken = (*names, "t", "y"), set(hidden)
        law = lambda: self.call(inner, calls)  # noqa: E731
        body = (
            m.Setting(name=self.fresh("solver", taken), value=self.call(names)),
            m.Definition(name=self.fresh("velocity", taken), args=("y", "t"), value=self.formula(inner, calls)),
            m.Kernel(name=self.fresh("step", taken), args=("y", "t"), law=law()),
            m.LearnFunction(name=self.fresh("noise", taken), args=("y", "t"), value=self.call(names)),
            m.Learn(name=self.fresh("rate", taken), value=self.maybe(self.number)),
            m.Fn(name=self.fresh("g", taken), args=("t",), value=self.formula((*names, "t"))),
            m.Net(name=self.fresh("n", taken), args=("t",), value=self.call(names)),
        )
        return m.Path(
            head=head,
            source=self.pick(((x,), (x, c))),
            target=() if head == "perturb" and self.upto(1) else (c, z),
            context=self.context(names, calls),
            over=m.Over(name="t", domain=self.range(names) if self.upto(1) else self.call(names)),
            body=self.shuffled(body)[: self.upto(len(body))],
        )

    # ------------------------------------------------------------------------------------------------------- files

    def spec(self) -> m.Spec:
        """A whole file in which every name is declared."""
        taken = {"k", "t", "u", "y", "real", "loss", *FUNCTIONS, *LIBRARY, *KEYWORDS}
        items: list[Any] = []
        params: Scope = ()
        for _ in range(self.upto(2)):
            name = self.fresh("depth", taken)
            type_ = self.maybe(lambda: self.type(params))  # noqa: B023
            items.append(m.Param(name=name, type=type_, value=self.formula(params)))
            params = (*params, name)
        makers = (
            lambda name: m.Fn(name=name, args=("t",), value=self.formula((*params, "t"))),
            lambda name: m.Data(name=name, value=self.call(params)),
            lambda name: self.chain(name, params),
            lambda name: self.bijector(name, params),
        )
        items += self.many(lambda: self.pick(makers)(self.fresh("block", taken)), 3)
        for _ in range(self.upto(2)):
            model = self.model(self.fresh("M", taken), params, taken)
            items += [model, *(self.settings(cls, model.name, params) for cls in (m.Train, m.Sample) if self.upto(1))]
        return m.Spec(*self.shuffled(items), edition=self.pick((1, 1, 1, None)))

    def settings(self, cls: Any, model: str, params: Scope) -> Any:
        """A train or sample block."""
        settings = [m.Setting(name=name, value=self.call(params)) for name in self.shuffled(("steps", "data", "as"))]
        return cls(model=model, settings=tuple(settings[: self.upto(3)]))

    def mutation(self, text: str) -> str:
        """A text with a few pieces deleted, doubled or replaced by others of the language."""
        for _ in range(1 + self.upto(3)):
            i = self.draw(st.integers(0, max(len(text) - 1, 0)))
            j = min(len(text), i + self.upto(6))
            text = text[:i] + self.pick((*PIECES, text[i:j] * 2)) + text[j:]
        return text


PIECES = ("", "{", "}", "(", ")", "[", "]", "=", "~", "<-", " ", "\n", "^", "..", "x", "2", '"', ",", "|", ":", "#")


@st.composite
def specs(draw: DrawFn) -> m.Spec:
    """Whole files, every construct of the language among them."""
    return Maker(draw).spec()


@st.composite
def formulas(draw: DrawFn, names: Scope = ("x", "y"), depth: int = 3) -> Any:
    """Formulas over some names, with the functions of the language."""
    return Maker(draw).formula(names, depth=depth)


@st.composite
def mutated(draw: DrawFn, texts: SearchStrategy[str]) -> str:
    """Texts that were right before a few pieces of them changed."""
    return Maker(draw).mutation(draw(texts))
