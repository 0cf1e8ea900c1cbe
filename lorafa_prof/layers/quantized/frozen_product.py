"""The product of a layer that is frozen: nothing is kept for backward but the layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class FrozenProduct(torch.autograd.Function):
    """x Wᵀ + bias by a layer's own `product` and `input_gradient`; only x gets a gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: Any, bias: Tensor | None) -> Tensor:
        """Return [..., out] for x [..., in]."""
        ctx.layer = layer
        y: Tensor = layer.product(x, bias)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of x."""
        return ctx.layer.input_gradient(grad), None, None
