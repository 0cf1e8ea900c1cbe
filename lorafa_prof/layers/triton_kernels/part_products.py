"""A packed gradient times narrow matrices, each part's own: a program per part and block of rows or columns."""

from __future__ import annotations

from collections.abc import Sequence

import triton
import triton.language as tl
from torch import Tensor

from lorafa_prof.layers.packed.part_products import MOST_PARTS

#: Rows and columns of the gradient's tiles, and how many of them are underway at once, for 2 bytes a number.
TILE, STAGES = 64, 4


@triton.jit
def _bounds(part, end_0, end_1, end_2):
    """Return where the columns of `part` start and end."""
    start = tl.where(part == 0, 0, tl.where(part == 1, end_0, end_1))
    return start, tl.where(part == 0, end_0, tl.where(part == 1, end_1, end_2))


@triton.jit
def _low_gradients(
    grad, b, out, grad_stride, b_stride, b_rank_stride, out_stride, scale, row_count, rank, step, end_0, end_1, end_2,
    BLOCK_RANK: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    part = tl.program_id(1)
    start, end = _bounds(part, end_0, end_1, end_2)
    rows = tl.program_id(0).to(tl.int64) * TILE + tl.arange(0, TILE)
    ranks = tl.arange(0, BLOCK_RANK)
    of_rows, of_ranks = (rows < row_count)[:, None], (ranks < rank)[None, :]
    total = tl.zeros((TILE, BLOCK_RANK), tl.float32)
    for first in range(start, end, TILE):
        columns = first + tl.arange(0, TILE)
        left = tl.load(
            grad + rows[:, None] * grad_stride + columns[None, :],
            mask=of_rows & (columns < end)[None, :],
            other=0.0,
        )
        right = tl.load(
            b + columns.to(tl.int64)[:, None] * b_stride + (part * step + ranks)[None, :] * b_rank_stride,
            mask=(columns < end)[:, None] & of_ranks,
            other=0.0,
        )
        total = tl.dot(left, right, total, input_precision="ieee")
    to = out + rows[:, None] * out_stride + (part * rank + ranks)[None, :]
    tl.store(to, total * scale, mask=of_rows & of_ranks)


@triton.jit
def _b_gradients(
    grad, low, out, grad_stride, low_stride, row_count, rank, end_0, end_1, end_2,
    BLOCK_RANK: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    part = tl.program_id(1)
    start, end = _bounds(part, end_0, end_1, end_2)
    columns = start + tl.program_id(0) * TILE + tl.arange(0, TILE)
    ranks = tl.arange(0, BLOCK_RANK)
    of_columns, of_ranks = (columns < end)[None, :], (ranks < rank)[None, :]
    if start + tl.program_id(0) * TILE < end:
        total = tl.zeros((TILE, BLOCK_RANK), tl.float32)
        for first in range(0, row_count, TILE):
            rows = (first + tl.arange(0, TILE)).to(tl.int64)
            of_rows = (rows < row_count)[:, None]
            left = tl.load(
                grad + rows[:, None] * grad_stride + columns[None, :], mask=of_rows & of_columns, other=0.0
            )
            right = tl.load(
                low + rows[:, None] * low_stride + (part * rank + ranks)[None, :],
                mask=of_rows & of_ranks,
                other=0.0,
            )
            total = tl.dot(tl.trans(left), right, total, input_precision="ieee")
        to = out + columns.to(tl.int64)[:, None] * rank + ranks[None, :]
        tl.store(to, total, mask=(columns < end)[:, None] & of_ranks)


def _common(grad: Tensor, ends: Sequence[int], rank: int) -> dict[str, int]:
    first, second, third = [*ends, *[ends[-1]] * (MOST_PARTS - len(ends))]
    return {
        "end_0": first, "end_1": second, "end_2": third,
        "BLOCK_RANK": max(16, triton.next_power_of_2(rank)), "TILE": TILE,
        "num_warps": 4, "num_stages": max(1, STAGES * 2 // grad.element_size()),
    }  # fmt: skip


def low_gradients(
    grad: Tensor, b: Tensor, ends: Sequence[int], rank: int, step: int, scale: float, out: Tensor
) -> None:
    """Launch `low_gradients` of packed/part_products.py."""
    rows = len(grad)
    _low_gradients[(triton.cdiv(rows, TILE), len(ends))](
        grad, b, out, grad.stride(0), *b.stride(), out.stride(0), scale, rows, rank, step,
        **_common(grad, ends, rank),
    )  # fmt: skip


def b_gradients(grad: Tensor, low: Tensor, ends: Sequence[int], rank: int, out: Tensor) -> None:
    """Launch `b_gradients` of packed/part_products.py."""
    widest = max(end - start for start, end in zip([0, *ends], ends, strict=False))
    _b_gradients[(triton.cdiv(widest, TILE), len(ends))](
        grad, low, out, grad.stride(0), low.stride(0), len(grad), rank, **_common(grad, ends, rank)
    )
