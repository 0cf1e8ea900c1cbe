"""The gated activation of packed gate and up, and its gradients, with the adapters of all three products."""

from __future__ import annotations

from collections.abc import Sequence

import triton
import triton.language as tl
from torch import Tensor

from lorafa_prof.layers.triton_kernels.low_rank import COLUMNS, ROWS, low_rank, rank_block


@triton.jit
def _sigmoid(value):
    return 1.0 / (1.0 + tl.exp(-value))


@triton.jit
def _tanh(value):
    return 2.0 * _sigmoid(2.0 * value) - 1.0


@triton.jit
def _activated(gate, GELU: tl.constexpr):
    """Return the activation of `gate` and its derivative."""
    if GELU:
        inner = 0.7978845608028654 * (gate + 0.044715 * gate * gate * gate)
        t = _tanh(inner)
        slope = 0.7978845608028654 * (1.0 + 0.134145 * gate * gate)
        return 0.5 * gate * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * gate * (1.0 - t * t) * slope
    else:
        s = _sigmoid(gate)
        return gate * s, s * (1.0 + gate * (1.0 - s))


@triton.jit
def _gate_and_up(
    packed, low, b, packed_stride, low_stride, scale_gate, scale_up, rows, row_mask, columns, column_mask, width,
    HAS_LOW: tl.constexpr, RANK: tl.constexpr, BLOCK_RANK: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    mask = row_mask[:, None] & column_mask[None, :]
    first = packed + rows[:, None] * packed_stride + columns[None, :]
    gate = tl.load(first, mask=mask, other=0.0).to(tl.float32)
    up = tl.load(first + width, mask=mask, other=0.0).to(tl.float32)
    if HAS_LOW:
        gate += scale_gate * low_rank(
            low, low_stride, b, rows, row_mask, columns, column_mask, RANK, BLOCK_RANK, ROWS, COLUMNS
        )
        up += scale_up * low_rank(
            low + RANK, low_stride, b, rows, row_mask, columns + width, column_mask, RANK, BLOCK_RANK, ROWS, COLUMNS
        )
    return gate, up


@triton.jit
def _forward(
    packed, low, b, out, packed_stride, low_stride, out_stride, scale_gate, scale_up, row_count, width,
    GELU: tl.constexpr, HAS_LOW: tl.constexpr, RANK: tl.constexpr, BLOCK_RANK: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(1).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    row_mask, column_mask = rows < row_count, columns < width
    gate, up = _gate_and_up(
        packed, low, b, packed_stride, low_stride, scale_gate, scale_up, rows, row_mask, columns, column_mask,
        width, HAS_LOW, RANK, BLOCK_RANK, ROWS, COLUMNS,
    )  # fmt: skip
    activated, _ = _activated(gate, GELU)
    mask = row_mask[:, None] & column_mask[None, :]
    tl.store(out + rows[:, None] * out_stride + columns[None, :], activated * up, mask=mask)


@triton.jit
def _backward(
    packed, low, b, grad, grad_low, a, packed_stride, low_stride, grad_stride, grad_low_stride, a_stride,
    scale_gate, scale_up, row_count, width,
    GELU: tl.constexpr, KEEP: tl.constexpr, HAS_LOW: tl.constexpr, RANK: tl.constexpr, BLOCK_RANK: tl.constexpr,
    HAS_DOWN: tl.constexpr, DOWN_RANK: tl.constexpr, DOWN_BLOCK: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(1).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    row_mask, column_mask = rows < row_count, columns < width
    mask = row_mask[:, None] & column_mask[None, :]
    gate, up = _gate_and_up(
        packed, low, b, packed_stride, low_stride, scale_gate, scale_up, rows, row_mask, columns, column_mask,
        width, HAS_LOW, RANK, BLOCK_RANK, ROWS, COLUMNS,
    )  # fmt: skip
    at = grad + rows[:, None] * grad_stride + columns[None, :]
    incoming = tl.load(at, mask=mask, other=0.0).to(tl.float32)
    if HAS_DOWN:
        for start in tl.static_range(0, DOWN_RANK, DOWN_BLOCK):
            ranks = start + tl.arange(0, DOWN_BLOCK)
            left = tl.load(
                grad_low + rows[:, None] * grad_low_stride + ranks[None, :],
                mask=row_mask[:, None] & (ranks < DOWN_RANK)[None, :],
                other=0.0,
            )
            right = tl.load(
                a + ranks[:, None] * a_stride + columns[None, :],
                mask=(ranks < DOWN_RANK)[:, None] & column_mask[None, :],
                other=0.0,
            )
            incoming = tl.dot(left, right, incoming, input_precision="ieee")
    activated, slope = _activated(gate, GELU)
    first = packed + rows[:, None] * packed_stride + columns[None, :]
    tl.store(first, incoming * up * slope, mask=mask)
    tl.store(first + width, incoming * activated, mask=mask)
    if KEEP:
        tl.store(at, activated * up, mask=mask)


def forward(
    packed: Tensor,
    low: Tensor | None,
    b: Tensor | None,
    scales: Sequence[float],
    activation: str,
    out: Tensor,
) -> None:
    """Launch `gated` of packed/gated.py."""
    rows, width = out.shape
    rank = 0 if b is None else b.shape[1]
    _forward[(triton.cdiv(width, COLUMNS), triton.cdiv(rows, ROWS))](
        packed, packed if low is None else low, packed if b is None else b, out,
        packed.stride(0), 0 if low is None else low.stride(0), out.stride(0), *scales, rows, width,
        GELU=activation == "gelu", HAS_LOW=b is not None, RANK=rank, BLOCK_RANK=rank_block(rank),
        ROWS=ROWS, COLUMNS=COLUMNS, num_warps=8,
    )  # fmt: skip


def backward_(
    packed: Tensor,
    low: Tensor | None,
    b: Tensor | None,
    scales: Sequence[float],
    activation: str,
    grad: Tensor,
    grad_low: Tensor | None,
    a: Tensor | None,
    keep: bool,
) -> None:
    """Launch `gated_backward_` of packed/gated.py."""
    rows, width = grad.shape
    rank = 0 if b is None else b.shape[1]
    down_rank = 0 if a is None else a.shape[0]
    _backward[(triton.cdiv(width, COLUMNS), triton.cdiv(rows, ROWS))](
        packed, packed if low is None else low, packed if b is None else b, grad,
        grad if grad_low is None else grad_low, grad if a is None else a,
        packed.stride(0), 0 if low is None else low.stride(0), grad.stride(0),
        0 if grad_low is None else grad_low.stride(0), 0 if a is None else a.stride(0), *scales, rows, width,
        GELU=activation == "gelu", KEEP=keep, HAS_LOW=b is not None, RANK=rank, BLOCK_RANK=rank_block(rank),
        HAS_DOWN=a is not None, DOWN_RANK=down_rank, DOWN_BLOCK=rank_block(down_rank),
        ROWS=ROWS, COLUMNS=COLUMNS, num_warps=8,
    )  # fmt: skip
