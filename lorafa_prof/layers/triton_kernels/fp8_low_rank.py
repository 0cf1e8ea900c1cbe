"""A product of 8-bit floats to which a low-rank product is added in registers.

A program for each multiprocessor takes one tile after another, in an order that reads a group's rows of tiles
while they are in the cache (Triton's tutorial "Persistent Matmul"); tiles come and go by descriptors.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.runtime import driver
from triton.tools.tensor_descriptor import TensorDescriptor

from lorafa_prof.layers.packed.part_products import MOST_PARTS
from lorafa_prof.layers.triton_kernels.low_rank import rank_block

#: Rows, columns and inner numbers of a tile, rows of tiles in a group, and the most inner steps underway.
ROWS, COLUMNS, INNER, GROUP, MOST_STAGES = 128, 128, 128, 16, 4
#: Programs where there are no multiprocessors to count, in Triton's interpreter.
_PROGRAMS_OF_A_CPU = 2


@triton.jit
def _low_rank_of_part(
    total, low, factor, first_row, first_column, of_part, part,
    MASKED: tl.constexpr, FACTOR_BY_ROWS: tl.constexpr, RANK: tl.constexpr, BLOCK_RANK: tl.constexpr,
):  # fmt: skip
    """Add the product with a part's columns of low; past the part's own, factor's are past its end and 0."""
    for start in tl.static_range(0, RANK, BLOCK_RANK):
        left = low.load([first_row, part * RANK + start])
        right = factor.load([first_column, start]).T if FACTOR_BY_ROWS else factor.load([start, first_column])
        if MASKED:
            right = tl.where(of_part[None, :], right, 0.0)
        total = tl.dot(left, right, total, input_precision="ieee")
    return total


@triton.jit
def _product(
    left, right, out, low, factor, by_row, by_column, bias, residual, row_count, column_count, inner,
    end_0, end_1,
    HAS_BY_COLUMN: tl.constexpr, HAS_BIAS: tl.constexpr, HAS_RESIDUAL: tl.constexpr, FACTOR_BY_ROWS: tl.constexpr,
    PARTS: tl.constexpr, ALIGNED: tl.constexpr, RANK: tl.constexpr, BLOCK_RANK: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, INNER: tl.constexpr, GROUP: tl.constexpr, PROGRAMS: tl.constexpr,
):  # fmt: skip
    row_tiles, column_tiles = tl.cdiv(row_count, ROWS), tl.cdiv(column_count, COLUMNS)
    inner_tiles = tl.cdiv(inner, INNER)
    of_group = GROUP * column_tiles
    for tile in tl.range(tl.program_id(0), row_tiles * column_tiles, PROGRAMS, flatten=True):
        first_of_group = tile // of_group * GROUP
        height = min(row_tiles - first_of_group, GROUP)
        first_row = (first_of_group + tile % height) * ROWS
        first_column = tile % of_group // height * COLUMNS
        total = tl.zeros((ROWS, COLUMNS), tl.float32)
        for step in range(inner_tiles):
            a = left.load([first_row, step * INNER])
            b = right.load([first_column, step * INNER])
            total = tl.dot(a, b.T, total)
        rows, columns = first_row + tl.arange(0, ROWS), first_column + tl.arange(0, COLUMNS)
        of_rows, of_columns = rows < row_count, columns < column_count
        total *= tl.load(by_row + rows, mask=of_rows, other=0.0)[:, None]
        if HAS_BY_COLUMN:
            total *= tl.load(by_column + columns, mask=of_columns, other=0.0)[None, :]
        if HAS_BIAS:
            total += tl.load(bias + columns, mask=of_columns, other=0.0).to(tl.float32)[None, :]
        if ALIGNED:
            part = 0
            if PARTS > 1:
                part += (first_column >= end_0).to(tl.int32)
            if PARTS > 2:
                part += (first_column >= end_1).to(tl.int32)
            total = _low_rank_of_part(
                total, low, factor, first_row, first_column, of_columns, part, False, FACTOR_BY_ROWS, RANK, BLOCK_RANK
            )  # fmt: skip
        else:
            for part in tl.static_range(PARTS):
                own = of_columns
                if part > 0:
                    own &= columns >= (end_0 if part == 1 else end_1)
                if part < PARTS - 1:
                    own &= columns < (end_0 if part == 0 else end_1)
                total = _low_rank_of_part(
                    total, low, factor, first_row, first_column, own, part, True, FACTOR_BY_ROWS, RANK, BLOCK_RANK
                )  # fmt: skip
        if HAS_RESIDUAL:
            total += residual.load([first_row, first_column]).to(tl.float32)
        out.store([first_row, first_column], total.to(out.dtype))


def _by_tiles(x: Tensor, rows: int, columns: int) -> TensorDescriptor:
    return TensorDescriptor(x, list(x.shape), list(x.stride()), [rows, columns])


def _programs_and_stages(device: torch.device, other_bytes: int) -> tuple[int, int]:
    """Return how many programs run, and how many inner steps are underway in the memory that is left."""
    if device.type == "cpu":
        return _PROGRAMS_OF_A_CPU, 1
    properties = driver.active.utils.get_device_properties(device.index)
    stages = (properties["max_shared_mem"] - other_bytes) // (INNER * (ROWS + COLUMNS))
    return properties["multiprocessor_count"], max(1, min(MOST_STAGES, stages))


def fp8_low_rank(
    left: Tensor,
    by_row: Tensor,
    right: Tensor,
    by_column: Tensor | None,
    bias: Tensor | None,
    residual: Tensor | None,
    low: Tensor,
    factor: Tensor,
    ends: Sequence[int],
    out: Tensor,
) -> None:
    """Launch `fp8_low_rank` of packed/fp8_low_rank.py."""
    rows, columns = out.shape
    rank = low.shape[1] // len(ends)
    block_rank = rank_block(rank)
    results = ROWS * COLUMNS * (1 if residual is None else 2)
    tiles_bytes = (results + (ROWS + COLUMNS) * block_rank) * out.element_size()
    programs, stages = _programs_and_stages(out.device, tiles_bytes)
    by_rows = factor.stride(1) == 1
    _product[(programs,)](
        _by_tiles(left, ROWS, INNER), _by_tiles(right, COLUMNS, INNER), _by_tiles(out, ROWS, COLUMNS),
        _by_tiles(low, ROWS, block_rank),
        _by_tiles(factor, COLUMNS, block_rank) if by_rows else _by_tiles(factor.t(), block_rank, COLUMNS),
        by_row, by_column, bias, None if residual is None else _by_tiles(residual, ROWS, COLUMNS),
        rows, columns, left.shape[1], *ends[:-1], *[columns] * (MOST_PARTS - len(ends)),
        HAS_BY_COLUMN=by_column is not None, HAS_BIAS=bias is not None, HAS_RESIDUAL=residual is not None,
        FACTOR_BY_ROWS=by_rows, PARTS=len(ends), ALIGNED=all(end % COLUMNS == 0 for end in ends[:-1]),
        RANK=rank, BLOCK_RANK=block_rank, ROWS=ROWS, COLUMNS=COLUMNS, INNER=INNER, GROUP=GROUP, PROGRAMS=programs,
        num_warps=4, num_stages=stages,
    )  # fmt: skip
