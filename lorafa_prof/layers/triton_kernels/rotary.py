"""Rotary embedding on packed queries and keys, and the gradients turned back."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

#: Rows of a tile; its columns are those of half a head.
ROWS = 32


@triton.jit
def _rotate(
    packed, cos, sin, packed_stride, cos_stride, row_count, cos_rows,
    HALF: tl.constexpr, BLOCK_HALF: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(0)
    rows = tl.program_id(1).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    at = tl.arange(0, BLOCK_HALF)
    mask = (rows < row_count)[:, None] & (at < HALF)[None, :]
    first = packed + rows[:, None] * packed_stride + (head * 2 * HALF + at)[None, :]
    lower = tl.load(first, mask=mask, other=0.0).to(tl.float32)
    upper = tl.load(first + HALF, mask=mask, other=0.0).to(tl.float32)
    angle = (rows % cos_rows)[:, None] * cos_stride + at[None, :]
    c = tl.load(cos + angle, mask=mask, other=0.0).to(tl.float32)
    s = tl.load(sin + angle, mask=mask, other=0.0).to(tl.float32)
    tl.store(first, lower * c - upper * s, mask=mask)
    tl.store(first + HALF, upper * c + lower * s, mask=mask)


@triton.jit
def _unrotate(
    grad_q, grad_k, grad_v, cos, sin, packed,
    q_b, q_h, q_s, k_b, k_h, k_s, v_b, v_h, v_s, packed_stride, cos_stride,
    row_count, cos_rows, length, q_heads, kv_heads,
    HALF: tl.constexpr, BLOCK_HALF: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(0)
    rows = tl.program_id(1).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    at = tl.arange(0, BLOCK_HALF)
    mask = (rows < row_count)[:, None] & (at < HALF)[None, :]
    batch, place = rows // length, rows % length
    is_value = head >= q_heads + kv_heads
    if is_value:
        first = grad_v + (batch * v_b + place * v_s)[:, None] + (head - q_heads - kv_heads) * v_h
    elif head >= q_heads:
        first = grad_k + (batch * k_b + place * k_s)[:, None] + (head - q_heads) * k_h
    else:
        first = grad_q + (batch * q_b + place * q_s)[:, None] + head * q_h
    lower = tl.load(first + at[None, :], mask=mask, other=0.0).to(tl.float32)
    upper = tl.load(first + at[None, :] + HALF, mask=mask, other=0.0).to(tl.float32)
    if not is_value:
        angle = (rows % cos_rows)[:, None] * cos_stride + at[None, :]
        c = tl.load(cos + angle, mask=mask, other=0.0).to(tl.float32)
        s = tl.load(sin + angle, mask=mask, other=0.0).to(tl.float32)
        turned = lower * c + upper * s
        upper = upper * c - lower * s
        lower = turned
    out = packed + rows[:, None] * packed_stride + (head * 2 * HALF + at)[None, :]
    tl.store(out, lower, mask=mask)
    tl.store(out + HALF, upper, mask=mask)


def rotate_(packed: Tensor, cos: Tensor, sin: Tensor, heads: int) -> None:
    """Launch `rotate_` of packed/rotary.py."""
    rows, half = len(packed), cos.shape[-1] // 2
    cos, sin = cos.flatten(0, -2), sin.flatten(0, -2)
    _rotate[(heads, triton.cdiv(rows, ROWS))](
        packed, cos, sin, packed.stride(0), cos.stride(0), rows, len(cos),
        HALF=half, BLOCK_HALF=max(16, triton.next_power_of_2(half)), ROWS=ROWS, num_warps=8,
    )  # fmt: skip


def pack_unrotated(
    grad_q: Tensor, grad_k: Tensor, grad_v: Tensor, cos: Tensor, sin: Tensor, packed: Tensor
) -> None:
    """Launch `pack_unrotated` of packed/rotary.py."""
    rows, half = len(packed), cos.shape[-1] // 2
    cos, sin = cos.flatten(0, -2), sin.flatten(0, -2)
    _, q_heads, length, _ = grad_q.shape
    kv_heads = grad_k.shape[1]
    _unrotate[(q_heads + 2 * kv_heads, triton.cdiv(rows, ROWS))](
        grad_q, grad_k, grad_v, cos, sin, packed,
        *grad_q.stride()[:3], *grad_k.stride()[:3], *grad_v.stride()[:3], packed.stride(0), cos.stride(0),
        rows, len(cos), length, q_heads, kv_heads,
        HALF=half, BLOCK_HALF=max(16, triton.next_power_of_2(half)), ROWS=ROWS, num_warps=8,
    )  # fmt: skip
