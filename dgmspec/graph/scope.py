"""What the names of a file stand for: params with their values, functions written out, chains, nets, used files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from dgmspec.algebra.evaluate import Constants, evaluate, show, unknown_name
from dgmspec.algebra.functions import FUNCTIONS, OF_LOSSES, only_in_losses
from dgmspec.algebra.nodes import AbstractExpr, expr
from dgmspec.algebra.rewrite import MAX_SIZE, Lambda, called, free_names, inline, size, substitute
from dgmspec.core.address import Address, child
from dgmspec.core.diagnostics import Label, Refusal, did_you_mean
from dgmspec.core.usual import usual
from dgmspec.graph.declared import support_of
from dgmspec.graph.findings import Findings, Reported
from dgmspec.ops import roles_of
from dgmspec.spec.model import Bijector, Chain, Data, Energy, Fn, Net, Param, Spec, Use, unknown_param
from dgmspec.spec.uses import used

MAX_DEPTH: Final = 64
"""How many definitions may lead through one another (params, functions, chains, files)."""


@dataclass(frozen=True)
class FileScope:
    """One file's names; those of a used file stand under their qualified names (``blocks.step``)."""

    constants: Mapping[str, Any] = field(default_factory=dict)
    functions: Mapping[str, Lambda] = field(default_factory=dict)
    chains: Mapping[str, Chain] = field(default_factory=dict)
    bijectors: Mapping[str, Bijector] = field(default_factory=dict)
    nets: Mapping[str, Net] = field(default_factory=dict)
    data: Mapping[str, Data] = field(default_factory=dict)
    home: Mapping[str, FileScope] = field(default_factory=dict)
    """The scope in which a qualified chain or bijector was written."""
    prefix: Address = ""
    """The address of the file's `use`, below which its definitions stand."""


def lower_scope(spec: Spec, params: Mapping[str, Any] | None, findings: Findings) -> FileScope:
    """The scope of a spec, its params overridden by `params`; mistakes go to `findings`."""
    overrides = dict(params or {})
    for name in [name for name in overrides if name not in spec.params]:
        findings.add(unknown_param(name, spec.params))
        del overrides[name]
    return _file(spec, overrides, findings, "", 0)


def _file(spec: Spec, overrides: Mapping[str, Any], findings: Findings, prefix: Address, depth: int) -> FileScope:
    """The scope of one file and, below it, of those that it uses."""
    functions: dict[str, Lambda] = {}
    chains: dict[str, Chain] = {}
    bijectors: dict[str, Bijector] = {}
    home: dict[str, FileScope] = {}
    uses = used(spec) if depth < MAX_DEPTH and any(isinstance(item, Use) for item in spec.items) else {}
    for alias, file in uses.items():
        inner = _file(file, {}, Findings(), child(prefix, alias), depth + 1)
        functions |= {f"{alias}.{name}": fn for name, fn in inner.functions.items() if "." not in name}
        own_bijectors = {f"{alias}.{name}": of for name, of in inner.bijectors.items() if "." not in name}
        bijectors |= own_bijectors
        own_chains = {f"{alias}.{name}": chain for name, chain in inner.chains.items() if "." not in name}
        chains |= own_chains
        home |= dict.fromkeys((*own_chains, *own_bijectors), inner)
    own = Definitions(findings, functions)
    for param in spec.params.values():
        own.add_param(param, overrides.get(param.name))
    own.add_functions({item.name: item for item in spec.items if isinstance(item, Fn)}, "")
    return FileScope(
        constants=own.constants,
        functions=own.functions,
        chains=chains | {item.name: item for item in spec.items if isinstance(item, Chain)},
        bijectors=bijectors | {item.name: item for item in spec.items if isinstance(item, Bijector)},
        nets={item.name: item for item in spec.items if isinstance(item, Net)},
        data={item.name: item for item in spec.items if isinstance(item, Data)},
        home=home,
        prefix=prefix,
    )


class Definitions:
    """Values of params and closed bodies of functions, worked out in the order of the text."""

    def __init__(
        self,
        findings: Findings,
        functions: Mapping[str, Lambda],
        constants: Constants | None = None,
        open_names: frozenset[str] = frozenset(),
        open_calls: frozenset[str] = frozenset(),
        nets: frozenset[str] = frozenset(),
    ) -> None:
        self.findings = findings
        self.functions: dict[str, Lambda] = dict(functions)
        self.constants: dict[str, Any] = dict(constants or {})
        self._open = open_names
        self._open_calls = open_calls
        self._nets = nets
        """What energies alone may call and leave standing."""
        self._written = 0

    def add_param(self, param: Param, override: Any) -> None:
        """Work a param out; one without a value is reported and stands for 1, so that its uses say no more."""
        at = param.name
        try:
            with self.findings.refusals_at(child(at, "value")):
                written = inline(param.value, self.functions)
                value = _as_value(override) if override is not None else evaluate(written, self.constants)
                _check_param(param.name, value)
            if param.type is not None:
                with self.findings.refusals_at(child(at, "value"), (Label(child(at, "type"), "its declared type"),)):
                    _check_support(param, value, self.constants)
        except Reported:
            value = 1
        self.constants[param.name] = value

    def add_functions(self, declared: Mapping[str, Fn | Energy], address: Address) -> None:
        """Close every function's body: params are put in, other functions written out, no name left unknown."""
        for name in declared:
            self.functions.pop(name, None)
        for name in declared:
            self._close(name, declared, address, ())

    def _close(self, name: str, declared: Mapping[str, Fn | Energy], address: Address, above: tuple[str, ...]) -> None:
        """Close one function, those it calls before it; one that cannot be closed stands for 1 and says no more."""
        if name in self.functions:
            return
        fn, at = declared[name], child(address, name)
        try:
            with self.findings.refusals_at(at):
                _check_circle(name, above)
            for used in called(fn.value):
                if used in declared:
                    self._close(used, declared, address, (*above, name))
            with self.findings.refusals_at(child(at, "value")):
                body = self._within_budget(fn)
        except Reported:
            body = expr(1)
        self.functions[name] = Lambda(fn.args, body)

    def _within_budget(self, fn: Fn | Energy) -> AbstractExpr:
        """A closed body; all of a file's together have at most `MAX_SIZE` parts, and going beyond is said once."""
        if self._written > MAX_SIZE:
            raise Reported
        calls = self._open_calls | (self._nets if isinstance(fn, Energy) else frozenset())
        body = close_formula(fn.value, self.functions, self.constants, frozenset(fn.args) | self._open, calls)
        self._written += size(body)
        if self._written > MAX_SIZE:
            raise Refusal("DGM241", f"written out, the functions have more than {MAX_SIZE:,} parts")
        return body

    def closed(self, body: AbstractExpr, bound: frozenset[str]) -> AbstractExpr:
        """`body` with constants put in and functions written out; `Refusal` for a name that stands for nothing."""
        return close_formula(body, self.functions, self.constants, bound | self._open, self._open_calls)


def _check_circle(name: str, above: tuple[str, ...]) -> None:
    """Refuse a function on the way to itself, or one that stands behind too many others."""
    if name in above:
        circle = " → ".join((*above[above.index(name) :], name))
        raise Refusal("DGM212", f"`{name}` leads back to itself: {circle}", label="part of a circle")
    if len(above) > MAX_DEPTH:
        raise Refusal("DGM241", f"`{name}` stands behind more than {MAX_DEPTH} other functions")


def close_formula(
    body: AbstractExpr,
    functions: Mapping[str, Lambda],
    constants: Constants,
    open_names: frozenset[str],
    open_calls: frozenset[str] = frozenset(),
) -> AbstractExpr:
    """A formula over `open_names` alone: constants put in, functions but `open_calls` written out; `Refusal` (DGM201)
    for a name that stands for nothing."""
    for name in called(body):
        if name not in functions and name not in FUNCTIONS and name not in open_calls:
            raise unknown_function(name, functions)
    values: dict[str, AbstractExpr] = {}
    for name in free_names(body):
        if name in open_names:
            continue
        if name not in constants:
            raise unknown_name(name, {*constants, *open_names})
        values[name] = expr(constants[name])
    return inline(substitute(body, values), functions)


def unknown_function(name: str, functions: Mapping[str, Lambda]) -> Refusal:
    """The refusal of a call of something that is no function, with what it may be instead."""
    if "net" in roles_of(name):
        return Refusal(
            "DGM201",
            f"`{name}` makes a network and cannot stand inside a formula",
            help=("put it where a whole net is asked for, as in `net = mlp(64)`",),
        )
    if name in OF_LOSSES:
        return only_in_losses(name)
    near = did_you_mean(name, (*functions, *FUNCTIONS))
    hint = f"did you mean `{near}`?" if near else f"define it: `fn {name}(t) = …`"
    return Refusal("DGM201", f"`{name}` is no function", help=usual("function", name) or (hint,), label="not declared")


def _as_value(value: Any) -> Any:
    """An override as the evaluator holds values: lists become tuples, expressions are worked out."""
    if isinstance(value, AbstractExpr):
        return evaluate(value, {})
    return tuple(map(_as_value, value)) if isinstance(value, (list, tuple)) else value


def _check_param(name: str, value: Any) -> None:
    """Refuse what is no number, truth value or list of numbers."""
    items = value if isinstance(value, tuple) else (value,)
    if not all(isinstance(item, (int, float)) for item in items) or not items:
        raise Refusal(
            "DGM239",
            f"`{name}` is {show(value)}, and a param holds a number or a list of numbers",
            help=(f"write a number: `param {name} = 1`",),
        )


def _check_support(param: Param, value: Any, constants: Constants) -> None:
    """Refuse a value outside the declared support."""
    assert param.type is not None
    support = support_of(param.type, constants)
    for item in value if isinstance(value, tuple) else (value,):
        inside = support.low < item < support.high if support.continuous else support.low <= item <= support.high
        whole = support.continuous or not isinstance(item, float) or item.is_integer()
        if not (inside and whole):
            raise Refusal(
                "DGM239",
                f"`{param.name}` is {show(item)}, outside {support.describe()}",
                help=(f"give it a value in {support.describe()}",),
                label=f"not {support}",
            )
