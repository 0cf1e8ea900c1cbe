"""The Triton kernels of 8-bit floats beside their references.

Run as a program, with TRITON_INTERPRET=1, it holds them against these on the CPU.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lorafa_prof.layers.packed import fp8_low_rank
from lorafa_prof.layers.quantized import fp8_products
from lorafa_prof.layers.quantized.fp8_products import FP8
from lorafa_prof.layers.triton_kernels import fp8 as kernels
from lorafa_prof.layers.triton_kernels import fp8_low_rank as low_rank_kernels

ROWS = 5
#: Widths of rows that are held in registers, and one that is read in pieces.
WIDTHS = (80, 1000, kernels.LONGEST_HELD + 240)


def quantized(width: int, with_factor: bool, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, ...]:
    """Return the rows and scales of the reference, then the kernel's, for rows that are apart in memory."""
    torch.manual_seed(width)
    x = torch.randn(ROWS, width + 24).mul_(torch.logspace(-6, 3, ROWS).unsqueeze(1)).to(dtype)[:, :width]
    x[2] = 0.0
    factor = 3 * torch.rand(width) if with_factor else None
    ours, theirs = (
        (torch.empty(ROWS, width, dtype=FP8, device=place), torch.empty(ROWS, device=place))
        for place in (device, "cpu")
    )
    there = x.to(device), None if factor is None else factor.to(device)
    kernels.quantize_rows(*there, *ours)
    fp8_products._quantize_rows(x, factor, *theirs)
    return theirs[0].float(), theirs[1], ours[0].float().cpu(), ours[1].cpu()


def most_that_differ(device: torch.device, *, interpreted: bool) -> float:
    """Return the largest share of numbers that are not rounded as in the reference; scales are checked here.

    Triton's interpreter rounds halves up, which bf16 has many of, loses the carry of a mantissa that goes
    to 2.0, and rounds subnormals otherwise: there these are left out.
    """
    most = 0.0
    for width in WIDTHS:
        for with_factor in (False, True):
            for dtype in (torch.float32,) if interpreted else (torch.float32, torch.bfloat16):
                rows, scales, our_rows, our_scales = quantized(width, with_factor, dtype, device)
                torch.testing.assert_close(our_scales, scales, rtol=1e-6, atol=0)
                differ = rows != our_rows
                if interpreted:
                    differ &= (rows.abs().frexp().mantissa != 0.5) & (rows.abs() >= torch.finfo(FP8).tiny)
                most = max(most, float(differ.float().mean()))
    return most


def is_transposed(device: torch.device) -> bool:
    """Return whether the transposed matrix is one, of sides that are no multiples of a tile's."""
    x = torch.randn(208, 144).to(FP8).to(device)
    out = torch.empty(144, 208, dtype=FP8, device=device)
    kernels.transpose(x, out)
    return torch.equal(out.float(), x.float().t())


def largest_low_rank_error(dtype: torch.dtype, device: torch.device) -> float:
    """Return the largest relative error of products with low-rank ones, beside the reference in float64."""
    torch.manual_seed(0)
    largest = 0.0
    for ends, rank, turned in (
        ([160], 8, False),
        ([128, 256], 16, False),
        ([96, 200, 304], 72, False),
        ([144], 40, True),
    ):
        columns, inner, rows = ends[-1], 208, 150
        left, by_row = fp8_products.quantized_rows(torch.randn(rows, inner))
        right, by_column = fp8_products.quantized_rows(torch.randn(columns, inner))
        low = torch.randn(rows, len(ends) * rank + 8).to(dtype)[:, : len(ends) * rank]
        factor = (torch.randn(rank, columns).t() if turned else torch.randn(columns, rank)).to(dtype)
        bias, residual = torch.randn(columns).to(dtype), torch.randn(rows, columns).to(dtype)
        for more in ((by_column, None, None), (None, bias, None), (by_column, bias, residual)):
            arguments = (left, by_row, right, *more, low, factor)
            out = torch.empty(rows, columns + 16, dtype=dtype, device=device)[:, :columns]
            there = [None if x is None else _strided(x, device) for x in arguments]
            low_rank_kernels.fp8_low_rank(*there, ends, out)
            exact = torch.empty(rows, columns, dtype=torch.float64)
            exactly = [None if x is None else x.double() for x in arguments]
            fp8_low_rank._fp8_low_rank(*exactly, ends, exact)
            largest = max(largest, float((out.cpu().double() - exact).norm() / exact.norm()))
    return largest


def _strided(x: Tensor, device: torch.device) -> Tensor:
    """Return a copy on the device whose numbers lie as those of x."""
    return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=device).copy_(x)


if __name__ == "__main__":
    cpu = torch.device("cpu")
    assert largest_low_rank_error(torch.float32, cpu) < 1e-5
    assert most_that_differ(cpu, interpreted=True) == 0.0
    assert is_transposed(cpu)
