"""Explanations of what was measured, predicted, or cannot be predicted."""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from typing import Any

import pytest
from explained import cell_of, measured, predicted
from tiny_cells import tiny_cell

from lorafa_prof.cell import Cell
from lorafa_prof.devices.sim import twin as twin_module
from lorafa_prof.devices.sim.settings import settings_of_record
from lorafa_prof.errors import LorafaProfError, UsageError
from lorafa_prof.explaining import explain_cells as explain_module
from lorafa_prof.explaining.explain_cells import explain_cells
from lorafa_prof.explaining.explanation import Explanation
from lorafa_prof.explaining.remedies import remedies_for
from lorafa_prof.explaining.subject import Subject, subjects_of
from lorafa_prof.results.record import CellResult
from lorafa_prof.running.measure import measure_cell

EXPANDABLE = {"allocator": {"PYTORCH_ALLOC_CONF": "expandable_segments:True"}}


def explained(subject: Subject, *, what_if: bool = False) -> Explanation:
    (found,) = explain_cells([subject], 1, lambda done, count, what: None, what_if=what_if)
    return found


def subject_of(result: CellResult, **changes: Any) -> Subject:
    """What a folder with this result tells of its cell."""
    cell = result.cell
    known = Subject(cell.cell_id, cell.label, cell, result.row, result.details, result.environment)
    return replace(known, **changes)


def on_gpu(cell: Cell) -> Cell:
    return cell.model_copy(update={"device": "cuda"})


def test_a_cell_that_was_not_run() -> None:
    (subject,) = subjects_of([cell_of("lora")])
    explanation = explained(subject)
    assert explanation.peak == predicted("lora").peak
    assert explanation.activation == predicted("lora").activation
    assert explanation.source == "predicted on the twin of h100-80gb"
    assert explanation.trials == ()


def test_a_cell_that_was_measured_is_set_against_its_twin() -> None:
    result = measured("lora")
    row = {**result.row, "peak_allocated_bytes": result.row["peak_allocated_bytes"] + 1024}  # type: ignore[operator]
    then = {**result.environment, "packages": {**result.environment["packages"], "torch": "1.0"}}
    subject = subject_of(result, cell=on_gpu(result.cell), row=row, environment=then)
    explanation = explained(subject)
    assert explanation.peak is not None
    assert explanation.peak.unexplained_bytes == 1024
    assert explanation.peak.pieces == predicted("lora").peak.pieces
    assert explanation.activation == predicted("lora").activation
    assert "measured on h100-80gb" in explanation.source
    (remark,) = [remark for remark in explanation.remarks if "it ran with" in remark]
    assert remark.startswith("it ran with torch 1.0 (here ")
    assert any("depends on its address" in remark for remark in explanation.remarks)


def test_a_prediction_of_the_same_versions_is_explained_to_the_byte() -> None:
    explanation = explained(subject_of(measured("lora")))
    assert explanation.peak is not None
    assert explanation.activation is not None
    assert explanation.peak.unexplained_bytes == explanation.activation.unexplained_bytes == 0
    assert not [remark for remark in explanation.remarks if "it ran with" in remark]


def test_the_allocator_has_the_settings_that_it_ran_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    result = measure_cell(cell_of("lora"))
    monkeypatch.delenv("PYTORCH_ALLOC_CONF")
    assert result.row["peak_reserved_bytes"] != measured("lora").row["peak_reserved_bytes"]
    assert explained(subject_of(result)).predicted is not None
    explanation = explained(subject_of(result))
    assert explanation.predicted is not None
    assert explanation.predicted.peak_reserved_bytes == result.row["peak_reserved_bytes"]


def test_settings_of_an_unknown_machine_are_those_of_this_one() -> None:
    assert settings_of_record({}) is None
    expandable = settings_of_record(EXPANDABLE)
    assert expandable is not None
    assert expandable.expandable_segments
    with pytest.raises(UsageError, match="no_such_option"):
        settings_of_record({"allocator": {"PYTORCH_ALLOC_CONF": "no_such_option:1"}})


def test_on_a_cpu_the_record_is_all_there_is() -> None:
    result = measure_cell(tiny_cell(method="lora"))
    row: Any = result.row
    explanation = explained(subject_of(result), what_if=True)
    assert "there is no twin of a CPU" in explanation.source
    assert explanation.peak is not None
    assert explanation.activation is not None
    parts = {piece.part: piece.nbytes for piece in explanation.peak.pieces}
    inputs = result.details["memory"]["inputs_bytes"]
    assert parts == {
        "weights": row["weights_bytes"],
        "optimizer": row["optimizer_bytes"],
        "inputs": inputs,
    }
    rest = row["peak_allocated_bytes"] - sum(parts.values())
    assert explanation.peak.unexplained_bytes == rest > 0
    assert explanation.activation.total_bytes == row["activation_bytes"]
    assert explanation.activation.unexplained_bytes == result.details["reconciliation"]["residual_bytes"]
    assert {need.op for piece in explanation.activation.pieces for need in piece.needs} >= {"LoraFunction"}
    assert any(f"what forward keeps ({row['activation_bytes']:,} B)" in text for text in explanation.remarks)
    assert explanation.trials == ()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"cell": None}, "its settings are not known"),
        (
            {"cell": on_gpu(cell_of("lora")).model_copy(update={"gpu": "some-gpu"})},
            "there is no twin of some-gpu",
        ),
        ({"environment": {"allocator": {"PYTORCH_ALLOC_CONF": "odd:1"}}}, "odd"),
    ],
)
def test_where_no_twin_can_be_asked_the_record_is_told(changes: dict[str, Any], why: str) -> None:
    explanation = explained(subject_of(measured("lora"), **changes))
    assert why in explanation.source
    assert explanation.predicted is None
    assert explanation.activation is not None
    assert explanation.activation.unexplained_bytes == 0
    assert explanation.peak is not None
    assert explanation.peak.unexplained_bytes > 0


def test_a_row_without_numbers_explains_nothing() -> None:
    explanation = explained(Subject("id", "it", None, {"status": "error", "message": "no"}))
    assert explanation.peak is None
    assert explanation.activation is None
    assert explanation.remarks == ()


def test_what_cannot_be_built_is_told_of_its_row_or_is_an_error() -> None:
    cell = cell_of("lora").model_copy(update={"kernels": "fused-loss"})
    cell = cell.model_copy(update={"model": cell.model.model_copy(update={"name": "tiny-roberta"})})
    row = {"status": "error", "message": "told"}
    explanation = explained(Subject("id", "it", cell, row))
    assert "its twin cannot be built here: kernels 'fused-loss' is no loss" in explanation.source
    with pytest.raises(LorafaProfError, match="is no loss"):
        explained(Subject("id", "it", cell))


def test_what_fails_otherwise_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> None:
        raise ZeroDivisionError("by naught")

    monkeypatch.setattr(explain_module, "predicted_step", broken)
    with pytest.raises(LorafaProfError, match=r"^it: the twin failed: ZeroDivisionError: by naught$"):
        explained(Subject("id", "it", cell_of("lora")))


def test_a_process_that_dies_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*args: Any) -> None:
        raise BrokenProcessPool

    monkeypatch.setattr(explain_module, "predicted_step", dies)
    with pytest.raises(LorafaProfError, match="a process that predicts died"):
        explained(Subject("id", "it", cell_of("lora")))


def test_remedies_are_tried_if_asked_for() -> None:
    told: list[tuple[int, int, str]] = []
    (subject,) = subjects_of([cell_of("lora")])
    (explanation,) = explain_cells([subject], 1, lambda *each: told.append(each), what_if=True)
    changes = [remedy.change for remedy in remedies_for(cell_of("lora"))]
    assert [trial.remedy.change for trial in explanation.trials] == changes
    assert told[0] == (0, len(changes) + 1, ""), "the time to go is told from the beginning"
    assert sorted(done for done, _, _ in told[1:]) == list(range(1, len(changes) + 2))
    assert {what for _, _, what in told[1:]} == {subject.label, *changes}


LIMIT = 40 * 2**20


def limit(monkeypatch: pytest.MonkeyPatch, capacity_bytes: int = LIMIT) -> None:
    """Of all GPUs from here on; what was predicted before is kept for all tests."""
    predicted("full-ft"), measured("full-ft"), predicted("lora"), measured("lora")
    monkeypatch.setattr(twin_module, "allocator_capacity", lambda gpu: capacity_bytes)


def test_where_memory_runs_out_what_lived_then_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    limit(monkeypatch)
    result = measure_cell(cell_of("full-ft"))
    explanation = explained(subject_of(result))
    assert result.row["status"] == "oom"
    assert explanation.predicted is not None
    ran_out = explanation.predicted.ran_out
    assert ran_out is not None
    then = ran_out.composition
    assert then.unexplained_bytes == 0
    assert then.place is not None
    assert then.place.phase == result.row["failed_phase"] == "backward"
    assert ran_out.capacity_bytes == LIMIT
    assert then.reserved_bytes is not None
    assert then.total_bytes <= then.reserved_bytes < LIMIT < then.total_bytes + ran_out.requested_bytes
    # It is in the first step: there is no optimizer state, and saved tensors are told all the same.
    assert then.place.step == 1
    assert {piece.part for piece in then.pieces} >= {"weights", "inputs", "saved", "workspaces"}
    assert not then.of("optimizer")
    assert then.of("weights") == predicted("full-ft").peak.of("weights")
    # What it would take is that of the cell without a limit.
    assert explanation.peak == predicted("full-ft").peak


def test_memory_that_does_not_suffice_for_the_first_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    limit(monkeypatch, 2**20)
    explanation = explained(Subject("id", "it", cell_of("full-ft")))
    assert explanation.predicted is not None
    ran_out = explanation.predicted.ran_out
    assert ran_out is not None
    assert ran_out.composition.pieces == ()
    assert ran_out.composition.place is not None
    assert ran_out.composition.place.phase == "build"


def test_who_ran_where_the_twin_runs_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    limit(monkeypatch)
    explanation = explained(subject_of(measured("full-ft")))
    assert "it did not run out of memory, where the twin says that it does" in explanation.remarks


def test_who_ran_out_where_the_twin_does_not_is_told() -> None:
    explanation = explained(Subject("id", "it", on_gpu(cell_of("lora")), {"status": "oom"}))
    assert "it ran out of memory, where the twin says that it fits" in explanation.remarks
