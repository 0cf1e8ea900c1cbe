"""Queries and keys normed and turned head by head, as in Qwen3, and the gradients of both undone."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

#: Rows of a tile; its columns are those of a head.
ROWS = 32


@triton.jit
def _forward(
    packed, q_weight, k_weight, cos, sin, out, packed_stride, out_stride, cos_stride, row_count, cos_rows,
    q_heads, epsilon, HALF: tl.constexpr, BLOCK_HALF: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(0)
    rows = tl.program_id(1).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    at = tl.arange(0, BLOCK_HALF)
    half_mask = at < HALF
    mask = (rows < row_count)[:, None] & half_mask[None, :]
    first = packed + rows[:, None] * packed_stride + (head * 2 * HALF + at)[None, :]
    lower = tl.load(first, mask=mask, other=0.0).to(tl.float32)
    upper = tl.load(first + HALF, mask=mask, other=0.0).to(tl.float32)
    r = tl.rsqrt((tl.sum(lower * lower, 1) + tl.sum(upper * upper, 1)) / (2 * HALF) + epsilon)[:, None]
    kind = out.dtype.element_ty
    weight = q_weight
    if head >= q_heads:
        weight = k_weight
    lower = (lower * r).to(kind).to(tl.float32) * tl.load(weight + at, mask=half_mask).to(tl.float32)[None, :]
    upper = (upper * r).to(kind).to(tl.float32) * tl.load(weight + HALF + at, mask=half_mask).to(tl.float32)[
        None, :
    ]
    angle = (rows % cos_rows)[:, None] * cos_stride + at[None, :]
    c = tl.load(cos + angle, mask=mask, other=0.0).to(tl.float32)
    s = tl.load(sin + angle, mask=mask, other=0.0).to(tl.float32)
    to = out + rows[:, None] * out_stride + (head * 2 * HALF + at)[None, :]
    tl.store(to, lower * c - upper * s, mask=mask)
    tl.store(to + HALF, upper * c + lower * s, mask=mask)


@triton.jit
def _backward(
    grad_q, grad_k, grad_v, q_weight, k_weight, cos, sin, packed,
    q_b, q_h, q_s, k_b, k_h, k_s, v_b, v_h, v_s, packed_stride, cos_stride,
    row_count, cos_rows, length, q_heads, kv_heads, epsilon,
    HALF: tl.constexpr, BLOCK_HALF: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(0)
    rows = tl.program_id(1).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    at = tl.arange(0, BLOCK_HALF)
    half_mask = at < HALF
    mask = (rows < row_count)[:, None] & half_mask[None, :]
    batch, place = rows // length, rows % length
    is_value = head >= q_heads + kv_heads
    weight = q_weight
    if is_value:
        first = grad_v + (batch * v_b + place * v_s)[:, None] + (head - q_heads - kv_heads) * v_h
    elif head >= q_heads:
        first = grad_k + (batch * k_b + place * k_s)[:, None] + (head - q_heads) * k_h
        weight = k_weight
    else:
        first = grad_q + (batch * q_b + place * q_s)[:, None] + head * q_h
    lower = tl.load(first + at[None, :], mask=mask, other=0.0).to(tl.float32)
    upper = tl.load(first + at[None, :] + HALF, mask=mask, other=0.0).to(tl.float32)
    out = packed + rows[:, None] * packed_stride + (head * 2 * HALF + at)[None, :]
    if not is_value:
        angle = (rows % cos_rows)[:, None] * cos_stride + at[None, :]
        c = tl.load(cos + angle, mask=mask, other=0.0).to(tl.float32)
        s = tl.load(sin + angle, mask=mask, other=0.0).to(tl.float32)
        by_lower = (lower * c + upper * s) * tl.load(weight + at, mask=half_mask).to(tl.float32)[None, :]
        by_upper = (upper * c - lower * s) * tl.load(weight + HALF + at, mask=half_mask).to(tl.float32)[
            None, :
        ]
        x_lower = tl.load(out, mask=mask, other=0.0).to(tl.float32)
        x_upper = tl.load(out + HALF, mask=mask, other=0.0).to(tl.float32)
        r = tl.rsqrt((tl.sum(x_lower * x_lower, 1) + tl.sum(x_upper * x_upper, 1)) / (2 * HALF) + epsilon)[
            :, None
        ]
        along = (tl.sum(by_lower * x_lower, 1) + tl.sum(by_upper * x_upper, 1))[:, None] / (2 * HALF) * r * r
        lower = r * (by_lower - x_lower * along)
        upper = r * (by_upper - x_upper * along)
    tl.store(out, lower, mask=mask)
    tl.store(out + HALF, upper, mask=mask)


def norm_and_rotate(
    packed: Tensor,
    q_weight: Tensor,
    k_weight: Tensor,
    cos: Tensor,
    sin: Tensor,
    q_heads: int,
    epsilon: float,
    out: Tensor,
) -> None:
    """Launch `norm_and_rotate` of packed/normed_rotary.py."""
    rows, half = len(packed), cos.shape[-1] // 2
    cos, sin = cos.flatten(0, -2), sin.flatten(0, -2)
    _forward[(out.shape[1] // (2 * half), triton.cdiv(rows, ROWS))](
        packed, q_weight, k_weight, cos, sin, out, packed.stride(0), out.stride(0), cos.stride(0),
        rows, len(cos), q_heads, epsilon,
        HALF=half, BLOCK_HALF=max(16, triton.next_power_of_2(half)), ROWS=ROWS, num_warps=8,
    )  # fmt: skip


def pack_unnormed_(
    packed: Tensor,
    grad_q: Tensor,
    grad_k: Tensor,
    grad_v: Tensor,
    q_weight: Tensor,
    k_weight: Tensor,
    cos: Tensor,
    sin: Tensor,
    epsilon: float,
) -> None:
    """Launch `pack_unnormed_` of packed/normed_rotary.py."""
    rows, half = len(packed), cos.shape[-1] // 2
    cos, sin = cos.flatten(0, -2), sin.flatten(0, -2)
    _, q_heads, length, _ = grad_q.shape
    kv_heads = grad_k.shape[1]
    _backward[(q_heads + 2 * kv_heads, triton.cdiv(rows, ROWS))](
        grad_q, grad_k, grad_v, q_weight, k_weight, cos, sin, packed,
        *grad_q.stride()[:3], *grad_k.stride()[:3], *grad_v.stride()[:3], packed.stride(0), cos.stride(0),
        rows, len(cos), length, q_heads, kv_heads, epsilon,
        HALF=half, BLOCK_HALF=max(16, triton.next_power_of_2(half)), ROWS=ROWS, num_warps=8,
    )  # fmt: skip
