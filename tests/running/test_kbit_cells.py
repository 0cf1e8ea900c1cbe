"""Cells on a quantized base that is prepared as PEFT prepares it, beside the same without."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from cells import TWIN
from tiny_cells import tiny_cell

from lorafa_prof.models.resolve import resolve_model
from lorafa_prof.results.record import CellResult
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.running.prepare import prepare_model

FAMILIES = ["tiny-llama", "tiny-gpt2", "tiny-t5", "tiny-roberta"]
METHODS = ["lora", "lora-fa", "peft-lora"]


def pair(model: str, method: str, **settings: Any) -> tuple[CellResult, CellResult]:
    """The cell without and with the preparation."""
    fields = {"dtype": "bf16", "adapter_dtype": "fp32", "quantization": "nf4", "device": TWIN, **settings}
    plain, prepared = (
        measure_cell(tiny_cell(model, method, kbit_prepare=given, **fields)) for given in (False, True)
    )
    assert plain.row["status"] == prepared.row["status"] == "ok"
    return plain, prepared


def in_16_bits(model: str, method: str) -> int:
    """Numbers that stay in 16 bits beside the packed ones, by PyTorch's own count."""
    cell = tiny_cell(model, method, dtype="bf16", adapter_dtype="fp32", quantization="nf4")
    built = prepare_model(cell, resolve_model(cell.model), torch.device("meta")).model
    return sum(p.numel() for p in built.parameters() if p.dtype == torch.bfloat16)


@pytest.mark.parametrize("method", ["lora", "peft-lora"])
@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_not_packed_takes_two_bytes_more(family: str, method: str) -> None:
    plain, prepared = pair(family, method)
    more = int(str(prepared.row["weights_bytes"])) - int(str(plain.row["weights_bytes"]))
    assert more == 2 * in_16_bits(family, method) > 0


@pytest.mark.parametrize("autocast", ["none", "bf16"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_prepared_step_reconciles_and_runs_nothing_unchecked(
    family: str, method: str, autocast: str
) -> None:
    _, prepared = pair(family, method, autocast=autocast)
    assert prepared.details["reconciliation"]["residual_bytes"] == 0
    assert "message" not in prepared.row


def held_by_adapters(result: CellResult) -> int:
    return int(result.details["saved"]["by_kind"]["adapter"])


def test_4_bit_layers_compute_in_their_own_type_and_8_bit_ones_in_their_inputs() -> None:
    """What enters is float32: bitsandbytes' 4-bit layers cast it to `compute_dtype`, 8-bit ones do not."""
    plain, prepared = pair("tiny-llama", "lora-fa")
    assert held_by_adapters(prepared) == held_by_adapters(plain) > 0
    plain, prepared = pair("tiny-llama", "lora-fa", quantization="int8")
    assert held_by_adapters(prepared) == 2 * held_by_adapters(plain) > 0


def test_the_inputs_gradient_is_formed_though_nothing_is_recomputed() -> None:
    plain, prepared = pair("tiny-llama", "lora", attention="eager")  # sdpa's kernel depends on the type
    # The first block's queries, keys and values read the embeddings, whose output requires a gradient now.
    hidden, into, tokens = 64, 64 + 32 + 32, 2 * 48
    first = 2 * tokens * (hidden * into + 4 * (3 * hidden))
    more = int(str(prepared.row["flops_backward"])) - int(str(plain.row["flops_backward"]))
    assert more == first
    assert prepared.row["flops_forward"] == plain.row["flops_forward"]


def test_a_row_says_that_its_base_was_prepared() -> None:
    plain, prepared = pair("tiny-llama", "lora")
    assert (plain.row["kbit_prepare"], prepared.row["kbit_prepare"]) == (None, "true")
    assert plain.cell.cell_id != prepared.cell.cell_id
    assert plain.cell.cell_id == tiny_cell(
        "tiny-llama", "lora", dtype="bf16", adapter_dtype="fp32", quantization="nf4", device=TWIN
    ).cell_id  # fmt: skip
