from __future__ import annotations

import math
import os

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorafa_prof.errors import NothingToJudgeError, UsageError
from lorafa_prof.results.columns import COLUMN_NAMES, COLUMNS, Column
from lorafa_prof.results.table import pandas_dtype, read_table, write_table

INT64 = st.integers(-(2**63) + 1, 2**63 - 1)
VALUES = {
    "Int64": INT64,
    "Float64": st.floats(allow_nan=False, allow_infinity=False),
    "string": st.text(min_size=1)
    .map(lambda text: " ".join(text.replace("\0", "").splitlines()))
    .filter(bool),
}


def _values(column: Column) -> st.SearchStrategy[object]:
    return st.none() | VALUES[pandas_dtype(column)]


ROWS = st.lists(
    st.fixed_dictionaries({c.name: _values(c) for c in COLUMNS if c.name != "cell_id"}),
    min_size=1,
    max_size=4,
)


@settings(max_examples=30)
@given(rows=ROWS)
def test_what_is_written_is_what_is_read(rows, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    rows = [{"cell_id": f"c{number}", **row} for number, row in enumerate(rows)]
    write_table(rows, out / "results.csv")
    table = read_table(out)
    assert tuple(table.columns) == COLUMN_NAMES
    for row, read in zip(rows, table.to_dict(orient="records"), strict=True):
        assert {name: None if pd.isna(value) else value for name, value in read.items()} == row
    assert (out / "results.csv").read_text().count("\n") == len(rows) + 1


def test_dtypes_are_nullable_and_an_unknown_value_is_missing_not_zero(tmp_path):
    write_table(
        [{"cell_id": "a", "status": "oom", "checkpointing": "none", "model": "NA"}], tmp_path / "results.csv"
    )
    table = read_table(tmp_path)
    assert str(table["peak_allocated_bytes"].dtype) == "Int64"
    assert str(table["rank"].dtype) == "Int64"
    assert str(table["step_ms_median"].dtype) == "Float64"
    assert str(table["dropout"].dtype) == "Float64"
    assert [str(table[name].dtype) for name in ("padding", "accumulation", "max_grad_norm")] == [
        "Float64", "Int64", "Float64",
    ]  # fmt: skip
    assert table.isna().sum(axis=1).tolist() == [len(COLUMN_NAMES) - 4]
    assert table.loc[0, ["checkpointing", "model"]].tolist() == ["none", "NA"]


def test_a_table_read_can_be_written_again_byte_for_byte(tmp_path):
    first, second = tmp_path / "results.csv", tmp_path / "b" / "results.csv"
    write_table(
        [{"cell_id": "a", "weights_bytes": 2**60 + 1, "mfu": 0.1 + 0.2, "message": 'two\nlines, "quoted"'}],
        first,
    )
    write_table(read_table(tmp_path).to_dict(orient="records"), second)
    assert first.read_bytes() == second.read_bytes()
    assert "1152921504606846977" in first.read_text()


@pytest.mark.parametrize("value", [math.nan, math.inf, None, pd.NA])
def test_unknown_values_stay_empty(value, tmp_path):
    write_table([{"cell_id": "a", "mfu": value, "rank": value}], tmp_path / "results.csv")
    assert (tmp_path / "results.csv").read_text().splitlines()[1].strip(",") == "a"


@pytest.mark.parametrize(
    "row", [{"weights": 1}, {"rank": 1.5}, {"batch": "eight"}, {"seq": 2**63}, {"mfu": "fast"}]
)
def test_what_fits_no_column_is_refused_and_the_old_table_stays(row, tmp_path):
    path = tmp_path / "results.csv"
    write_table([{"cell_id": "old"}], path)
    with pytest.raises(ValueError, match="column"):
        write_table([{"cell_id": "new"}, row], path)
    assert read_table(tmp_path)["cell_id"].tolist() == ["old"]


def test_a_write_that_fails_half_way_leaves_the_old_table_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "results.csv"
    write_table([{"cell_id": "old"}], path)

    def full(_: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_table([{"cell_id": "new"}], path)
    assert [file.name for file in tmp_path.iterdir()] == ["results.csv"]
    assert read_table(tmp_path)["cell_id"].tolist() == ["old"]


def test_a_new_table_takes_the_old_ones_place_at_once(tmp_path):
    path = tmp_path / "results.csv"
    write_table([{"cell_id": "old"}], path)
    with path.open() as reader:
        write_table([{"cell_id": "new"}], path)
        assert reader.read().splitlines()[1].startswith("old")  # whoever reads meanwhile sees one whole table


def test_the_file_is_as_readable_as_any_other_of_the_user(tmp_path):
    write_table([{"cell_id": "a"}], tmp_path / "results.csv")
    (tmp_path / "other").write_text("")
    assert (tmp_path / "results.csv").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_columns_an_older_version_did_not_know_are_missing(tmp_path):
    (tmp_path / "results.csv").write_text("cell_id,status,batch\na,ok,8.0\n")
    table = read_table(tmp_path)
    assert tuple(table.columns) == COLUMN_NAMES
    assert table["batch"].tolist() == [8]
    assert table["seq"].isna().all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "cell_id,peak_alocated_bytes\na,1\n",
            "unknown column 'peak_alocated_bytes' .did you mean 'peak_allocated",
        ),
        ("status,model\nok,x\n", "column 'cell_id' is missing"),
        ("cell_id,cell_id\na,a\n", "column 'cell_id' is there twice"),
        ("cell_id,batch\na,1\n,2\n", "results.csv:3: cell_id is empty"),
        ("cell_id,batch\na,1\na,2\n", "results.csv:3: cell_id 'a' is there twice"),
        ("cell_id,batch\na,many\n", "results.csv:2: column 'batch': 'many' is not a number"),
        ("cell_id,batch\na,1.5\n", "'1.5' is not a number"),
        ("cell_id,mfu\na,fast\n", "'fast' is not a number"),
        ("cell_id,batch\na,1,2\n", "results.csv:2: 3 values for 2 columns"),
        ("cell_id\n\xff\n", "cannot be read as a results table"),
    ],
)
def test_a_file_that_is_no_results_table_is_one_clear_line(text, message, tmp_path):
    (tmp_path / "results.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=message) as caught:
        read_table(tmp_path)
    assert "\n" not in str(caught.value)


def test_no_folder_is_wrong_usage_and_no_rows_are_nothing_to_judge(tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        read_table(tmp_path / "nowhere")
    with pytest.raises(NothingToJudgeError, match=r"holds no results\.csv"):
        read_table(tmp_path)
    write_table([], tmp_path / "results.csv")
    with pytest.raises(NothingToJudgeError, match="no rows"):
        read_table(tmp_path)
    (tmp_path / "results.csv").write_text("")
    with pytest.raises(NothingToJudgeError, match="no rows"):
        read_table(tmp_path)
