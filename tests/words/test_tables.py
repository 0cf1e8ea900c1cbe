from __future__ import annotations

from rich.cells import cell_len

from lorafa_prof.words.tables import aligned, padded


def test_columns_line_up_and_nothing_is_cut():
    rows = [("name", "what"), ("a", "x" * 300), ("bbbbbb", "[gpu]")]
    assert aligned(rows) == ["name    what", "a       " + "x" * 300, "bbbbbb  [gpu]"]


def test_numbers_stand_to_the_right():
    rows = [("n", "what", "m"), ("1", "a", "10"), ("1,000", "", "2")]
    assert aligned(rows, right=[0, 2]) == ["    n  what   m", "    1  a     10", "1,000         2"]


def test_wide_letters_take_two_columns():
    rows = padded([("層", "x"), ("ab", "y"), ("é", "z")])
    assert {cell_len(cell) for cell, _ in rows} == {2}
