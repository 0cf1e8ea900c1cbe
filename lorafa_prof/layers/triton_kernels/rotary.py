"""Rotary embedding on packed queries and keys, with the adapters of queries, keys and values added."""

from __future__ import annotations

from collections.abc import Sequence

import triton
import triton.language as tl
from torch import Tensor

from lorafa_prof.layers.triton_kernels.low_rank import low_rank, rank_block

#: Rows of a tile; its columns are those of half a head.
ROWS = 64


@triton.jit
def _rotate(
    packed, low, b, cos, sin, packed_stride, low_stride, cos_stride, scale_q, scale_k, scale_v,
    row_count, cos_rows, q_heads, kv_heads,
    HAS_LOW: tl.constexpr, RANK: tl.constexpr, BLOCK_RANK: tl.constexpr,
    HALF: tl.constexpr, BLOCK_HALF: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(0)
    rows = tl.program_id(1).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    at = tl.arange(0, BLOCK_HALF)
    row_mask, half_mask = rows < row_count, at < HALF
    mask = row_mask[:, None] & half_mask[None, :]
    first = packed + rows[:, None] * packed_stride + (head * 2 * HALF + at)[None, :]
    lower = tl.load(first, mask=mask, other=0.0).to(tl.float32)
    upper = tl.load(first + HALF, mask=mask, other=0.0).to(tl.float32)
    is_value = head >= q_heads + kv_heads
    if HAS_LOW:
        part = tl.where(is_value, 2, tl.where(head >= q_heads, 1, 0))
        scale = tl.where(is_value, scale_v, tl.where(head >= q_heads, scale_k, scale_q))
        of_part = low + part * RANK
        columns = head * 2 * HALF + at
        lower += scale * low_rank(
            of_part, low_stride, b, rows, row_mask, columns, half_mask, RANK, BLOCK_RANK, ROWS, BLOCK_HALF
        )
        upper += scale * low_rank(
            of_part, low_stride, b, rows, row_mask, columns + HALF, half_mask, RANK, BLOCK_RANK, ROWS, BLOCK_HALF
        )
    if not is_value:
        angle = (rows % cos_rows)[:, None] * cos_stride + at[None, :]
        c = tl.load(cos + angle, mask=mask, other=0.0).to(tl.float32)
        s = tl.load(sin + angle, mask=mask, other=0.0).to(tl.float32)
        turned = lower * c - upper * s
        upper = upper * c + lower * s
        lower = turned
    tl.store(first, lower, mask=mask)
    tl.store(first + HALF, upper, mask=mask)


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


def rotate_(
    packed: Tensor,
    low: Tensor | None,
    b: Tensor | None,
    scales: Sequence[float],
    cos: Tensor,
    sin: Tensor,
    q_heads: int,
    kv_heads: int,
) -> None:
    """Launch `rotate_` of packed/rotary.py."""
    rows, half, rank = len(packed), cos.shape[-1] // 2, 0 if b is None else b.shape[1]
    cos, sin = cos.flatten(0, -2), sin.flatten(0, -2)
    heads = q_heads + (kv_heads if b is None else 2 * kv_heads)
    _rotate[(heads, triton.cdiv(rows, ROWS))](
        packed, packed if low is None else low, packed if b is None else b, cos, sin,
        packed.stride(0), 0 if low is None else low.stride(0), cos.stride(0), *scales,
        rows, len(cos), q_heads, kv_heads,
        HAS_LOW=b is not None, RANK=rank, BLOCK_RANK=rank_block(rank),
        HALF=half, BLOCK_HALF=max(16, triton.next_power_of_2(half)), ROWS=ROWS, num_warps=4,
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
        HALF=half, BLOCK_HALF=max(16, triton.next_power_of_2(half)), ROWS=ROWS, num_warps=4,
    )  # fmt: skip
