"""The low-rank map of many experts at once: LoRA keeps their inputs for backward, LoRA-FA does not.

Both compute, for each expert e and its tokens x, with frozen W [E, in, out], A [E, r, in], B [E, out, r]:

    y = x W[e] + s · (drop(x) A[e]ᵀ) B[e]ᵀ

Which tokens are whose is the `product`'s to know: x is [tokens, in], sorted by expert, for a grouped product,
and [E, tokens, in] for a batched one. Adapters are computed with in x's type, as in `low_rank_functions`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from lorafa_prof.layers.low_rank_functions import drop, undrop_

#: Rows and columns of a grouped product lie in memory at multiples of so many bytes.
_ALIGNED_BYTES = 16


#: `grouped_mm`, or another of its signature.
Multiply = Callable[..., Tensor]


def aligned_width(rank: int, dtype: torch.dtype) -> int:
    """Return the smallest number of columns of this type, at least `rank`, that a grouped product takes."""
    multiple = _ALIGNED_BYTES // dtype.itemsize
    return -(-rank // multiple) * multiple


@dataclass(frozen=True)
class GroupedProduct:
    """A product by groups of rows, as PyTorch's `grouped_mm`.

    [tokens, m] times [E, m, n] is [tokens, n], and [m, tokens] times [tokens, n] is [E, m, n].

    Attributes:
        multiply: PyTorch's `grouped_mm`, or another that multiplies by [E, m, n] alone.
        ends: [E], where each expert's rows end.
    """

    multiply: Multiply
    ends: Tensor

    def __call__(self, left: Tensor, right: Tensor) -> Tensor:
        """Return the product."""
        if right.dim() == 2 and self.multiply not in GROUPED:
            return self._of_parts(left, right)
        return self.multiply(left, right, offs=self.ends)

    def width(self, rank: int, dtype: torch.dtype) -> int:
        """Return how many columns of this type x Aᵀ has."""
        return aligned_width(rank, dtype)

    def _of_parts(self, left: Tensor, right: Tensor) -> Tensor:
        ends = self.ends.tolist()
        parts = zip([0, *ends], ends, strict=False)
        return torch.stack([left[:, start:end] @ right[start:end] for start, end in parts])


class BatchedProduct:
    """A product of each expert's own rows: [E, m, k] times [E, k, n]."""

    def __call__(self, left: Tensor, right: Tensor) -> Tensor:
        """Return the product."""
        return torch.bmm(left, right)

    def width(self, rank: int, dtype: torch.dtype) -> int:
        """Return how many columns of this type x Aᵀ has: any number will do."""
        return rank


Product = GroupedProduct | BatchedProduct


def product_of(multiply: Multiply | None, ends: Tensor | None) -> Product:
    """Return the product that is grouped by `multiply` and `ends`, or batched where these are None."""
    return BatchedProduct() if multiply is None or ends is None else GroupedProduct(multiply, ends)


#: PyTorch's own, which multiply by a matrix of tokens too: the second from 2.8 on, the first from 2.10 on.
GROUPED: tuple[Multiply, ...] = tuple(
    getattr(place, name)
    for place, name in ((F, "grouped_mm"), (torch, "_grouped_mm"))
    if hasattr(place, name)
)


def _used(a: Tensor, b: Tensor, dtype: torch.dtype, product: Product) -> tuple[Tensor, Tensor]:
    """Return A and B in the type and with the width that they are multiplied in; what is added is zero."""
    missing = product.width(a.shape[-2], dtype) - a.shape[-2]
    a, b = a.to(dtype), b.to(dtype)
    return (F.pad(a, (0, 0, 0, missing)), F.pad(b, (0, missing))) if missing else (a, b)


def _forward(
    ctx: Any,
    kept: tuple[Tensor, ...],
    x: Tensor,
    weight: Tensor,
    a: Tensor,
    b: Tensor,
    scale: float,
    probability: float,
    multiply: Multiply | None,
    ends: Tensor | None,
) -> Tensor:
    """Return y of the module's formula, and keep `kept`, drop(x) Aᵀ and the dropout mask for backward.

    The product is grouped by `multiply` and `ends`, or batched where these are None.
    """
    product = product_of(multiply, ends)
    y = product(x, weight)
    dropped, mask = drop(x, probability)
    used_a, used_b = _used(a, b, x.dtype, product)
    low = product(dropped, used_a.mT)
    y.add_(product(low, used_b.mT), alpha=scale)
    ctx.save_for_backward(ends, *kept, low, mask, weight, a, b)
    ctx.scale, ctx.probability, ctx.multiply = scale, probability, multiply
    return y


def _gradients(
    ctx: Any,
    product: Product,
    grad: Tensor,
    low: Tensor,
    mask: Tensor | None,
    weight: Tensor,
    a: Tensor,
    b: Tensor,
) -> tuple[Tensor | None, Tensor, Callable[[Tensor], Tensor]]:
    """Return the gradients of x and B, and what gives that of A from x."""
    rank = a.shape[-2]
    grad = grad.contiguous()
    used_a, used_b = _used(a, b, grad.dtype, product)
    grad_b = product(grad.mT, low)[..., :rank].mul(ctx.scale).to(b.dtype)
    grad_low = product(grad, used_b).mul_(ctx.scale)
    grad_x = None
    if ctx.needs_input_grad[0]:
        grad_x = product(grad, weight.mT)
        grad_x.add_(undrop_(product(grad_low, used_a), mask, ctx.probability))

    def grad_a(x: Tensor) -> Tensor:
        dropped = x if mask is None else undrop_(x.clone(), mask, ctx.probability)
        return product(grad_low.mT, dropped)[..., :rank, :].to(a.dtype)

    return grad_x, grad_b, grad_a


class ExpertsLoraFunction(torch.autograd.Function):
    """The module's formula with A and B training: keeps x, x Aᵀ and the dropout mask."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *others: Any) -> Tensor:
        """Return y; the arguments are those of `_forward`."""
        return _forward(ctx, (x,), x, *others)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x, A and B."""
        ends, x, *saved = ctx.saved_tensors
        grad_x, grad_b, grad_a = _gradients(ctx, product_of(ctx.multiply, ends), grad, *saved)
        return grad_x, None, grad_a(x), grad_b, None, None, None, None


class ExpertsLoraFaFunction(torch.autograd.Function):
    """The module's formula with only B training: keeps x Aᵀ and the dropout mask, never x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *others: Any) -> Tensor:
        """Return y; the arguments are those of `_forward`."""
        return _forward(ctx, (), x, *others)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x and B."""
        ends, *saved = ctx.saved_tensors
        grad_x, grad_b, _ = _gradients(ctx, product_of(ctx.multiply, ends), grad, *saved)
        return grad_x, None, None, grad_b, None, None, None, None
