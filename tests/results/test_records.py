from __future__ import annotations

import pytest

from lorafa_prof.errors import NothingToJudgeError, UsageError
from lorafa_prof.results.columns import COLUMNS
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.records import Results, read_results
from lorafa_prof.results.table import pandas_dtype, write_table

VERIFY = "cell_id,method,status\na,lora,exact\n"


def no_record(cell_id):
    del cell_id


def test_table_records_and_verification_of_a_folder(tmp_path):
    write_table([{"cell_id": "a", "status": "ok"}], tmp_path / "results.csv")
    (tmp_path / "verify.csv").write_text(VERIFY)
    record = CellResult.model_construct(details={"notes": ["x"]})
    results = read_results(tmp_path, {"a": record}.get)
    assert list(results.table["cell_id"]) == ["a"]
    assert results.verification is not None
    assert results.verification.to_dict("records") == [{"cell_id": "a", "method": "lora", "status": "exact"}]
    assert results.details("a") == {"notes": ["x"]}
    assert results.details("b") == {}


def test_a_folder_of_verify_alone_has_a_table_of_no_rows(tmp_path):
    (tmp_path / "verify.csv").write_text(VERIFY)
    table = read_results(tmp_path, no_record).table
    assert table.empty
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == {
        column.name: pandas_dtype(column) for column in COLUMNS
    }


def test_a_table_alone_has_no_records(tmp_path):
    write_table([{"cell_id": "a", "status": "ok"}], tmp_path / "results.csv")
    results = Results(read_results(tmp_path, no_record).table)
    assert (results.details("a"), results.verification) == ({}, None)


def test_what_is_not_there_and_what_is_no_table(tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        read_results(tmp_path / "nowhere", no_record)
    with pytest.raises(NothingToJudgeError, match=r"results\.csv"):
        read_results(tmp_path, no_record)
    (tmp_path / "verify.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match="not the table of `lorafa-prof verify`"):
        read_results(tmp_path, no_record)
    (tmp_path / "verify.csv").write_text("")
    with pytest.raises(UsageError, match="cannot be read"):
        read_results(tmp_path, no_record)
