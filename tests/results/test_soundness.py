"""What a folder of results cannot mean is told with its file and the remedy, where it is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from stored import storage
from tiny_cells import tiny_cell

from lorafa_prof.results.record import CellResult
from lorafa_prof.results.row import setting_columns
from lorafa_prof.results.soundness import DEEPEST, UnsoundError, check_environment, check_result, read_json
from lorafa_prof.results.store import DamagedRecordError, Store


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "out")
    store.prepare()
    return store


def stored(store: Store, **changes: Any) -> str:
    """Keep a record with `changes` of its parts, written as it could never be; returns its id."""
    cell = tiny_cell()
    row = {**setting_columns(cell), "status": "ok"}
    record = json.loads(CellResult(cell=cell, row=row).model_dump_json())
    for part, values in changes.items():
        record[part] = {**record[part], **values} if isinstance(values, dict) else values
    store.cell_file(cell.cell_id).write_text(json.dumps(record))
    return cell.cell_id


@pytest.mark.parametrize(
    "changes",
    [
        {"row": {"activation_bytes": "many"}},
        {"row": {"peak_allocated_bytes": 2**63}},
        {"row": {"peak_allocated_bytes": 1.5}},
        {"row": {"step_ms_median": "3"}},
        {"row": {"model": 3}},
        {"environment": {"packages": 3}},
        {"environment": {"packages": {"torch": 3}}},
        {"environment": {"host": "mine"}},
        {"details": {"memory": 3}},
        {"details": {"memory": {"num_alloc_retries": "x"}}},
        {"details": {"saved": {"storages": 3, "held_otherwise": []}}},
        {"details": {"notes": 3}},
        {"details": {"deep": nested(100)}},
        {"details": {"deep": nested(900)}},
    ],
    ids=str,
)
def test_a_record_that_says_what_none_says_is_damaged(store, changes):
    cell_id = stored(store, **changes)
    with pytest.raises(DamagedRecordError, match=r"\.json: this record is damaged .*; --rerun failed"):
        store.load(cell_id)
    assert store.load_all([cell_id], discard=[cell_id]) == {}


@pytest.mark.parametrize(
    ("part", "changes", "said"),
    [
        ("row", {"activation_bytes": "many"}, "its row has no such value of activation_bytes"),
        *(
            ("details", {name: ["x"]}, f"details.{name} is no mapping")
            for name in (
                "memory",
                "saved",
                "flops",
                "reconciliation",
                "times",
                "seconds",
                "unavailable",
                "energy",
            )
        ),
        ("details", {"notes": "x"}, "details.notes is no list"),
        ("details", {"x": nested(DEEPEST)}, "lists and mappings stand inside each other more than 64 deep"),
        ("environment", {"x": nested(DEEPEST)}, "lists and mappings stand inside each other more than 64"),
        *(
            ("environment", {name: ["x"]}, f"environment.{name} is no mapping")
            for name in ("packages", "torch", "allocator", "host", "gpu", "source")
        ),
        ("environment", {"packages": {"torch": 2.1}}, "environment.packages has other values than text"),
        ("environment", {"allocator": {"A": 1}}, "environment.allocator has other values than text"),
        *(
            ("details", {part: {name: value}}, f"details has no such value of {name}")
            for part, name in (
                ("memory", "inputs_bytes"),
                ("memory", "num_alloc_retries"),
                ("reconciliation", "slack_bytes"),
            )
            for value in ("3", 1.5, True, 2**63, -(2**63))
        ),
        ("details", {"saved": {"storages": 3, "held_otherwise": []}}, "details.saved is not as this version"),
    ],
    ids=str,
)
def test_what_is_wrong_with_it_is_said(part, changes, said):
    cell = tiny_cell()
    sound = CellResult(cell=cell, row={**setting_columns(cell), "status": "ok"})
    check_result(sound)
    with pytest.raises(UnsoundError) as error:
        check_result(sound.model_copy(update={part: {**getattr(sound, part), **changes}}))
    assert str(error.value).startswith(said)


@pytest.mark.parametrize("changes", [{"dtype": 3}, {"nbytes": 2**63}, {"op": ["x"]}, {"nbytes": 1.5}])
def test_saved_tensors_of_which_one_thing_is_odd_are_none(changes):
    cell = tiny_cell()
    saved = {"storages": [storage("q", 8)], "held_otherwise": []}
    row = {**setting_columns(cell), "status": "ok"}
    check_result(CellResult(cell=cell, row=row, details={"saved": saved}))
    odd = {**saved, "storages": [storage("q", 8) | changes]}
    with pytest.raises(UnsoundError, match=r"^details\.saved is not as this version writes it$"):
        check_result(CellResult(cell=cell, row=row, details={"saved": odd}))


def test_an_environment_is_a_mapping():
    for odd in (3, [], None):
        with pytest.raises(UnsoundError, match=r"^environment is no mapping$"):
            check_environment(odd)


def test_what_is_just_within_the_limits_is_sound():
    cell = tiny_cell()
    check_result(
        CellResult(
            cell=cell,
            row={**setting_columns(cell), "status": "ok"},
            details={
                "x": nested(DEEPEST - 2),
                "memory": {"inputs_bytes": 2**63 - 1, "num_alloc_retries": None},
                "reconciliation": {"slack_bytes": -(2**63) + 1},
                "saved": None,
            },
            environment={"packages": {"peft": None}, "gpu": None, "allocator": None},
        )
    )


def test_a_sound_one_is_read(store):
    cell_id = stored(store, row={"activation_bytes": 3, "mfu": 0.5, "peak_allocated_bytes": 4.0})
    assert store.load(cell_id) is not None


@pytest.mark.parametrize("text", ["[" * 100_000, json.dumps(nested(100)), "9" * 5000, "{", "\0"])
def test_json_that_is_none_of_ours_is_a_value_error(tmp_path, text):
    (tmp_path / "provenance.json").write_text(text)
    with pytest.raises(ValueError, match=r".") as error:
        read_json(tmp_path / "provenance.json")
    assert len(str(error.value).splitlines()) == 1


def test_a_file_of_nested_lists_says_so(tmp_path):
    (tmp_path / "a.json").write_text("[" * 100_000)
    with pytest.raises(UnsoundError, match=r"^it is nested too deep$"):
        read_json(tmp_path / "a.json")


def test_a_file_without_an_end_is_not_read_to_it(monkeypatch):
    monkeypatch.setattr("lorafa_prof.results.soundness.MOST_BYTES", 2**20)
    with pytest.raises(UnsoundError, match="more than 1 MiB"):
        read_json(Path("/dev/zero"))


def test_options_of_others_that_are_called_as_a_column_leave_it_empty(monkeypatch):
    cell = tiny_cell()
    options = {"rank": "auto", "dropout": [0.1], "targets": {"a": 1}, "config": 3}
    odd = cell.model_copy(update={"method": cell.method.model_copy(update={"options": options})})
    monkeypatch.setattr("lorafa_prof.results.row.method_label", lambda cell: "others")
    row = setting_columns(odd)
    assert (row["rank"], row["dropout"], row["targets"]) == (None, None, None)
