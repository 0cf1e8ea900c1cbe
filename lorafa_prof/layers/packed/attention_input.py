"""From a layer's input to its queries, keys and values: norm, packed product, adapters, rotary embedding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lorafa_prof.layers.packed.norm import Norm
from lorafa_prof.layers.packed.projection import Projection
from lorafa_prof.layers.packed.rotary import pack_unrotated, rotate_


@dataclass(frozen=True)
class AttentionInput:
    """A layer's input norm and its packed product of queries, keys and values."""

    norm: Norm
    projection: Projection
    q_heads: int
    kv_heads: int


class AttentionInputFunction(torch.autograd.Function):
    """Return the input itself, for the residual, and q, k, v: keeps x, r, and the packed product.

    The normed input is kept too where a weight or an A trains. Backward writes the gradients over the packed
    product, which q, k, v are views of, so it runs once.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        norm_weight: Tensor,
        cos: Tensor,
        sin: Tensor,
        layer: AttentionInput,
        *trained: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return x [b, s, h] and q [b, heads, s, d], k and v [b, groups, s, d]."""
        batch, length, width = x.shape
        projection = layer.projection
        projection.refresh()
        rows = x.reshape(-1, width)
        normed, rstd = layer.norm.forward(rows, norm_weight)
        packed = projection.product(normed)
        low = projection.low(packed)
        rotate_(packed, low, projection.b, projection.scales, cos, sin, layer.q_heads, layer.kv_heads)
        heads = packed[:, : projection.out_features].view(batch, length, -1, cos.shape[-1]).transpose(1, 2)
        keep = projection.keeps_input(ctx.needs_input_grad[5:])
        ctx.save_for_backward(rows, rstd, norm_weight, cos, sin, packed, normed if keep else None)
        ctx.layer = layer
        return (x.view_as(x), *heads.split([layer.q_heads, layer.kv_heads, layer.kv_heads], 1))

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, residual: Tensor, grad_q: Tensor, grad_k: Tensor, grad_v: Tensor
    ) -> tuple[Tensor | None, ...]:
        """Return the gradients of x, of the norm's weight and of what trains."""
        rows, rstd, norm_weight, cos, sin, packed, normed = ctx.saved_tensors
        layer: AttentionInput = ctx.layer
        projection = layer.projection
        pack_unrotated(grad_q, grad_k, grad_v, cos, sin, packed[:, : projection.out_features])
        gradients = projection.parameter_gradients(packed, normed, ctx.needs_input_grad[5:])
        grad_x = grad_norm = None
        if ctx.needs_input_grad[0] or ctx.needs_input_grad[1]:
            grad_normed = projection.input_gradient(packed)
            grad_x, grad_norm = layer.norm.backward(
                grad_normed,
                rows,
                rstd,
                norm_weight,
                residual.reshape(rows.shape),
                ctx.needs_input_grad[1],
            )
            grad_x = grad_x.view(residual.shape)
        return grad_x, grad_norm, None, None, None, *gradients

