from __future__ import annotations

import csv
import io

import pytest
from recorded_cell import memory, result

from lorafa_prof.verification.judge import judge_verification
from lorafa_prof.verification.verify_csv import VERIFY_COLUMNS, table_text


def test_a_row_is_read_as_it_was_written():
    row = judge_verification(result(memory=memory()), result(memory=memory())).row
    (read,) = csv.DictReader(io.StringIO(table_text([row])))
    assert tuple(read) == VERIFY_COLUMNS
    for name in VERIFY_COLUMNS:
        value = row.get(name)
        assert read[name] == ("" if value is None else str(value)), name
    assert read["residual_activation_bytes"] == "0"
    assert read["differing_allocations"] == "", "unknown, not none"


def test_one_line_is_one_cell():
    text = table_text([{"cell_id": "a", "message": "first\nsecond, third"}])
    assert len(text.splitlines()) == 2
    assert '"first second, third"' in text


def test_a_key_that_is_no_column_is_an_error():
    with pytest.raises(ValueError, match="peek"):
        table_text([{"cell_id": "a", "peek_bytes": 1}])
