"""The gated activation of packed gate and up, and its gradients."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from lorafa_prof.layers.triton_kernels.low_rank import low_rank_tile, rank_block

#: Rows and columns of a tile without products.
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
def _gate_and_up(
    packed, low, b, rows, columns, row_mask, column_mask, width, packed_stride, low_stride, b_stride, up_low,
    RANK: tl.constexpr, BLOCK_RANK: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Return where gate's tile lies, and the tiles of gate and up with what their adapters add."""
    mask = row_mask & column_mask
    first = packed + rows[:, None] * packed_stride + columns[None, :]
    gate = tl.load(first, mask=mask, other=0.0).to(tl.float32)
    up = tl.load(first + width, mask=mask, other=0.0).to(tl.float32)
    if RANK > 0:
        gate += low_rank_tile(
            low, b, rows, columns, row_mask, column_mask, low_stride, b_stride, 1, RANK, BLOCK_RANK, ROWS, COLUMNS
        )  # fmt: skip
        up += low_rank_tile(
            low + up_low, b + width * b_stride, rows, columns, row_mask, column_mask, low_stride, b_stride, 1,
            RANK, BLOCK_RANK, ROWS, COLUMNS,
        )  # fmt: skip
    return first, gate, up


@triton.jit
def _forward(
    packed, low, b, out, packed_stride, low_stride, b_stride, out_stride, row_count, width, up_low,
    GELU: tl.constexpr, RANK: tl.constexpr, BLOCK_RANK: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(1).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    row_mask, column_mask = (rows < row_count)[:, None], (columns < width)[None, :]
    _, gate, up = _gate_and_up(
        packed, low, b, rows, columns, row_mask, column_mask, width, packed_stride, low_stride, b_stride,
        up_low, RANK, BLOCK_RANK, ROWS, COLUMNS,
    )  # fmt: skip
    activated, _ = _activated(gate, GELU)
    tl.store(out + rows[:, None] * out_stride + columns[None, :], activated * up, mask=row_mask & column_mask)


@triton.jit
def _backward(
    packed, low, b, grad, grad_low, a, packed_stride, low_stride, b_stride, grad_stride, grad_low_stride, a_stride,
    row_count, width, up_low,
    GELU: tl.constexpr, KEEP: tl.constexpr, RANK: tl.constexpr, BLOCK_RANK: tl.constexpr,
    GRAD_RANK: tl.constexpr, GRAD_BLOCK_RANK: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(1).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    row_mask, column_mask = (rows < row_count)[:, None], (columns < width)[None, :]
    mask = row_mask & column_mask
    first, gate, up = _gate_and_up(
        packed, low, b, rows, columns, row_mask, column_mask, width, packed_stride, low_stride, b_stride,
        up_low, RANK, BLOCK_RANK, ROWS, COLUMNS,
    )  # fmt: skip
    at = grad + rows[:, None] * grad_stride + columns[None, :]
    incoming = tl.load(at, mask=mask, other=0.0).to(tl.float32)
    if GRAD_RANK > 0:
        incoming += low_rank_tile(
            grad_low, a, rows, columns, row_mask, column_mask, grad_low_stride, 1, a_stride,
            GRAD_RANK, GRAD_BLOCK_RANK, ROWS, COLUMNS,
        )  # fmt: skip
    activated, slope = _activated(gate, GELU)
    tl.store(first, incoming * up * slope, mask=mask)
    tl.store(first + width, incoming * activated, mask=mask)
    if KEEP:
        tl.store(at, activated * up, mask=mask)


def _ranks(low: Tensor | None, factor: Tensor | None, by_rows: bool) -> tuple[int, int]:
    """Return the rank of a factor, 0 without it, and how many columns of low a tile has."""
    rank = 0 if low is None or factor is None else factor.shape[1 if by_rows else 0]
    return rank, rank_block(rank)


def _tile(with_products: bool) -> dict[str, int]:
    """Return rows, columns and warps of a tile: factors of products are read again for each row of tiles."""
    if with_products:
        return {"ROWS": 2 * ROWS, "COLUMNS": COLUMNS, "num_warps": 8}
    return {"ROWS": ROWS, "COLUMNS": COLUMNS, "num_warps": 4}


def _grid(rows: int, width: int, tile: dict[str, int]) -> tuple[int, int]:
    return triton.cdiv(width, tile["COLUMNS"]), triton.cdiv(rows, tile["ROWS"])


def _up_low(low: Tensor | None, rank: int) -> int:
    """Return where up's columns of low begin."""
    return 0 if low is None else low.shape[1] - rank


def _stride(x: Tensor | None) -> int:
    return 0 if x is None else x.stride(0)


def forward(packed: Tensor, low: Tensor | None, b: Tensor | None, activation: str, out: Tensor) -> None:
    """Launch `gated` of packed/gated.py; rows of b are dense."""
    rows, width = out.shape
    rank, block_rank = _ranks(low, b, True)
    tile = _tile(rank > 0)
    _forward[_grid(rows, width, tile)](
        packed, low, b, out, packed.stride(0), _stride(low), _stride(b), out.stride(0), rows, width, _up_low(low, rank),
        GELU=activation == "gelu", RANK=rank, BLOCK_RANK=block_rank, **tile,
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
    rows, width = grad.shape
    (rank, block_rank), (grad_rank, grad_block_rank) = _ranks(low, b, True), _ranks(grad_low, a, False)
    tile = _tile(rank > 0 or grad_rank > 0)
    _backward[_grid(rows, width, tile)](
        packed, low, b, grad, grad_low, a,
        packed.stride(0), _stride(low), _stride(b), grad.stride(0), _stride(grad_low), _stride(a), rows, width,
        _up_low(low, rank),
        GELU=activation == "gelu", KEEP=keep, RANK=rank, BLOCK_RANK=block_rank,
        GRAD_RANK=grad_rank, GRAD_BLOCK_RANK=grad_block_rank, **tile,
    )  # fmt: skip
