"""A drawing of a model as text that others turn into pictures: the language of Graphviz, or Mermaid; and as SVG."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dgmspec.checks.drawing import Drawing, Kind
from dgmspec.checks.svg import to_svg

__all__ = ["RENDERERS", "to_dot", "to_mermaid"]

# ---- dot ------------------------------------------------------------------------------------------------------------

_DOT: Final[dict[Kind, str]] = {
    "observe": 'shape=ellipse, style=filled, fillcolor="#dbe9f6"',
    "latent": "shape=ellipse",
    "given": "shape=ellipse, style=dashed",
    "step": "shape=box",
    "net": "shape=box, style=rounded",
}


def to_dot(drawn: Drawing) -> str:
    """The drawing in the language of Graphviz."""
    lines = [f"digraph {_quoted(drawn.title)} {{", "    rankdir=TB;"]
    lines += [f"    {box.id} [label={_quoted(*box.lines)}, {_DOT[box.kind]}];" for box in drawn.boxes]
    lines += [f"    {e.source} -> {e.target}{' [style=dashed]' if e.dashed else ''};" for e in drawn.edges]
    return "\n".join([*lines, "}", ""])


def _quoted(*lines: str) -> str:
    return '"' + "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in lines) + '"'


# ---- Mermaid --------------------------------------------------------------------------------------------------------

_MERMAID: Final[dict[Kind, tuple[str, str]]] = {
    "observe": ("([", "])"),
    "latent": ("([", "])"),
    "given": ("([", "])"),
    "step": ("[", "]"),
    "net": ("(", ")"),
}


def to_mermaid(drawn: Drawing) -> str:
    """The drawing as a Mermaid flow chart."""
    lines = ["flowchart TB"]
    for box in drawn.boxes:
        opened, closed = _MERMAID[box.kind]
        lines.append(f'    {box.id}{opened}"{"<br/>".join(map(_entity, box.lines))}"{closed}')
    lines += [f"    {edge.source} {'-.->' if edge.dashed else '-->'} {edge.target}" for edge in drawn.edges]
    observed = [box.id for box in drawn.boxes if box.kind == "observe"]
    if observed:
        lines += ["    classDef observed fill:#dbe9f6", f"    class {','.join(observed)} observed"]
    return "\n".join([*lines, ""])


def _entity(text: str) -> str:
    """Text inside a Mermaid label: its own signs as entities."""
    return "".join(f"#{ord(char)};" if char in '#"<>&`\\' else char for char in text)


RENDERERS: Final[dict[str, Callable[[Drawing], str]]] = {"dot": to_dot, "mermaid": to_mermaid, "svg": to_svg}
"""What a drawing can be written as."""
