"""A residual and a low-rank product, added in one pass; dropout by a number's place."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

#: Columns of the low-rank product that are multiplied at once.
WIDEST = 64
#: Rows and columns of a tile.
ROWS, COLUMNS = 64, 128


def rank_block(rank: int) -> int:
    """Return how many columns of a rank are multiplied at once: a tile's least width is 16."""
    return min(WIDEST, max(16, triton.next_power_of_2(rank)))


@triton.jit
def low_rank_tile(
    low, b, rows, columns, row_mask, column_mask, low_stride, b_stride, b_rank_stride,
    RANK: tl.constexpr, BLOCK_RANK: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Return a tile of low bᵀ, for low [n, RANK] and b [m, RANK]."""
    product = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
    for start in tl.static_range(0, RANK, BLOCK_RANK):
        ranks = start + tl.arange(0, BLOCK_RANK)
        left = tl.load(
            low + rows[:, None] * low_stride + ranks[None, :],
            mask=row_mask & (ranks < RANK)[None, :],
            other=0.0,
        )
        right = tl.load(
            b + columns[None, :] * b_stride + ranks[:, None] * b_rank_stride,
            mask=column_mask & (ranks < RANK)[:, None],
            other=0.0,
        )
        product = tl.dot(left, right, product, input_precision="ieee")
    return product


@triton.jit
def _add(
    residual, addend, low, b, out, residual_stride, addend_stride, low_stride, b_stride, b_rank_stride, out_stride,
    seed, probability, row_count, column_count,
    HAS_ADDEND: tl.constexpr, DROPS: tl.constexpr, RANK: tl.constexpr, BLOCK_RANK: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    row_mask, column_mask = (rows < row_count)[:, None], (columns < column_count)[None, :]
    mask = row_mask & column_mask
    value = tl.load(residual + rows[:, None] * residual_stride + columns[None, :], mask=mask).to(tl.float32)
    if HAS_ADDEND:
        value += tl.load(addend + rows[:, None] * addend_stride + columns[None, :], mask=mask).to(tl.float32)
    product = low_rank_tile(
        low, b, rows, columns, row_mask, column_mask, low_stride, b_stride, b_rank_stride,
        RANK, BLOCK_RANK, ROWS, COLUMNS,
    )  # fmt: skip
    if DROPS:
        share = tl.rand(seed, rows[:, None] * column_count + columns[None, :])
        product = tl.where(share >= probability, product / (1 - probability), 0.0)
    tl.store(out + rows[:, None] * out_stride + columns[None, :], value + product, mask=mask)


@triton.jit
def _drop(
    x, out, x_stride, out_stride, seed, probability, row_count, column_count,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    mask = (rows < row_count)[:, None] & (columns < column_count)[None, :]
    value = tl.load(x + rows[:, None] * x_stride + columns[None, :], mask=mask).to(tl.float32)
    share = tl.rand(seed, rows[:, None] * column_count + columns[None, :])
    value = tl.where(share >= probability, value / (1 - probability), 0.0)
    tl.store(out + rows[:, None] * out_stride + columns[None, :], value, mask=mask)


def drop(x: Tensor, seed: int, probability: float, out: Tensor) -> None:
    """Launch `drop` of packed/low_rank.py."""
    rows, columns = x.shape
    _drop[(triton.cdiv(rows, ROWS), triton.cdiv(columns, COLUMNS))](
        x, out, x.stride(0), out.stride(0), seed, probability, rows, columns,
        ROWS=ROWS, COLUMNS=COLUMNS, num_warps=8,
    )  # fmt: skip


def add(
    residual: Tensor,
    addend: Tensor | None,
    low: Tensor,
    b: Tensor,
    seed: int,
    probability: float,
    out: Tensor,
) -> None:
    """Launch `add_low_rank` of packed/low_rank.py."""
    rows, columns = residual.shape
    rank = low.shape[1]
    _add[(triton.cdiv(rows, ROWS), triton.cdiv(columns, COLUMNS))](
        residual, residual if addend is None else addend, low, b, out,
        residual.stride(0), 0 if addend is None else addend.stride(0), low.stride(0), *b.stride(), out.stride(0),
        seed, probability, rows, columns,
        HAS_ADDEND=addend is not None, DROPS=probability > 0, RANK=rank, BLOCK_RANK=rank_block(rank), ROWS=ROWS, COLUMNS=COLUMNS, num_warps=4,
    )  # fmt: skip
