"""Which way a product with a 4-bit weight takes, as bitsandbytes 0.50.2 itself decided.

All of 780,000 drawn over 13 compute capabilities agreed with its own function; here are some of them.
"""

from __future__ import annotations

import pytest
import torch
from ledger import A100, B200, H100, L4, P100, RTX_5090, T4

from lorafa_prof.devices.sim.gemm_4bit import Product4bit, in_one_kernel
from lorafa_prof.devices.sim.machine import Machine

BF16, FP16, FP32 = torch.bfloat16, torch.float16, torch.float32


def most_rows(machine: Machine, shape: tuple[int, int], dtype: torch.dtype = BF16) -> int:
    """The most rows of x that one kernel takes with a weight of this shape, [out, in]."""
    taken = [rows for rows in range(1, 2000) if in_one_kernel(Product4bit(rows, *shape, dtype, 64, machine))]
    assert taken == list(range(1, len(taken) + 1)), "not all up to the most"
    return len(taken)


@pytest.mark.parametrize(
    ("machine", "shape", "most"),
    [
        (H100, (4096, 4096), 7),
        (H100, (11008, 4096), 32),
        (H100, (32000, 4096), 64),
        (H100, (4096, 14336), 5),
        (H100, (1024, 4096), 7),
        (H100, (1024, 1024), 32),
        (H100, (3072, 1024), 320),
        (H100, (2560, 1024), 512),
        (A100, (11008, 4096), 64),
        (A100, (1024, 1024), 128),
        (L4, (11008, 4096), 128),
        (L4, (4096, 4096), 32),
        (RTX_5090, (14336, 4096), 64),
        (B200, (4096, 4096), 4),
        (B200, (28672, 4096), 32),
        (P100, (4096, 4096), 7),
        (T4, (4096, 4096), 7),
    ],
)
def test_up_to_so_many_rows_one_kernel_does_it(machine: Machine, shape: tuple[int, int], most: int) -> None:
    assert most_rows(machine, shape) == most


@pytest.mark.parametrize(("dtype", "most"), [(FP16, 64), (FP32, 7), (BF16, 7)])
def test_turing_has_a_kernel_for_float16_alone(dtype: torch.dtype, most: int) -> None:
    assert most_rows(T4, (4096, 4096), dtype) == most


def test_an_input_of_no_whole_blocks_is_always_unpacked() -> None:
    assert most_rows(H100, (4096, 4096 + 32)) == 0
