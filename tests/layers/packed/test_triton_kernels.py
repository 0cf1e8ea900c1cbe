"""Every Triton kernel against its reference in float64: interpreted on the CPU, and on a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

CASES = Path(__file__).with_name("kernel_cases.py")
KERNELS = {
    "rms_norm",
    "rms_norm_backward",
    "rotate_",
    "pack_unrotated",
    "norm_and_rotate",
    "pack_unnormed_",
    "gated",
    "gated_backward_",
    "cross_entropy_",
    "add_low_rank",
    "low_gradients",
    "b_gradients",
    "drop",
}


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
    said = {line.split()[0]: line.split()[-1] for line in ran.stdout.splitlines()}
    assert set(said) == KERNELS
    assert float(said["drop"]) == pytest.approx(0.7, abs=0.02)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 2e-6), (torch.bfloat16, 5e-3)])
def test_kernels_on_a_gpu_do_what_their_references_do(dtype: torch.dtype, limit: float) -> None:
    from layers.packed.kernel_cases import largest_errors, same_places

    errors = largest_errors(dtype, torch.device("cuda"))
    assert set(errors) | {"drop"} == KERNELS
    assert same_places(torch.device("cuda")) == pytest.approx(0.7, abs=0.02)
    assert {name: error for name, error in errors.items() if error > limit} == {}
