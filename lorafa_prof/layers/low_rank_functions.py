"""The two low-rank linear maps as autograd functions: LoRA keeps its input for backward, LoRA-FA does not.

Both compute, for x [n, in], frozen W [in, out] (transposed by the caller where it is stored the other way),
bias [out] or None, A [r, in], B [out, r]:

    y = x W + bias + s · (drop(x) Aᵀ) Bᵀ

Adapters may be stored in a wider type than x (float32 masters on a bfloat16 base). They are then computed
with in x's type, as under autocast, and their gradients come back in their own type. So is W, under
autocast; its copy is made again in backward, not kept.

Every product after the first accumulates into the result of the one before it (`addmm_`), so a step holds
no second activation-sized tensor, neither in forward nor in backward.

W may be quantized: then it is unpacked for its product in forward, and again in backward, and nothing of
that is kept in between.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lorafa_prof.layers.quantized.weight import QuantizedWeight


def scaled_mm(left: Tensor, right: Tensor, scale: float) -> Tensor:
    """Return scale · (left @ right) from one kernel: the scale rides on the product."""
    return left.new_empty(left.shape[0], right.shape[1]).addmm_(left, right, beta=0, alpha=scale)


def frozen_linear(x: Tensor, weight: Tensor | QuantizedWeight, bias: Tensor | None) -> Tensor:
    """Return x @ weight (+ bias) for x [n, in], weight [in, out], bias [out]."""
    if not isinstance(weight, Tensor):
        return weight.product(x, None if bias is None else bias.to(x.dtype))
    weight = weight.to(x.dtype)
    return torch.mm(x, weight) if bias is None else torch.addmm(bias.to(x.dtype), x, weight)


def drop(x: Tensor, probability: float) -> tuple[Tensor, Tensor | None]:
    """Return dropped-out x and its boolean keep mask; x itself and None at probability 0."""
    if probability == 0.0:
        return x, None
    dropped, mask = torch.native_dropout(x, probability, True)
    return dropped, mask


def undrop_(grad: Tensor, mask: Tensor | None, probability: float) -> Tensor:
    """Turn the gradient of drop(x) into that of x, in place."""
    if mask is None:
        return grad
    return grad.mul_(mask).mul_(1.0 / (1.0 - probability))


def input_gradient(
    grad: Tensor,
    grad_low: Tensor,
    weight: Tensor | QuantizedWeight,
    a: Tensor,
    mask: Tensor | None,
    probability: float,
) -> Tensor:
    """Return dL/dx = grad Wᵀ + undrop(grad_low A) for grad [n, out] and grad_low = s · grad B [n, r]."""
    if isinstance(weight, Tensor):
        grad_x = torch.mm(grad, weight.to(grad.dtype).t())
    else:
        grad_x = weight.input_gradient(grad)
    if mask is None:
        return grad_x.addmm_(grad_low, a)
    return grad_x.add_(undrop_(torch.mm(grad_low, a), mask, probability))


def adapted_linear(
    x: Tensor,
    weight: Tensor | QuantizedWeight,
    bias: Tensor | None,
    a: Tensor,
    b: Tensor,
    scale: float,
    probability: float,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return y [n, out] of the module's formula, drop(x) Aᵀ [n, r], and the dropout mask [n, in] or None."""
    y = frozen_linear(x, weight, bias)
    dropped, mask = drop(x, probability)
    low = torch.mm(dropped, a.to(x.dtype).t())
    return y.addmm_(low, b.to(x.dtype).t(), alpha=scale), low, mask


def _tensor(weight: Tensor | QuantizedWeight) -> Tensor | None:
    return weight if isinstance(weight, Tensor) else None


def _quantized(weight: Tensor | QuantizedWeight) -> QuantizedWeight | None:
    return None if isinstance(weight, Tensor) else weight


class LoraFunction(torch.autograd.Function):
    """y = x W + bias + s · (drop(x) Aᵀ) Bᵀ with A and B training: keeps x, x Aᵀ and the dropout mask."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | QuantizedWeight,
        bias: Tensor | None,
        a: Tensor,
        b: Tensor,
        scale: float,
        probability: float,
    ) -> Tensor:
        """Return y [n, out]."""
        y, low, mask = adapted_linear(x, weight, bias, a, b, scale, probability)
        # x and not drop(x): x is shared with the neighbouring layers, drop(x) is this layer's alone.
        ctx.save_for_backward(x, low, mask, _tensor(weight), a, b)
        ctx.quantized = _quantized(weight)
        ctx.scale, ctx.probability = scale, probability
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x, A and B."""
        x, low, mask, weight, a, b = ctx.saved_tensors
        grad_low = scaled_mm(grad, b.to(grad.dtype), ctx.scale)
        grad_b = scaled_mm(grad.t(), low, ctx.scale).to(b.dtype)
        dropped = x if mask is None else undrop_(x.clone(), mask, ctx.probability)
        grad_a = torch.mm(grad_low.t(), dropped).to(a.dtype)
        del dropped
        grad_x = None
        if ctx.needs_input_grad[0]:
            weight = ctx.quantized or weight
            grad_x = input_gradient(grad, grad_low, weight, a.to(grad.dtype), mask, ctx.probability)
        return grad_x, None, None, grad_a, grad_b, None, None


class LoraFaFunction(torch.autograd.Function):
    """y = x W + bias + s · (drop(x) Aᵀ) Bᵀ with only B training: keeps x Aᵀ [n, r] and the mask, never x."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | QuantizedWeight,
        bias: Tensor | None,
        a: Tensor,
        b: Tensor,
        scale: float,
        probability: float,
    ) -> Tensor:
        """Return y [n, out]."""
        y, low, mask = adapted_linear(x, weight, bias, a, b, scale, probability)
        # Without a gradient for x (the first layer over a frozen embedding) the mask has no reader.
        ctx.save_for_backward(low, mask if ctx.needs_input_grad[0] else None, _tensor(weight), a, b)
        ctx.quantized = _quantized(weight)
        ctx.scale, ctx.probability = scale, probability
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x and B."""
        low, mask, weight, a, b = ctx.saved_tensors
        grad_b = scaled_mm(grad.t(), low, ctx.scale).to(b.dtype)
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_low = scaled_mm(grad, b.to(grad.dtype), ctx.scale)
            weight = ctx.quantized or weight
            grad_x = input_gradient(grad, grad_low, weight, a.to(grad.dtype), mask, ctx.probability)
        return grad_x, None, None, None, grad_b, None, None
