"""RMS norm, with an offset of the weight as in Gemma, and its gradient added to a residual's.

For x [n, h], weight [h] and a small ε (arXiv 1910.07467):

    r = 1 / √(mean(x²) + ε)        y = (offset + weight) · (x · r)
    dL/dx = r · (g − x · r² · mean(g · x)) + residual    with g = (offset + weight) · dL/dy
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lorafa_prof.layers.packed.operations import define, wide


def _rms_norm(
    x: Tensor, weight: Tensor, epsilon: float, offset: float, rounded: bool, y: Tensor, rstd: Tensor
) -> None:
    value = wide(x)
    r = torch.rsqrt(value.pow(2).mean(-1, keepdim=True) + epsilon)
    normed = value * r
    if rounded:
        normed = normed.to(y.dtype)
    y.copy_(wide(normed) * (wide(weight) + offset))
    rstd.copy_(r.squeeze(-1))


def _rms_norm_backward_(
    grad: Tensor, x: Tensor, rstd: Tensor, weight: Tensor, offset: float, residual: Tensor | None
) -> None:
    value, r = wide(x), wide(rstd).unsqueeze(-1)
    g = wide(grad) * (wide(weight) + offset)
    along = (g * value).mean(-1, keepdim=True) * r * r
    result = r * (g - value * along)
    grad.copy_(result if residual is None else result + residual)


def _by_triton(*args: Any) -> None:
    from lorafa_prof.layers.triton_kernels import rms_norm as kernels

    kernels.forward(*args)


def _backward_by_triton(*args: Any) -> None:
    from lorafa_prof.layers.triton_kernels import rms_norm as kernels

    kernels.backward(*args)


#: Write y [n, h] and r [n] of x [n, h] by the module's formula; `rounded`: x · r to y's type before the weight.
rms_norm = define(
    "rms_norm(Tensor x, Tensor weight, float epsilon, float offset, bool rounded, Tensor(a!) y, Tensor(b!) rstd)",
    _rms_norm,
    _by_triton,
)
#: Turn dL/dy [n, h] into dL/dx + residual [n, h], in place.
rms_norm_backward_ = define(
    "rms_norm_backward_(Tensor(a!) grad, Tensor x, Tensor rstd, Tensor weight, float offset, Tensor? residual)",
    _rms_norm_backward_,
    _backward_by_triton,
)


@dataclass(frozen=True)
class Norm:
    """What an RMS norm computes: its ε, what is added to its weight, whether it rounds before the weight."""

    epsilon: float
    offset: float
    rounded: bool

    def forward(self, x: Tensor, weight: Tensor, columns: int | None = None) -> tuple[Tensor, Tensor]:
        """Return y [n, h] and r [n] for x [n, h]."""
        y = torch.empty_like(x)
        rstd = x.new_empty(len(x), dtype=wide(x.new_empty(0)).dtype)
        rms_norm(x, weight, self.epsilon, self.offset, self.rounded, y, rstd)
        return y, rstd

    def backward(
        self,
        grad: Tensor,
        x: Tensor,
        rstd: Tensor,
        weight: Tensor,
        residual: Tensor | None,
        by_weight: bool,
    ) -> tuple[Tensor, Tensor | None]:
        """Return dL/dx, written over `grad`, and dL/dweight if it is wanted."""
        grad_weight = None
        if by_weight:
            grad_weight = (x * rstd.unsqueeze(-1).to(x.dtype)).mul_(grad).sum(0)
        rms_norm_backward_(grad, x, rstd, weight, self.offset, residual)
        return grad, grad_weight


class NormFunction(torch.autograd.Function):
    """An RMS norm by itself, as the one after the last layer: keeps x and r."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, norm: Norm) -> Tensor:
        """Return y [..., h] for x [..., h]."""
        rows = x.reshape(-1, x.shape[-1])
        y, rstd = norm.forward(rows, weight)
        ctx.save_for_backward(rows, rstd, weight)
        ctx.norm = norm
        return y.view(x.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x and weight."""
        rows, rstd, weight = ctx.saved_tensors
        own = grad.reshape(rows.shape).clone(memory_format=torch.contiguous_format)
        grad_x, grad_weight = ctx.norm.backward(own, rows, rstd, weight, None, ctx.needs_input_grad[1])
        return grad_x.view(grad.shape), grad_weight, None


def as_norm(module: nn.Module) -> Norm | None:
    """Return what `module` computes, if it is an RMS norm that is known here."""
    name = type(module).__name__
    if name.startswith("Gemma") and name.endswith("RMSNorm"):
        return Norm(float(module.eps), 1.0, rounded=False)  # type: ignore[arg-type]
    if name.endswith("RMSNorm") and hasattr(module, "variance_epsilon"):
        return Norm(float(module.variance_epsilon), 0.0, rounded=True)  # type: ignore[arg-type]
    return None
