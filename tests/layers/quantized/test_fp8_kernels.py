"""The Triton kernels of 8-bit floats against their references, and PyTorch's product of them on a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lorafa_prof.layers.quantized.fp8_products import fp8_input_gradient, fp8_product, quantized_rows

CASES = Path(__file__).with_name("fp8_kernel_cases.py")
on_a_gpu = pytest.mark.skipif(
    not torch.cuda.is_available() or torch.cuda.get_device_capability() < (8, 9),
    reason="needs a CUDA GPU with products of 8-bit floats",
)


def test_interpreted_kernels_do_what_their_references_do() -> None:
    pytest.importorskip("triton")
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", str(CASES)],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


@pytest.mark.gpu
@on_a_gpu
def test_kernels_on_a_gpu_do_what_their_references_do() -> None:
    from layers.quantized.fp8_kernel_cases import is_transposed, most_that_differ

    # A quotient of the GPU may be off by a last bit: numbers half-way between two of 8 bits go either way.
    assert most_that_differ(torch.device("cuda"), interpreted=False) < 1e-2
    assert is_transposed(torch.device("cuda"))


@pytest.mark.gpu
@on_a_gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("with_bias", [False, True])
def test_products_on_a_gpu_are_those_of_the_cpu(dtype: torch.dtype, with_bias: bool) -> None:
    if torch.cuda.get_device_capability() != (9, 0) and dtype != torch.bfloat16:
        pytest.skip("in bf16 only")
    torch.manual_seed(0)
    weight, scale = quantized_rows(0.05 * torch.randn(384, 256))
    x, grad = torch.randn(100, 256, dtype=dtype), torch.randn(100, 384, dtype=dtype)
    bias = torch.randn(384, dtype=dtype) if with_bias else None
    there = [None if tensor is None else tensor.cuda() for tensor in (x, weight, scale, bias, grad)]
    ours = fp8_product(*there[:4]), fp8_input_gradient(there[4], *there[1:3])
    theirs = fp8_product(x, weight, scale, bias), fp8_input_gradient(grad, weight, scale)
    for got, expected in zip(ours, theirs, strict=True):
        assert got.dtype == dtype
        # Fast accumulation keeps 14 bits.
        assert (got.cpu().float() - expected.float()).norm() < 1e-2 * expected.float().norm()
