"""RMS norm, with an offset of the weight as in Gemma, and its gradient added to a residual's.

For x [n, h], weight [h] and a small ε (arXiv 1910.07467):

    r = 1 / √(mean(x²) + ε)        y = (offset + weight) · (x · r)
    dL/dx = r · (g − x · r² · mean(g · x)) + residual    with g = (offset + weight) · dL/dy
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lorafa_prof.layers.operations import define, wide
from lorafa_prof.layers.packed.spare import with_spare


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


def _rms_norm_backward(
    grad: Tensor,
    x: Tensor,
    rstd: Tensor,
    weight: Tensor,
    offset: float,
    residual: Tensor | None,
    out: Tensor,
) -> None:
    value, r = wide(x), wide(rstd).unsqueeze(-1)
    g = wide(grad) * (wide(weight) + offset)
    along = (g * value).mean(-1, keepdim=True) * r * r
    result = r * (g - value * along)
    out.copy_(result if residual is None else result + residual)


#: Write y [n, h] and r [n] of x [n, h] by the module's formula; `rounded`: x · r is, to y's type, before the
#: weight multiplies it.
rms_norm = define(
    "rms_norm(Tensor x, Tensor weight, float epsilon, float offset, bool rounded, Tensor(a!) y, "
    "Tensor(b!) rstd)",
    _rms_norm,
    "rms_norm.forward",
)
#: Write dL/dx + residual [n, h] to `out`, which may be `grad`, for dL/dy, `grad` [n, h].
rms_norm_backward = define(
    "rms_norm_backward(Tensor grad, Tensor x, Tensor rstd, Tensor weight, float offset, Tensor? residual, "
    "Tensor(a!) out)",
    _rms_norm_backward,
    "rms_norm.backward",
)


@dataclass(frozen=True)
class Norm:
    """What an RMS norm computes: its ε, what is added to its weight, whether it rounds before the weight."""

    epsilon: float
    offset: float
    rounded: bool

    def forward(self, x: Tensor, weight: Tensor, y: Tensor) -> Tensor:
        """Write y [n, h] for x [n, h], and return r [n]."""
        rstd = x.new_empty(len(x), dtype=wide(x.new_empty(0)).dtype)
        rms_norm(x, weight, self.epsilon, self.offset, self.rounded, y, rstd)
        return rstd

    def backward(
        self, grad: Tensor, x: Tensor, rstd: Tensor, weight: Tensor, residual: Tensor | None, out: Tensor
    ) -> None:
        """Write dL/dx + residual [n, h] to `out`, for dL/dy, `grad` [n, h]."""
        rms_norm_backward(grad, x, rstd, weight, self.offset, residual, out)

    def weight_gradient(self, grad: Tensor, x: Tensor, rstd: Tensor) -> Tensor:
        """Return dL/dweight [h] for dL/dy, `grad` [n, h]."""
        return (x * rstd.unsqueeze(-1).to(x.dtype)).mul_(grad).sum(0)


class NormFunction(torch.autograd.Function):
    """An RMS norm by itself, as the one after the last layer: keeps x and r."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, norm: Norm, spare: int) -> Tensor:
        """Return y [..., h] for x [..., h], whose gradient will have `spare` columns of room beside it."""
        rows = x.reshape(-1, x.shape[-1])
        y = torch.empty_like(rows)
        rstd = norm.forward(rows, weight, y)
        ctx.save_for_backward(rows, rstd, weight)
        ctx.norm, ctx.spare = norm, spare
        return y.view(x.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x and weight."""
        rows, rstd, weight = ctx.saved_tensors
        by_rows = grad.reshape(rows.shape)
        grad_weight = ctx.norm.weight_gradient(by_rows, rows, rstd) if ctx.needs_input_grad[1] else None
        out = rows.new_empty(len(rows), rows.shape[1] + ctx.spare)
        ctx.norm.backward(by_rows, rows, rstd, weight, None, out[:, : rows.shape[1]])
        return with_spare(out, grad.shape), grad_weight, None, None


def as_norm(module: nn.Module) -> Norm:
    """Return what `module` computes: an RMS norm as in Llama, or as in Gemma, by its class's name."""
    if type(module).__name__.startswith("Gemma"):
        return Norm(cast(float, module.eps), offset=1.0, rounded=False)
    return Norm(cast(float, module.variance_epsilon), offset=0.0, rounded=True)
