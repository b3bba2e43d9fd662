"""The gradient of a layered net E of one number, and the trace of its Hessian, from one pass and its slopes.

With u_l = W_l a_{l-1} what enters layer l, s_l = ∂a_l/∂u_l, c_l its second derivative, h_l = ∂E/∂a_l and T_l = ∂u_l/∂y,

    ∇E = W_1ᵀ (h_1 s_1),    eᵀ ∇²E e = Σ_l Σ_i h_li c_li (T_l e)_i²,

so that one hidden layer needs no tangent at all: its T_1 = W_1 does not depend on the state.
"""

from __future__ import annotations

from torch import Tensor

from dgmspec.modules.nets.slopes import CURVES, WITH_SLOPE
from dgmspec.modules.traces.chains import Chain, layer_of

__all__ = ["gradient_and_laplacian"]


def gradient_and_laplacian(chain: Chain, y: Tensor, probes: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """∇E, (batch, d), and tr ∇²E, (batch,), of a chain without skips whose last layer gives one number; with probes
    (batch, k, d) the mean of eᵀ ∇²E e over them in place of the trace."""
    slopes, curves = _slopes(chain, y)
    pulled = chain.weights[-1].expand(y.shape[0], -1)
    above = [pulled]
    for layer in range(len(slopes) - 1, 0, -1):
        pulled = (pulled * slopes[layer]) @ chain.weights[layer]
        above.insert(0, pulled)
    gradient = (above[0] * slopes[0]) @ chain.weights[0]
    first = chain.weights[0]
    tangents = first.t().unsqueeze(0) if probes is None else probes @ first.t()
    total = y.new_zeros(y.shape[0])
    for layer, (h, c) in enumerate(zip(above, curves, strict=True)):
        if layer:
            tangents = (tangents * slopes[layer - 1].unsqueeze(1)) @ chain.weights[layer].t()
        if c is not None:
            total = total + (h * c * tangents.square().sum(1)).sum(1)
    return gradient, total if probes is None else total / probes.shape[1]


def _slopes(chain: Chain, y: Tensor) -> tuple[list[Tensor], list[Tensor | None]]:
    """The first and second derivatives of each hidden layer by what its weights give; None where the second is 0."""
    bend, curve = WITH_SLOPE[chain.activation], CURVES[chain.activation]
    slopes: list[Tensor] = []
    curves: list[Tensor | None] = []
    a = y
    for layer in range(len(chain.weights) - 1):
        z = layer_of(chain, layer, a)
        a, slope = bend(z)
        second = None if curve is None else curve(z, a, slope)
        gate = chain.gates[layer] if chain.gates else None
        slopes.append(slope if gate is None else slope * gate)
        curves.append(second if second is None or gate is None else second * gate.square())
    return slopes, curves
