"""A cell with code of the user's own: its timeline, its explanation and its error tell that code's lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from timelines import tiny_timeline, twin_cell
from torch import Tensor, nn

from lorafa_prof.cell import Cell
from lorafa_prof.devices.sim import twin as twin_module
from lorafa_prof.explaining.explain_cells import explain_cells
from lorafa_prof.explaining.explanation_text import explanation_text
from lorafa_prof.explaining.subject import Subject
from lorafa_prof.instruments.allocations.live_bytes import live_bytes
from lorafa_prof.instruments.allocations.snapshot import snapshot_of
from lorafa_prof.methods.base import METHODS, Method, MethodOptions, Prepared
from lorafa_prof.optim.choices import make_optimizer
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.running.recorded_step import predict_timeline

ME = "tests/running/test_own_lines.py"


def number(marked: str) -> int:
    """The number of this file's line that ends in this comment."""
    lines = Path(__file__).read_text().splitlines()
    (found,) = [n for n, text in enumerate(lines, 1) if text.endswith(f"# {marked}")]
    return found


class Twice(nn.Module):
    """A module of the user's own around one of the model's."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.inner(x)  # inner
        return result.exp()  # exp


def _prepare(model: Any, options: Any, setting: Any) -> Prepared:
    model.model.layers[0].mlp = Twice(model.model.layers[0].mlp)
    return Prepared(model, make_optimizer(setting.optimizer, model.parameters(), setting.update))


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cell]:
    method = Method("mine", "of this file", MethodOptions, _prepare, default_adapter_dtype=None)
    monkeypatch.setitem(METHODS._load(), "mine", method)
    return twin_cell("mine")


def test_of_a_shipped_model_and_method_no_line_is_the_user_s() -> None:
    assert {event.place.line for event in tiny_timeline().events} == {""}


def test_blocks_tell_the_user_s_line_and_where_it_led(own: Cell) -> None:
    timeline = predict_timeline(own)
    lines = {event.place.line for event in timeline.events if event.kind == "alloc"}
    assert f"{ME}:{number('exp')}" in lines
    led = {line for line in lines if line.startswith(f"{ME}:{number('inner')} → ")}
    assert led
    assert all(" → transformers/" in line for line in led)
    assert "" in lines, "attention is no code of the user's"
    assert f"{ME}:{number('exp')}" in set(live_bytes(timeline)["line"])


def test_the_viewer_s_first_frame_is_the_user_s_line(own: Cell) -> None:
    (trace,) = snapshot_of(predict_timeline(own))["device_traces"]
    first = [entry["frames"][0] for entry in trace if len(entry["frames"]) == 3]
    assert {"name": "(own code)", "filename": ME, "line": number("exp")} in first
    assert {(frame["filename"], frame["line"]) for frame in first} == {
        (ME, number("exp")),
        (ME, number("inner")),
    }


def test_an_explanation_tells_the_user_s_lines(own: Cell) -> None:
    (found,) = explain_cells([Subject(own.cell_id, own.label, own)], 1, lambda *told: None, what_if=False)
    text = explanation_text(found, 3, None)
    assert f"({ME}:{number('exp')})" in text
    assert f"({ME}:{number('inner')} → transformers/models/llama/modeling_llama.py:" in text


def test_memory_that_runs_out_names_the_user_s_line(own: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    largest = Twice.forward

    def forward(self: Twice, x: Tensor) -> Tensor:
        torch.empty(2**42, device=x.device)  # too much
        return largest(self, x)

    monkeypatch.setattr(Twice, "forward", forward)
    line = f"{ME}:{number('too much')}"
    row = measure_cell(own).row
    assert str(row["message"]).startswith(f"{line}: CUDA out of memory in model.layers.0.mlp (aten.empty")
    failed = predict_timeline(own).out_of_memory
    assert failed is not None
    assert failed.place.line == line


def test_memory_that_runs_out_in_a_shipped_model_names_module_and_operation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(twin_module, "allocator_capacity", lambda gpu: 20 * 2**20)
    assert str(measure_cell(twin_cell("full-ft")).row["message"]).startswith("CUDA out of memory in ")
