from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from reported_runs import cell, content, record, rewrite, write_run

from lorafa_prof.errors import NothingToJudgeError, UsageError
from lorafa_prof.report.content import content_of
from lorafa_prof.report.reading import read_source
from lorafa_prof.results.records import read_known_results

CLAIM = {
    "name": "freezing A pays",
    "metric": ["peak_allocated_bytes"],
    "of": {"method": "lora-fa"},
    "relative_to": {"method": "lora"},
    "at_most": 0.85,
}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return write_run(tmp_path / "out", [record(cell("lora")), record(cell("lora-fa"))])


def change_table(out: Path, change: Any) -> None:
    file = out / "results.csv"
    with file.open(newline="") as stream:
        lines = list(csv.reader(stream))
    change(lines)
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows(lines)


def notes(out: Path) -> str:
    return "\n".join(content(out).notes)


def test_a_run_in_order_needs_no_notes(out: Path) -> None:
    found = content(out)
    assert found.notes == ()
    assert found.title == "made-up"
    assert [each.label for each in found.cells] == ["lora", "lora-fa"]
    assert all(each.cards and each.scenario and each.environment == 0 for each in found.cells)


def test_columns_of_another_version_are_left_out_and_named(out: Path) -> None:
    def newer(lines: list[list[str]]) -> None:
        lines[0][5:5] = ["quantum_bytes"]
        for line in lines[1:]:
            line[5:5] = ["7"]

    change_table(out, newer)
    assert "columns quantum_bytes" in notes(out)
    assert [each.row["peak_allocated_bytes"] for each in content(out).cells] == [12 * 2**20] * 2


def test_a_half_written_line_of_the_table_is_left_out_and_counted(out: Path) -> None:
    change_table(out, lambda lines: lines[2].__delitem__(slice(9, None)))
    assert "left out are 1 lines with too few or too many values" in notes(out)
    assert len(content(out).cells) == 1


def test_a_table_that_cannot_be_read_at_all_is_an_error_that_names_it(out: Path) -> None:
    (out / "results.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match="unknown column 'a'") as caught:
        read_known_results(out)
    assert str(caught.value).startswith(str(out / "results.csv"))


def test_no_rows_are_nothing_to_judge(tmp_path: Path) -> None:
    with pytest.raises(NothingToJudgeError):
        read_known_results(tmp_path)
    (tmp_path / "verify.csv").write_text("cell_id,status\na,exact\n")
    with pytest.raises(NothingToJudgeError, match="no rows"):
        content_of(read_source(tmp_path, read_known_results(tmp_path)))


@pytest.mark.parametrize("text", ["", "{", '{"schema_version": 1}', "[]"])
def test_a_damaged_record_is_named_and_its_row_is_shown(out: Path, text: str) -> None:
    damaged, whole = content(out).cells
    file = out / "cells" / f"{damaged.cell_id}.json"
    file.write_text(text)
    assert f"{file}: this record is damaged" in notes(out)
    found = content(out).cells
    assert found[0].row == damaged.row
    assert found[0].cards is None
    assert "damaged" in found[0].unexplained
    assert found[0].parts["activation_bytes"] == damaged.row["activation_bytes"]
    assert found[1] == whole


def test_a_record_of_another_schema_is_named(out: Path) -> None:
    file = out / "cells" / f"{content(out).cells[1].cell_id}.json"
    rewrite(file, schema_version=2)
    assert f"{file}: this record is damaged or of another version" in notes(out)


def test_details_of_another_form_are_named_and_the_rest_is_shown(out: Path) -> None:
    file = out / "cells" / f"{content(out).cells[0].cell_id}.json"
    rewrite(file, details={"saved": {"storages": [{"name": "x"}], "held_otherwise": []}})
    assert f"{file.stem}: its record does not say what it should (KeyError: " in notes(out)
    assert content(out).cells[0].scenario is not None


def test_many_damaged_records_are_counted(tmp_path: Path) -> None:
    out = write_run(tmp_path, [record(cell(batch=batch)) for batch in range(1, 10)])
    for file in (out / "cells").iterdir():
        file.write_text("{")
    found = content(out).notes
    assert len(found) == 6
    assert found[-1] == "4 more records cannot be read"


def test_missing_records_are_said(out: Path) -> None:
    first, second = (out / "cells").iterdir()
    first.unlink()
    assert "1 of 2 cells have no record" in notes(out)
    second.unlink()
    assert "there are no records" in notes(out)


def test_provenance_that_is_missing_damaged_or_of_another_schema(out: Path) -> None:
    file = out / "provenance.json"
    rewrite(file, schema_version=9)
    assert "provenance.json has schema version 9" in notes(out)
    for text in ("{", "[]"):
        file.write_text(text)
        assert "versions, machine and command are not known" in notes(out)
    file.unlink()
    assert "there is no provenance.json" in notes(out)
    found = content(out)
    assert (found.title, found.command) == (out.name, "")
    assert all(each.command is None for each in found.cells)


def test_claims_are_judged(tmp_path: Path) -> None:
    cells = [record(cell("lora")), record(cell("lora-fa"), peak_allocated_bytes=9 * 2**20)]
    judgement = content(write_run(tmp_path, cells, claims=[CLAIM])).judgement
    assert judgement is not None
    assert [(each.name, each.state) for each in judgement.findings] == [("freezing A pays", "pass")]


def test_claims_that_cannot_be_judged_are_said_and_the_rest_is_shown(tmp_path: Path) -> None:
    out = write_run(tmp_path, [record(cell("lora")), record(cell("lora-fa"))], claims=[CLAIM])
    rewrite(out / "provenance.json", scenario={"claims": [CLAIM]})
    found = content(out)
    assert found.judgement is None
    assert any(note.startswith("its claims are not judged: ") for note in found.notes)
    assert len(found.cells) == 2


def test_cells_that_only_their_ids_tell_apart_are_named_by_these(tmp_path: Path) -> None:
    other = cell().model_copy(update={"seed": 1})
    labels = [each.label for each in content(write_run(tmp_path, [record(cell()), record(other)])).cells]
    assert labels == [f"lora ({cell().cell_id})", f"lora ({other.cell_id})"]


def test_unknown_values_are_absent_never_0(out: Path) -> None:
    assert all("tokens_per_s" not in each.row for each in content(out).cells)
    assert json.dumps(content(out).cells[0].row)  # plain numbers, none of pandas'
