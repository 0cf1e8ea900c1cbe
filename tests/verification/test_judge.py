from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from recorded_cell import gpu_trace, memory, recorded_cell, result

from lorafa_prof.instruments.allocations.stream import StreamOperation, from_json
from lorafa_prof.results.record import CellResult
from lorafa_prof.running.worker import run_cell
from lorafa_prof.verification.judge import VerifyRecord, judge_verification
from lorafa_prof.verification.operations import UNRECORDED, Streams
from lorafa_prof.verification.processes import predict_with_stream
from lorafa_prof.verification.residuals import METRICS
from lorafa_prof.verification.verify_csv import VERIFY_COLUMNS


@pytest.fixture(scope="module")
def predicted(tmp_path_factory: pytest.TempPathFactory) -> CellResult:
    """In a process of its own, as cells run: building a second time, transformers skips what it has."""
    log = tmp_path_factory.mktemp("predicted") / "log"
    return run_cell(recorded_cell().on_twin(), log, 300, predict_with_stream)


@pytest.fixture(scope="module")
def twin(predicted: CellResult) -> list[StreamOperation]:
    return from_json(predicted.details["stream"])


def count(record: VerifyRecord, part: str, **wanted: Any) -> int:
    assert record.operations is not None
    groups = record.operations[part]
    return sum(one["count"] for one in groups if all(one.get(key) == value for key, value in wanted.items()))


def test_a_recorded_cell_is_exact_and_what_the_recording_changed_is_explained(twin, predicted):
    """On the H100 gradients were added up out of place while a dispatch mode looked on, and not without."""
    record = judge_verification(
        predicted,
        result(memory=memory()),
        result(memory=memory("recorded")),
        streams=[Streams(twin, gpu_trace())],
    )
    assert record.row["status"] == "exact"
    assert record.row["differing_allocations"] == count(record, UNRECORDED) == 0
    assert count(record, "step", operation="aten.add.Tensor", kind="gpu only") > 0
    assert count(record, "step") == count(record, "step", explained=True)
    assert count(record, "build") == 0
    assert {row["residual"] for row in record.phases if row["counter"] == "allocated"} == {0}
    assert record.row.keys() <= set(VERIFY_COLUMNS)


def test_an_operation_that_the_twin_misses_is_found(twin):
    last = twin[-1].step
    missed = [
        one
        for one in twin
        if not (one.step == last and one.phase == "forward" and one.name == "aten.silu.default")
    ]
    ours = judge_verification(
        result(memory=memory()), result(memory=memory()), streams=[Streams(missed, gpu_trace())]
    )
    assert count(ours, "step", operation="aten.silu.default", kind="gpu only", explained=False) == 2
    assert count(ours, UNRECORDED, kind="gpu only") == 2
    assert ours.row["differing_allocations"] == count(ours, UNRECORDED) > 0


def test_an_operation_of_another_size_is_found_and_named(twin):
    index = next(
        i for i, one in enumerate(twin) if one.step == twin[-1].step and one.name.endswith("silu.default")
    )
    wrong = replace(twin[index], requested_bytes=(123,))
    ours = judge_verification(
        result(memory=memory()),
        result(memory=memory()),
        streams=[Streams([*twin[:index], wrong, *twin[index + 1 :]], gpu_trace())],
    )
    for part in (UNRECORDED, "step"):
        assert count(ours, part, operation="aten.silu.default", kind="sizes", twin_bytes=(123,)) == 1
    assert count(ours, "step", explained=False) >= 1


def test_status_and_residuals_of_other_counters():
    predicted = memory()
    predicted["phases"]["backward"]["peak"]["allocated"] += 512
    record = judge_verification(result(memory=predicted), result(memory=memory()))
    row: Any = record.row
    assert row["status"] == "differs"
    assert row["residual_peak_backward_bytes"] == 512
    for metric in METRICS:
        assert row[f"residual_{metric}"] == row[f"predicted_{metric}"] - row[f"measured_{metric}"]
    assert (record.operations, row["differing_allocations"]) == (None, None)


def test_reserved_alone_does_not_make_it_differ():
    predicted = memory()
    predicted["peak_reserved_bytes"] += 2**21
    for phase in predicted["phases"].values():
        phase["peak"]["reserved"] += 2**21
    assert judge_verification(result(memory=predicted), result(memory=memory())).row["status"] == "exact"


OOM = {"status": "oom", "failed_phase": "backward", "message": "CUDA out of memory."}


@pytest.mark.parametrize(
    ("predicted", "measured", "status"),
    [
        (OOM, OOM, "oom"),
        (OOM, {**OOM, "failed_phase": "forward"}, "oom"),
        (OOM, {}, "oom-predicted"),
        ({}, OOM, "oom-measured"),
        ({"status": "error", "message": "boom"}, {}, "error"),
        ({}, {"status": "timeout", "message": "late"}, "error"),
        (OOM, {"status": "error", "message": "boom"}, "error"),
    ],
)
def test_status_where_a_side_has_no_numbers(predicted, measured, status):
    ours, theirs = (
        result(memory=None if side else memory(), **side)  # type: ignore[arg-type]
        for side in (predicted, measured)
    )
    row = judge_verification(ours, theirs).row
    assert row["status"] == status
    assert row["predicted_failed_phase"] == predicted.get("failed_phase")
    assert row["measured_failed_phase"] == measured.get("failed_phase")
    assert row["message"]
    assert not [name for name in row if name.startswith("residual")]


def test_what_a_reader_must_know_is_the_message():
    retried = result(memory=memory())
    retried.details["notes"] = ["the allocator had to retry 2 times"]
    recorded = result(status="oom", message="CUDA out of memory.")
    row = judge_verification(result(memory=memory()), retried, recorded).row
    assert row["status"] == "exact"
    assert row["message"] == "the allocator had to retry 2 times; not recorded: oom: CUDA out of memory."


def test_where_recording_changed_the_bytes():
    recorded = memory()
    recorded["phases"]["forward"]["peak"]["requested"] += 100
    recorded["phases"]["forward"]["peak"]["reserved"] += 100
    record = judge_verification(result(memory=memory()), result(memory=memory()), result(memory=recorded))
    (changed,) = record.recording
    assert (changed["phase"], changed["point"], changed["counter"]) == ("forward", "peak", "requested")
    assert changed["changed"] == changed["recorded"] - changed["measured"] == 100


def test_versions_and_settings_are_in_the_row():
    row = judge_verification(result(memory=memory()), result(memory=memory())).row
    cell = recorded_cell()
    assert (row["cell_id"], row["model"], row["batch"]) == (cell.cell_id, cell.model.name, cell.batch)
    assert (row["predicted_torch"], row["driver"]) == ("2.11.0+cu130", "580.95.05")
    assert row["gpu_name"] == "NVIDIA H100 80GB HBM3"


def test_without_memory_on_a_side_nothing_is_exact():
    record = judge_verification(result(), result(memory=memory()))
    assert record.row["status"] == "error"
    assert "nothing was compared" in str(record.row["message"])
