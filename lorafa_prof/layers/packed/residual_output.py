"""A layer's output product, added to its residual: out = residual + x Wᵀ + bias + s · (x Aᵀ) Bᵀ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lorafa_prof.layers.packed.product import PackedProduct


class ResidualOutputFunction(torch.autograd.Function):
    """The module's formula for a layer's attention: keeps s · x Aᵀ, and x where W or A trains."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, residual: Tensor, projection: PackedProduct, *trained: Tensor) -> Tensor:
        """Return out [b, s, h] for x [b, s, m] and residual [b, s, h]."""
        projection.refresh()
        ctx.seed = projection.draw()
        rows = x.reshape(-1, x.shape[-1])
        out, low = projection.onto(rows, residual.reshape(-1, residual.shape[-1]), ctx.seed)
        ctx.save_for_backward(low, rows if projection.keeps_input(ctx.needs_input_grad[3:]) else None)
        ctx.projection, ctx.shape = projection, x.shape
        return out.view(residual.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x, of the residual and of what trains."""
        low, rows = ctx.saved_tensors
        projection: PackedProduct = ctx.projection
        needs: Sequence[bool] = ctx.needs_input_grad
        grad_x, by_out, grad_low = projection.output_gradients(grad, ctx.seed, needs[0])
        by_b = projection.b_gradients(by_out, low, needs[3:])
        gradients = projection.parameter_gradients(by_out, by_b, grad_low, rows, needs[3:], ctx.seed)
        return None if grad_x is None else grad_x.view(ctx.shape), grad, None, *gradients
