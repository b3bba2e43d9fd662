"""The state of a process by its parts: one variable, or the variables of a joint state end to end."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import prod

from dgmspec.algebra.cells import cells, spread
from dgmspec.algebra.nodes import AbstractExpr, Name, Vector
from dgmspec.algebra.rewrite import free_names
from dgmspec.algebra.shapes import shape_of
from dgmspec.core.diagnostics import Refusal
from dgmspec.core.types import Shape

__all__ = ["Parts", "coordinates", "listed", "require_shape", "shares_noise", "written_out"]

Parts = tuple[tuple[str, Shape], ...]
"""The names of the parts of a state and their shapes, numbers or vectors; of a state that is one variable, that one."""


def coordinates(parts: Parts) -> list[str]:
    """A name for every number of the state."""
    return [f"{name}__{i}" for name, shape in parts for i in range(prod(shape))]


def listed(formula: AbstractExpr, parts: Parts, what: str) -> tuple[AbstractExpr, ...]:
    """The formula of each part: of a joint state the items of a list; `Refusal` (DGM675) where it is none."""
    if len(parts) == 1:
        return (formula,)
    if not isinstance(formula, Vector) or len(formula.items) != len(parts):
        raise Refusal(
            "DGM675",
            f"the {what} of a joint state lists those of its {len(parts)} parts",
            what,
            label="no list of them",
            help=(f"write `[{', '.join(f'… for {name}' for name, _ in parts)}]`",),
        )
    return formula.items


def require_shape(formula: AbstractExpr, parts: Parts, beside: Mapping[str, Shape], what: str) -> None:
    """Refuse a drift or diffusion whose value has not, or does not broadcast to, the shape of the state; `beside` has
    the shapes of what else it reads: of the time, and of what is learned."""
    shapes: dict[str, Shape] = dict(parts) | dict(beside)
    for item, (name, shape) in zip(listed(formula, parts, what), parts, strict=True):
        own = shape_of(item, shapes)
        if not _fits(own, shape):
            of, state = (f" of `{name}`", f"`{name}`") if len(parts) > 1 else ("", "the state")
            raise Refusal(
                "DGM310",
                f"the {what}{of} has shape {list(own)}, and {state} has shape {list(shape)}",
                what,
                help=(f"make it a number, or one for each coordinate of {state}",),
            )


def shares_noise(
    diffusion: AbstractExpr, parts: Parts, beside: Mapping[str, Shape], moving: Collection[str] = ()
) -> bool:
    """Whether a diffusion is a matrix, of one vector and of nothing that moves with it, by which coordinates share
    noises; `beside` as in `require_shape`, `moving` those of its names that depend on the state."""
    (name, shape), *others = parts
    if others or len(shape) != 1 or shape[0] == 1 or not {name, *moving}.isdisjoint(free_names(diffusion)):
        return False
    return shape_of(diffusion, beside) == (*shape, *shape)


def written_out(formula: AbstractExpr, parts: Parts, beside: Mapping[str, Shape], what: str) -> list[AbstractExpr]:
    """The numbers of a drift or a diffusion, one a coordinate, in `coordinates` and in what it reads `beside` them;
    `TooLarge` where they are too many, `Refusal` where a part's do not fit."""
    require_shape(formula, parts, beside, what)
    leaves = {name: [Name(id=own) for own in coordinates(((name, shape),))] for name, shape in parts}
    shapes: dict[str, Shape] = dict(parts) | dict(beside)
    items = zip(listed(formula, parts, what), parts, strict=True)
    return [cell for item, (_, shape) in items for cell in spread(cells(item, shapes, leaves), shape)]


def _fits(own: Shape, shape: Shape) -> bool:
    """Whether a value broadcasts to a shape."""
    return len(own) <= len(shape) and all(n in (1, m) for n, m in zip(reversed(own), reversed(shape), strict=False))
