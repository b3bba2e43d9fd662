"""Values set from outside: ``depth=4`` reaches a param, ``train.steps=20`` a setting of a train block."""

from __future__ import annotations

from collections.abc import Mapping

from dgmspec.algebra.nodes import AbstractExpr, Formula, identifier
from dgmspec.core.diagnostics import Diagnostic, did_you_mean
from dgmspec.spec.model import Item, Param, Sample, Setting, Spec, Train, unknown_param
from dgmspec.spec.reading import Reading
from dgmspec.syntax.parser import parse_tree
from dgmspec.syntax.tree import Tree


def override(spec: Spec, values: Mapping[str, str]) -> Spec | tuple[Diagnostic, ...]:
    """The spec with other values for params and settings, each written as in a text; or what is wrong with them.

    ``train.NAME`` and ``sample.NAME`` set or add a setting in every such block of the file.
    """
    found: list[Diagnostic] = []
    items = list(spec.items)
    for name, text in values.items():
        value = read_value(name, text, found)
        block, dot, setting = name.partition(".")
        if dot:
            _set_setting(items, block, setting, value, found)
        elif name in spec.params:
            places = [i for i, item in enumerate(items) if isinstance(item, Param) and item.name == name]
            if value is not None:
                items[places[0]] = Param(name=name, type=spec.params[name].type, value=value)
        else:
            found.append(unknown_param(name, spec.params))
    return tuple(found) if found else Spec(*items, edition=spec.edition, sources=spec.sources)


def read_value(name: str, text: str, found: list[Diagnostic]) -> Formula | None:
    """The expression that `text` is; what is wrong with it is added to `found`."""
    tree, wrong = parse_tree(f"value = {text}")
    statements = [node for node in tree.children if isinstance(node, Tree)]
    if not any(d.severity == "error" for d in wrong) and [s.kind for s in statements] == ["setting"]:
        reading = Reading()
        value = reading.formula(statements[0].children[1])
        wrong = reading.found
        if not wrong and isinstance(value, AbstractExpr):
            return value
    reasons = tuple(d.message for d in wrong if d.severity == "error")
    message = f"the value `{text}` for `{name}` is no expression"
    help = ("write it as in a spec: `4`, `[2, 2]`, `cosine(warmup = 200)`",)
    found.append(Diagnostic("DGM227", message, None, notes=reasons, help=help))
    return None


def _set_setting(items: list[Item], block: str, name: str, value: Formula | None, found: list[Diagnostic]) -> None:
    """Set `name` in every train or sample block among `items`."""
    places = [i for i, item in enumerate(items) if isinstance(item, (Train, Sample)) and item.kind == block]
    try:
        identifier(name)
    except ValueError:
        found.append(Diagnostic("DGM226", f"`{block}.{name}` names no setting", None))
        return
    if not places:
        found.append(_no_block(block, name))
    for i in places:
        item = items[i]
        assert isinstance(item, (Train, Sample))
        if value is not None:
            kept = tuple(Setting(name=name, value=value) if s.name == name else s for s in item.settings)
            new = () if any(s.name == name for s in item.settings) else (Setting(name=name, value=value),)
            items[i] = type(item)(model=item.model, settings=(*kept, *new))


def _no_block(block: str, name: str) -> Diagnostic:
    if block in ("train", "sample"):
        help = (f"add one, `{block} MODEL {{ … }}`, or leave the setting out",)
        return Diagnostic("DGM226", f"this spec has no {block} block to set `{name}` in", None, help=help)
    near = did_you_mean(block, ("train", "sample"))
    help = (f"did you mean `{near}.{name}`?",) if near else ("write `train.NAME` or `sample.NAME`",)
    return Diagnostic("DGM226", f"`{block}` is no block whose settings can be set", None, help=help)
