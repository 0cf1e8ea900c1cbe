"""Cells of speech recognition: rates of text and sound, and what is left as it is."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_cells import tiny_cell

from lorafa_prof.running.measure import measure_cell
from lorafa_prof.running.prepare import prepare_step


def test_rates_are_of_text_and_sound() -> None:
    row: Any = measure_cell(tiny_cell("tiny-whisper", "lora")).row
    assert row["tokens_per_s"] == pytest.approx((row["seq"] + 24) * row["samples_per_s"])


def test_what_the_model_keeps_as_it_is_does_not_train() -> None:
    prepared, _ = prepare_step(tiny_cell("tiny-whisper", "full-ft"), torch.device("cpu"))
    frozen = {name for name, p in prepared.model.named_parameters() if not p.requires_grad}
    assert frozen == {"model.encoder.embed_positions.weight"}
