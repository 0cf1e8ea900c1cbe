"""A layer's norm, gated MLP and residual as one autograd function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lorafa_prof.layers.packed.gated import gated, gated_backward_
from lorafa_prof.layers.packed.norm import Norm
from lorafa_prof.layers.packed.product import PackedProduct
from lorafa_prof.layers.packed.spare import with_spare


@dataclass(frozen=True)
class GatedMlp:
    """A layer's second norm, the packed product of gate and up, the activation, and the product down.

    The gradient of the input will have `spare` columns of room beside it.
    """

    norm: Norm
    gate_up: PackedProduct
    activation: str
    down: PackedProduct
    spare: int


class GatedMlpFunction(torch.autograd.Function):
    """x + down(act(gate) · up): keeps x, r, the packed gate and up, and s · x Aᵀ of all three.

    The normed input is kept too where a weight or an A of gate or up trains; the activation is computed
    again. Backward writes the gradients over the packed product, so it runs once.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, norm_weight: Tensor, layer: GatedMlp, *trained: Tensor) -> Tensor:
        """Return [b, s, h] for x [b, s, h]."""
        gate_up, down = layer.gate_up, layer.down
        gate_up.refresh()
        down.refresh()
        rows = x.reshape(-1, x.shape[-1])
        normed = gate_up.new_input(rows)
        rstd = layer.norm.forward(rows, norm_weight, normed[:, : gate_up.width])
        ctx.seeds = gate_up.draw(), down.draw()
        packed, low = gate_up.product(normed, ctx.seeds[0])
        needed = ctx.needs_input_grad[3 : 3 + len(gate_up.trained())]
        keep = normed[:, : gate_up.width] if gate_up.keeps_input(needed) else None
        del normed
        activated = down.new_input(rows)
        gated(packed, layer.activation, activated[:, : down.width])
        out, low_of_down = down.onto(activated, rows, ctx.seeds[1])
        ctx.save_for_backward(rows, rstd, norm_weight, packed, low, low_of_down, keep)
        ctx.layer = layer
        return out.view(x.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x, of the norm's weight and of what trains."""
        rows, rstd, norm_weight, by_gate_up, low, low_of_down, normed = ctx.saved_tensors
        layer: GatedMlp = ctx.layer
        gate_up, down, needs = layer.gate_up, layer.down, ctx.needs_input_grad
        seed, of_down_seed = ctx.seeds
        first = 3 + len(gate_up.trained())
        again = down.keeps_input(needs[first:])
        by_activated, by_out, grad_low = down.output_gradients(grad, of_down_seed, True)
        gated_backward_(by_gate_up, layer.activation, by_activated, again)
        torch.autograd.graph.increment_version(by_gate_up)
        activated = by_activated if again else None
        of_down = down.parameter_gradients(
            by_out, low_of_down, grad_low, activated, needs[first:], of_down_seed
        )
        del by_activated, activated
        grad_normed, grad_low = gate_up.input_gradient(by_gate_up, seed)
        gradients = gate_up.parameter_gradients(by_gate_up, low, grad_low, normed, needs[3:first], seed)
        grad_norm = layer.norm.weight_gradient(grad_normed, rows, rstd) if needs[1] else None
        out = rows.new_empty(len(rows), rows.shape[1] + layer.spare)
        layer.norm.backward(grad_normed, rows, rstd, norm_weight, by_out, out[:, : rows.shape[1]])
        return with_spare(out, grad.shape), grad_norm, None, *gradients, *of_down
