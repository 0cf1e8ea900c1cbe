"""The gated activation of packed gate and up, and its gradients."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

#: Rows and columns of a tile.
ROWS, COLUMNS = 32, 128


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
    s = _sigmoid(gate)
    return gate * s, s * (1.0 + gate * (1.0 - s))


@triton.jit
def _forward(
    packed, out, packed_stride, out_stride, row_count, width,
    GELU: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(1).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    mask = (rows < row_count)[:, None] & (columns < width)[None, :]
    first = packed + rows[:, None] * packed_stride + columns[None, :]
    gate = tl.load(first, mask=mask, other=0.0).to(tl.float32)
    up = tl.load(first + width, mask=mask, other=0.0).to(tl.float32)
    activated, _ = _activated(gate, GELU)
    tl.store(out + rows[:, None] * out_stride + columns[None, :], activated * up, mask=mask)


@triton.jit
def _backward(
    packed, grad, packed_stride, grad_stride, row_count, width,
    GELU: tl.constexpr, KEEP: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(1).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    mask = (rows < row_count)[:, None] & (columns < width)[None, :]
    first = packed + rows[:, None] * packed_stride + columns[None, :]
    gate = tl.load(first, mask=mask, other=0.0).to(tl.float32)
    up = tl.load(first + width, mask=mask, other=0.0).to(tl.float32)
    at = grad + rows[:, None] * grad_stride + columns[None, :]
    incoming = tl.load(at, mask=mask, other=0.0).to(tl.float32)
    activated, slope = _activated(gate, GELU)
    tl.store(first, incoming * up * slope, mask=mask)
    tl.store(first + width, incoming * activated, mask=mask)
    if KEEP:
        tl.store(at, activated * up, mask=mask)


def forward(packed: Tensor, activation: str, out: Tensor) -> None:
    """Launch `gated` of packed/gated.py."""
    rows, width = out.shape
    _forward[(triton.cdiv(width, COLUMNS), triton.cdiv(rows, ROWS))](
        packed, out, packed.stride(0), out.stride(0), rows, width,
        GELU=activation == "gelu", ROWS=ROWS, COLUMNS=COLUMNS, num_warps=4,
    )  # fmt: skip


def backward_(packed: Tensor, activation: str, grad: Tensor, keep: bool) -> None:
    """Launch `gated_backward_` of packed/gated.py."""
    rows, width = grad.shape
    _backward[(triton.cdiv(width, COLUMNS), triton.cdiv(rows, ROWS))](
        packed, grad, packed.stride(0), grad.stride(0), rows, width,
        GELU=activation == "gelu", KEEP=keep, ROWS=ROWS, COLUMNS=COLUMNS, num_warps=4,
    )  # fmt: skip
