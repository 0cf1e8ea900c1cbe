from __future__ import annotations

import csv
from typing import Any

import pytest
from tiny_cells import tiny_cell
from told_verification import GIB, Told

from lorafa_prof.cell import Cell
from lorafa_prof.instruments.allocations.stream import StreamOperation, as_json
from lorafa_prof.verification import sweep as module
from lorafa_prof.verification.judge import VerifyRecord, judge_verification
from lorafa_prof.verification.operations import UNRECORDED
from lorafa_prof.verification.store import Records, VerifyStore
from lorafa_prof.verification.sweep import cells_to_verify, verify_sweep

STREAM = {
    "stream": as_json(
        [
            StreamOperation(0, "build", "", "empty", 0, (512,)),
            StreamOperation(1, "forward", "a", "mm", 1, (64,), (1,), (1,)),
            StreamOperation(2, "forward", "a", "mm", 2, (64,), (2,), (1,)),
        ]
    ),
    "plain": [["forward", 64, 1]],
}


def cell(method: str = "lora") -> Cell:
    return tiny_cell("tiny-llama", method, device="cuda", gpu="h100-80gb")


@pytest.fixture
def told(monkeypatch) -> Told:
    made = Told()
    made.stream = STREAM
    monkeypatch.setattr(module, "run_cell", made.run_cell)
    return made


@pytest.fixture
def store(tmp_path) -> VerifyStore:
    made = VerifyStore(tmp_path / "out")
    made.prepare()
    return made


def sweep(store: VerifyStore, cells: list[Cell], records: Records | None = None, **options: Any) -> Records:
    found: Records = {} if records is None else records
    given: dict[str, Any] = {"timeout_s": None, "gpu_trace": True, **options}
    verify_sweep(
        cells,
        store,
        found,
        table_of=[one.cell_id for one in cells],
        started=lambda cell: None,
        ended=lambda record: None,
        **given,
    )
    return found


def test_a_cell_is_measured_recorded_and_predicted(told, store):
    one = cell()
    (record,) = sweep(store, [one], timeout_s=7.0).values()
    assert told.parts == ["measured", "recorded", "predicted with stream"]
    assert told.timeouts == [7.0] * 3
    assert [log.name for log in told.logs] == [
        f"{one.cell_id}.{part}.log" for part in ("measured", "recorded", "predicted")
    ]
    assert record.row["status"] == "exact"
    assert record.cell == one
    assert record.predicted.cell.device == "sim:h100-80gb"
    assert record.operations == {UNRECORDED: [], "step": [], "build": [], "first step": []}
    for side in (record.predicted, record.recorded):
        assert side is not None
        assert side.details.keys() == {"memory"}, "streams are not in the record"
    assert store.load_all([one.cell_id]) == {one.cell_id: record}
    assert len(store.load_traces(one.cell_id)[None].stream) == 3


def test_without_a_trace_counters_alone_are_compared(told, store):
    (record,) = sweep(store, [cell()], gpu_trace=False).values()
    assert told.parts == ["measured", "predicted"]
    assert (record.recorded, record.operations) == (None, None)
    assert store.load_traces(cell().cell_id) == {}


@pytest.mark.parametrize("status", ["oom", "error", "timeout"])
def test_a_cell_that_cannot_be_measured_is_not_recorded(told, store, status):
    told.say["lora", "measured"] = {"status": status, "message": "told so"}
    sweep(store, [cell()])
    assert told.parts == ["measured", "predicted"]


def test_a_recording_that_fails_leaves_the_counters(told, store):
    told.say["lora", "recorded"] = {"status": "oom", "message": "CUDA out of memory."}
    (record,) = sweep(store, [cell()]).values()
    assert told.parts == ["measured", "recorded", "predicted"]
    assert record.row["status"] == "exact"
    assert record.row["message"] == "not recorded: oom: CUDA out of memory."


def test_a_prediction_that_fails_is_an_error_with_the_measurement_kept(told, store):
    told.say["lora", "predicted"] = {"status": "error", "message": "boom"}
    (record,) = sweep(store, [cell()]).values()
    assert record.row["status"] == "error"
    assert record.measured.details["memory"]
    assert store.load_traces(cell().cell_id)


def test_record_and_table_are_up_to_date_after_each_cell(told, store):
    told.say["full-ft", "measured"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        sweep(store, [cell("lora"), cell("full-ft")])
    with store.table.open(newline="") as file:
        assert [row["cell_id"] for row in csv.DictReader(file)] == [cell("lora").cell_id]
    assert store.record_file(cell("lora").cell_id).exists()


def test_predicting_again_takes_nothing_of_the_gpu(told, store):
    told.say["lora", "predicted"] = {"peak": GIB + 512}
    records = sweep(store, [cell()])
    assert records[cell().cell_id].row["status"] == "differs"
    told.asked.clear()
    told.say.clear()
    (record,) = sweep(store, [cell()], records, predict_only=True).values()
    assert told.parts == ["predicted with stream"]
    assert record.row["status"] == "exact"
    assert record.operations is not None
    assert store.load_all([cell().cell_id])[cell().cell_id].row["status"] == "exact"


def test_an_old_trace_does_not_outlive_its_cell(told, store):
    sweep(store, [cell()])
    sweep(store, [cell()], gpu_trace=False)
    assert store.load_traces(cell().cell_id) == {}


def record_of(one: Cell, status: str) -> VerifyRecord:
    told = Told()
    sides = [
        told.run_cell(one, None, None, work) for work in (module.processes.predict, module.processes.measure)
    ]  # type: ignore[arg-type]
    record = judge_verification(*sides)
    return record.model_copy(update={"row": {**record.row, "status": status}})


@pytest.mark.parametrize(
    ("rerun", "todo"),
    [
        ("missing", ["peft-lora"]),
        ("failed", ["lora", "peft-lora"]),
        ("all", ["full-ft", "lora", "lora-fa", "peft-lora"]),
        ("twin", ["full-ft", "lora", "lora-fa"]),
    ],
)
def test_which_cells_are_verified(rerun, todo):
    statuses = {"full-ft": "exact", "lora": "error", "lora-fa": "differs"}
    records = {cell(method).cell_id: record_of(cell(method), status) for method, status in statuses.items()}
    cells = [cell(method) for method in (*statuses, "peft-lora")]
    assert [one.method.name for one in cells_to_verify(cells, records, rerun)] == todo
