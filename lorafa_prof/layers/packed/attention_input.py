"""From a layer's input to its queries, keys and values: norm, packed product, adapters, rotary embedding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lorafa_prof.layers.packed.norm import Norm
from lorafa_prof.layers.packed.normed_rotary import head_norm_gradients, norm_and_rotate, pack_unnormed_
from lorafa_prof.layers.packed.product import PackedProduct, Result
from lorafa_prof.layers.packed.rotary import pack_unrotated, rotate_
from lorafa_prof.layers.packed.spare import with_spare


@dataclass(frozen=True)
class AttentionInput:
    """A layer's input norm, its packed product of queries, keys and values, and what is done to their heads.

    The gradient of the input will have `spare` columns of room beside it.
    """

    norm: Norm
    projection: PackedProduct
    q_heads: int
    kv_heads: int
    spare: int

    def heads(
        self, packed: Tensor, cos: Tensor, sin: Tensor, head_norms: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor]:
        """Return queries and keys [n, .] and values [n, .], ready for attention: turned where they lie."""
        rotate_(packed, cos, sin, self.q_heads + self.kv_heads)
        q_and_k = (self.q_heads + self.kv_heads) * cos.shape[-1]
        return packed[:, :q_and_k], packed[:, q_and_k:]

    def pack_gradients_(
        self,
        packed: Tensor,
        gradients: tuple[Tensor, Tensor, Tensor],
        cos: Tensor,
        sin: Tensor,
        head_norms: tuple[Tensor, ...],
    ) -> tuple[Tensor, ...]:
        """Write the gradients of what was packed over it, and return those of the head norms' weights."""
        pack_unrotated(*gradients, cos, sin, packed)
        return ()


@dataclass(frozen=True)
class NormedAttentionInput(AttentionInput):
    """The same, with queries and keys normed head by head; what was packed is kept beside them."""

    epsilon: float = 0.0

    def heads(
        self, packed: Tensor, cos: Tensor, sin: Tensor, head_norms: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor]:
        """Return queries and keys [n, .] and values [n, .], ready for attention, the first two anew."""
        q_and_k = (self.q_heads + self.kv_heads) * cos.shape[-1]
        out = packed.new_empty(len(packed), q_and_k)
        norm_and_rotate(packed, *head_norms, cos, sin, self.q_heads, self.epsilon, out)
        return out, packed[:, q_and_k:]

    def pack_gradients_(
        self,
        packed: Tensor,
        gradients: tuple[Tensor, Tensor, Tensor],
        cos: Tensor,
        sin: Tensor,
        head_norms: tuple[Tensor, ...],
    ) -> tuple[Tensor, ...]:
        """Write the gradients of what was packed over it, and return those of the head norms' weights."""
        by_weights: tuple[Tensor, ...] = ()
        if any(weight.requires_grad for weight in head_norms):
            by_weights = head_norm_gradients(packed, *gradients[:2], cos, sin, self.epsilon)
        pack_unnormed_(packed, *gradients, *head_norms, cos, sin, self.epsilon)
        return by_weights


class AttentionInputFunction(torch.autograd.Function):
    """Return the input itself, for the residual, and q, k, v: keeps x, r, the packed product and s · x Aᵀ.

    The normed input is kept too where a weight or an A trains. Backward writes the gradients over the packed
    product, so it runs once.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        norm_weight: Tensor,
        cos: Tensor,
        sin: Tensor,
        layer: AttentionInput,
        head_norms: int,
        *parameters: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return x [b, s, h] and q [b, heads, s, d], k and v [b, groups, s, d].

        `parameters` are the weights of as many `head_norms`, and what the projection's `trained` names.
        """
        batch, length, width = x.shape
        projection, of_heads = layer.projection, parameters[:head_norms]
        projection.refresh()
        rows = x.reshape(-1, width)
        normed = projection.new_input(rows)
        rstd = layer.norm.forward(rows, norm_weight, normed[:, :width])
        ctx.seed = projection.draw()
        result = projection.product(normed, ctx.seed)
        packed, _ = projection.y_and_low(result)
        keep = normed[:, :width] if projection.keeps_input(ctx.needs_input_grad[6 + head_norms :]) else None
        del normed
        q_and_k, v = (
            part.view(batch, length, -1, cos.shape[-1]).transpose(1, 2)
            for part in layer.heads(packed, cos, sin, of_heads)
        )
        ctx.save_for_backward(rows, rstd, norm_weight, cos, sin, keep, *result, *of_heads)
        ctx.layer = layer
        return (x.view_as(x), *q_and_k.split([layer.q_heads, layer.kv_heads], 1), v)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, residual: Tensor, grad_q: Tensor, grad_k: Tensor, grad_v: Tensor
    ) -> tuple[Tensor | None, ...]:
        """Return the gradients of x, of the norms' weights and of what trains."""
        rows, rstd, norm_weight, cos, sin, normed, y, beside, *of_heads = ctx.saved_tensors
        layer: AttentionInput = ctx.layer
        projection, needs = layer.projection, ctx.needs_input_grad
        result: Result = (y, beside)
        grad, low = projection.y_and_low(result)
        first = 6 + len(of_heads)
        by_heads = layer.pack_gradients_(grad, (grad_q, grad_k, grad_v), cos, sin, tuple(of_heads))
        torch.autograd.graph.increment_version(grad)
        by_b = projection.b_gradients(grad, low, needs[first:])
        grad_x = grad_norm = None
        grad_low = low  # nothing reads it where no A trains
        if needs[0] or needs[1] or normed is not None:
            grad_normed, grad_low = projection.input_gradient(result, ctx.seed)
        gradients = projection.parameter_gradients(grad, by_b, grad_low, normed, needs[first:], ctx.seed)
        if needs[1]:
            grad_norm = layer.norm.weight_gradient(grad_normed, rows, rstd)
        if needs[0]:
            out = rows.new_empty(len(rows), rows.shape[1] + layer.spare)
            by_residual = residual.reshape(rows.shape)
            layer.norm.backward(grad_normed, rows, rstd, norm_weight, by_residual, out[:, : rows.shape[1]])
            grad_x = with_spare(out, residual.shape)
        by_head_norms = by_heads or (None,) * len(of_heads)
        return grad_x, grad_norm, None, None, None, None, *by_head_norms, *gradients
