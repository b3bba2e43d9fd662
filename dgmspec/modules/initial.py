"""Where parameters start: drawn in float64 on the CPU from the run's seed and the parameter's address, then cast.

A seed therefore means the same weights on every device, in every precision and for every order of construction.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dgmspec.core.address import Address, seed_of
from dgmspec.core.masking import ScanMask, SubsetMask, WeightMask
from dgmspec.core.parameters import Init, ParamSpec
from dgmspec.core.types import Shape, Support, SupportKind, Type

__all__ = ["constrain", "initial_learned", "initial_value", "learned_value", "mask_of", "unconstrain"]

SMALLEST_SCALE = 1e-6
"""What is added to the softplus of a number for a positive parameter, so that no scale shrinks to 0."""


def initial_value(spec: ParamSpec, seed: int, address: Address) -> Tensor:
    """The starting value of the parameter `address` (its full address), float64; masked entries are zero."""
    generator = torch.Generator().manual_seed(seed_of(seed, address))
    value = _draw(spec.init, spec.shape, generator)
    return value if spec.mask is None else value.masked_fill(~mask_of(spec.mask), 0.0)


def mask_of(mask: WeightMask) -> Tensor:
    """Which entries of a masked weight are free, boolean, in the shape of the weight."""
    if isinstance(mask, SubsetMask):
        return _subsets(mask)
    if isinstance(mask, ScanMask):
        return _kernels(mask)
    rows, columns = torch.tensor(mask.rows)[:, None], torch.tensor(mask.columns)[None, :]
    return rows > columns if mask.strict else rows >= columns


def _subsets(mask: SubsetMask) -> Tensor:
    """Each different pair of sets compared once."""
    rows, columns = list(dict.fromkeys(mask.rows)), list(dict.fromkeys(mask.columns))
    table = torch.tensor([[not inner & ~outer for inner in columns] for outer in rows])
    row, column = {s: i for i, s in enumerate(rows)}, {s: i for i, s in enumerate(columns)}
    return table[[row[s] for s in mask.rows]][:, [column[s] for s in mask.columns]]


def _kernels(mask: ScanMask) -> Tensor:
    """Each different pair of groups compared once."""
    rows, columns = sorted(set(mask.rows)), sorted(set(mask.columns))
    reach = range(-(mask.side // 2), mask.side // 2 + 1)
    table = torch.tensor(
        [[[[mask.free(group, to, i, j) for j in reach] for i in reach] for group in columns] for to in rows]
    )
    row, column = {g: i for i, g in enumerate(rows)}, {g: i for i, g in enumerate(columns)}
    return table[[row[g] for g in mask.rows]][:, [column[g] for g in mask.columns]]


def _draw(init: Init, shape: Shape, generator: torch.Generator) -> Tensor:
    double = torch.float64
    match init.kind:
        case "constant":
            return torch.full(shape, init.value, dtype=double)
        case "normal":
            return torch.randn(shape, generator=generator, dtype=double) * init.value
        case "uniform":
            return (2 * torch.rand(shape, generator=generator, dtype=double) - 1) * init.value
        case "identity":
            return torch.eye(*shape, dtype=double)
        case "orthogonal":
            return _orthogonal(shape, generator)
        case "values":
            return torch.tensor(init.data, dtype=double).reshape(shape)


def _orthogonal(shape: Shape, generator: torch.Generator) -> Tensor:
    """Haar-distributed orthonormal rows or columns: QR of a Gaussian matrix, signs of R's diagonal made positive."""
    rows, columns = shape
    gauss = torch.randn(max(shape), min(shape), generator=generator, dtype=torch.float64)
    basis, r = torch.linalg.qr(gauss)
    q: Tensor = basis * torch.where(r.diagonal() < 0, -1.0, 1.0)
    return q if rows >= columns else q.mT.contiguous()


# ---- learned parameters with a support ------------------------------------------------------------------------------


def initial_learned(type_: Type, initial: float | tuple[float, ...] | None, seed: int, address: Address) -> Tensor:
    """The raw starting value of a ``learn``: what `constrain` maps to `initial`, float64.

    Without a value: 0 on the reals for a scalar (N(0, 0.1²) for arrays, whose entries must differ), 1 above a bound,
    the midpoint of an interval, the identity among Cholesky factors.
    """
    support = type_.support
    if initial is None and support.kind is SupportKind.CHOLESKY:
        return unconstrain(support, torch.eye(*type_.shape, dtype=torch.float64))
    if initial is not None:
        values = torch.as_tensor(initial, dtype=torch.float64)
        value = values.expand(type_.shape) if values.numel() == 1 else values.reshape(type_.shape)
        return unconstrain(support, value.clone())
    if math.isinf(support.low) and math.isinf(support.high):
        init = Init("normal", 0.1) if type_.shape else Init()
        return initial_value(ParamSpec("", type_.shape, init), seed, address)
    if math.isinf(support.low) or math.isinf(support.high):
        middle = support.high - 1.0 if math.isinf(support.low) else support.low + 1.0
    else:
        middle = (support.low + support.high) / 2
    return unconstrain(support, torch.full(type_.shape, middle, dtype=torch.float64))


def cholesky_factor(raw: Tensor) -> Tensor:
    """Lower-triangular matrices with a positive diagonal from any square ones (…, d, d), in which what stands above the
    diagonal counts for nothing."""
    diagonal = torch.nn.functional.softplus(raw.diagonal(dim1=-2, dim2=-1)) + SMALLEST_SCALE
    return raw.tril(-1) + torch.diag_embed(diagonal)


def constrain(support: Support, raw: Tensor) -> Tensor:
    """The value in `support` of an unconstrained number: softplus beyond one bound, a scaled sigmoid between two; of a
    vector for the simplex the softmax, of a square matrix its Cholesky factor."""
    low, high = support.low, support.high
    if support.kind is SupportKind.CHOLESKY:
        return cholesky_factor(raw)
    if support.kind is SupportKind.SIMPLEX:
        return torch.softmax(raw, -1)
    if math.isinf(low) and math.isinf(high):
        return raw
    if math.isinf(high):
        return low + torch.nn.functional.softplus(raw)
    if math.isinf(low):
        return high - torch.nn.functional.softplus(raw)
    return low + (high - low) * torch.sigmoid(raw)


def learned_value(support: Support, raw: Tensor) -> Tensor:
    """`constrain` as one row for all, (1, *shape).

    By `expand`, for torch gives two parameters whose views are added one gradient in one piece of memory: a second
    backward, or scaling their gradients, would count twice.
    """
    value = constrain(support, raw)
    return value.expand(1, *value.shape)


def unconstrain(support: Support, value: Tensor) -> Tensor:
    """The inverse of `constrain`."""
    low, high = support.low, support.high
    if support.kind is SupportKind.CHOLESKY:
        diagonal = value.diagonal(dim1=-2, dim2=-1) - SMALLEST_SCALE
        return value.tril(-1) + torch.diag_embed(diagonal + torch.log(-torch.expm1(-diagonal)))
    if support.kind is SupportKind.SIMPLEX:
        return value.log()
    if math.isinf(low) and math.isinf(high):
        return value
    if math.isinf(high) or math.isinf(low):
        distance = value - low if math.isinf(high) else high - value
        return distance + torch.log(-torch.expm1(-distance))
    return torch.logit((value - low) / (high - low))
