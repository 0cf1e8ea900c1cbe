"""A layer's norm, gated MLP and residual as one autograd function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lorafa_prof.layers.packed.gated import gated, gated_backward_
from lorafa_prof.layers.packed.norm import Norm
from lorafa_prof.layers.packed.projection import Projection
from lorafa_prof.layers.packed.residual_output import output_gradients, project_onto


@dataclass(frozen=True)
class GatedMlp:
    """A layer's second norm, the packed product of gate and up, the activation, and the product down."""

    norm: Norm
    gate_up: Projection
    activation: str
    down: Projection


class GatedMlpFunction(torch.autograd.Function):
    """x + down(act(gate) · up): keeps x, r, the packed gate and up, and x Aᵀ of down.

    The normed input is kept too where a weight or an A of gate or up trains; the activation is computed again.
    Backward writes the gradients over the packed product, so it runs once.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, norm_weight: Tensor, layer: GatedMlp, *trained: Tensor) -> Tensor:
        """Return [b, s, h] for x [b, s, h]."""
        gate_up, down = layer.gate_up, layer.down
        gate_up.refresh()
        down.refresh()
        rows = x.reshape(-1, x.shape[-1])
        normed, rstd = layer.norm.forward(rows, norm_weight)
        packed = gate_up.product(normed)
        needed = ctx.needs_input_grad[3 : 3 + len(gate_up.trained())]
        if not gate_up.keeps_input(needed):
            normed = None
        activated = packed.new_empty(len(packed), gate_up.out_features // 2)
        gated(packed, gate_up.low(packed), gate_up.b, gate_up.scales, layer.activation, activated)
        out, low = project_onto(rows, activated, down)
        ctx.save_for_backward(rows, rstd, norm_weight, packed, low, normed)
        ctx.layer = layer
        return out.view(x.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x, of the norm's weight and of what trains."""
        rows, rstd, norm_weight, packed, low, normed = ctx.saved_tensors
        layer: GatedMlp = ctx.layer
        gate_up, down = layer.gate_up, layer.down
        by_rows = grad.reshape(rows.shape)
        first = 3 + len(gate_up.trained())
        of_down = ctx.needs_input_grad[first:]
        again = down.keeps_input(of_down)
        grad_activated = torch.mm(by_rows, down.weight[: down.out_features])
        grad_low = None
        if down.b is not None:
            grad_low = torch.mm(by_rows, down.b).mul_(down.parts[0].scale)
        a = down.weight[down.out_features :] if down.rank else None
        gated_backward_(
            packed,
            gate_up.low(packed),
            gate_up.b,
            gate_up.scales,
            layer.activation,
            grad_activated,
            grad_low,
            a,
            again,
        )
        down_gradients, _ = output_gradients(by_rows, low, grad_activated if again else None, down, of_down)
        del grad_activated
        gradients = gate_up.parameter_gradients(packed, normed, ctx.needs_input_grad[3:first])
        grad_x, grad_norm = layer.norm.backward(
            gate_up.input_gradient(packed), rows, rstd, norm_weight, by_rows, ctx.needs_input_grad[1]
        )
        return grad_x.view(grad.shape), grad_norm, None, *gradients, *down_gradients
