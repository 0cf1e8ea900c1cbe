"""Cells on a quantized base beside the same on a dense one: bytes, FLOPs, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from cells import TWIN
from tiny_cells import tiny_cell

from lorafa_prof.cell import ResolvedDevice
from lorafa_prof.errors import ScenarioError
from lorafa_prof.layers.quantized import by_bitsandbytes
from lorafa_prof.results.record import CellResult
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.running.plan import check_cells
from lorafa_prof.scenario.expand import expand
from lorafa_prof.scenario.load import load_scenario

ADAPTED = ["lora", "lora-fa", "peft-lora", "peft-lora-fa"]
FAMILIES = ["tiny-llama", "tiny-gpt2", "tiny-t5", "tiny-roberta"]
KINDS: list[dict[str, Any]] = [
    {"quantization": "nf4"},
    {"quantization": "fp4", "double_quant": True},
    {"quantization": "int8"},
]


def measured(model: str, method: str, **settings: Any) -> CellResult:
    settings = {"dtype": "bf16", "device": TWIN, **settings}
    result = measure_cell(tiny_cell(model, method, **settings))
    assert result.row["status"] == "ok", result.row["message"]
    return result


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("method", ["lora", "lora-fa"])
@pytest.mark.parametrize("family", FAMILIES)
def test_ours_hold_what_they_hold_beside_a_dense_base(family: str, method: str, kind: dict[str, Any]) -> None:
    dense, packed = measured(family, method), measured(family, method, **kind)
    for column in ("activation_bytes", "saved_bytes", "params_total", "params_trainable", "optimizer_bytes"):
        assert packed.row[column] == dense.row[column], column
    assert packed.row["weights_bytes"] < dense.row["weights_bytes"]
    assert packed.details["reconciliation"]["residual_bytes"] == 0


@pytest.mark.parametrize("checkpointing", ["none", "full"])
@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("method", ADAPTED)
def test_the_unpacked_product_counts_as_any_linear(
    method: str, kind: dict[str, Any], checkpointing: str
) -> None:
    dense, packed = (
        measured("tiny-llama", method, checkpointing=checkpointing, **settings) for settings in ({}, kind)
    )
    for column in ("flops_forward", "flops_backward", "flops_step"):
        assert packed.row[column] == dense.row[column] > 0


def test_beside_eight_bits_pefts_lora_fa_still_holds_its_inputs() -> None:
    """bitsandbytes keeps x where autograd does not see it; our LoRA-FA does not call it that way."""
    held = {
        (method, kind): int(
            measured("tiny-llama", method, adapter_dtype="bf16", quantization=kind).row["activation_bytes"]
        )
        for method in ("lora-fa", "peft-lora-fa")
        for kind in ("none", "nf4", "int8")
    }
    assert held["lora-fa", "int8"] == held["lora-fa", "nf4"] == held["lora-fa", "none"]
    assert held["peft-lora-fa", "nf4"] == held["peft-lora-fa", "none"]
    assert held["peft-lora-fa", "int8"] > held["peft-lora-fa", "none"]


def test_eight_bits_are_predicted_without_outliers_and_the_row_says_so() -> None:
    packed = {kind: measured("tiny-llama", "lora", quantization=kind).row for kind in ("int8", "nf4")}
    assert "int8 is predicted as if no activation was above 6" in str(packed["int8"]["message"])
    assert "int8" not in str(packed["nf4"].get("message"))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_twin_runs_nothing_that_no_gpu_has_shown(kind: dict[str, Any]) -> None:
    message = measured("tiny-llama", "lora-fa", **kind).row.get("message")
    assert "not checked against a GPU" not in str(message)


def test_an_id_without_quantization_is_as_before_and_each_kind_has_its_own() -> None:
    plain = tiny_cell("tiny-llama", "lora")
    ids = {tiny_cell("tiny-llama", "lora", **kind).cell_id for kind in ({}, *KINDS)}
    assert plain.cell_id == tiny_cell("tiny-llama", "lora", quantization="none").cell_id
    assert len(ids) == 1 + len(KINDS)


def refused(
    tmp_path: Path, method: Any, device: ResolvedDevice, quantization: str = "nf4", **settings: Any
) -> str:
    scenario = {"schema": 1, "name": "x", "model": "tiny-llama", "seq": 16, "method": method, **settings}
    file = tmp_path / "s.yaml"
    file.write_text(yaml.safe_dump({**scenario, "quantization": ["none", quantization]}, sort_keys=False))
    loaded = load_scenario(file)
    with pytest.raises(ScenarioError) as error:
        check_cells(loaded, expand(loaded, lambda name, gpu: device))
    return str(error.value)


ON_A_TWIN = ResolvedDevice(TWIN, "h100-80gb")


def test_full_ft_of_a_quantized_base_says_why_not(tmp_path: Path) -> None:
    line = refused(tmp_path, "full-ft", ON_A_TWIN)
    assert "quantization[1]: full-ft trains the base's weights" in line
    assert "no gradient can change" in line


def test_without_bitsandbytes_only_the_twin_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_bitsandbytes, "find_spec", lambda name: None)
    for device in (ResolvedDevice("cuda", "h100-80gb"), ResolvedDevice("cpu", None)):
        line = refused(tmp_path, "lora", device)
        assert "quantization[1]: a quantized base runs on bitsandbytes" in line
        assert "pip install 'lorafa-prof[gpu]'" in line


def test_a_gpu_without_8_bit_products_is_named(tmp_path: Path) -> None:
    line = refused(tmp_path, "lora", ResolvedDevice("sim:v100-16gb", "v100-16gb"), "int8")
    assert "quantization[1]: quantization 'int8' needs a GPU with 8-bit products" in line
    assert "v100-16gb has 7.0" in line


@pytest.mark.parametrize(
    "config", [{"peft_type": "LORA", "use_dora": True}, {"peft_type": "VERA"}, {"peft_type": "IA3"}], ids=str
)
def test_other_adapters_of_peft_are_refused_on_shapes(tmp_path: Path, config: dict[str, Any]) -> None:
    targets = {"target_modules": ["q_proj", "k_proj"]}
    extra = {"feedforward_modules": []} if config["peft_type"] == "IA3" else {}
    method = {"name": "peft", "config": {**config, **targets, **extra}}
    assert "only plain LoRA goes beside a quantized base" in refused(tmp_path, method, ON_A_TWIN)
