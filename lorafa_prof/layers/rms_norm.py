"""RMS norm as an autograd function that keeps its input as it came, and computes the rest again.

For x [..., h], weight [h] and a small ε, with a row's mean over its h numbers (arXiv 1910.07467):

    r = 1 / √(mean(x²) + ε)        y = weight · (x · r)
    dL/dx = r · (g − x · r² · mean(g · x))    with g = weight · dL/dy
    dL/dweight = Σ over rows of dL/dy · x · r

Written as in transformers, autograd keeps x in float32, and x · r once more if the weight trains. Kept here
are x in its own type, which costs nothing where something else holds it too, and r, one float32 a row, as in
Liger's kernel (arXiv 2410.10989). Liger's is written in Triton; this is PyTorch's own operations, so it runs
on the CPU and on shapes too.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lorafa_prof.layers.fused_linear_cross_entropy import wide_type


def rms_norm(x: Tensor, weight: Tensor, epsilon: float, rounded_to: torch.dtype) -> Tensor:
    """Return y [..., h] of the module's formula.

    Args:
        x: [..., h].
        weight: [h].
        epsilon: added to the mean square.
        rounded_to: type of x · r before the weight multiplies it.
    """
    y = RmsNormFunction.apply(x, weight, epsilon, rounded_to)  # type: ignore[no-untyped-call]
    return cast(Tensor, y)


class RmsNormFunction(torch.autograd.Function):
    """RMS norm by the module's formula; keeps x, r [..., 1] and the weight for backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float, rounded_to: torch.dtype) -> Tensor:
        """Return y [..., h]."""
        mean_square = x.to(wide_type(x)).pow(2).mean(-1, keepdim=True)
        r = torch.rsqrt(mean_square + epsilon)
        ctx.save_for_backward(x, r, weight)
        return weight * (x * r).to(rounded_to)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x and weight."""
        x, r, weight = ctx.saved_tensors
        by_x = by_weight = None
        # One after the other, and in place: at most two tensors as large as x in float32 exist at once.
        if ctx.needs_input_grad[1]:
            by_weight = (x * r).mul_(grad).sum_to_size(weight.shape).to(weight.dtype)
        if ctx.needs_input_grad[0]:
            g = grad * weight.to(r.dtype)
            along_x = (g * x).mean(-1, keepdim=True).mul_(r.pow(2))
            by_x = g.addcmul_(x, along_x, value=-1).mul_(r).to(x.dtype)
        return by_x, by_weight, None, None
