"""Cells with `kernels: packed`: on the twin as on the CPU, and what forward holds by the formula."""

from __future__ import annotations

import pytest
from tiny_cells import tiny_cell

from lorafa_prof.running.measure import measure_cell

MODELS = ("tiny-llama", "tiny-qwen2", "tiny-mistral")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("method", "dropout"), [("full-ft", 0.0), ("lora", 0.0), ("lora-fa", 0.0), ("lora-fa", 0.1)]
)
def test_the_twin_saves_and_computes_what_the_cpu_does(model: str, method: str, dropout: float) -> None:
    settings = {"kernels": "packed", "attention": "eager", "dropout": dropout}
    here, twin = (
        measure_cell(tiny_cell(model, method, device=device, **settings))
        for device in ("cpu", "sim:h100-80gb")
    )
    for name in ("saved_bytes", "flops_forward", "flops_backward", "params_trainable", "weights_bytes"):
        assert here.row[name] == twin.row[name], name
    for result in (here, twin):
        assert result.row["status"] == "ok", result.row["message"]
        assert result.details["reconciliation"]["residual_bytes"] == 0


def test_less_is_saved_than_with_fused_kernels() -> None:
    saved = [
        int(measure_cell(tiny_cell(device="sim:h100-80gb", dtype="bf16", kernels=kernels)).row["saved_bytes"])
        for kernels in ("packed", "fused", "eager")
    ]
    assert saved[0] < saved[1] < saved[2]
