from __future__ import annotations

import json

import pytest
from recorded_cell import result
from tiny_cells import tiny_cell
from told_verification import GIB, Told, memory_of

from lorafa_prof.errors import UsageError
from lorafa_prof.verification import processes
from lorafa_prof.verification.judge import VerifyRecord, judge_verification
from lorafa_prof.verification.store import VerifyStore

CELL = tiny_cell(device="cuda", gpu="h100-80gb")
ID = CELL.cell_id


@pytest.fixture
def store(tmp_path) -> VerifyStore:
    made = VerifyStore(tmp_path / "deep" / "out")
    made.prepare()
    return made


@pytest.fixture
def record(tmp_path) -> VerifyRecord:
    told = Told()
    predicted = told.run_cell(CELL.on_twin(), tmp_path, None, processes.predict)
    return judge_verification(predicted, told.run_cell(CELL, tmp_path, None, processes.measure))


def test_a_record_comes_back_as_it_was_kept(store, record):
    store.save(record)
    assert store.load_all([ID, "never-verified"]) == {ID: record}


def cut(text: str) -> str:
    return text[: len(text) // 2]


def other_version(text: str) -> str:
    return json.dumps({**json.loads(text), "schema_version": 99})


def other_cell(text: str) -> str:
    data = json.loads(text)
    data["measured"]["cell"]["batch"] += 1
    return json.dumps(data)


@pytest.mark.parametrize("damage", [cut, other_version, other_cell])
def test_a_damaged_record_is_told_unless_its_cell_is_done_anew(store, record, damage):
    store.save(record)
    file = store.record_file(ID)
    file.write_text(damage(file.read_text()))
    with pytest.raises(UsageError, match="--rerun all") as caught:
        store.load_all([ID])
    assert str(file) in str(caught.value)
    assert store.load_all([ID], discard=[ID]) == {}


def test_a_damaged_trace_is_told(store):
    store.trace_file(ID).write_bytes(b"no xz")
    with pytest.raises(UsageError, match="damaged"):
        store.load_traces(ID)
    store.save_trace(ID, {"stream": {}})
    with pytest.raises(UsageError, match="damaged"):
        store.load_traces(ID)


def test_a_trace_can_be_taken_away(store):
    store.save_trace(ID, {"stream": {"operations": [], "texts": []}, "plain": []})
    assert store.load_traces(ID)
    store.save_trace(ID, {})
    store.save_trace(ID, {})
    assert store.load_traces(ID) == {}


def test_a_folder_that_cannot_be_written_is_a_usage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        VerifyStore(tmp_path / "file" / "out").prepare()


def test_what_a_twin_tells_is_loaded_again(store: VerifyStore) -> None:
    """The digest of its requests too, which is no count."""
    predicted = processes.predict(CELL.on_twin())
    record = judge_verification(predicted, predicted.model_copy(update={"cell": CELL}))
    assert record.row["predicted_requests"]
    store.save(record)
    assert store.load_all([ID])[ID].row == record.row


def test_what_recording_changed_is_loaded_again(store: VerifyStore) -> None:
    predicted, measured, recorded = (result(CELL, memory_of(peak)) for peak in (GIB, GIB, GIB + 512))
    record = judge_verification(predicted, measured, recorded)
    assert record.recording
    store.save(record)
    assert store.load_all([ID])[ID].recording == record.recording
