"""The documents: a `.dgm` file as frozen pydantic objects, closed under text and JSON.

Nothing here is evaluated. Documents hold what the author wrote (`real[2 * D]`, `alternate(k)`), so that a spec prints
back as it was read. They hold no positions either: `resolve` returns a SourceMap from addresses to spans beside them.

Addresses of the parts (see `dgmspec.core.address`): a model by its name, a member by the name it defines
(``RealNVP/x``), an arrow by its ends (``RealNVP/x->z``; lists as ``RealNVP/[x,v]->z``; ``generate x`` as
``RealNVP/generate x``, ``infer z`` as ``RealNVP/infer z``; ``perturb x`` as ``RealNVP/perturb x``), a variable at an
end by ``source`` or ``target`` and its name, a step by its index, an argument by its name or its position
(``…/0/net``, ``…/0/1``), a setting by its name (``RealNVP/loss``, ``train RealNVP/batch``), parts of a declaration by
``type``, ``prior``, ``law``, ``context``, ``over``, ``value``. The other items of a file stand under their names
(``depth``, ``β/value``, ``block/0``), an update of a bijector under its place in the body, its parts and parameters
under their names (``tilted/0``, ``tilted/a``). What a used file defines stands under its alias: ``blocks/step/0``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, ValidationError

from dgmspec.algebra.nodes import (
    AbstractExpr,
    Call,
    Formula,
    Identifier,
    Index,
    Label,
    Name,
    Node,
    Number,
    Range,
    Sum,
    expr,
)
from dgmspec.core.diagnostics import Diagnostic, SpecError, did_you_mean
from dgmspec.core.markup import Html, fragment
from dgmspec.spec.invalid import diagnostics_of
from dgmspec.syntax.highlight import highlight

EDITION: Literal[1] = 1
FORMAT_VERSION: Literal[1] = 1


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


# ---- members of a model ---------------------------------------------------------------------------------------------


class For(Node):
    """``for k in 1..T`` after an indexed variable."""

    index: Identifier
    domain: Domain


class Variable(Node):
    """``observe x : T ~ D``, ``latent z : T ~ D``, ``given c : T``; ``index`` for ``latent z[k] : T for k in 1..T``."""

    kind: Literal["variable"] = "variable"
    role: Literal["observe", "latent", "given"]
    name: Identifier
    index: Identifier | None = None
    type: TypeExpr
    prior: Formula | None = None
    repeat: For | None = None


class Flow(Node):
    """``flow a -> b | c { steps }``. An end is one name, or several for a joint state (``flow [a, b] -> z``)."""

    kind: Literal["flow"] = "flow"
    source: Names
    target: Names
    context: tuple[Formula, ...] = ()
    steps: tuple[Step, ...]


class Over(Node):
    """``over t in t0..t1``, ``over σ in geometric(…)``."""

    name: Identifier
    domain: Domain


class Path(Node):
    """``ode``, ``sde``, ``markov`` and ``perturb`` arrows: dynamics over a time or level variable."""

    kind: Literal["path"] = "path"
    head: Literal["ode", "sde", "markov", "perturb"]
    source: Names
    target: tuple[Identifier, ...] = ()
    context: tuple[Formula, ...] = ()
    over: Over
    body: tuple[
        Annotated[Setting | Definition | Kernel | Learn | LearnFunction | Net | Fn, Field(discriminator="kind")], ...
    ]


class Conditional(Node):
    """``generate x | z, c ~ D`` and ``infer z | x ~ D`` (or ``infer z ~ D``); `target` is a name, or ``z[k]``."""

    kind: Literal["conditional"] = "conditional"
    head: Literal["generate", "infer"]
    target: Annotated[Name | Index, Field(discriminator="kind")]
    context: tuple[Formula, ...] = ()
    law: Formula
    repeat: For | None = None


class Energy(Node):
    """``energy E(x) = EXPR``: an unnormalised negative log-density."""

    kind: Literal["energy"] = "energy"
    name: Identifier
    args: Names
    value: Formula


Member = Annotated[
    Variable | Flow | Path | Conditional | Energy | Net | Learn | LearnFunction | Fn | Setting,
    Field(discriminator="kind"),
]


def arrow_name(head: str, source: Sequence[str], target: Sequence[str]) -> str:
    """An arrow's part of an address: ``x->z``, ``[x,v]->z``; ``perturb x`` by its start alone."""
    start, end = (names[0] if len(names) == 1 else f"[{','.join(names)}]" for names in (source, target))
    return f"perturb {start}" if head == "perturb" else f"{start}->{end}"


def conditional_name(head: str, target: Name | Index) -> str:
    """A conditional law's part of an address: ``generate x``, ``infer z``, ``generate z(k+1)``."""
    of = target.of if isinstance(target, Index) else target
    index = f"({_index_name(target.index)})" if isinstance(target, Index) else ""
    return f"{head} {of.id if isinstance(of, Name) else '_'}{index}"


def _index_name(index: AbstractExpr) -> str:
    """An index in an address, which tells sums of names and numbers apart."""
    match index:
        case Name():
            return index.id
        case Number():
            return f"{index.value}"
        case Sum():
            return "".join(f"{t.sign}{_index_name(t.of)}" for t in index.terms).removeprefix("+")
    return "_"


def member_name(member: Member) -> str:
    """A member's part of its address below the model: its name, or what it joins."""
    match member:
        case Flow():
            return arrow_name("flow", member.source, member.target)
        case Path():
            return arrow_name(member.head, member.source, member.target)
        case Conditional():
            return conditional_name(member.head, member.target)
    return member.name


# ---- top level ------------------------------------------------------------------------------------------------------


class Param(Node):
    """``param depth = 8``, ``param σ_max : positive = 50``: overridable from outside."""

    kind: Literal["param"] = "param"
    name: Identifier
    type: TypeExpr | None = None
    value: Formula


class Data(Node):
    """``data moons = two_moons(n = 20_000)``."""

    kind: Literal["data"] = "data"
    name: Identifier
    value: Formula


class Use(Node):
    """``use "blocks.dgm" as blocks``: that file's bijectors and fns under a prefix."""

    kind: Literal["use"] = "use"
    path: Label
    alias: Identifier


class Model(Node):
    """``model NAME { members }``."""

    kind: Literal["model"] = "model"
    name: Identifier
    members: tuple[Member, ...]

    def text(self) -> str:
        """This model as a file of its own."""
        return Spec(self).text()


class Train(Node):
    """``train NAME { settings }``."""

    kind: Literal["train"] = "train"
    model: Identifier
    settings: tuple[Setting, ...]


class Sample(Node):
    """``sample NAME { settings }``."""

    kind: Literal["sample"] = "sample"
    model: Identifier
    settings: tuple[Setting, ...]


Item = Annotated[Param | Fn | Net | Data | Use | Bijector | Chain | Model | Train | Sample, Field(discriminator="kind")]


class Spec(Node):
    """A whole file: its edition and its items in order, and the texts of the files that it uses.

    ``Spec(Model(...), Train(...))`` builds one in Python. `edition` is None where the text does not say it; `sources`
    holds used files by their paths relative to this one's folder, so that a spec is complete in itself.
    """

    printer: ClassVar[Callable[[Spec], str]]
    """Prints a spec; set by the package, because printing stands above this file."""
    checker: ClassVar[Callable[[Spec], Sequence[Diagnostic]]]
    """Checks a spec as far as the rooms that are loaded can; set by the package, and by the compiler after it."""

    format_version: Literal[1] = FORMAT_VERSION
    edition: Literal[1] | None = EDITION
    items: tuple[Item, ...] = ()
    sources: dict[str, str] = Field(default_factory=dict)

    def __init__(self, *items: Node, **data: Any) -> None:
        super().__init__(**({"items": items} if items else {}), **data)

    def __hash__(self) -> int:
        return hash((self.edition, self.items, tuple(sorted(self.sources.items()))))

    @property
    def models(self) -> dict[str, Model]:
        """The models of the file by name."""
        return {item.name: item for item in self.items if isinstance(item, Model)}

    @property
    def params(self) -> dict[str, Param]:
        """The overridable parameters of the file by name."""
        return {item.name: item for item in self.items if isinstance(item, Param)}

    def text(self) -> str:
        """The spec as canonical text; ``parse(spec.text(), spec.sources) == spec``."""
        return type(self).printer(self)

    def _repr_html_(self) -> Html:
        """For notebooks: the canonical text in colours."""
        return fragment(highlight(self.text()))

    def check(self) -> list[Diagnostic]:
        """Everything that can be said against this spec; an empty list is a clean one."""
        return list(type(self).checker(self))

    def with_params(self, **values: object) -> Spec:
        """The same spec with other values of its params (numbers, lists of numbers or expressions)."""
        unknown = [unknown_param(name, self.params) for name in values if name not in self.params]
        if unknown:
            raise SpecError(unknown)
        items = tuple(
            Param(name=item.name, type=item.type, value=_param_value(values[item.name]))
            if isinstance(item, Param) and item.name in values
            else item
            for item in self.items
        )
        return self.model_copy(update={"items": items})

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The spec that `model_dump_json` wrote; raises SpecError where the JSON is none."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise SpecError(diagnostics_of(error)) from None

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """The JSON Schema of spec files in their JSON form."""
        return cls.model_json_schema()


def _param_value(value: object) -> Any:
    """A Python value as the value of a param; `SpecError` where none stands for it."""
    try:
        return expr(value)
    except (TypeError, ValueError) as error:
        raise SpecError([Diagnostic("DGM227", f"no param can hold {value!r}: {error}", None)]) from None


def unknown_param(name: str, params: Sequence[str] | dict[str, Param]) -> Diagnostic:
    """The finding that `name` is no param of the spec."""
    near = did_you_mean(name, params)
    known = ", ".join(f"`{param}`" for param in params)
    return Diagnostic(
        "DGM226",
        f"`{name}` is no param of this spec",
        None,
        help=(f"did you mean `{near}`?",) if near else (),
        notes=(f"its params are {known}" if known else "it declares no param",),
    )
