"""The gated activation of packed gate and up, and its gradients."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from lorafa_prof.layers.triton_kernels.low_rank import (
    LOOP_ROWS,
    ROW_PROGRAMS,
    add_low_rank_tile,
    factor_tile,
    rank_block,
    stages,
)

#: Rows and columns of a tile without products.
ROWS, COLUMNS = 32, 128
#: Columns of a tile with products, three factors of which a program holds.
PRODUCTS_COLUMNS = 64


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
def _gate_and_up(
    first, low, b, of_gate, of_up, rows, columns, row_mask, column_mask, width, low_stride, b_stride, up_low,
    RANK: tl.constexpr, BLOCK_RANK: tl.constexpr,
):  # fmt: skip
    """Return the tiles of gate, which lies at `first`, and up, with what their adapters add."""
    mask = row_mask & column_mask
    gate = tl.load(first, mask=mask, other=0.0).to(tl.float32)
    up = tl.load(first + width, mask=mask, other=0.0).to(tl.float32)
    if RANK > 0:
        gate = add_low_rank_tile(
            gate, low, b, of_gate, rows, columns, row_mask, column_mask, low_stride, b_stride, 1, RANK, BLOCK_RANK
        )  # fmt: skip
        up = add_low_rank_tile(
            up, low + up_low, b + width * b_stride, of_up, rows, columns, row_mask, column_mask, low_stride, b_stride,
            1, RANK, BLOCK_RANK,
        )  # fmt: skip
    return gate, up


@triton.jit
def _forward(
    packed, low, b, out, packed_stride, low_stride, b_stride, out_stride, row_count, width, up_low,
    GELU: tl.constexpr, RANK: tl.constexpr, BLOCK_RANK: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    column_mask = (columns < width)[None, :]
    of_gate = 0.0
    of_up = 0.0
    if RANK > 0:
        of_gate = factor_tile(b, columns, column_mask, 0, b_stride, 1, RANK, BLOCK_RANK)
        of_up = factor_tile(b + width * b_stride, columns, column_mask, 0, b_stride, 1, RANK, BLOCK_RANK)
    for start in tl.range(tl.program_id(1) * ROWS, row_count, tl.num_programs(1) * ROWS, num_stages=STAGES):
        rows = (start + tl.arange(0, ROWS)).to(tl.int64)
        row_mask = (rows < row_count)[:, None]
        first = packed + rows[:, None] * packed_stride + columns[None, :]
        gate, up = _gate_and_up(
            first, low, b, of_gate, of_up, rows, columns, row_mask, column_mask, width, low_stride, b_stride, up_low,
            RANK, BLOCK_RANK,
        )  # fmt: skip
        activated, _ = _activated(gate, GELU)
        to = out + rows[:, None] * out_stride + columns[None, :]
        tl.store(to, activated * up, mask=row_mask & column_mask)


@triton.jit
def _backward(
    packed, low, b, grad, grad_low, a, packed_stride, low_stride, b_stride, grad_stride, grad_low_stride, a_stride,
    row_count, width, up_low,
    GELU: tl.constexpr, KEEP: tl.constexpr, RANK: tl.constexpr, BLOCK_RANK: tl.constexpr,
    GRAD_RANK: tl.constexpr, GRAD_BLOCK_RANK: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    column_mask = (columns < width)[None, :]
    of_gate = 0.0
    of_up = 0.0
    of_grad = 0.0
    if RANK > 0:
        of_gate = factor_tile(b, columns, column_mask, 0, b_stride, 1, RANK, BLOCK_RANK)
        of_up = factor_tile(b + width * b_stride, columns, column_mask, 0, b_stride, 1, RANK, BLOCK_RANK)
    if GRAD_RANK > 0:
        of_grad = factor_tile(a, columns, column_mask, 0, 1, a_stride, GRAD_RANK, GRAD_BLOCK_RANK)
    for start in tl.range(tl.program_id(1) * ROWS, row_count, tl.num_programs(1) * ROWS, num_stages=STAGES):
        rows = (start + tl.arange(0, ROWS)).to(tl.int64)
        row_mask = (rows < row_count)[:, None]
        mask = row_mask & column_mask
        first = packed + rows[:, None] * packed_stride + columns[None, :]
        gate, up = _gate_and_up(
            first, low, b, of_gate, of_up, rows, columns, row_mask, column_mask, width, low_stride, b_stride, up_low,
            RANK, BLOCK_RANK,
        )  # fmt: skip
        at = grad + rows[:, None] * grad_stride + columns[None, :]
        incoming = tl.load(at, mask=mask, other=0.0).to(tl.float32)
        if GRAD_RANK > 0:
            incoming = add_low_rank_tile(
                incoming, grad_low, a, of_grad, rows, columns, row_mask, column_mask, grad_low_stride, 1, a_stride,
                GRAD_RANK, GRAD_BLOCK_RANK,
            )  # fmt: skip
        activated, slope = _activated(gate, GELU)
        tl.store(first, incoming * up * slope, mask=mask)
        tl.store(first + width, incoming * activated, mask=mask)
        if KEEP:
            tl.store(at, activated * up, mask=mask)


def _rank(factor: Tensor | None, dimension: int) -> int:
    """Return the rank of a factor, 0 without it."""
    return 0 if factor is None else factor.shape[dimension]


def _stride(x: Tensor | None) -> int:
    return 0 if x is None else x.stride(0)


def _grid_and_tile(out: Tensor, with_products: bool) -> tuple[tuple[int, int], dict[str, int]]:
    """Return how many programs go across and down, and their tiles: with products they go down the rows."""
    rows, width = out.shape
    if with_products:
        grid = triton.cdiv(width, PRODUCTS_COLUMNS), min(ROW_PROGRAMS, triton.cdiv(rows, LOOP_ROWS))
        return grid, {
            "ROWS": LOOP_ROWS, "COLUMNS": PRODUCTS_COLUMNS, "STAGES": stages(out), "num_warps": 4
        }  # fmt: skip
    grid = triton.cdiv(width, COLUMNS), triton.cdiv(rows, ROWS)
    return grid, {"ROWS": ROWS, "COLUMNS": COLUMNS, "STAGES": 1, "num_warps": 4}


def forward(packed: Tensor, low: Tensor | None, b: Tensor | None, activation: str, out: Tensor) -> None:
    """Launch `gated` of packed/gated.py; rows of b are dense."""
    rank = _rank(b, 1)
    grid, tile = _grid_and_tile(out, rank > 0)
    _forward[grid](
        packed, low, b, out, packed.stride(0), _stride(low), _stride(b), out.stride(0), *out.shape,
        0 if low is None else low.shape[1] - rank,
        GELU=activation == "gelu", RANK=rank, BLOCK_RANK=rank_block(rank), **tile,
    )  # fmt: skip


def backward_(
    packed: Tensor,
    low: Tensor | None,
    b: Tensor | None,
    activation: str,
    grad: Tensor,
    grad_low: Tensor | None,
    a: Tensor | None,
    keep: bool,
) -> None:
    """Launch `gated_backward_` of packed/gated.py; rows of b and a are dense."""
    rank, grad_rank = _rank(b, 1), _rank(a, 0)
    grid, tile = _grid_and_tile(grad, rank > 0 or grad_rank > 0)
    _backward[grid](
        packed, low, b, grad, grad_low, a,
        packed.stride(0), _stride(low), _stride(b), grad.stride(0), _stride(grad_low), _stride(a), *grad.shape,
        0 if low is None else low.shape[1] - rank,
        GELU=activation == "gelu", KEEP=keep, RANK=rank, BLOCK_RANK=rank_block(rank),
        GRAD_RANK=grad_rank, GRAD_BLOCK_RANK=rank_block(grad_rank), **tile,
    )  # fmt: skip
