"""Grouped products on the twin: the types that CUDA takes, and results of the form that PyTorch gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from cells import TWIN, make_cell
from ledger import H100, L4, recording
from small_configs import small, write_config
from torch import Tensor

from lorafa_prof.devices.sim.machine import MIB, Machine
from lorafa_prof.methods.base import METHODS
from lorafa_prof.running.measure import measure_cell

BF16, FP16, FP32 = torch.bfloat16, torch.float16, torch.float32
EXPERTS, ROWS, INPUTS, OUTPUTS = 3, 10, 16, 24


def factors(form: str, dtype: torch.dtype, device: str) -> tuple[Tensor, Tensor, Tensor | None]:
    """The factors of a product of this form, and where the groups' rows end."""

    def make(*shape: int) -> Tensor:
        return torch.ones(*shape, dtype=dtype, device=device)

    ends = torch.tensor([2, 2, ROWS], dtype=torch.int32, device=device)
    return {
        "rows by experts": (make(ROWS, INPUTS), make(EXPERTS, INPUTS, OUTPUTS), ends),
        "rows by experts, transposed": (make(ROWS, INPUTS), make(EXPERTS, OUTPUTS, INPUTS).mT, ends),
        "rows by rows": (make(ROWS, INPUTS).t(), make(ROWS, OUTPUTS), ends),
        "experts by experts": (make(EXPERTS, ROWS, INPUTS), make(EXPERTS, INPUTS, OUTPUTS), None),
        "an odd number of columns": (make(ROWS, INPUTS), make(EXPERTS, 5, INPUTS).mT, ends),
    }[form]


FORMS = (
    "rows by experts",
    "rows by experts, transposed",
    "rows by rows",
    "experts by experts",
    "an odd number of columns",
)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [BF16, FP16, FP32], ids=str)
def test_results_have_the_form_of_pytorchs_own(form: str, dtype: torch.dtype) -> None:
    """The CPU's, since both make them by create_grouped_gemm_output_tensor."""
    left, right, ends = factors(form, dtype, "cpu")
    expected = torch._grouped_mm(left, right, offs=ends)
    with recording(H100):
        left, right, ends = factors(form, dtype, "cuda")
        result = torch._grouped_mm(left, right, offs=ends)
        assert (result.shape, result.stride(), result.dtype, result.is_cuda) == (
            expected.shape,
            expected.stride(),
            dtype,
            True,
        )


@pytest.mark.parametrize(
    ("machine", "dtype", "inside"),
    [
        # 3 groups: 4 × 3 pointers, 3 × 3 strides and 3 sizes; 5 maps of 128 bytes for each multiprocessor
        (H100, BF16, [96 + 72 + 36, 512 * 132, -512 * 132, -(96 + 72 + 36)]),
        (H100, FP16, [32 * MIB]),
        (H100, FP32, [32 * MIB]),
        (L4, BF16, [8320 * 1024]),
    ],
)
def test_what_is_taken_inside(machine: Machine, dtype: torch.dtype, inside: list[int]) -> None:
    with recording(machine) as memory:
        left, right, ends = factors("rows by experts", dtype, "cuda")
        start = len(memory.events)
        kept = torch._grouped_mm(left, right, offs=ends)
        first = memory.events[start:]
        again = torch._grouped_mm(left, right, offs=ends)
        assert first == [kept.untyped_storage().nbytes(), *inside]
        repeated = [] if inside[-1] > 0 else inside  # a workspace stays
        assert memory.events[start + len(first) :] == [again.untyped_storage().nbytes(), *repeated]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda left, right: (left.double(), right.double()), "Float32, BFloat16 or Float16"),
        (lambda left, right: (left[:, :6], right[:, :6]), None),
        (lambda left, right: (left.flatten()[:60].view(10, 6), right[:, :6]), "multiple of 16 bytes"),
        (lambda left, right: (left[:, ::2], right[:, ::2]), "Invalid strides/sizes"),
    ],
)
def test_what_cuda_refuses_is_refused(change: Any, message: str | None) -> None:
    for device in ("cpu", "cuda"):
        with recording(H100):
            left, right, ends = factors("rows by experts", BF16, device)
            changed = change(left, right)
            if message is None:
                torch._grouped_mm(*changed, offs=ends)
                continue
            with pytest.raises(RuntimeError, match=message):
                torch._grouped_mm(*changed, offs=ends)


@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
@pytest.mark.parametrize("method", ["full-ft", "lora-fa", "peft-lora"])
def test_a_mixture_of_any_type_runs_on_the_twin(tmp_path: Path, method: str, dtype: str) -> None:
    options = METHODS[method].options.model_validate({} if method == "full-ft" else {"targets": "all-linear"})
    cell = make_cell(
        method,
        model=write_config(small("mixtral"), tmp_path),
        options=options.model_dump(mode="json"),
        device=TWIN,
        dtype=dtype,
        adapter_dtype=dtype,
    )
    result = measure_cell(cell)
    assert result.row["status"] == "ok"
    assert result.details["reconciliation"]["residual_bytes"] == 0
