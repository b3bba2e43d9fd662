"""The library's names as Python objects, made from the operations' signatures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dgmspec.algebra.functions import FUNCTIONS
from dgmspec.algebra.nodes import AbstractExpr, AbstractOperand, Argument, Call, Name, expr
from dgmspec.core.diagnostics import Diagnostic, SpecError, did_you_mean
from dgmspec.ops import Parameter, library, signature

# The settings of these blocks are statements, and `inverse` is a form of its own.
_NOT_WORDS = frozenset(("train", "sample", "inverse"))


@dataclass(frozen=True, eq=False)
class Word(AbstractOperand):
    """A name of the library. Bare it stands for its defaults; called it takes the arguments of its signature.

    A name that several roles share accepts the arguments of each of them. Strings are names where the signature lists
    such a choice, and labels elsewhere.
    """

    name: str
    parameters: tuple[Parameter, ...]
    doc: str

    def as_expr(self) -> AbstractExpr:
        return Name(id=self.name)

    def __call__(self, *args: object, **keywords: object) -> Name | Call:
        """The call with these arguments; `SpecError` for a keyword that no role of the name has."""
        read = [Argument(value=as_value(arg)) for arg in args]
        for written, value in keywords.items():
            name = written.removesuffix("_")
            read.append(Argument(name=name, value=self._value(name, value)))
        return Call(name=self.name, args=tuple(read)) if read else Name(id=self.name)

    def _value(self, name: str, value: object) -> AbstractExpr:
        known = {p.name: p for p in self.parameters if not p.keywords}
        if name not in known and not any(p.keywords for p in self.parameters):
            near = did_you_mean(name, known)
            listed = ", ".join(f"`{p}`" for p in known)
            notes = (f"its arguments are {listed}" if known else "it has no arguments by name",)
            message = f"`{self.name}` has no argument `{name}`" + (f"; did you mean `{near}`?" if near else "")
            raise SpecError([Diagnostic("DGM232", message, None, notes=notes)])
        choices = {choice for p in self.parameters if p.name == name for choice in p.choices}
        return Name(id=value) if isinstance(value, str) and value in choices else as_value(value)

    __iter__ = None

    def __repr__(self) -> str:
        return self.name


def as_value(value: object) -> AbstractExpr:
    """A Python value as an argument; `SpecError` where no expression stands for it."""
    try:
        return expr(value)
    except (TypeError, ValueError) as error:
        raise SpecError([Diagnostic("DGM227", f"no argument can hold {value!r}: {error}", None)]) from None


def library_words() -> dict[str, Word]:
    """Every name of the library and every function of formulas, alphabetically."""
    parameters: dict[str, list[Parameter]] = {name: [] for name in FUNCTIONS}
    docs: dict[str, list[str]] = {name: ["a function of formulas"] for name in FUNCTIONS}
    for operation in library():
        if operation.name not in _NOT_WORDS:
            parameters.setdefault(operation.name, []).extend(signature(operation))
            docs.setdefault(operation.name, []).append(_first_line(operation.__doc__, operation.role))
    return {name: Word(name, tuple(parameters[name]), "\n".join(docs[name])) for name in sorted(parameters)}


def _first_line(doc: str | None, role: str) -> str:
    return f"{role.replace('_', ' ')}: {(doc or '').strip().partition(chr(10))[0].rstrip('.')}"


def stub(words: Iterable[Word], statements: str, names: Iterable[str], is_keyword: Callable[[str], bool]) -> str:
    """The type stub of `dgmspec.lang`: its statements, and a class with a call signature for each word."""
    lines = [
        '"""Python constructors of the language. Generated: see `python -m dgmspec.spec.lang`."""',
        "",
        statements,
        "",
        "class Word(AbstractOperand):",
        "    name: str",
        "    def as_expr(self) -> AbstractExpr: ...",
        "",
    ]
    for word in words:
        keywords = [p.name + "_" * is_keyword(p.name) for p in word.parameters if not p.keywords]
        typed = "".join(f", {name}: Value = ..." for name in dict.fromkeys(keywords))
        typed += ", **others: Value" * any(p.keywords for p in word.parameters)
        cls = "_" + "".join(part.title() for part in word.name.split("_"))
        doc = word.doc.replace("\n", "; ").replace("\\", "")
        lines += [
            f"class {cls}(Word):",
            f'    """{doc}."""',
            f"    def __call__(self, *args: Value{typed}) -> Name | Call: ...",
            "",
            f"{word.name}: {cls}",
            "",
        ]
    listed = "".join(f'    "{name}",\n' for name in sorted(names))
    return "\n".join(lines) + f"\n__all__ = [\n{listed}]\n"
