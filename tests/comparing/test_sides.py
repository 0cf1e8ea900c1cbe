from __future__ import annotations

import json
from pathlib import Path

import pytest
from outcomes import on, result, write
from stored import storage

from lorafa_prof.comparing.sides import read_side
from lorafa_prof.errors import NothingToJudgeError, UsageError
from lorafa_prof.results.store import DamagedRecordError, Store
from lorafa_prof.results.tensors import Held, TensorKey

STEP_MS = (3.0, 1.0, 2.0)


def full(batch: int = 1):
    return result(
        on("cuda", batch=batch),
        step_ms=STEP_MS,
        phases_ms=(0.5, 0.25, 0.0),
        storages=[storage("layers.0.up", 64), storage("layers.1.up", 64), storage("in", 8, from_before=True)],
        retries=2,
        unavailable={"energy": "too short"},
        activation_bytes=100,
    )


def test_a_side_has_what_a_comparison_needs(tmp_path):
    (read,) = read_side(write(tmp_path, full())).outcomes
    assert read.cell == full().cell
    assert read.row["activation_bytes"] == 100
    assert (read.status, read.kind) == ("ok", "cuda")
    assert read.samples["step"] == STEP_MS
    assert read.samples["backward"] == (0.5, 0.25, 0.0)
    assert read.num_alloc_retries == 2
    assert read.unavailable == {"energy": "too short"}
    assert read.origin is not None
    assert read.origin.version("torch") == "2.13.0"
    key = TensorKey("layers.*.up", "linear_input", "linear", "bfloat16", (32,))
    assert read.saved == {key: Held(2, 128)}


def test_a_cell_whose_process_died_has_next_to_nothing(tmp_path):
    dead = full().model_copy(update={"details": {}, "environment": {}})
    (read,) = read_side(write(tmp_path, dead)).outcomes
    assert (read.origin, read.saved, read.num_alloc_retries) == (None, None, 0)
    assert not read.samples


def test_the_table_says_which_cells_there_are(tmp_path):
    write(tmp_path, full(3), full(1))
    Store(tmp_path).save(full(2))
    assert [each.cell.batch for each in read_side(tmp_path).outcomes] == [3, 1]
    Store(tmp_path).results_csv.unlink()
    assert sorted(each.cell.batch for each in read_side(tmp_path).outcomes) == [1, 2, 3]


def test_folders_that_hold_no_results(tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        read_side(tmp_path / "nowhere")
    with pytest.raises(NothingToJudgeError, match=r"holds no results\.csv"):
        read_side(tmp_path)
    write(tmp_path)
    with pytest.raises(NothingToJudgeError, match="no rows"):
        read_side(tmp_path)
    (tmp_path / "results.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match="unknown column 'a'"):
        read_side(tmp_path)


def test_a_row_without_its_record_is_told(tmp_path):
    file = Store(write(tmp_path, full())).cell_file(full().cell.cell_id)
    file.unlink()
    with pytest.raises(UsageError, match="whole folder") as error:
        read_side(tmp_path)
    assert str(file) in str(error.value)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("details", {"times": {"step_ms": ["fast"], "phase_ms": {}}}),
        ("details", {"times": {"step_ms": [-1.0], "phase_ms": {}}}),
        ("details", {"times": {"step_ms": [1.0]}}),
        ("details", {"memory": [1]}),
        ("details", {"unavailable": ["energy"]}),
        ("details", {"saved": {"storages": [{}], "held_otherwise": []}}),
        ("environment", {"packages": ["torch"]}),
    ],
)
def test_a_record_of_another_form_is_damaged(tmp_path, part, value):
    file = Store(write(tmp_path, full())).cell_file(full().cell.cell_id)
    file.write_text(json.dumps(json.loads(file.read_text()) | {part: value}))
    with pytest.raises(DamagedRecordError, match="damaged"):
        read_side(tmp_path)


def test_a_folder_that_may_not_be_read_is_one_line(tmp_path, monkeypatch):
    def denied(self: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", denied)
    with pytest.raises(UsageError, match=r"cannot be read: Permission denied"):
        read_side(write(tmp_path, full()))
