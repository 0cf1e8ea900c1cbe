"""Cells that classify images: heads, tokens, and what images cannot have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_cells import tiny_cell

from lorafa_prof.cell import Cell, ResolvedDevice
from lorafa_prof.errors import ScenarioError
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.running.plan import check_cells
from lorafa_prof.running.prepare import prepare_step
from lorafa_prof.scenario.expand import PlannedCell, expand
from lorafa_prof.scenario.load import load_scenario

SEEING = ("tiny-convnext", "tiny-dinov2", "tiny-swin", "tiny-vit")


def image_cell(model: str, method: str) -> Cell:
    return tiny_cell(model, method, attention="eager")


@pytest.mark.parametrize("model", SEEING)
@pytest.mark.parametrize("method", ["lora", "lora-fa", "peft-lora"])
def test_a_new_head_trains_beside_the_adapters(model: str, method: str) -> None:
    prepared, _ = prepare_step(image_cell(model, method), torch.device("cpu"))
    trains = {name for name, p in prepared.model.named_parameters() if p.requires_grad}
    head = {name for name in trains if "classifier" in name}
    assert {name.rsplit(".", 1)[-1] for name in head} == {"weight", "bias"}
    assert len(head) == 2
    assert all("lora" in name.lower() for name in trains - head)


def test_rates_are_of_the_tokens_that_the_model_sees() -> None:
    row: Any = measure_cell(image_cell("tiny-vit", "lora")).row
    assert row["seq"] == 17
    assert row["tokens_per_s"] == pytest.approx(17 * row["samples_per_s"])


def planned(folder: Path, text: str) -> list[PlannedCell]:
    file = folder / "s.yaml"
    file.write_text("schema: 1\nname: x\nmethod: lora\ndevice: cpu\n" + text)
    loaded = load_scenario(file)
    cells = expand(loaded, lambda device, gpu: ResolvedDevice("cpu", None))
    check_cells(loaded, cells)
    return cells


def test_without_a_word_on_seq_each_model_has_its_own(tmp_path: Path) -> None:
    cells = planned(tmp_path, "model: [tiny-vit, tiny-swin, tiny-llama, roberta-base]\nbatch: 1\n")
    assert [plan.cell.seq for plan in cells] == [17, 64, 1024, 512]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "model: tiny-vit\nseq: 1024\n",
            r"s.yaml:6: seq: seq 1024 is not of model 'tiny-vit'",
        ),
        ("model: tiny-vit\nseq: {lengths: [17, 16]}\n", "seq 16 is not of model 'tiny-vit'"),
        ("model: tiny-vit\npadding: 0.5\n", "s.yaml:6: padding: padding 0.5 is of text"),
        ("model: tiny-vit\npacking: true\n", "packing: model 'tiny-vit' .type 'vit', image-classification."),
    ],
)
def test_what_images_cannot_have_is_an_error_at_its_line(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(ScenarioError, match=line):
        planned(tmp_path, text)
