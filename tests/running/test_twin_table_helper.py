"""The helper that guards the committed table, on a table made here."""

from __future__ import annotations

import csv
import io

import pytest
from test_twin_table import Row, cells_of, disagreements, wrong_residuals
from tiny_cells import tiny_cell

from lorafa_prof.results.record import CellResult
from lorafa_prof.verification.judge import judge_verification
from lorafa_prof.verification.processes import predict
from lorafa_prof.verification.verify_csv import table_text

CELL = tiny_cell("tiny-llama", "lora-fa", device="cuda", gpu="h100-80gb")


@pytest.fixture(scope="module")
def row() -> Row:
    predicted = predict(CELL.on_twin())
    settings = {name: value for name, value in predicted.row.items() if name not in ("status", "message")}
    measured = CellResult(
        cell=CELL, row={**settings, "cell_id": CELL.cell_id, "status": "ok"}, details=predicted.details
    )
    text = table_text([judge_verification(predicted, measured).row])
    (read,) = csv.DictReader(io.StringIO(text))
    return read


def test_a_table_of_today_agrees(row):
    assert disagreements(row, CELL) == []
    assert wrong_residuals(row) == []


def test_another_byte_is_told(row):
    other = {**row, "predicted_peak_backward_bytes": str(int(row["predicted_peak_backward_bytes"]) + 1)}
    (told,) = disagreements(other, CELL)
    assert told.startswith("predicted_peak_backward_bytes: ")
    assert wrong_residuals(other) == ["peak_backward_bytes"]


def test_a_phase_that_failed_is_told(row):
    (told,) = disagreements({**row, "predicted_failed_phase": "forward"}, CELL)
    assert told == "predicted_failed_phase: forward in the table, nothing now"


def test_cells_are_built_from_scenarios_as_they_run_on_the_gpu(tmp_path):
    (tmp_path / "a.yaml").write_text(
        "schema: 1\nname: a\nmodel: tiny-llama\nmethod: [full-ft, {name: lora, rank: 2}]\n"
        "batch: 1\nseq: [8, 16]\ndevice: sim:a100-40gb\n"
    )
    cells = cells_of((tmp_path,), "h100-80gb")
    assert len(cells) == 4
    assert {(cell.device, cell.gpu) for cell in cells.values()} == {("cuda", "h100-80gb")}
    assert all(cell.cell_id == cell_id for cell_id, cell in cells.items())
