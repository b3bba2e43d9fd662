"""Parameters that nets are made of: affine maps, normalisations, and FiLM.

FiLM conditions a layer by a linear map of the conditions that gives each of its channels a factor 1 + γ and a shift β;
one matrix ``film/weight`` and one ``film/bias`` hold the maps of all conditioned layers, γ before β, layer by layer.
Reference: Perez, Strub, de Vries, Dumoulin and Courville 2018, "FiLM: Visual reasoning with a general conditioning
layer".
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from dgmspec.core.masking import WeightMask
from dgmspec.core.parameters import Init, ParamSpec
from dgmspec.core.types import Shape

Specs = tuple[ParamSpec, ...]


def affine(name: str, shape: Shape, zero: bool = False, mask: WeightMask | None = None) -> Specs:
    """``name/weight`` (outputs × inputs × …) and ``name/bias``, from U(-1/√n, 1/√n) for n inputs, or both zero."""
    inputs = math.prod(shape[1:])
    init = Init() if zero or not inputs else Init("uniform", inputs**-0.5)
    return ParamSpec(f"{name}/weight", shape, init, mask), ParamSpec(f"{name}/bias", shape[:1], init)


def norm(name: str, width: int) -> Specs:
    """``name/scale`` and ``name/shift`` of a normalisation: the identity at the start."""
    return ParamSpec(f"{name}/scale", (width,), Init("constant", 1.0)), ParamSpec(f"{name}/shift", (width,))


def film(widths: Sequence[int], conditions: int) -> Specs:
    """The FiLM of layers of these widths by so many conditions; none where nothing conditions them."""
    if not conditions:
        return ()
    weight, bias = affine("film", (2 * sum(widths), conditions))
    return weight, ParamSpec(bias.name, bias.shape)
