"""RMS norm and its gradient, a row at a time: every number of a row is read once."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _forward(
    x, weight, y, rstd, x_stride, y_stride, columns, epsilon, offset, ROUNDED: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    mask = at < columns
    value = tl.load(x + row * x_stride + at, mask=mask, other=0.0).to(tl.float32)
    r = tl.rsqrt(tl.sum(value * value) / columns + epsilon)
    normed = value * r
    if ROUNDED:
        normed = normed.to(y.dtype.element_ty).to(tl.float32)
    factor = tl.load(weight + at, mask=mask, other=0.0).to(tl.float32) + offset
    tl.store(y + row * y_stride + at, normed * factor, mask=mask)
    tl.store(rstd + row, r)


@triton.jit
def _backward(
    grad, x, rstd, weight, residual, out, grad_stride, x_stride, residual_stride, out_stride, columns, offset,
    HAS_RESIDUAL: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    mask = at < columns
    value = tl.load(x + row * x_stride + at, mask=mask, other=0.0).to(tl.float32)
    r = tl.load(rstd + row)
    factor = tl.load(weight + at, mask=mask, other=0.0).to(tl.float32) + offset
    g = tl.load(grad + row * grad_stride + at, mask=mask, other=0.0).to(tl.float32) * factor
    along = tl.sum(g * value) / columns * r * r
    result = r * (g - value * along)
    if HAS_RESIDUAL:
        result += tl.load(residual + row * residual_stride + at, mask=mask, other=0.0).to(tl.float32)
    tl.store(out + row * out_stride + at, result, mask=mask)


def _warps(block: int) -> int:
    return min(16, max(4, block // 512))


def forward(
    x: Tensor, weight: Tensor, epsilon: float, offset: float, rounded: bool, y: Tensor, rstd: Tensor
) -> None:
    """Launch `rms_norm` of packed/norm.py."""
    block = triton.next_power_of_2(x.shape[1])
    _forward[(len(x),)](
        x, weight, y, rstd, x.stride(0), y.stride(0), x.shape[1], epsilon, offset,
        ROUNDED=rounded, BLOCK=block, num_warps=_warps(block),
    )  # fmt: skip


def backward(
    grad: Tensor,
    x: Tensor,
    rstd: Tensor,
    weight: Tensor,
    offset: float,
    residual: Tensor | None,
    out: Tensor,
) -> None:
    """Launch `rms_norm_backward` of packed/norm.py."""
    block = triton.next_power_of_2(x.shape[1])
    _backward[(len(x),)](
        grad, x, rstd, weight, grad if residual is None else residual, out,
        grad.stride(0), x.stride(0), 0 if residual is None else residual.stride(0), out.stride(0), x.shape[1], offset,
        HAS_RESIDUAL=residual is not None, BLOCK=block, num_warps=_warps(block),
    )  # fmt: skip
