"""The Triton kernels of 8-bit floats beside their references.

Run as a program, with TRITON_INTERPRET=1, it holds them against these on the CPU.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lorafa_prof.layers.quantized import fp8_products
from lorafa_prof.layers.quantized.fp8_products import FP8
from lorafa_prof.layers.triton_kernels import fp8 as kernels

ROWS = 5
#: Widths of rows that are held in registers, in one piece and in two, and one that is read twice.
WIDTHS = (80, 1000, kernels.LONGEST_PIECE + 240, kernels.LONGEST_HELD + 240)


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


if __name__ == "__main__":
    cpu = torch.device("cpu")
    assert most_that_differ(cpu, interpreted=True) == 0.0
    assert is_transposed(cpu)
