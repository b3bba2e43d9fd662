"""Twins of the maps that move an event along few directions. Batches hold events as rows."""

from __future__ import annotations

import math
from typing import Any, Final

import torch
from torch import Tensor

from dgmspec.core.types import REAL
from dgmspec.modules.linear import first_columns, widened
from dgmspec.modules.nets import below, context_features, evaluate
from dgmspec.modules.scalar.fixed import softplus
from dgmspec.modules.solve import solve
from dgmspec.modules.twin import Parameters, StepContext, StepFunction, StepTwin
from dgmspec.ops.lowrank import MIN_STRETCH, AbstractConditioned, LowRank, Planar, Radial, Sylvester

Result = tuple[Tensor, Tensor]

_ZERO_AT: Final = math.log(math.expm1(1 - MIN_STRETCH))
"""The argument at which softplus gives a stretch of 1."""


def gain(raw: Tensor) -> Tensor:
    """g > -1 with g(0) = 0: the stretch of a direction, less 1."""
    return softplus(raw + _ZERO_AT) + (MIN_STRETCH - 1)


def _raw(op: AbstractConditioned, p: Parameters, x: Tensor, ctx: StepContext) -> Tensor:
    """The step's numbers, (1 or batch, count)."""
    if "raw" in p:
        return p["raw"][None]
    assert ctx.given is not None and ctx.given_type is not None
    c = context_features(ctx.given, ctx.given_type, x)
    return evaluate(op.net, below(p, "net"), (x[:, :0],), c, ctx.training)


def _bend(a: Tensor, g: Tensor) -> Result:
    """a + g tanh(a) and the logarithm of its slope, 1 + g (1 - tanh²)."""
    bent = a.tanh()
    return torch.addcmul(a, g, bent), torch.log1p(g * (1 - bent.square()))


def _unbend(value: Tensor, g: Tensor) -> Result:
    """a with a + g tanh(a) = value, and log|da/dvalue|; a lies within |g| of the value."""
    g = g.expand_as(value)
    return solve(lambda a: _bend(a, g), value, REAL, bracket=(value - g.abs(), value + g.abs()))


# ---- planar ---------------------------------------------------------------------------------------------------------


def _planar_parts(op: Planar, p: Parameters, x: Tensor, ctx: StepContext) -> tuple[Tensor, ...]:
    """eˢ w, û, b and g = eˢ w·û, each (1 or batch, d or 1)."""
    raw, d = _raw(op, p, x, ctx), x.shape[1]
    w = torch.nn.functional.normalize(raw[:, :d], dim=1)
    u, scale, b = raw[:, d : 2 * d], raw[:, 2 * d : 2 * d + 1].exp(), raw[:, 2 * d + 1 :]
    along = (w * u).sum(1, keepdim=True)
    g = gain(scale * along)
    return scale * w, u + (g / scale - along) * w, b, g


def planar_forward(op: Planar, p: Parameters, x: Tensor, ctx: StepContext) -> Result:
    w, u, b, g = _planar_parts(op, p, x, ctx)
    a = (x * w).sum(1, keepdim=True) + b
    return torch.addcmul(x, u, a.tanh()), _bend(a, g)[1].squeeze(1)


def planar_inverse(op: Planar, p: Parameters, y: Tensor, ctx: StepContext) -> Result:
    w, u, b, g = _planar_parts(op, p, y, ctx)
    a, ladj = _unbend((y * w).sum(1, keepdim=True) + b, g)
    return y - u * a.tanh(), ladj.squeeze(1)


# ---- radial ---------------------------------------------------------------------------------------------------------


def _radial_parts(op: Radial, p: Parameters, x: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor, Tensor]:
    """x₀, α and g."""
    raw, d = _raw(op, p, x, ctx), x.shape[1]
    return raw[:, :d], raw[:, d : d + 1].exp(), gain(raw[:, d + 1 :])


def _radial_log_det(r: Tensor, alpha: Tensor, g: Tensor, d: int) -> Tensor:
    share = alpha / (alpha + r)
    return ((d - 1) * torch.log1p(g * share) + torch.log1p(g * share.square())).squeeze(1)


def radial_forward(op: Radial, p: Parameters, x: Tensor, ctx: StepContext) -> Result:
    centre, alpha, g = _radial_parts(op, p, x, ctx)
    away = x - centre
    r = torch.linalg.vector_norm(away, dim=1, keepdim=True)
    return x + away * (g * alpha / (alpha + r)), _radial_log_det(r, alpha, g, x.shape[1])


def radial_inverse(op: Radial, p: Parameters, y: Tensor, ctx: StepContext) -> Result:
    """r² + (α (1 + g) - R) r = α R with R = |y - x₀|; the root in the form that does not cancel."""
    centre, alpha, g = _radial_parts(op, p, y, ctx)
    away = y - centre
    reach = torch.linalg.vector_norm(away, dim=1, keepdim=True)
    half = (alpha * (1 + g) - reach) / 2
    root = torch.sqrt(half.square() + alpha * reach)
    r = torch.where(half > 0, alpha * reach / (half.clamp(min=0) + root), root - half)
    return centre + away / (1 + g * alpha / (alpha + r)), -_radial_log_det(r, alpha, g, y.shape[1])


# ---- within a subspace ----------------------------------------------------------------------------------------------


def _upper(p: Parameters, name: str, diagonal: Tensor) -> Tensor:
    """The upper triangular matrix with that diagonal; of one direction there is nothing above it."""
    found = torch.diag(diagonal)
    return found + p[name] if name in p else found


def _sylvester_parts(p: Parameters) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Qᵀ, R, S and g."""
    g, scale = gain(p["stretch"]), p["log_scale"].exp()
    return first_columns(p["vectors"]), _upper(p, "outer", g / scale), _upper(p, "inner", scale), g


def sylvester_forward(op: Sylvester, p: Parameters, x: Tensor, ctx: StepContext) -> Result:
    basis, outer, inner, g = _sylvester_parts(p)
    a = torch.addmm(p["shift"], x @ basis.mT, inner.mT)
    return torch.addmm(x, a.tanh() @ outer.mT, basis), _bend(a, g)[1].sum(1)


def sylvester_inverse(op: Sylvester, p: Parameters, y: Tensor, ctx: StepContext) -> Result:
    """From the last direction to the first, each knows what the triangular matrices bring from those behind it: with
    w = Qᵀ y and sums over j > i, aᵢ + gᵢ tanh(aᵢ) = Sᵢᵢ (wᵢ - Σ Rᵢⱼ tanh(aⱼ)) + Σ Sᵢⱼ vⱼ + bᵢ. Then
    vᵢ = wᵢ - Σ Rᵢⱼ tanh(aⱼ) - Rᵢᵢ tanh(aᵢ)."""
    basis, outer, inner, g = _sylvester_parts(p)
    w = y @ basis.mT
    bent, inside, ladj = w[:, :0], w[:, :0], y.new_zeros(y.shape[0])
    for i in reversed(range(op.k)):
        rest = w[:, i] - bent @ outer[i, i + 1 :]
        a, log_slope = _unbend(inner[i, i] * rest + inside @ inner[i, i + 1 :] + p["shift"][i], g[i])
        turned = a.tanh()
        bent = torch.cat((turned[:, None], bent), 1)
        inside = torch.cat(((rest - outer[i, i] * turned)[:, None], inside), 1)
        ladj = ladj + log_slope
    return torch.addmm(y, bent @ outer.mT, basis, alpha=-1), ladj


def _low_rank_parts(p: Parameters) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Qᵀ, Uᵀ, I + R and log|det|."""
    g, basis = gain(p["stretch"]), first_columns(p["vectors"])
    outside = p["outside"] - (p["outside"] @ basis.mT) @ basis
    moved = torch.addmm(outside, _upper(p, "inner", g).mT, basis)
    return basis, moved, _upper(p, "inner", 1 + g), torch.log1p(g).sum()


def low_rank_forward(op: LowRank, p: Parameters, x: Tensor, ctx: StepContext) -> Result:
    basis, moved, _, log_det = _low_rank_parts(p)
    return torch.addmm(x, x @ basis.mT, moved), log_det


def low_rank_inverse(op: LowRank, p: Parameters, y: Tensor, ctx: StepContext) -> Result:
    basis, moved, core, log_det = _low_rank_parts(p)
    part = torch.linalg.solve_triangular(core.mT, y @ basis.mT, upper=False, left=False)
    return torch.addmm(y, part, moved, alpha=-1), -log_det


def _full(function: StepFunction) -> StepFunction:
    """The same map in the precision of the weights: in half precision its products would not undo each other."""

    def run(op: Any, p: Parameters, x: Tensor, ctx: StepContext) -> Result:
        with torch.autocast(x.device.type, enabled=False):
            return function(op, p, widened(x, p), ctx)

    return run


TWINS: Final[dict[type[Any], StepTwin]] = {
    Planar: StepTwin(planar_forward, planar_inverse, loop="bounded"),
    Radial: StepTwin(radial_forward, radial_inverse),
    Sylvester: StepTwin(_full(sylvester_forward), _full(sylvester_inverse), loop="bounded"),
    LowRank: StepTwin(_full(low_rank_forward), _full(low_rank_inverse)),
}
