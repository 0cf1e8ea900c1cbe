"""Cells of speech recognition: on the twin as on the CPU, by all methods, and what their rows say."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_cells import METHOD_NAMES, tiny_cell

from lorafa_prof.running.measure import measure_cell
from lorafa_prof.running.prepare import prepare_step


@pytest.mark.parametrize("method", METHOD_NAMES)
def test_the_twin_saves_and_computes_what_the_cpu_does(method: str) -> None:
    here, twin = (
        measure_cell(tiny_cell("tiny-whisper", method, device=device, attention="eager"))
        for device in ("cpu", "sim:h100-80gb")
    )
    for name in ("saved_bytes", "flops_forward", "flops_backward", "params_trainable", "weights_bytes"):
        assert here.row[name] == twin.row[name], name
    for result in (here, twin):
        assert result.row["status"] == "ok"
        assert result.details["reconciliation"]["residual_bytes"] == 0
        assert "in each sample the model sees 24 tokens that are no text" in str(result.row["message"])


def test_rates_are_of_text_and_sound() -> None:
    row: Any = measure_cell(tiny_cell("tiny-whisper", "lora")).row
    assert row["tokens_per_s"] == pytest.approx((row["seq"] + 24) * row["samples_per_s"])


def test_what_the_model_keeps_as_it_is_does_not_train() -> None:
    prepared, _ = prepare_step(tiny_cell("tiny-whisper", "full-ft"), torch.device("cpu"))
    frozen = {name for name, p in prepared.model.named_parameters() if not p.requires_grad}
    assert frozen == {"model.encoder.embed_positions.weight"}
