"""A residual and a low-rank product, added in one pass; dropout by a number's place.

A program holds its columns' part of b and goes down the rows, whose next tiles are on their way meanwhile:
on an H200 that is a tenth slower than a copy of as much, and a tile for each program two thirds.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

#: Columns of the low-rank product that are multiplied at once.
WIDEST = 64
#: Rows and columns of a tile that is dropped from.
ROWS, COLUMNS = 64, 128
#: Rows of a tile where a program goes down the rows, with its part of b held; and how many programs share them.
LOOP_ROWS, ROW_PROGRAMS = 32, 32


def rank_block(rank: int) -> int:
    """Return how many columns of a rank are multiplied at once: a tile's least width is 16."""
    return min(WIDEST, max(16, triton.next_power_of_2(rank)))


def stages(x: Tensor) -> int:
    """Return how many tiles of rows are underway at once: more of narrow types."""
    return max(1, 6 // x.element_size())


@triton.jit
def factor_tile(
    b, columns, column_mask, start, b_stride, b_rank_stride, RANK: tl.constexpr, BLOCK_RANK: tl.constexpr
):  # fmt: skip
    """Return a tile of bᵀ, for b [m, RANK]: as many ranks as a block has, from `start` on."""
    ranks = start + tl.arange(0, BLOCK_RANK)
    return tl.load(
        b + columns[None, :] * b_stride + ranks[:, None] * b_rank_stride,
        mask=column_mask & (ranks < RANK)[:, None],
        other=0.0,
    )


@triton.jit
def add_low_rank_tile(
    total, low, b, held, rows, columns, row_mask, column_mask, low_stride, b_stride, b_rank_stride,
    RANK: tl.constexpr, BLOCK_RANK: tl.constexpr,
):  # fmt: skip
    """Return a tile with that of low bᵀ added, for low [n, RANK] and b [m, RANK].

    `held` is b's first tile, which does for every row where one block has all ranks.
    """
    for start in tl.static_range(0, RANK, BLOCK_RANK):
        ranks = start + tl.arange(0, BLOCK_RANK)
        left = tl.load(
            low + rows[:, None] * low_stride + ranks[None, :],
            mask=row_mask & (ranks < RANK)[None, :],
            other=0.0,
        )
        right = held
        if start > 0:
            right = factor_tile(b, columns, column_mask, start, b_stride, b_rank_stride, RANK, BLOCK_RANK)
        total = tl.dot(left, right, total, input_precision="ieee")
    return total


@triton.jit
def _add(
    residual, addend, low, b, out, residual_stride, addend_stride, low_stride, b_stride, b_rank_stride, out_stride,
    seed, probability, row_count, column_count,
    HAS_ADDEND: tl.constexpr, DROPS: tl.constexpr, RANK: tl.constexpr, BLOCK_RANK: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    column_mask = (columns < column_count)[None, :]
    held = factor_tile(b, columns, column_mask, 0, b_stride, b_rank_stride, RANK, BLOCK_RANK)
    for first in tl.range(tl.program_id(1) * ROWS, row_count, tl.num_programs(1) * ROWS, num_stages=STAGES):
        rows = (first + tl.arange(0, ROWS)).to(tl.int64)
        row_mask = (rows < row_count)[:, None]
        mask = row_mask & column_mask
        value = tl.load(residual + rows[:, None] * residual_stride + columns[None, :], mask=mask, other=0.0)
        value = value.to(tl.float32)
        if HAS_ADDEND:
            at = addend + rows[:, None] * addend_stride + columns[None, :]
            value += tl.load(at, mask=mask, other=0.0).to(tl.float32)
        if DROPS:
            product = add_low_rank_tile(
                tl.zeros((ROWS, COLUMNS), tl.float32), low, b, held, rows, columns, row_mask, column_mask,
                low_stride, b_stride, b_rank_stride, RANK, BLOCK_RANK,
            )  # fmt: skip
            share = tl.rand(seed, rows[:, None] * column_count + columns[None, :])
            value += tl.where(share >= probability, product / (1 - probability), 0.0)
        else:
            value = add_low_rank_tile(
                value, low, b, held, rows, columns, row_mask, column_mask,
                low_stride, b_stride, b_rank_stride, RANK, BLOCK_RANK,
            )  # fmt: skip
        tl.store(out + rows[:, None] * out_stride + columns[None, :], value, mask=mask)


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
    grid = triton.cdiv(columns, COLUMNS), min(ROW_PROGRAMS, triton.cdiv(rows, LOOP_ROWS))
    _add[grid](
        residual, residual if addend is None else addend, low, b, out,
        residual.stride(0), 0 if addend is None else addend.stride(0), low.stride(0), *b.stride(), out.stride(0),
        seed, probability, rows, columns,
        HAS_ADDEND=addend is not None, DROPS=probability > 0, RANK=rank, BLOCK_RANK=rank_block(rank),
        ROWS=LOOP_ROWS, COLUMNS=COLUMNS, STAGES=stages(out), num_warps=8,
    )  # fmt: skip
