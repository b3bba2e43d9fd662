"""Which argument of a call goes to which parameter of an operation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from dgmspec.algebra.nodes import AbstractExpr, Argument, Constant, Name, Vector
from dgmspec.core.address import Address, child, keyword
from dgmspec.core.diagnostics import Diagnostic, did_you_mean
from dgmspec.core.op import AbstractOp
from dgmspec.graph.candidates import others_that_fit
from dgmspec.ops import Parameter, signature
from dgmspec.spec.catalogue import call_form

__all__ = ["Written", "bind"]


@dataclass
class Written:
    """What was written for one parameter, and where: several values where it takes all positional arguments.

    `names` are those that the values were written under, for a parameter that takes arguments of any name.
    """

    values: list[AbstractExpr] = field(default_factory=list)
    places: list[Address] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def add(self, value: AbstractExpr, place: Address, name: str = "") -> None:
        """One more value."""
        self.values.append(value)
        self.places.append(place)
        self.names.append(name)


def bind(
    cls: type[AbstractOp], args: Sequence[Argument], at: Address
) -> tuple[dict[str, Written], tuple[Diagnostic, ...]]:
    """The arguments of a call by the names of their parameters, and what is wrong with their number and names."""
    parameters = signature(cls)
    variadic = next((parameter for parameter in parameters if parameter.variadic), None)
    rest = next((parameter for parameter in parameters if parameter.keywords), None)
    known = {parameter.name: parameter for parameter in parameters if not parameter.keywords}
    places = list(known)
    written: dict[str, Written] = {}
    wrong: list[Diagnostic] = []
    for i, arg in enumerate(args):
        place = child(at, arg.name if arg.name is not None else i)
        positional = variadic.name if variadic else places[i] if i < len(places) else ""
        name = arg.name if arg.name is not None else positional
        # A bare word is no text, so one under a name close to a parameter's is that parameter misspelt.
        misspelt = isinstance(arg.value, (Constant, Name)) and did_you_mean(name, known) is not None
        if rest and arg.name is not None and name not in known and not misspelt:
            written.setdefault(rest.name, Written()).add(arg.value, place, name)
        elif name not in known:
            wrong.append(_surplus(cls, args, i, known, place))
        elif name in written and not (arg.name is None and variadic):
            message, help_ = f"`{name}` is given twice, by position and by name", ("leave one of the two out",)
            wrong.append(Diagnostic("DGM232", message, place, "given again", help=help_))
        elif variadic and name == variadic.name and isinstance(arg.value, Vector):
            for j, item in enumerate(arg.value.items):
                written.setdefault(name, Written()).add(item, child(place, j))
        else:
            written.setdefault(name, Written()).add(arg.value, place)
    missing = [parameter.name for parameter in parameters if parameter.required and parameter.name not in written]
    if missing and not wrong:
        message = f"`{cls.name}` needs {' and '.join(f'`{name}`' for name in missing)}"
        help_ = (f"its form is `{call_form(cls)}`",)
        wrong.append(Diagnostic("DGM233", message, at, "incomplete", help=help_))
    return written, tuple(wrong)


def _surplus(
    cls: type[AbstractOp], args: Sequence[Argument], i: int, known: Mapping[str, Parameter], place: Address
) -> Diagnostic:
    """Argument number `i` of a call, which the operation does not have."""
    arg = args[i]
    notes: tuple[str, ...] = (f"its form is `{call_form(cls)}`",)
    if arg.name is None:
        takes = "no arguments" if not known else f"at most {len(known)} argument{'s' * (len(known) > 1)}"
        message = f"`{cls.name}` takes {takes}, and this is number {i + 1}"
        return Diagnostic("DGM232", message, place, "one too many", notes=notes, help=("leave it out",))
    usual = next((name for name in _USUAL.get(arg.name, ()) if name in known), None)
    near = did_you_mean(arg.name, known) or usual
    listed = f"its arguments are {', '.join(f'`{name}`' for name in known)}" if known else "leave it out"
    help_ = f"did you mean `{near}`?" if near else listed
    message = f"`{cls.name}` has no argument `{arg.name}`"
    if near is None:
        notes += others_that_fit(cls, args)
    at = keyword(place.rpartition("/")[0], arg.name)
    return Diagnostic("DGM232", message, at, "unknown argument", notes=notes, help=(help_,))


# What other libraries call these arguments.
_USUAL: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("mean", "mu", "μ", "m"), ("loc",)),
    **dict.fromkeys(("std", "stddev", "sd", "sigma", "σ", "s"), ("scale",)),
    **dict.fromkeys(("learning_rate", "step_size"), ("lr",)),
    **dict.fromkeys(("act", "nonlinearity"), ("activation",)),
    **dict.fromkeys(("hidden_features", "hidden_units", "hidden_dim", "units"), ("hidden", "width", "channels")),
    **dict.fromkeys(("layers", "n_layers", "num_layers"), ("blocks", "depth", "layers")),
    **dict.fromkeys(("n_heads", "num_heads", "nhead"), ("heads",)),
    **dict.fromkeys(("num_bins", "n_bins"), ("bins",)),
    **dict.fromkeys(("coeff", "lip", "lipschitz_constant"), ("lipschitz",)),
    **dict.fromkeys(("samples", "n_samples", "num_samples", "particles"), ("k", "samples", "count")),
    **dict.fromkeys(("probs", "logits", "p"), ("weights", "probs")),
    **dict.fromkeys(("alpha", "shape", "a"), ("concentration", "concentration1")),
    **dict.fromkeys(("beta", "b"), ("rate", "concentration0")),
    **dict.fromkeys(("lambda", "lam", "λ"), ("rate", "free_bits")),
    **dict.fromkeys(("nu", "ν", "dof"), ("df",)),
    "tail_bound": ("bound",),
}
