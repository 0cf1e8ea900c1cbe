"""Quantizing rows to 8-bit floats, and transposing matrices of them."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

#: Numbers of a row that are read at once.
BLOCK = 8192
#: Rows and columns of a tile that is transposed.
TILE = 128


@triton.jit
def _quantize_rows(
    x, factor, out, scale, x_stride, out_stride, columns, largest, HAS_FACTOR: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    peaks = tl.zeros((BLOCK,), dtype=tl.float32)
    for start in range(0, columns, BLOCK):
        mask = start + at < columns
        value = tl.load(x + row * x_stride + start + at, mask=mask, other=0.0).to(tl.float32)
        if HAS_FACTOR:
            value *= tl.load(factor + start + at, mask=mask, other=0.0)
        peaks = tl.maximum(peaks, tl.abs(value))
    of_row = tl.maximum(tl.max(peaks), 1e-12) / largest
    tl.store(scale + row, of_row)
    for start in range(0, columns, BLOCK):
        mask = start + at < columns
        value = tl.load(x + row * x_stride + start + at, mask=mask, other=0.0).to(tl.float32)
        if HAS_FACTOR:
            value *= tl.load(factor + start + at, mask=mask, other=0.0)
        tl.store(out + row * out_stride + start + at, (value / of_row).to(out.dtype.element_ty), mask=mask)


@triton.jit
def _transpose(x, out, rows, columns, TILE: tl.constexpr):
    row = tl.program_id(0) * TILE + tl.arange(0, TILE)
    column = tl.program_id(1) * TILE + tl.arange(0, TILE)
    mask = (row < rows)[:, None] & (column < columns)[None, :]
    tile = tl.load(x + row.to(tl.int64)[:, None] * columns + column[None, :], mask=mask, other=0)
    tl.store(out + column.to(tl.int64)[:, None] * rows + row[None, :], tl.trans(tile), mask=tl.trans(mask))


def quantize_rows(x: Tensor, factor: Tensor | None, largest: float, out: Tensor, scale: Tensor) -> None:
    """Launch `quantize_rows` of packed/fp8.py."""
    block = min(BLOCK, triton.next_power_of_2(x.shape[1]))
    _quantize_rows[(len(x),)](
        x, x if factor is None else factor, out, scale, x.stride(0), out.stride(0), x.shape[1], largest,
        HAS_FACTOR=factor is not None, BLOCK=block, num_warps=8 if block >= 2048 else 4,
    )  # fmt: skip


def transpose(x: Tensor, out: Tensor) -> None:
    """Launch `transpose` of packed/fp8.py, for numbers of one byte."""
    rows, columns = x.shape
    _transpose[(triton.cdiv(rows, TILE), triton.cdiv(columns, TILE))](
        x, out, rows, columns, TILE=TILE, num_warps=8
    )
