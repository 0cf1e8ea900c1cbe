"""A layer's output product, added to its residual: out = residual + x Wᵀ + bias + s · (x Aᵀ) Bᵀ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lorafa_prof.layers.packed.low_rank import add_low_rank
from lorafa_prof.layers.packed.projection import Projection


def project_onto(residual: Tensor, x: Tensor, projection: Projection) -> tuple[Tensor, Tensor | None]:
    """Return out [n, h] of the module's formula for residual [n, h], x [n, m], and x Aᵀ [n, r] or None."""
    weight = projection.weight[: projection.out_features].t()
    if projection.bias is not None:
        residual = residual + projection.bias[: projection.out_features]
    if projection.b is None:
        return torch.addmm(residual, x, weight), None
    low = torch.mm(x, projection.weight[projection.out_features :].t())
    out = torch.empty_like(residual)
    add_low_rank(residual, low, projection.b, projection.parts[0].scale, out)
    return out.addmm_(x, weight), low


def output_gradients(
    grad: Tensor, low: Tensor | None, x: Tensor | None, projection: Projection, needed: Sequence[bool]
) -> tuple[list[Tensor | None], Tensor | None]:
    """Return the gradients of what `projection.trained` names, and s · grad B [n, r], None without an adapter.

    Args:
        grad: [n, h].
        low: x Aᵀ [n, r].
        x: [n, m], where W or A trains.
        needed: by place in `trained`, whether it trains.
    """
    part = projection.parts[0]
    places = iter(needed)
    gradients: list[Tensor | None] = [torch.mm(grad.t(), cast(Tensor, x)) if next(places) else None]
    if part.base.bias is not None:
        gradients.append(grad.sum(0) if next(places) else None)
    if part.adapter is None or projection.b is None or low is None:
        return gradients, None
    adapter, rank = part.adapter, part.adapter.rank
    a_trains, b_trains = next(places), next(places)
    grad_low = low.new_empty(low.shape).addmm_(grad, projection.b, beta=0, alpha=adapter.scale)
    grad_a = grad_b = None
    if a_trains:
        grad_a = torch.mm(grad_low.t(), cast(Tensor, x))[:rank].to(adapter.lora_A.dtype)
    if b_trains:
        grad_b = low.new_empty(projection.b.shape).addmm_(grad.t(), low, beta=0, alpha=adapter.scale)
        grad_b = grad_b[:, :rank].to(adapter.lora_B.dtype)
    return [*gradients, grad_a, grad_b], grad_low


class ResidualOutputFunction(torch.autograd.Function):
    """The module's formula for a layer's attention: keeps x Aᵀ, and x where W or A trains."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, residual: Tensor, projection: Projection, *trained: Tensor) -> Tensor:
        """Return out [b, s, h] for x [b, s, m] and residual [b, s, h]."""
        projection.refresh()
        rows = x.reshape(-1, x.shape[-1])
        out, low = project_onto(residual.reshape(-1, residual.shape[-1]), rows, projection)
        ctx.save_for_backward(low, rows if projection.keeps_input(ctx.needs_input_grad[3:]) else None)
        ctx.projection, ctx.shape = projection, x.shape
        return out.view(residual.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x, of the residual and of what trains."""
        low, rows = ctx.saved_tensors
        projection: Projection = ctx.projection
        by_rows = grad.reshape(-1, grad.shape[-1])
        gradients, grad_low = output_gradients(by_rows, low, rows, projection, ctx.needs_input_grad[3:])
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = torch.mm(by_rows, projection.weight[: projection.out_features])
            if grad_low is not None:
                grad_x.addmm_(grad_low, projection.weight[projection.out_features :])
            grad_x = grad_x.view(ctx.shape)
        return grad_x, grad, None, *gradients
