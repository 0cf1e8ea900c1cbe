"""Quantizing rows to 8-bit floats, and transposing matrices of them."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from lorafa_prof.layers.quantized.fp8_products import LARGEST, SMALLEST_PEAK

#: The longest row that is held in registers, and so read once, and how many numbers of it a thread holds. A row
#: that is longer than the second is held in two pieces, so that fewer threads have none of it.
LONGEST_HELD = 32768
LONGEST_PIECE = 16384
NUMBERS_OF_A_THREAD = 64
#: Numbers of a longer row that are read at once.
BLOCK = 8192
#: Rows and columns of a tile that is transposed.
TILE = 128
_THREADS_OF_A_WARP = 32


@triton.jit
def _numbers(x, factor, at, columns, HAS_FACTOR: tl.constexpr):
    mask = at < columns
    value = tl.load(x + at, mask=mask, other=0.0).to(tl.float32)
    if HAS_FACTOR:
        value *= tl.load(factor + at, mask=mask, other=0.0)
    return value


@triton.jit
def _scale_of(peak, scale, largest, smallest):
    """Store a row's scale, and return what its numbers are multiplied by: a quotient of each takes longer."""
    of_row = tl.maximum(peak, smallest) / largest
    tl.store(scale, of_row)
    return 1.0 / of_row


@triton.jit
def _quantize_held_rows(
    x, factor, out, scale, x_stride, out_stride, columns, largest, smallest,
    HAS_FACTOR: tl.constexpr, PIECE: tl.constexpr, REST: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    x += row * x_stride
    out += row * out_stride
    at = tl.arange(0, PIECE)
    value = _numbers(x, factor, at, columns, HAS_FACTOR)
    peak = tl.max(tl.abs(value))
    if REST > 0:
        rest_at = PIECE + tl.arange(0, REST)
        rest = _numbers(x, factor, rest_at, columns, HAS_FACTOR)
        peak = tl.maximum(peak, tl.max(tl.abs(rest)))
    by = _scale_of(peak, scale + row, largest, smallest)
    tl.store(out + at, (value * by).to(out.dtype.element_ty), mask=at < columns)
    if REST > 0:
        tl.store(out + rest_at, (rest * by).to(out.dtype.element_ty), mask=rest_at < columns)


@triton.jit
def _quantize_long_rows(
    x, factor, out, scale, x_stride, out_stride, columns, largest, smallest,
    HAS_FACTOR: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    peaks = tl.zeros((BLOCK,), dtype=tl.float32)
    for start in range(0, columns, BLOCK):
        peaks = tl.maximum(
            peaks, tl.abs(_numbers(x + row * x_stride, factor, start + at, columns, HAS_FACTOR))
        )
    by = _scale_of(tl.max(peaks), scale + row, largest, smallest)
    for start in range(0, columns, BLOCK):
        value = _numbers(x + row * x_stride, factor, start + at, columns, HAS_FACTOR) * by
        to = out + row * out_stride + start + at
        tl.store(to, value.to(out.dtype.element_ty), mask=start + at < columns)


@triton.jit
def _transpose(x, out, rows, columns, TILE: tl.constexpr):
    row = tl.program_id(0) * TILE + tl.arange(0, TILE)
    column = tl.program_id(1) * TILE + tl.arange(0, TILE)
    mask = (row < rows)[:, None] & (column < columns)[None, :]
    tile = tl.load(x + row.to(tl.int64)[:, None] * columns + column[None, :], mask=mask, other=0)
    tl.store(out + column.to(tl.int64)[:, None] * rows + row[None, :], tl.trans(tile), mask=tl.trans(mask))


def quantize_rows(x: Tensor, factor: Tensor | None, out: Tensor, scale: Tensor) -> None:
    """Launch `quantize_rows` of quantized/fp8_products.py."""
    columns = x.shape[1]
    arguments = (
        x, x if factor is None else factor, out, scale, x.stride(0), out.stride(0), columns, LARGEST, SMALLEST_PEAK,
    )  # fmt: skip
    has_factor = factor is not None
    if columns > LONGEST_HELD:
        warps = _warps(BLOCK)
        _quantize_long_rows[(len(x),)](*arguments, HAS_FACTOR=has_factor, BLOCK=BLOCK, num_warps=warps)
        return
    piece = min(triton.next_power_of_2(columns), LONGEST_PIECE)
    rest = triton.next_power_of_2(columns - piece) if columns > piece else 0
    _quantize_held_rows[(len(x),)](
        *arguments, HAS_FACTOR=has_factor, PIECE=piece, REST=rest, num_warps=_warps(piece)
    )


def _warps(numbers: int) -> int:
    return max(1, numbers // (NUMBERS_OF_A_THREAD * _THREADS_OF_A_WARP))


def transpose(x: Tensor, out: Tensor) -> None:
    """Launch `transpose` of quantized/fp8_products.py, on bytes."""
    rows, columns = x.shape
    _transpose[(triton.cdiv(rows, TILE), triton.cdiv(columns, TILE))](
        x.view(torch.uint8), out.view(torch.uint8), rows, columns, TILE=TILE, num_warps=8
    )
