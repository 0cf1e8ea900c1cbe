"""A layer's output product, added to its residual: out = residual + x Wᵀ + bias + s · (x Aᵀ) Bᵀ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lorafa_prof.layers.packed.low_rank import add_low_rank
from lorafa_prof.layers.packed.projection import Projection
from lorafa_prof.layers.packed.spare import room_beside


def output_gradients(
    grad: Tensor, projection: Projection, seed: int | None, needs_input: bool
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Return dL/dx [n, m] or None, dL/dout [n, h] and s · dout B [n, r] for the gradient [.., h] of out.

    Args:
        grad: dL/dout [.., h].
        projection: of the product.
        seed: of what was dropped.
        needs_input: whether x needs a gradient.
    """
    both = room_beside(grad, projection.rank)
    by_out, grad_low = both[:, : projection.out_features], both[:, projection.out_features :]
    if projection.rank:
        torch.addmm(grad_low, by_out, projection.b, beta=0, alpha=projection.scale, out=grad_low)
    grad_x = None
    if needs_input and seed is None:
        grad_x = torch.mm(both, projection.buffer[:, : projection.width])
    elif needs_input:
        grad_x = torch.mm(by_out, projection.buffer[: projection.out_features, : projection.width])
        projection.add_low_gradient_(grad_x, grad_low, seed)
    return grad_x, by_out, grad_low


class ResidualOutputFunction(torch.autograd.Function):
    """The module's formula for a layer's attention: keeps s · x Aᵀ, and x where W or A trains."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, residual: Tensor, projection: Projection, *trained: Tensor) -> Tensor:
        """Return out [b, s, h] for x [b, s, m] and residual [b, s, h]."""
        projection.refresh()
        ctx.seed = projection.draw()
        rows, onto = x.reshape(-1, x.shape[-1]), residual.reshape(-1, residual.shape[-1])
        if projection.bias is not None:
            onto = onto + projection.bias
        weight = projection.buffer[: projection.out_features, : projection.width].t()
        if projection.rank:
            low = projection.low_into_(rows.new_empty(len(rows), projection.rank), rows, ctx.seed)
            out = torch.empty_like(onto)
            add_low_rank(onto, low, projection.b, 0, 0.0, out)
            out.addmm_(rows, weight)
        else:
            low, out = None, torch.addmm(onto, rows, weight)
        ctx.save_for_backward(low, rows if projection.keeps_input(ctx.needs_input_grad[3:]) else None)
        ctx.projection, ctx.shape = projection, x.shape
        return out.view(residual.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x, of the residual and of what trains."""
        low, rows = ctx.saved_tensors
        projection: Projection = ctx.projection
        needs: Sequence[bool] = ctx.needs_input_grad
        grad_x, by_out, grad_low = output_gradients(grad, projection, ctx.seed, needs[0])
        gradients = projection.parameter_gradients(by_out, low, grad_low, rows, needs[3:], ctx.seed)
        return None if grad_x is None else grad_x.view(ctx.shape), grad, None, *gradients
