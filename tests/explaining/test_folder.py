"""A folder of results is read as far as it can be, and what cannot be read is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_cells import tiny_cell

from lorafa_prof.cell import Cell
from lorafa_prof.errors import NothingToJudgeError, UsageError
from lorafa_prof.explaining.folder import subjects_in, with_details
from lorafa_prof.explaining.subject import Subject, chosen
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.row import setting_columns
from lorafa_prof.results.store import Store

SCENARIO: dict[str, Any] = {
    "schema": 1,
    "name": "mine",
    "model": ["tiny-llama"],
    "method": [{"name": "full-ft"}, {"name": "lora", "rank": [4], "targets": "all-linear"}],
    "batch": [2],
    "seq": [48],
    "dtype": ["fp32"],
    "device": ["cpu"],
    "steps": {"warmup": 1, "timed": 2},
}
CELLS = [tiny_cell(method="full-ft"), tiny_cell(method="lora")]
LABELS = ["tiny-llama full-ft b2 s48", "tiny-llama lora r4 b2 s48"]
ENVIRONMENT = {"packages": {"torch": "2.11.0"}}


def record_of(cell: Cell) -> CellResult:
    row = {**setting_columns(cell), "status": "ok", "peak_allocated_bytes": 1000}
    return CellResult(cell=cell, row=row, details={"notes": ["mine"]}, environment=ENVIRONMENT)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "out")
    made.prepare()
    for cell in CELLS:
        made.save(record_of(cell))
    made.write_table([c.cell_id for c in CELLS], {c.cell_id: record_of(c) for c in CELLS})
    made.write_provenance({"scenario": SCENARIO, "environments": [ENVIRONMENT]})
    return made


def test_cells_come_in_the_order_of_the_table_without_details(store: Store) -> None:
    subjects = subjects_in(store.out)
    assert [subject.label for subject in subjects] == LABELS
    assert [subject.cell for subject in subjects] == CELLS
    for subject in subjects:
        assert subject.row["peak_allocated_bytes"] == 1000
        assert "weights_bytes" not in subject.row
        assert subject.environment == ENVIRONMENT
        assert subject.remarks == ()
        assert subject.details == {}
        assert with_details(subject, store.out).details == {"notes": ["mine"]}


def damaged(store: Store, how: str) -> None:
    file = store.cell_file(CELLS[1].cell_id)
    text = file.read_text()
    if how == "half":
        text = text[: len(text) // 2]
    elif how == "version":
        text = json.dumps(json.loads(text) | {"schema_version": 2})
    elif how == "empty":
        text = ""
    else:
        text = json.dumps(json.loads(text) | {"new": 1})
    file.write_text(text)


@pytest.mark.parametrize("how", ["half", "version", "empty", "field"])
def test_of_a_damaged_record_the_row_and_the_scenario_are_left(store: Store, how: str) -> None:
    damaged(store, how)
    whole, half = subjects_in(store.out)
    assert whole.remarks == ()
    assert half.label == LABELS[1]
    assert half.cell == CELLS[1]
    assert half.row["peak_allocated_bytes"] == 1000
    assert half.environment == ENVIRONMENT
    (remark,) = half.remarks
    assert store.cell_file(CELLS[1].cell_id).name in remark
    assert "damaged or of another version" in remark
    assert with_details(half, store.out) is half


def test_a_record_that_is_not_there_is_taken_from_the_scenario(store: Store) -> None:
    for cell in CELLS:
        store.cell_file(cell.cell_id).unlink()
    subjects = subjects_in(store.out)
    assert [subject.cell for subject in subjects] == CELLS
    assert all(with_details(subject, store.out) is subject for subject in subjects)


def test_a_rule_that_an_override_left_without_a_cell_is_no_trouble(store: Store) -> None:
    store.cell_file(CELLS[1].cell_id).unlink()
    store.write_provenance(
        {"scenario": {**SCENARIO, "exclude": [{"batch": 64}]}, "environments": [ENVIRONMENT]}
    )
    assert subjects_in(store.out)[1].cell == CELLS[1]


@pytest.mark.parametrize(
    "provenance", ["", "{}", "[]", '{"scenario": {"schema": 1}, "environments": []}', None]
)
def test_without_a_scenario_the_row_names_its_cell(store: Store, provenance: str | None) -> None:
    file = store.out / "provenance.json"
    if provenance is None:
        file.unlink()
    else:
        file.write_text(provenance)
    damaged(store, "half")
    whole, half = subjects_in(store.out)
    assert whole.cell == CELLS[0]
    assert half.cell is None
    assert half.label == LABELS[1]
    assert half.row["peak_allocated_bytes"] == 1000


def test_a_scenario_with_other_settings_is_not_the_cells(store: Store) -> None:
    store.cell_file(CELLS[1].cell_id).unlink()
    store.write_provenance({"scenario": {**SCENARIO, "seed": 5}, "environments": [ENVIRONMENT]})
    assert subjects_in(store.out)[1].cell is None


def test_without_a_table_the_records_are_read(store: Store) -> None:
    store.results_csv.unlink()
    damaged(store, "half")
    (whole,) = subjects_in(store.out)
    assert whole.cell == CELLS[0]
    missing, half = whole.remarks
    assert "holds no results.csv" in missing
    assert "damaged or of another version" in half


def test_of_a_table_of_another_version_the_records_are_read(store: Store) -> None:
    lines = store.results_csv.read_text().splitlines()
    store.results_csv.write_text("\n".join([f"{lines[0]},new_column", *(f"{line},1" for line in lines[1:])]))
    subjects = subjects_in(store.out)
    assert sorted(subject.label for subject in subjects) == sorted(LABELS)
    assert all("unknown column 'new_column'" in subject.remarks[0] for subject in subjects)


def test_nothing_at_all(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        subjects_in(tmp_path / "nowhere")
    with pytest.raises(NothingToJudgeError, match=r"holds no results\.csv"):
        subjects_in(tmp_path)


def test_no_rows(store: Store) -> None:
    store.write_table([], {})
    for cell in CELLS:
        store.cell_file(cell.cell_id).unlink()
    with pytest.raises(NothingToJudgeError, match="no rows"):
        subjects_in(store.out)


def test_nothing_that_can_be_read(store: Store) -> None:
    store.results_csv.unlink()
    for cell in CELLS:
        store.cell_file(cell.cell_id).write_text("{")
    with pytest.raises(UsageError, match=r"holds no results\.csv.*damaged.*damaged"):
        subjects_in(store.out)


def some(*labels: str) -> list[Subject]:
    return [Subject(f"id-{label}", label, None) for label in labels]


def test_the_first_that_matches_is_chosen_and_all_are_named() -> None:
    subject, note = chosen(some("lora a", "lora b", "full"), "lora", "--cell")
    assert subject.label == "lora a"
    assert note == "2 cells match, the first is taken; --cell REGEX chooses: 'lora a', 'lora b'"
    assert chosen(some("lora a", "full"), "^id-full$", "--cell") == (some("full")[0], "")
    assert chosen(some("full"), None, "--cell") == (some("full")[0], "")


def test_none_that_matches_is_one_line() -> None:
    with pytest.raises(UsageError, match=r"^--against peft: no cell matches; there are 'lora a', 'full'$"):
        chosen(some("lora a", "full"), "peft", "--against")
    with pytest.raises(UsageError, match=r"^--cell \(: this is no regular expression"):
        chosen(some("full"), "(", "--cell")
    with pytest.raises(UsageError, match=r"'0', .*'7', and 12 more$"):
        chosen(some(*map(str, range(20))), "none", "--cell")
