"""A residual and a low-rank product, added in one pass."""

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
def _add(
    residual, low, b, out, residual_stride, low_stride, b_stride, out_stride, scale, row_count, column_count,
    RANK: tl.constexpr, BLOCK_RANK: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    row_mask, column_mask = (rows < row_count)[:, None], (columns < column_count)[None, :]
    mask = row_mask & column_mask
    value = tl.load(residual + rows[:, None] * residual_stride + columns[None, :], mask=mask).to(tl.float32)
    product = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
    for start in tl.static_range(0, RANK, BLOCK_RANK):
        ranks = start + tl.arange(0, BLOCK_RANK)
        left = tl.load(
            low + rows[:, None] * low_stride + ranks[None, :],
            mask=row_mask & (ranks < RANK)[None, :],
            other=0.0,
        )
        right = tl.load(
            b + columns[None, :] * b_stride + ranks[:, None],
            mask=column_mask & (ranks < RANK)[:, None],
            other=0.0,
        )
        product = tl.dot(left, right, product, input_precision="ieee")
    tl.store(out + rows[:, None] * out_stride + columns[None, :], value + scale * product, mask=mask)


def add(residual: Tensor, low: Tensor, b: Tensor, scale: float, out: Tensor) -> None:
    """Launch `add_low_rank` of packed/low_rank.py."""
    rows, columns = residual.shape
    rank = low.shape[1]
    _add[(triton.cdiv(rows, ROWS), triton.cdiv(columns, COLUMNS))](
        residual, low, b, out, residual.stride(0), low.stride(0), b.stride(0), out.stride(0), scale, rows, columns,
        RANK=rank, BLOCK_RANK=rank_block(rank), ROWS=ROWS, COLUMNS=COLUMNS, num_warps=4,
    )  # fmt: skip
