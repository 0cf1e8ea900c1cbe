from __future__ import annotations

import pandas as pd
import pytest
from tiny_cells import tiny_cell

from lorafa_prof.errors import NothingToJudgeError, UsageError
from lorafa_prof.results.columns import COLUMNS
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.records import Results, read_known_results, read_results
from lorafa_prof.results.store import Store
from lorafa_prof.results.table import pandas_dtype, write_table

VERIFY = "cell_id,method,status\na,lora,exact\n"


def test_table_records_and_verification_of_a_folder(tmp_path):
    write_table([{"cell_id": "a", "status": "ok"}], tmp_path / "results.csv")
    (tmp_path / "verify.csv").write_text(VERIFY)
    results = read_results(tmp_path)
    assert list(results.table["cell_id"]) == ["a"]
    assert results.verification is not None
    assert results.verification.to_dict("records") == [{"cell_id": "a", "method": "lora", "status": "exact"}]
    assert results.details("b") == {}


def test_a_text_that_is_not_there_is_none(tmp_path):
    (tmp_path / "verify.csv").write_text("cell_id,status,message\na,exact,\nb,error,'=1\n")
    table = read_results(tmp_path).verification
    assert table is not None
    assert table["message"].isna().tolist() == [True, False]
    assert table["message"][1] == "=1"


@pytest.mark.parametrize("columns", ["cell_id,method", "status,method"])
def test_a_verification_without_one_of_its_columns_is_none(tmp_path, columns):
    (tmp_path / "verify.csv").write_text(f"{columns}\na,b\n")
    with pytest.raises(UsageError, match="no column 'cell_id' or 'status'"):
        read_results(tmp_path)


def test_details_are_those_of_the_record(tmp_path):
    cell, store = tiny_cell(), Store(tmp_path)
    row = {"cell_id": cell.cell_id, "status": "ok"}
    result = CellResult(cell=cell, row=row, details={"notes": ["x"]})
    store.prepare()
    store.save(result)
    store.write_table([cell.cell_id], {cell.cell_id: result})
    assert read_results(tmp_path).details(cell.cell_id) == {"notes": ["x"]}


def test_what_another_version_added_to_the_table_is_left_out_with_a_note(tmp_path):
    write_table([{"cell_id": "a", "status": "ok"}], tmp_path / "results.csv")
    text = (tmp_path / "results.csv").read_text().splitlines()
    (tmp_path / "results.csv").write_text(f"{text[0]},new_bytes\n{text[1]},3\n")
    known = read_known_results(tmp_path)
    assert list(known.results.table["cell_id"]) == ["a"]
    assert "new_bytes" not in known.results.table
    assert any("new_bytes" in note for note in known.notes)


def test_what_a_reader_cannot_take_is_one_line_with_the_cell():
    results = Results(pd.DataFrame(), lambda cell_id: record({"of": cell_id}))
    assert results.read("a", lambda details: details["of"]) == "a"
    with pytest.raises(UsageError) as refused:
        results.read("a", lambda details: details["none\nsuch"])
    line = str(refused.value)
    assert line == r"a.json holds other than this version writes (KeyError: 'none\nsuch')"


def record(details):
    cell = tiny_cell()
    return CellResult(cell=cell, row={"cell_id": cell.cell_id, "status": "ok"}, details=details)


def test_a_folder_of_verify_alone_has_a_table_of_no_rows(tmp_path):
    (tmp_path / "verify.csv").write_text(VERIFY)
    table = read_results(tmp_path).table
    assert table.empty
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == {
        column.name: pandas_dtype(column) for column in COLUMNS
    }


def test_a_table_alone_has_no_records(tmp_path):
    write_table([{"cell_id": "a", "status": "ok"}], tmp_path / "results.csv")
    results = Results(read_results(tmp_path).table)
    assert (results.details("a"), results.verification) == ({}, None)


def test_what_is_not_there_and_what_is_no_table(tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        read_results(tmp_path / "nowhere")
    with pytest.raises(NothingToJudgeError, match=r"results\.csv"):
        read_results(tmp_path)
    (tmp_path / "verify.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match="not the table of `lorafa-prof verify`"):
        read_results(tmp_path)
    (tmp_path / "verify.csv").write_text("")
    with pytest.raises(UsageError, match="cannot be read"):
        read_results(tmp_path)
