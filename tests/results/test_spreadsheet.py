from __future__ import annotations

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafa_prof.results.spreadsheet import as_text, from_text
from lorafa_prof.results.table import read_table, write_table


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-x", "@SUM(A1)", "\t=1", "'=1", "''@a", "=HYPERLINK(0)"])
def test_a_formula_becomes_text_and_comes_back(text: str) -> None:
    assert as_text(text) == f"'{text}"
    assert from_text(as_text(text)) == text


@pytest.mark.parametrize("text", ["", "llama-2-7b", "'quoted'", "a=b", "0.5", "'"])
def test_all_else_is_left_as_it_is(text: str) -> None:
    assert as_text(text) == from_text(text) == text


@given(st.text(alphabet="'=+-@\tab1", max_size=6))
def test_every_text_comes_back(text: str) -> None:
    assert from_text(as_text(text)) == text
    assert not as_text(text).startswith(("=", "+", "-", "@", "\t"))


def test_the_table_runs_nothing_and_reads_as_it_was_written(tmp_path) -> None:
    message = '=HYPERLINK("http://x","y")'
    write_table(
        [{"cell_id": "a", "status": "ok", "model": "@model", "message": message}], tmp_path / "results.csv"
    )
    with (tmp_path / "results.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["message"], row["model"]) == (f"'{message}", "'@model")
    table = read_table(tmp_path)
    assert (table["message"][0], table["model"][0]) == (message, "@model")
