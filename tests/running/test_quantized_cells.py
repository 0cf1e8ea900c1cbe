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
BY_BITSANDBYTES: list[dict[str, Any]] = [
    {"quantization": "nf4"},
    {"quantization": "fp4", "double_quant": True},
    {"quantization": "int8"},
]
FP8 = {"quantization": "fp8"}
KINDS = [*BY_BITSANDBYTES, FP8]


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
@pytest.mark.parametrize(
    ("method", "kind"),
    [*((method, kind) for method in ADAPTED for kind in BY_BITSANDBYTES), ("lora", FP8), ("lora-fa", FP8)],
    ids=str,
)
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


@pytest.mark.parametrize("kind", BY_BITSANDBYTES, ids=str)
def test_the_twin_runs_nothing_that_no_gpu_has_shown(kind: dict[str, Any]) -> None:
    message = measured("tiny-llama", "lora-fa", **kind).row.get("message")
    assert "not checked against a GPU" not in str(message)


def test_an_id_without_quantization_is_as_before_and_each_kind_has_its_own() -> None:
    plain = tiny_cell("tiny-llama", "lora")
    ids = {tiny_cell("tiny-llama", "lora", **kind).cell_id for kind in ({}, *KINDS)}
    assert plain.cell_id == tiny_cell("tiny-llama", "lora", quantization="none").cell_id
    assert len(ids) == 1 + len(KINDS)


@pytest.mark.parametrize("kernels", ["eager", "packed"])
@pytest.mark.parametrize("method", ["lora", "lora-fa"])
def test_in_fp8_the_cpu_holds_and_computes_what_the_twin_predicts(method: str, kernels: str) -> None:
    settings = {"kernels": kernels, "attention": "eager", **FP8}
    here, twin = (measured("tiny-llama", method, device=device, **settings) for device in ("cpu", TWIN))
    for column in ("saved_bytes", "weights_bytes", "params_total", "flops_forward", "flops_backward"):
        assert here.row[column] == twin.row[column] > 0, column
    assert here.row["quantization"] == "fp8"
    assert here.details["reconciliation"]["residual_bytes"] == 0


@pytest.mark.parametrize(("gpu", "is_told"), [("l4", True), ("h200", False)])
def test_a_gpu_whose_products_in_fp8_are_not_predicted_is_named(gpu: str, is_told: bool) -> None:
    message = str(measured("tiny-llama", "lora-fa", device=f"sim:{gpu}", gpu=gpu, **FP8).row.get("message"))
    assert (f"what products in fp8 take inside on {gpu} is not predicted" in message) is is_told


def test_most_flops_of_a_step_in_fp8_are_of_8_bit_floats_and_recomputed_ones_are_not_among_them() -> None:
    flops = [
        measured("tiny-llama", "lora-fa", checkpointing=checkpointing, **FP8).details["flops"]
        for checkpointing in ("none", "full")
    ]
    assert flops[0]["fp8"] > 0.5 * sum(flops[0]["by_phase"].values())
    # With checkpointing the first layer's input has a gradient too.
    assert 1.0 < flops[1]["fp8"] / flops[0]["fp8"] < 1.1
    assert measured("tiny-llama", "lora-fa").details["flops"]["fp8"] == 0


def test_llama_2_7b_in_fp8_with_adapters_of_rank_64_is_below_7_gib() -> None:
    """6.03 GiB of weights in 8 bits, 0.49 of embeddings and output layer, 0.30 of A's and B's."""
    weights = {
        kernels: int(
            measured(
                "llama-2-7b", "lora-fa", rank=64, device="sim:h200", kernels=kernels, batch=1, seq=64, **FP8
            ).row["weights_bytes"]
        )
        for kernels in ("eager", "packed")
    }
    assert weights["packed"] == weights["eager"]
    linears = 32 * (4 * 4096 * 4096 + 3 * 4096 * 11008)
    scales = 32 * 4 * (5 * 4096 + 2 * 11008)
    rest = 2 * (2 * 32000 * 4096 + 65 * 4096)
    adapters = 2 * 64 * 32 * (4 * 2 * 4096 + 3 * (4096 + 11008))
    buffers = weights["eager"] - linears - scales - rest - adapters
    assert 0 <= buffers < 1024
    assert weights["eager"] < 7.0 * 2**30


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


def test_fp8_needs_no_bitsandbytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_bitsandbytes, "find_spec", lambda name: None)
    line = refused(tmp_path, "full-ft", ResolvedDevice("cuda", "h100-80gb"), "fp8")
    assert "full-ft trains the base's weights" in line


@pytest.mark.parametrize("method", ["peft-lora", "peft-lora-fa"])
def test_fp8_is_of_our_own_layers(tmp_path: Path, method: str) -> None:
    line = refused(tmp_path, method, ON_A_TWIN, "fp8")
    assert "quantization[1]: quantization 'fp8' is of this suite's own layers" in line
    assert "take lora or lora-fa" in line


@pytest.mark.parametrize(
    ("gpu", "settings", "reason"),
    [
        ("a100-80gb", {}, "needs a GPU with products of 8-bit floats (compute capability 8.9: Ada, Hopper"),
        ("l4", {"dtype": "fp32"}, "in bf16 on l4 (compute capability 8.9), and here they are in fp32"),
        ("b200", {"autocast": "fp16", "dtype": "fp32"}, "and here they are in fp16"),
    ],
)
def test_a_gpu_whose_products_of_8_bit_floats_are_not_what_is_asked_is_named(
    tmp_path: Path, gpu: str, settings: dict[str, Any], reason: str
) -> None:
    line = refused(
        tmp_path, "lora", ResolvedDevice(f"sim:{gpu}", gpu), "fp8", **{"dtype": "bf16", **settings}
    )
    assert "quantization[1]: quantization 'fp8'" in line
    assert reason in line
    assert gpu in line


@pytest.mark.parametrize(("gpu", "dtype"), [("l4", "bf16"), ("h100-80gb", "fp32"), ("b200", "bf16")])
def test_gpus_that_have_them_are_not_refused(tmp_path: Path, gpu: str, dtype: str) -> None:
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        refused(tmp_path, "lora", ResolvedDevice(f"sim:{gpu}", gpu), "fp8", dtype=dtype)


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
