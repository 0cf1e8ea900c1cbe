"""Mixtures of experts where something hangs on what a router chooses: the twin beside the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_configs import small, write_config
from tiny_cells import tiny_cell

from lorafa_prof.results.record import CellResult
from lorafa_prof.running.measure import measure_cell

EVEN = "predicted as if each came equally often"
COMPUTED = ("saved_bytes", "flops_forward", "flops_backward", "params_trainable")


def measured(model_type: str, folder: Path, method: str, device: str) -> CellResult:
    model = write_config(small(model_type), folder)
    return measure_cell(tiny_cell(model, method, device=device, attention="eager"))


@pytest.mark.parametrize("model_type", ["dbrx", "jetmoe"])
@pytest.mark.parametrize("method", ["full-ft", "lora"])
def test_tokens_of_each_expert_have_a_shape(model_type: str, method: str, tmp_path: Path) -> None:
    """DBRX looks for them by `nonzero`, JetMoE counts them on the host."""
    here, twin = (measured(model_type, tmp_path, method, device) for device in ("cpu", "sim:h100-80gb"))
    for name in COMPUTED:
        assert here.row[name] == twin.row[name], name
    assert EVEN in str(twin.row["message"])
    assert EVEN not in str(here.row.get("message"))


@pytest.mark.parametrize("method", ["full-ft", "lora", "lora-fa", "peft-lora"])
def test_a_gpu_without_grouped_products_multiplies_one_expert_after_another(
    method: str, tmp_path: Path
) -> None:
    """transformers/integrations/moe.py, _can_use_grouped_mm: from compute capability 8.0 on."""
    old, new = (measured("mixtral", tmp_path, method, device) for device in ("sim:t4", "sim:h100-80gb"))
    unchecked = old.details["unchecked_operations"]
    assert "transformers.grouped_mm_fallback.default" in unchecked
    assert "transformers.grouped_mm_fallback.default" not in new.details["unchecked_operations"]
    assert EVEN in str(old.row["message"])
    assert EVEN not in str(new.row.get("message"))
    assert old.row["flops_forward"] == new.row["flops_forward"]
    assert old.details["reconciliation"]["residual_bytes"] == 0
