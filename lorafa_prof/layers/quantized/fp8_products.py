"""Products of 8-bit floats (e4m3: four bits of exponent, three of mantissa), with a scale of each row.

A matrix x [n, k] is kept as q [n, k] in 8 bits and s [n] in 32, x ≈ s · q, where s is the largest absolute
value of a row over the largest one that 8 bits have. A frozen weight W [m, k], quantized so once, serves both
directions:

    forward    y  = x Wᵀ ≈ s_x · (q_x q_Wᵀ) · s_W
    backward   dx = dy W ≈ s_g · (q_g q_W)          with g = dy · s_W, column by column, and then quantized

since a product takes scales of its result's rows and columns only, and in backward those of W are neither's.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lorafa_prof.layers.operations import define, wide

FP8 = torch.float8_e4m3fn
LARGEST = torch.finfo(FP8).max
#: What counts as the largest absolute value of a row of zeros.
SMALLEST_PEAK = 1e-30
#: The sides of matrices that GPUs multiply in 8 bits are multiples of it (ATen/native/cuda/ScaledBlas.cpp).
MULTIPLE = 16


def _quantize_rows(x: Tensor, factor: Tensor | None, out: Tensor, scale: Tensor) -> None:
    value = wide(x) if factor is None else wide(x) * factor
    scale.copy_(value.abs().amax(1).clamp(min=SMALLEST_PEAK) / LARGEST)
    out.copy_(value * scale.reciprocal().unsqueeze(1))


def _transpose(x: Tensor, out: Tensor) -> None:
    out.copy_(x.t())


#: Write x [n, k], times a factor [k] of each column if there is one, in 8 bits to `out` [n, k], and the scale
#: of each row to `scale` [n].
quantize_rows = define(
    "quantize_rows(Tensor x, Tensor? factor, Tensor(a!) out, Tensor(b!) scale)",
    _quantize_rows,
    "fp8.quantize_rows",
)
#: Write xᵀ to `out` [k, n], for x [n, k] in 8 bits.
transpose = define("transpose(Tensor x, Tensor(a!) out)", _transpose, "fp8.transpose")


def quantized_rows(x: Tensor, factor: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return x [n, k], times a factor [k] of each column, in 8 bits, and the scale of each row [n]."""
    if x.stride(1) != 1:  # the kernel reads rows
        x = x.contiguous()
    rows, scale = x.new_empty(x.shape, dtype=FP8), x.new_empty(len(x), dtype=torch.float32)
    quantize_rows(x, factor, rows, scale)
    return rows, scale


def fp8_product(x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return x Wᵀ (+ bias) [n, m], in the type of x [n, k], for W [m, k] in 8 bits and its scales [m]."""
    return _scaled_product(*quantized_rows(x), weight, scale, bias, x.dtype)


def fp8_input_gradient(grad: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
    """Return dy W [n, k] for dy [n, m], `grad`; W is transposed for as long as it takes."""
    rows, by_row = quantized_rows(grad, scale)
    turned = weight.new_empty(weight.shape[::-1])
    transpose(weight, turned)
    return _scaled_product(rows, by_row, turned, scale.new_ones(len(turned)), None, grad.dtype)


def _scaled_product(
    left: Tensor, by_row: Tensor, right: Tensor, by_column: Tensor, bias: Tensor | None, dtype: torch.dtype
) -> Tensor:
    """Return left rightᵀ (+ bias) [n, m] for left [n, k] and right [m, k], both by rows, and their scales."""
    scales = by_row.unsqueeze(1), by_column.unsqueeze(0)
    if left.device.type == "cpu":
        return _by_floats(left, right, *scales, bias, dtype)
    if bias is not None and dtype == torch.float32:  # none rides on a product in 32 bits
        return _scaled_product(left, by_row, right, by_column, None, dtype).add_(bias)
    return torch._scaled_mm(left, right.t(), *scales, bias=bias, out_dtype=dtype, use_fast_accum=True)


def _by_floats(
    left: Tensor, right: Tensor, by_row: Tensor, by_column: Tensor, bias: Tensor | None, dtype: torch.dtype
) -> Tensor:
    """The same in 32 bits: PyTorch 2.11 has no product by rows on the CPU."""
    with torch.autocast("cpu", enabled=False):
        product = torch.mm(left.float(), right.float().t()).mul_(by_row).mul_(by_column)
    return (product if bias is None else product.add_(bias)).to(dtype)
