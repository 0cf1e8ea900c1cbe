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
from lorafa_prof.layers.packed.spare import with_spare


@dataclass(frozen=True)
class AttentionInput:
    """A layer's input norm and its packed product of queries, keys and values.

    The gradient of the input will have `spare` columns of room beside it.
    """

    norm: Norm
    projection: Projection
    q_heads: int
    kv_heads: int
    spare: int


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
        normed = projection.new_input(rows)
        rstd = layer.norm.forward(rows, norm_weight, normed[:, :width])
        packed = projection.product(normed)
        qkv = packed[:, : projection.out_features]
        rotate_(qkv, cos, sin, layer.q_heads + layer.kv_heads)
        heads = qkv.view(batch, length, -1, cos.shape[-1]).transpose(1, 2)
        keep = normed[:, :width] if projection.keeps_input(ctx.needs_input_grad[5:]) else None
        ctx.save_for_backward(rows, rstd, norm_weight, cos, sin, packed, keep)
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
        projection, needs = layer.projection, ctx.needs_input_grad
        grad, low = packed[:, : projection.out_features], packed[:, projection.out_features :]
        pack_unrotated(grad_q, grad_k, grad_v, cos, sin, grad)
        torch.autograd.graph.increment_version(packed)
        grad_x = grad_norm = None
        if needs[0] or needs[1] or normed is not None:
            grad_normed, grad_low = projection.input_gradient(grad)
        else:
            grad_low = low  # nothing reads it
        gradients = projection.parameter_gradients(grad, low, grad_low, normed, needs[5:])
        if needs[1]:
            grad_norm = layer.norm.weight_gradient(grad_normed, rows, rstd)
        if needs[0]:
            out = rows.new_empty(len(rows), rows.shape[1] + layer.spare)
            by_residual = residual.reshape(rows.shape)
            layer.norm.backward(grad_normed, rows, rstd, norm_weight, by_residual, out[:, : rows.shape[1]])
            grad_x = with_spare(out, residual.shape)
        return grad_x, grad_norm, None, None, None, *gradients
