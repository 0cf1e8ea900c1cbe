from __future__ import annotations

from collections.abc import Callable

import pytest

from lorafa_prof.cli.tables import print_table

Terminal = Callable[[int], Callable[[], list[str]]]

HEADER = ("name", "never", "always", "about")
ROWS = [
    ("one", "-", "the same", "some words on the first"),
    ("two", "", "the same", "https://example.org/of/the/second"),
]


def test_off_a_terminal_every_cell_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("things", HEADER, ROWS)
    assert capsys.readouterr().out.splitlines()[2] == "one   -      the same  some words on the first"


def test_what_is_empty_goes_and_what_all_share_stands_above(terminal: Terminal) -> None:
    shown = terminal(30)
    print_table("things", HEADER, ROWS)
    assert shown() == [
        "things, all with always the",
        "same",
        "name  about",
        "one   some words on the first",
        "two   https://example.org/of/t",
        "      he/second",
    ]


def test_the_widest_column_is_narrowed_and_words_stay_whole(terminal: Terminal) -> None:
    shown = terminal(30)
    print_table("things", ("name", "about"), [("unbreakable-name", "one two three four five")])
    assert shown()[2:] == [
        "unbreakable-name  one two",
        "                  three four",
        "                  five",
    ]


def test_long_texts_stand_below(terminal: Terminal) -> None:
    shown = terminal(30)
    print_table("things", ("name", "source"), [row[::3] for row in ROWS], last_below=True)
    assert shown() == [
        "things",
        "name",
        "one",
        "two",
        "one: some words on the first",
        "two: https://example.org/of/the/second",
    ]


def test_names_stand_in_the_table_where_headers_alone_are_broken(terminal: Terminal) -> None:
    shown = terminal(30)
    header, rows = ("kept logits", "peak"), [("5 of many", "1.000 GiB"), ("6", "2.000 GiB")]
    print_table("results", (*header, "reserved"), [(*row, "x") for row in rows], names=1)
    assert shown() == [
        "results, all with reserved x",
        "kept logits  peak",
        "5 of many    1.000 GiB",
        "6            2.000 GiB",
    ]
    shown = terminal(20)
    print_table("results", header, rows, names=1)
    assert shown()[1:] == ["kept", "logits     peak", "5 of many  1.000 GiB", "6          2.000 GiB"]
    shown = terminal(19)
    print_table("results", header, rows, names=1)
    named = ["  peak", "kept logits 5 of", "many", "  1.000 GiB", "kept logits 6", "  2.000 GiB"]
    assert shown()[1:] == named


def test_a_table_without_rows_has_its_header(terminal: Terminal) -> None:
    shown = terminal(30)
    print_table("things", HEADER, [])
    assert shown() == ["things", "name  never  always  about"]
