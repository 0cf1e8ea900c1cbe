"""Cells whose documents stand in one row, beside the same documents padded."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from cells import TWIN
from tiny_cells import SEQ, tiny_cell

from lorafa_prof.errors import UsageError
from lorafa_prof.models.resolve import resolve_model
from lorafa_prof.results.record import CellResult
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.running.prepare import prepare_model

BATCH = 4
#: Of the last of four documents a half is padding, of the others a third and a sixth of the batch's length.
TOKENS = BATCH * SEQ - (SEQ // 2 + SEQ // 3 + SEQ // 6)


def measured(*args: Any, **settings: Any) -> CellResult:
    cell = tiny_cell(*args, **{"batch": BATCH, "padding": 0.5, "packing": True, **settings})
    result = measure_cell(cell)
    assert result.row["status"] == "ok"
    return result


@pytest.mark.parametrize("family", ["tiny-llama", "tiny-mistral", "tiny-qwen2"])
def test_the_twin_asks_for_what_the_cpu_does(family: str) -> None:
    """Attention in products, which both run; in backward a kernel of the GPU's takes a copy besides."""
    cpu, twin = (measured(family, attention="eager", device=device) for device in ("cpu", TWIN))
    assert cpu.row["saved_bytes"] == twin.row["saved_bytes"]
    assert cpu.row["flops_step"] == twin.row["flops_step"]
    for phase, point in (("forward", "end"), ("forward", "peak"), ("backward", "end"), ("optimizer", "peak")):
        here, there = (result.details["memory"]["phases"][phase] for result in (cpu, twin))
        ours, theirs = (side[point]["requested"] - side["start"]["requested"] for side in (here, there))
        assert ours == theirs


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("device", ["cpu", TWIN])
def test_it_reconciles_with_and_without_a_fused_loss(device: str, attention: str) -> None:
    for kernels in ("eager", "fused"):
        result = measured(device=device, attention=attention, kernels=kernels)
        assert result.details["reconciliation"]["residual_bytes"] == 0


def test_linear_layers_compute_on_no_padding() -> None:
    """And attention in products on all pairs of tokens of the row, of which each has its angles."""
    hidden, layers, head = 64, 2, 16
    padded, packed = (measured(attention="eager", packing=packing) for packing in (False, True))
    pairs, positions = (BATCH * SEQ * SEQ, TOKENS * TOKENS), (SEQ, TOKENS)
    of_linears = [
        int(str(result.row["flops_forward"])) - layers * 2 * 2 * hidden * each - head * places
        for result, each, places in zip((padded, packed), pairs, positions, strict=True)
    ]
    assert of_linears[1] * BATCH * SEQ == of_linears[0] * TOKENS


def test_rates_are_of_the_tokens_that_are_there() -> None:
    row = measured().row
    seconds = float(str(row["step_ms_median"])) / 1e3
    assert float(str(row["tokens_per_s"])) == pytest.approx(TOKENS / seconds)
    assert float(str(row["samples_per_s"])) == pytest.approx(BATCH / seconds)
    assert row["packing"] == "true"


@pytest.mark.parametrize(
    "settings",
    [
        {"phase": "eval", "kept_logits": 2},
        {"seq": 32, "lengths": (8, 32, 5)},
        {"checkpointing": "full", "autocast": "bf16"},
        {"method": "peft-lora"},
    ],
    ids=lambda settings: "-".join(settings),
)
def test_other_settings_go_with_it(settings: dict[str, Any]) -> None:
    assert "peak_allocated_bytes" in measured(device=TWIN, **settings).row


def test_a_model_that_mixes_documents_is_refused_before_it_is_built() -> None:
    cell = tiny_cell("tiny-roberta", packing=True)
    with pytest.raises(UsageError, match="packing: model 'tiny-roberta'"):
        prepare_model(cell, resolve_model(cell.model), torch.device("meta"))
