"""Cells with flash-attention's packages on the twin, beside PyTorch's own flash attention and products."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cells import TWIN
from tiny_cells import SEQ, tiny_cell

from lorafa_prof.cell import ResolvedDevice
from lorafa_prof.errors import ScenarioError, UsageError
from lorafa_prof.results.measured import Measured
from lorafa_prof.results.record import CellResult
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.running.passes import run_explaining_passes
from lorafa_prof.running.plan import check_cells, check_gpus
from lorafa_prof.scenario.expand import PlannedCell, expand
from lorafa_prof.scenario.load import LoadedScenario, load_scenario

LAYERS = 2
#: Where PyTorch's attention is its own flash attention, of which cuDNN's takes no precedence.
AMPERE = "sim:a100-80gb"
BATCH = 4
#: Of the last of four documents a half is padding, of the others a third and a sixth of the batch's length.
DOCUMENTS = [SEQ, SEQ - SEQ // 6, SEQ - SEQ // 3, SEQ - SEQ // 2]


def measured(attention: str, family: str = "tiny-llama", method: str = "lora", **settings: Any) -> CellResult:
    settings = {"dtype": "bf16", "device": TWIN, **settings}
    result = measure_cell(tiny_cell(family, method, attention=attention, **settings))
    assert result.row["status"] == "ok", result.row["message"]
    assert settings.get("phase") == "eval" or result.details["reconciliation"]["residual_bytes"] == 0
    return result


def number(result: CellResult, column: str) -> int:
    return int(str(result.row[column]))


@pytest.mark.parametrize("family", ["tiny-llama", "tiny-qwen2"])
def test_it_holds_what_pytorchs_own_flash_attention_holds(family: str) -> None:
    """But for the random state: 2 numbers of 8 bytes each in one block, where PyTorch has them in two."""
    ours, pytorchs = (measured(name, family, device=AMPERE) for name in ("flash_attention_2", "sdpa"))
    for column in ("saved_bytes", "flops_forward", "flops_backward", "weights_bytes"):
        more = 8 * LAYERS if column == "saved_bytes" else 0
        assert number(pytorchs, column) - number(ours, column) == more, column


def test_version_3_keeps_no_random_state() -> None:
    of_2, of_3 = (measured(name) for name in ("flash_attention_2", "flash_attention_3"))
    assert number(of_2, "saved_bytes") - number(of_3, "saved_bytes") == 16 * LAYERS
    assert of_2.row["flops_step"] == of_3.row["flops_step"]


def test_flex_keeps_its_mask_by_blocks_besides() -> None:
    """One block of 48 tokens for each sample: four numbers for its rows, and four for its columns."""
    flash, flex = (measured(name, batch=BATCH) for name in ("flash_attention_3", "flex"))
    assert number(flex, "saved_bytes") - number(flash, "saved_bytes") == 8 * 4 * BATCH
    assert flash.row["flops_step"] == flex.row["flops_step"]


def test_flex_keeps_what_tells_padding_and_documents_apart() -> None:
    flash, padded, packed = (
        measured("flex", batch=BATCH, **settings)
        for settings in ({}, {"padding": 0.5}, {"padding": 0.5, "packing": True})
    )
    assert number(padded, "saved_bytes") - number(flash, "saved_bytes") == BATCH * SEQ
    assert number(packed, "saved_bytes") < number(flash, "saved_bytes")


@pytest.mark.parametrize("name", ["flash_attention_2", "flash_attention_3"])
@pytest.mark.parametrize("packing", [False, True])
def test_attention_is_on_pairs_of_tokens_of_one_document(name: str, packing: bool) -> None:
    """Padding is taken out before attention, so that nothing else in it differs from a packed row."""
    hidden, full = 64, measured(name, batch=BATCH)
    part = measured(name, batch=BATCH, padding=0.5, packing=packing)
    pairs = sum(length**2 for length in DOCUMENTS), BATCH * SEQ**2
    tokens = (sum(DOCUMENTS) if packing else BATCH * SEQ), BATCH * SEQ
    flops = number(part, "flops_forward"), number(full, "flops_forward")
    head = 16  # of the angles, which transformers computes for each position of one row
    places = (tokens[0] if packing else SEQ), SEQ
    linears = [flops[i] - LAYERS * 4 * hidden * pairs[i] - head * places[i] for i in (0, 1)]
    assert linears[0] * tokens[1] == linears[1] * tokens[0]


@pytest.mark.parametrize("name", ["flash_attention_2", "flash_attention_3", "flex"])
def test_the_line_that_saved_is_the_models_and_not_the_stand_ins(name: str) -> None:
    storages = measured(name, padding=0.5).details["saved"]["storages"]
    of_attention = [saved for saved in storages if saved["kind"] == "attention" and not saved["op"]]
    assert of_attention
    assert {saved["line"].split("/")[0] for saved in of_attention} == {"transformers"}


def test_what_no_gpu_has_shown_is_said() -> None:
    message = str(measured("flash_attention_2").row["message"])
    assert "not checked against a GPU" in message
    assert "lorafa_prof.flash_attention_2_forward" in message


@pytest.mark.parametrize("settings", [
    {"family": "tiny-roberta"}, {"family": "tiny-gpt2"}, {"checkpointing": "full"}, {"method": "full-ft"},
    {"autocast": "bf16", "dtype": "fp32"}, {"quantization": "nf4"}, {"phase": "eval"}, {"padding": 0.5},
], ids=str)  # fmt: skip
def test_it_runs_with_other_settings(settings: dict[str, Any]) -> None:
    result = measured("flash_attention_2", **settings)
    assert "lorafa_prof.flash_attention_2_forward.default" in result.details["unchecked_operations"]


def test_a_cell_on_the_cpu_is_told_before_it_is_built() -> None:
    with pytest.raises(UsageError, match="its kernels run on GPUs alone; sdpa is what the CPU has"):
        measure_cell(tiny_cell(attention="flash_attention_2", dtype="bf16"))


def test_on_a_gpu_flex_is_measured_and_not_looked_into() -> None:
    """Under a dispatch mode PyTorch raises NotImplementedError: nothing is compiled, and it has no rule."""
    measured = Measured()
    cell = tiny_cell(attention="flex", device="cuda", gpu="h100-80gb")
    run_explaining_passes(cell, None, None, measured)  # type: ignore[arg-type]
    assert measured.unavailable.keys() == {"flops", "saved"}
    assert (measured.flops, measured.saved) == (None, None)


def test_flex_has_no_backward_on_a_cpu() -> None:
    with pytest.raises(UsageError, match="attention 'flex': PyTorch has no backward of it on a CPU"):
        measure_cell(tiny_cell(attention="flex"))


def test_a_gpu_without_the_kernels_is_told_where_nothing_is_built(tmp_path: Path) -> None:
    """As `fit` asks of each GPU, with a model that was built for one."""
    loaded, planned = planned_on("t4", tmp_path, "bf16")
    with pytest.raises(ScenarioError, match=r"flash.yaml:6: .*for Ampere or later, and t4 is none"):
        check_gpus(loaded, planned)


def planned_on(gpu: str, folder: Path, dtypes: str) -> tuple[LoadedScenario, list[PlannedCell]]:
    file = folder / "flash.yaml"
    file.write_text(
        f"schema: 1\nname: flash\nmodel: tiny-llama\nmethod: lora\ndtype: {dtypes}\n"
        f"attention: flash_attention_2\ngpu: {gpu}\ndevice: sim:{gpu}\n"
    )
    loaded = load_scenario(file)
    return loaded, expand(loaded, lambda device, gpu: ResolvedDevice(device, gpu))


def test_a_plan_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"flash.yaml:6: .*take bf16 and fp16 alone, not fp32"):
        check_cells(*planned_on("h100-80gb", tmp_path, "[bf16, fp32]"))
