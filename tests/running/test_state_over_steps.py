"""What a recurrence keeps from step to step is explained: it replaces what it kept before."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_cells import BATCH, tiny_cell
from transformers import RecurrentGemmaConfig

from lorafa_prof.explaining.composition import left_by_forward
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.running.recorded_step import record_step

WIDTH = 64
STATE_BYTES = BATCH * WIDTH * 4


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recurrent")
    RecurrentGemmaConfig(
        vocab_size=100,
        hidden_size=WIDTH,
        lru_width=WIDTH,
        intermediate_size=96,
        num_attention_heads=2,
        num_hidden_layers=1,
        block_types=["recurrent"],
    ).to_json_file(folder / "config.json")
    return folder


@pytest.mark.parametrize("device", ["sim:h100-80gb", "cpu"])
def test_the_activation_is_explained_to_the_byte(model: Path, device: str) -> None:
    parts = measure_cell(tiny_cell(str(model), "lora", device=device)).details["reconciliation"]
    assert parts["residual_bytes"] == 0
    assert parts["replaced_bytes"] == STATE_BYTES


def test_twin_and_cpu_hold_the_same(model: Path) -> None:
    cells = (tiny_cell(str(model), "lora", device=device) for device in ("sim:h100-80gb", "cpu"))
    twin, cpu = (measure_cell(cell).details["reconciliation"] for cell in cells)
    assert twin["activation_bytes"] - twin["slack_bytes"] == cpu["activation_bytes"]


def test_it_is_a_part_of_its_own_in_an_explanation(model: Path) -> None:
    recorded = record_step(tiny_cell(str(model), "lora", device="sim:h100-80gb"))
    assert recorded.memory is not None
    end = [span for span in recorded.timeline.spans if span.phase == "forward"][-1].end
    left = left_by_forward(recorded.timeline, recorded.notes, end, recorded.memory.activation_bytes)
    assert left.unexplained_bytes == 0
    assert sum(piece.nbytes for piece in left.of("held")) == 4  # the loss
