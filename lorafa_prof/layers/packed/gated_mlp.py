"""A layer's norm, gated MLP and residual as one autograd function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lorafa_prof.layers.packed.gated import gated, gated_backward_
from lorafa_prof.layers.packed.norm import Norm
from lorafa_prof.layers.packed.product import PackedProduct, Result
from lorafa_prof.layers.packed.spare import with_spare
from lorafa_prof.layers.recomputing import recomputing


@dataclass(frozen=True)
class GatedMlp:
    """A layer's second norm, the packed product of gate and up, the activation, and the product down.

    The gradient of the input will have `spare` columns of room beside it. With `recompute`, norm and packed
    product are formed again in backward, and nothing of them is kept.
    """

    norm: Norm
    gate_up: PackedProduct
    activation: str
    down: PackedProduct
    spare: int
    recompute: bool = False

    def up_to_gate_up(
        self, rows: Tensor, norm_weight: Tensor, needed: Sequence[bool], seed: int | None
    ) -> tuple[Tensor, Result, Tensor | None]:
        """Return r [n], gate and up with s · x Aᵀ, and the normed input if a gradient takes it.

        Gate and up are without what adapters add, where the activation adds it.

        Args:
            rows: x [n, h].
            norm_weight: [h].
            needed: whether the tensors of `gate_up.trained` train.
            seed: of what is dropped.
        """
        both = self.gate_up.new_input(rows)
        normed = both[:, : self.gate_up.width]
        rstd = self.norm.forward(rows, norm_weight, normed)
        result = self.gate_up.product_to_add(both, seed)
        return rstd, result, normed if self.gate_up.keeps_input(needed) else None

    def to_add(self, low: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return low [n, 2r] and B's [2i, r] of gate and up, where the activation adds their product."""
        b = self.gate_up.b_to_add
        return (None, None) if b is None else (low, b)


class GatedMlpFunction(torch.autograd.Function):
    """x + down(act(gate) · up): keeps x, r, the packed gate and up, and s · x Aᵀ of all three.

    The normed input is kept too where a weight or an A of gate or up trains; the activation is formed again.
    With the layer's `recompute` nothing is kept but x and down's s · x Aᵀ. Backward writes the gradients over
    the packed product, so it runs once.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, norm_weight: Tensor, layer: GatedMlp, *trained: Tensor) -> Tensor:
        """Return [b, s, h] for x [b, s, h]."""
        gate_up, down = layer.gate_up, layer.down
        gate_up.refresh()
        down.refresh()
        rows = x.reshape(-1, x.shape[-1])
        needed = ctx.needs_input_grad[3 : 3 + len(gate_up.trained)]
        ctx.seeds = gate_up.draw(), down.draw()
        rstd, result, normed = layer.up_to_gate_up(rows, norm_weight, needed, ctx.seeds[0])
        activated = down.new_input(rows)
        packed, low = gate_up.y_and_low(result)
        gated(packed, *layer.to_add(low), layer.activation, activated[:, : down.width])
        out, low_of_down = down.onto(activated, rows, ctx.seeds[1])
        again = (None, None, None, None) if layer.recompute else (rstd, normed, *result)
        ctx.save_for_backward(rows, norm_weight, low_of_down, *again)
        ctx.layer = layer
        return out.view(x.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x, of the norm's weight and of what trains."""
        rows, norm_weight, low_of_down, rstd, normed, y, beside = ctx.saved_tensors
        layer: GatedMlp = ctx.layer
        gate_up, down, needs = layer.gate_up, layer.down, ctx.needs_input_grad
        seed, of_down_seed = ctx.seeds
        first = 3 + len(gate_up.trained)
        if layer.recompute:
            with recomputing():
                rstd, (y, beside), normed = layer.up_to_gate_up(rows, norm_weight, needs[3:first], seed)
        again = down.keeps_input(needs[first:])
        result: Result = (y, beside)
        by_gate_up, low = gate_up.y_and_low(result)
        by_activated, by_out, grad_low, a = down.output_gradients_to_add(grad, of_down_seed)
        grad_to_add = (None, None) if a is None else (grad_low, a)
        gated_backward_(by_gate_up, *layer.to_add(low), layer.activation, by_activated, *grad_to_add, again)
        torch.autograd.graph.increment_version(by_gate_up)
        activated = by_activated if again else None
        by_b = down.b_gradients(by_out, low_of_down, needs[first:])
        of_down = down.parameter_gradients(by_out, by_b, grad_low, activated, needs[first:], of_down_seed)
        del by_activated, activated
        by_b = gate_up.b_gradients(by_gate_up, low, needs[3:first])
        grad_normed, grad_low = gate_up.input_gradient(result, seed)
        gradients = gate_up.parameter_gradients(by_gate_up, by_b, grad_low, normed, needs[3:first], seed)
        grad_norm = layer.norm.weight_gradient(grad_normed, rows, rstd) if needs[1] else None
        out = rows.new_empty(len(rows), rows.shape[1] + layer.spare)
        layer.norm.backward(grad_normed, rows, rstd, norm_weight, by_out, out[:, : rows.shape[1]])
        return with_spare(out, grad.shape), grad_norm, None, *gradients, *of_down
