"""The documents: a `.dgm` file as frozen pydantic objects, closed under text and JSON.

The kinds of statements stand in `definitions` (what may be defined in several places) and `statements` (members of a
model); here are the items of a file and the file, and all of them are to be had from here.

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

from dgmspec.algebra.nodes import Formula, Identifier, Label, Node, expr
from dgmspec.core.diagnostics import Diagnostic, SpecError, did_you_mean
from dgmspec.core.markup import Html, fragment
from dgmspec.spec.definitions import (
    Apply,
    Bijector,
    Chain,
    ChainParam,
    Definition,
    Domain,
    Fn,
    InverseBlock,
    Kernel,
    Learn,
    LearnFunction,
    Net,
    Repeat,
    Setting,
    Star,
    Step,
    TypeExpr,
    Unknowns,
    Update,
)
from dgmspec.spec.invalid import diagnostics_of, refusals
from dgmspec.spec.statements import (
    Conditional,
    Energy,
    Flow,
    For,
    Member,
    Over,
    Path,
    Variable,
    arrow_name,
    conditional_name,
    member_name,
)
from dgmspec.syntax.highlight import highlight

__all__ = [
    "EDITION",
    "FORMAT_VERSION",
    "Apply",
    "Bijector",
    "Chain",
    "ChainParam",
    "Conditional",
    "Data",
    "Definition",
    "Domain",
    "Energy",
    "Flow",
    "Fn",
    "For",
    "InverseBlock",
    "Item",
    "Kernel",
    "Learn",
    "LearnFunction",
    "Member",
    "Model",
    "Net",
    "Over",
    "Param",
    "Path",
    "Repeat",
    "Sample",
    "Setting",
    "Spec",
    "Star",
    "Step",
    "Train",
    "TypeExpr",
    "Unknowns",
    "Update",
    "Use",
    "Variable",
    "arrow_name",
    "conditional_name",
    "member_name",
    "unknown_param",
]

EDITION: Literal[1] = 1
FORMAT_VERSION: Literal[1] = 1


# ---- items of a file ------------------------------------------------------------------------------------------------


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
        try:
            super().__init__(**({"items": items} if items else {}), **data)
        except ValidationError as error:
            if not items:  # a document in JSON, whose reader says where
                raise
            raise SpecError(refusals("Spec", error)) from None

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

    def __str__(self) -> str:
        return self.text()

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
