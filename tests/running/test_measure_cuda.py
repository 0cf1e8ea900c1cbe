"""On a GPU: tiny cells measured whole, their activations reconciled with what is seen to be held."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import torch
from tiny_cells import FAMILIES, METHOD_NAMES, TOKENS, tiny_cell

from lorafa_prof.cell import Cell, Steps
from lorafa_prof.results.columns import METRICS
from lorafa_prof.running.measure import measure_cell

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]


@pytest.fixture(autouse=True)
def nothing_of_other_tests() -> None:
    """What they left for the garbage collector would be let go in the midst of a measured step."""
    gc.collect()
    torch.cuda.empty_cache()


# MFU wants a known GPU; energy two seconds of steps; the device's memory NVML.
PERHAPS_UNKNOWN = {"mfu", "energy_j_per_token", "device_used_bytes"}


def cuda_cell(model: str, method: str, **settings: Any) -> Cell:
    return tiny_cell(model, method, device="cuda", gpu="h100-80gb", **settings)


@pytest.mark.parametrize("checkpointing", ["none", "full"])
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("method", METHOD_NAMES)
@pytest.mark.parametrize("family", FAMILIES)
def test_activation_reconciles_to_the_byte(family: str, method: str, dtype: str, checkpointing: str) -> None:
    cell = cuda_cell(family, method, dtype=dtype, checkpointing=checkpointing, steps=Steps(warmup=2, timed=1))
    result = measure_cell(cell)
    assert result.row["status"] == "ok"
    assert result.details["reconciliation"]["residual_bytes"] == 0
    assert result.details["saved"]["storages"]


@pytest.mark.parametrize("method", METHOD_NAMES)
def test_every_column_a_gpu_can_fill(method: str) -> None:
    result = measure_cell(cuda_cell("tiny-llama", method, dtype="bf16", steps=Steps(warmup=2, timed=5)))
    row: Any = result.row
    names = {column.name for column in METRICS if column.group != "fidelity"} - PERHAPS_UNKNOWN
    assert names <= row.keys()
    assert all(row[name] > 0 for name in names)
    peaks = [row[f"peak_{phase}_bytes"] for phase in ("forward", "backward", "optimizer")]
    assert row["peak_allocated_bytes"] == max(peaks) <= row["peak_reserved_bytes"]
    assert row["step_ms_p05"] <= row["step_ms_median"] <= row["step_ms_p95"]
    for name in PERHAPS_UNKNOWN - row.keys():
        assert {name, "nvml", "energy"} & result.details["unavailable"].keys(), name


@pytest.mark.parametrize("family", FAMILIES)
def test_the_gpu_executes_the_products_that_the_cpu_does(family: str) -> None:
    """On eager attention, where no kernel is chosen; and each belongs to the same module."""
    cuda, cpu = (
        measure_cell(tiny_cell(family, "lora-fa", attention="eager", device=device)).details["flops"]
        for device in ("cuda", "cpu")
    )
    assert cuda["by_phase"] == cpu["by_phase"]
    assert cuda["by_module"] == cpu["by_module"]


def test_recomputation_is_told_on_the_gpu_too() -> None:
    cuda, cpu = (
        measure_cell(
            tiny_cell("tiny-llama", "lora", attention="eager", checkpointing="full", device=device)
        ).details["flops"]
        for device in ("cuda", "cpu")
    )
    assert cuda["recomputed"] == cpu["recomputed"] > 0
    assert cuda["by_module"] == cpu["by_module"]


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_sdpas_kernel_has_a_formula(dtype: str) -> None:
    flops = measure_cell(cuda_cell("tiny-llama", "full-ft", dtype=dtype)).details["flops"]
    assert not [operation for operation in flops["uncounted"] if "attention" in operation]
    product = 2 * TOKENS * 48 * 64
    for layer in (0, 1):
        forward, backward = flops["by_module"][f"model.layers.{layer}.self_attn"]
        assert forward == 2 * product
        assert backward in (4 * product, 5 * product)


def test_lora_and_lora_fa_differ_by_the_inputs_of_linears_and_by_nothing_else() -> None:
    lora, lora_fa = (
        measure_cell(cuda_cell("tiny-llama", method, dtype="bf16", batch=4, seq=64))
        for method in ("lora", "lora-fa")
    )
    assert lora_fa.details["saved"]["by_kind"]["linear_input"] == 0
    inputs = lora.details["saved"]["by_kind"]["linear_input"]
    assert inputs > 0
    difference = lora.details["saved"]["by_kind"].items() - lora_fa.details["saved"]["by_kind"].items()
    assert dict(difference) == {"linear_input": inputs}
    saved: Any = lora.row["saved_bytes"], lora_fa.row["saved_bytes"]
    assert saved[0] - saved[1] == inputs


@pytest.mark.parametrize("method", METHOD_NAMES)
@pytest.mark.parametrize("family", ["tiny-llama", "tiny-gpt2"])
def test_what_is_compiled_holds_less_and_is_compiled_before_it_is_measured(family: str, method: str) -> None:
    # Graphs are kept by the code of a layer: those of other tests would count against its limit.
    torch.compiler.reset()
    steps = Steps(warmup=3, timed=3)
    eager, compiled = (
        measure_cell(cuda_cell(family, method, dtype="bf16", steps=steps, kernels=kernels))
        for kernels in ("eager", "compile")
    )
    assert compiled.row["status"] == "ok"
    held: Any = compiled.row["activation_bytes"], eager.row["activation_bytes"]
    # Of LoRA-FA inductor keeps inputs of linear layers that eager autograd lets go of.
    assert 0 < held[0] < held[1] * (1.05 if method == "lora-fa" else 1)
    assert compiled.row["flops_step"] == eager.row["flops_step"]
    assert "saved" in compiled.details["unavailable"]
    assert "compiled while it was measured" not in str(compiled.row["message"])


def test_a_cell_too_large_for_any_gpu_is_out_of_memory() -> None:
    result = measure_cell(
        cuda_cell("tiny-llama", "full-ft", batch=2**15, seq=512, steps=Steps(warmup=1, timed=1))
    )
    assert (result.row["status"], result.row["failed_phase"]) == ("oom", "forward")
    assert result.row["params_total"]
    assert "peak_allocated_bytes" not in result.row
